//! Asking for the fate of every acknowledged report, politely: some at a time, and each less often the longer it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::pb::query::v1::{GetSubmissionRequest, query_service_client::QueryServiceClient};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tonic::Code;

use crate::{
    Channel, Event, Outcome, Trouble,
    clock::Millis,
    deliver::Shared,
    link::Link,
    spool::{Known, Place, Receipt, Waiting},
};

/// Questions asked at a time.
const AT_A_TIME: usize = 32;
/// The longest time until a report is pushed again that is still unknown, as a multiple of the first.
const MOST_DOUBLINGS: u32 = 6;

/// Asks what became of reports.
pub(crate) struct Asking {
    shared: Shared,
    link: Link,
    reports: BTreeMap<Place, Asked>,
    due: BTreeSet<(Instant, Place)>,
    /// Reports that were acknowledged just now.
    news: mpsc::UnboundedReceiver<Known>,
    /// Reports to be pushed again.
    again: mpsc::UnboundedSender<Waiting>,
}

struct Asked {
    known: Known,
    times: u32,
    due: Instant,
}

/// What the query service says of a report.
enum Said {
    Fate(Outcome),
    /// It knows nothing of it, and may be asked again after that pause.
    NotFound(Duration),
    /// It knows it and has no fate for it, or cannot say it, and may be asked again after that pause.
    NotYet(Duration),
}

impl Asking {
    pub(crate) fn new(
        shared: Shared,
        link: Link,
        known: Vec<Known>,
        news: mpsc::UnboundedReceiver<Known>,
        again: mpsc::UnboundedSender<Waiting>,
    ) -> Self {
        let mut asking = Self { shared, link, reports: BTreeMap::new(), due: BTreeSet::new(), news, again };
        known.into_iter().for_each(|known| asking.add(known));
        asking
    }

    fn add(&mut self, known: Known) {
        self.remove(known.place);
        self.plan(known, 0, Duration::ZERO);
    }

    /// Plans when to ask for a report that was asked for so many times, and not before that pause is over.
    fn plan(&mut self, known: Known, times: u32, pause: Duration) {
        let due = Instant::now() + self.shared.config.ask.interval(times).max(pause);
        self.due.insert((due, known.place));
        self.reports.insert(known.place, Asked { known, times, due });
    }

