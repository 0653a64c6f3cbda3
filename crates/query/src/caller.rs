//! Who asks, and what of it they may see.
//!
//! Every call is answered within [`Caller::asks`], and every question about a unit is looked up in
//! [`crate::question::Question`]: it asks here, so that no call can forget to. Where nobody asks, nobody is shown anything.

use std::{net::IpAddr, sync::Arc, time::Duration};

use access::{Access, Principal, Unauthenticated};
use domain::{
    Catalogue, PeriodType, Reason, Timestamp,
    access::{Action, Wish},
    judge,
    settle::Claim,
};
use messaging::audit::{Refusals, TurnedAway};
use runtime::Clock;
use time::Date;

use crate::{question::Question, refused::Refused};

/// How often a caller whose watch lasts is asked about again when nothing has changed: credentials and grants end by themselves.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(20);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// Where the call comes from.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) access: Access,
    pub(crate) refusals: Refusals,
    pub(crate) clock: Arc<dyn Clock>,
}

tokio::task_local! {
    static CALLER: Caller;
}

impl Caller {
    /// Answers something that this caller asked.
    pub(crate) fn asks<T>(self, answer: impl Future<Output = T>) -> impl Future<Output = T> {
        CALLER.scope(self, answer)
    }

    /// Whose question is being answered.
    pub(crate) fn current() -> Result<Self, Refused> {
        CALLER.try_with(Self::clone).map_err(|_| Refused::Unauthenticated(Unauthenticated::Missing))
    }

    /// Whether the caller may read what a question is about.
    pub(crate) fn may_read(&self, catalogue: &Catalogue, question: &Question) -> Result<(), Refused> {
        self.may(catalogue, self.wish(catalogue, question))
    }

    /// As [`Self::may_read`], for what the caller did not name: nobody is told of it who may not read it, and that is no refusal.
    pub(crate) fn reads(&self, catalogue: &Catalogue, question: &Question) -> bool {
        let wish = self.wish(catalogue, question);
        self.access.may(&self.principal.name, &wish, catalogue.tree()).is_ok()
    }

    /// Whether the caller may see what became of a report: who sent it may, and who may read what it is about. What it claims may
    /// be nonsense; that is for those who may read everything.
    pub(crate) fn may_hear(&self, catalogue: &Catalogue, claim: &Claim, sender: &str) -> Result<(), Refused> {
        if self.principal.name.as_str() == sender {
            return Ok(());
        }
        let period = claim.period.parse().ok();
        let data_set = catalogue.find_data_set(&claim.data_set);
        let of =
            data_set.zip(period).map_or_else(|| self.today(catalogue), |(data_set, period)| data_set.last_day(period));
        self.may(catalogue, self.to_read(catalogue, &claim.org_unit, &claim.data_set, of))
    }

    /// To read what a question is about.
    fn wish<'a>(&self, catalogue: &'a Catalogue, question: &Question) -> Wish<'a> {
        let data_set = question.data_set(catalogue);
        // `latest` ends with the days there are, and not in the tree whose it is.
        let of = match question.period.kind() {
            PeriodType::Latest => question.period.span(data_set.calendar()).first,
            _ => data_set.last_day(question.period),
        };
        self.to_read(catalogue, question.unit(catalogue).code.as_str(), data_set.code().as_str(), of)
    }

    fn to_read<'a>(&self, catalogue: &Catalogue, org_unit: &'a str, data_set: &'a str, of: Date) -> Wish<'a> {
        Wish { action: Action::Read, org_unit, data_set: Some(data_set), of, on: self.today(catalogue) }
    }

    fn may(&self, catalogue: &Catalogue, wish: Wish<'_>) -> Result<(), Refused> {
        self.access.may(&self.principal.name, &wish, catalogue.tree()).map_err(|denied| {
            self.turned_away(Reason::NotGranted.code(), wish.data_set.map(|data_set| (wish.org_unit, data_set)));
            Refused::NotGranted(denied.message(self.principal.name.as_str(), &wish))
        })
    }

    fn turned_away(&self, reason: &'static str, from: Option<(&str, &str)>) {
        let (principal, peer) = (Some(self.principal.name.clone()), self.peer);
        self.refusals.turned_away(TurnedAway { principal, reason, peer }, from, self.clock.now().into());
    }

    fn today(&self, catalogue: &Catalogue) -> Date {
        judge::day_of(catalogue, Timestamp::from(self.clock.now()))
    }

    /// Waits until the caller may see what is asked about no longer, and gives why.
    pub(crate) async fn gone(self, catalogue: &Catalogue, questions: &[Question]) -> Refused {
        let mut changes = self.access.changes();
        loop {
            let known = self.access.still(&self.principal, self.clock.now()).map_err(|why| {
                self.turned_away(why.reason(), None);
                Refused::Unauthenticated(why)
            });
            let all = || questions.iter().try_for_each(|question| self.may_read(catalogue, question));
            if let Err(refused) = known.and_then(|()| all()) {
                return refused;
            }
            tokio::select! {
                () = changes.next() => {}
                () = tokio::time::sleep(ASK_AGAIN_AFTER) => {}
            }
        }
    }
}