    /// Goes on until it is aborted, which does no harm at any point.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        let mut client = None;
        loop {
            self.due().await;
            match self.round(&mut client).await {
                Ok(()) => failures = 0,
                Err(trouble) => {
                    client = None;
                    // Those that could not be asked for age as well.
                    let aged = self.age().await;
                    let pause = trouble.retry_after() + self.shared.config.retry.pause(failures);
                    failures = failures.saturating_add(1);
                    for trouble in [Some(trouble), aged.err()].into_iter().flatten() {
                        self.shared.saying.say(Event::Trouble(trouble)).await;
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Waits until there is something to ask.
    async fn due(&mut self) {
        loop {
            while let Ok(known) = self.news.try_recv() {
                self.add(known);
            }
            let first = self.due.first().map(|(due, _)| *due);
            if first.is_some_and(|due| due <= Instant::now()) {
                return;
            }
            let due = async {
                match first {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                known = self.news.recv() => match known {
                    Some(known) => self.add(known),
                    // Delivery is gone, and this with it.
                    None => std::future::pending().await,
                },
                () = due => {}
            }
        }
    }

    /// Asks for those that are due, some at a time, until none is. Those that could not be asked for stay due.
    async fn round(&mut self, client: &mut Option<QueryServiceClient<Channel>>) -> Result<(), Trouble> {
        let client = match client {
            Some(client) => client,
            None => client.insert(QueryServiceClient::new(self.link.connect().await?)),
        };
        loop {
            let now = Instant::now();
            let places: Vec<Place> =
                self.due.iter().take_while(|(due, _)| *due <= now).take(AT_A_TIME).map(|(_, place)| *place).collect();
            if places.is_empty() {
                return Ok(());
            }
            let mut calls = JoinSet::new();
            for place in places {
                let Some(Asked { known, .. }) = self.reports.get(&place) else { continue };
                let (mut client, link, submission_id) = (client.clone(), self.link.clone(), known.id.to_string());
                calls.spawn(async move {
                    let call = client.get_submission(GetSubmissionRequest { submission_id });
                    (place, link.answer(call).await)
                });
            }
            let mut said = Vec::new();
            let (mut unreadable, mut trouble) = (None, None);
            for (place, answer) in calls.join_all().await {
                match answer {
                    Ok(answer) => {
                        said.push((place, Outcome::of(answer).map_or(Said::NotYet(Duration::ZERO), Said::Fate)))
                    }
                    Err(met) => match &met {
                        Trouble::Answered { status, .. } if status.code() == Code::NotFound => {
                            said.push((place, Said::NotFound(met.retry_after())));
                        }
                        // What is stored of one report cannot be read, or not by us: that must not keep others from being asked for.
                        Trouble::Answered { status, .. }
                            if matches!(status.code(), Code::Internal | Code::PermissionDenied) =>
                        {
                            said.push((place, Said::NotYet(met.retry_after())));
                            unreadable = Some(met);
                        }
                        _ => trouble = Some(met),
                    },
                }
            }
            self.note(said).await?;
            if let Some(unreadable) = unreadable {
                self.shared.saying.say(Event::Trouble(unreadable)).await;
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
    }

    /// Gives up what is too old.
    async fn age(&mut self) -> Result<(), Trouble> {
        let now = Millis::now();
        let old = self.reports.iter().filter(|(_, asked)| self.is_old(&asked.known, now));
        let old = old.map(|(place, _)| (*place, Said::NotYet(Duration::ZERO))).collect();
        self.note(old).await
    }

    /// Notes fates, and plans when to ask again for the others.
    async fn note(&mut self, said: Vec<(Place, Said)>) -> Result<(), Trouble> {
        let now = Millis::now();
        let (mut finished, mut given_up, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (place, said) in said {
            let Some(Asked { known, .. }) = self.reports.get(&place) else { continue };
            let is_old = self.is_old(known, now);
            match said {
                Said::Fate(outcome) => finished.push((place, Receipt::Finished(outcome))),
                Said::NotFound(_) | Said::NotYet(_) if is_old => given_up.push(place),
                Said::NotFound(_) if now.since(known.acknowledged_at) > self.patience(known) => again.push(place),
                Said::NotFound(pause) | Said::NotYet(pause) => self.ask_later(place, pause),
            }
        }
        let (to_note, to_push) = (finished.clone(), again.clone());
        let to_give_up = given_up.clone();
        let noted = self.shared.spool.run(move |rows| {
            rows.note(&to_note, now)?;
            let given_up = rows.give_up(&to_give_up, now)?;
            Ok::<_, crate::SpoolError>((given_up, rows.push_again(&to_push)?))
        });
        let (told_given_up, waiting) = noted.await?;

        let is_any_finished = !(finished.is_empty() && told_given_up.is_empty());
        let mut events = Vec::new();
        for (place, receipt) in finished {
            if let (Some(Asked { known, .. }), Receipt::Finished(outcome)) = (self.remove(place), receipt) {
                events.push(Event::Finished(known.id, outcome));
            }
        }
        for place in given_up.into_iter().chain(again) {
            self.remove(place);
        }
        events.extend(told_given_up.into_iter().map(|(id, outcome)| Event::Finished(id, outcome)));
        events.extend(waiting.iter().map(|waiting| Event::PushedAgain(waiting.id)));
        if !waiting.is_empty() {
            waiting.into_iter().for_each(|waiting| drop(self.again.send(waiting)));
            self.shared.wake.notify_one();
        }
        if is_any_finished {
            self.shared.notice_finished();
        }
        for event in events {
            self.shared.saying.say(event).await;
        }
        Ok(())
    }

    fn is_old(&self, known: &Known, now: Millis) -> bool {
        now.since(known.spooled_at) > self.shared.config.give_up_after
    }

    /// How long after its acknowledgement an unknown report is pushed again.
    fn patience(&self, known: &Known) -> Duration {
        self.shared.config.push_again_after.saturating_mul(1 << known.pushed_again.min(MOST_DOUBLINGS))
    }

    fn ask_later(&mut self, place: Place, pause: Duration) {
        if let Some(Asked { known, times, .. }) = self.remove(place) {
            self.plan(known, times.saturating_add(1), pause);
        }
    }

    fn remove(&mut self, place: Place) -> Option<Asked> {
        let asked = self.reports.remove(&place)?;
        self.due.remove(&(asked.due, place));
        Some(asked)
    }
}
