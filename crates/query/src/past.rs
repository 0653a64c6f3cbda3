//! Totals as they stood, and what totals are made of: both are counted anew from the revisions of reports.

use domain::{
    Catalogues, OrgUnitCode, Period, Timestamp,
    catalogue::DataSet,
    fold::Tally,
    recount,
    settle::{Accepted, Position},
    window,
};
use proto::pb::query::v1 as pb;
use store::{OwnReport, Snapshot, UnitTotals, Until};

use crate::{
    page::Sealed,
    question::Question,
    read::{ReadError, Reader},
    refused::Refused,
    state::{Series, State},
};

/// The state that the caller named; none for the present.
pub(crate) fn until(as_of: Option<&pb::AsOf>) -> Option<Until> {
    Some(match as_of?.state? {
        pb::as_of::State::LogPosition(position) => Until::Position(Position(position)),
        pb::as_of::State::Instant(instant) => {
            let micros = instant.seconds.saturating_mul(1_000_000).saturating_add(i64::from(instant.nanos) / 1_000);
            Until::Instant { at: Timestamp::from_unix_micros(micros), up_to: Position(u64::MAX) }
        }
    })
}

/// Revisions that were there, with what is needed to count them.
struct Past {
    catalogues: Catalogues,
    revisions: Vec<Accepted>,
}

impl Past {
    /// The revisions that counted, each judged by its own catalogue.
    fn stood(self) -> Result<(Catalogues, Vec<Accepted>), ReadError> {
        let Self { catalogues, mut revisions } = self;
        for revision in &mut revisions {
            // What is stored says whether any revision up to it was on time, and later ones may have added to that.
            revision.on_time = recount::is_on_time(&catalogues, revision)?;
        }
        Ok((catalogues, recount::standing(revisions)))
    }

    /// The state of the totals that are asked about.
    fn state(self, question: Question) -> Result<State, ReadError> {
        let (catalogues, standing) = self.stood()?;
        let catalogue = catalogues.current();
        let unit = question.unit(catalogue);
        let (mut stored, mut reports) = (UnitTotals::default(), Vec::new());
        if unit.is_leaf() {
            let own = standing.iter().filter(|accepted| accepted.report.key.org_unit == unit.code);
            reports = own.map(own_report).collect();
            if !question.is_window(catalogue) {
                stored.own = reports.pop();
            }
        } else {
            stored.levels = recount::totals(&catalogues, question.of(catalogue), &standing)?;
            stored.changed_at = standing.iter().map(|accepted| accepted.provenance.received_at).max();
        }
        let mut state = State::new(&catalogues, question, stored, reports)?;
        (state.version, state.is_past) = (0, true);
        Ok(state)
    }

    /// What the reports of a page give to a cell; those of a level, if one is meant.
    fn given(
        self,
        question: Question,
        cell: usize,
        level: Option<&str>,
        page: &Page,
        size: usize,
    ) -> Result<Given, ReadError> {
        let (catalogues, standing) = self.stood()?;
        let mut given = recount::contributions(&catalogues, question.of(catalogues.current()), cell, &standing)?;
        given.retain(|given| level.is_none_or(|level| given.level.as_str() == level));
        given.retain(|given| page.is_after(&given.accepted.report.key));
        let is_more = given.len() > size;
        given.truncate(size);
        let mut page_sum = 0_i64;
        for given in &given {
            page_sum = page_sum.checked_add(given.value).ok_or(domain::fold::Overflow)?;
        }
        let last = given.last().map(|given| &given.accepted.report.key);
        Ok(Given {
            page_sum,
            last: last.map(|key| (key.org_unit.to_string(), key.period)),
            is_more,
            contributions: given.iter().map(|given| contribution(&catalogues, given)).collect(),
        })
    }
}

/// What a page shows.
struct Given {
    contributions: Vec<pb::Contribution>,
    page_sum: i64,
    /// The unit and period that are shown last.
    last: Option<(String, Period)>,
    /// Whether more is given by the reports that were looked at.
    is_more: bool,
}

/// What was found from where a page begins.
struct Found {
    given: Given,
    /// The last unit that was looked at, where there may be more.
    beyond: Option<String>,
}

impl Found {
    /// Whether the page has room for what comes after it.
    fn is_short(&self) -> bool {
        !self.given.is_more && self.beyond.is_some()
    }

    /// The unit that the next page looks at first, and of its periods the one that was shown last.
    fn next(&mut self) -> Option<(String, Option<Period>)> {
        match self.given.last.take().filter(|_| self.given.is_more) {
            Some((unit, period)) => Some((unit, Some(period))),
            None => self.beyond.take().map(|unit| (unit, None)),
        }
    }
}

/// The units whose reports may be in a total: all, or some by their codes.
type Codes = Option<Vec<OrgUnitCode>>;

impl Reader {
    /// The totals as they stood.
    pub(crate) async fn totals_then(&self, question: Question, until: Until) -> Result<pb::Totals, Refused> {
        self.ask(async {
            let (state, up_to) = self.state_then(question, until).await?;
            Ok(self.answer(&state, &Series::default(), up_to)?)
        })
        .await
    }

    /// Where the totals stood that are asked about, and the position up to which they counted.
    async fn state_then(&self, question: Question, until: Until) -> Result<(State, Position), ReadError> {
        let turn = self.turns.next().await;
        let data_set = question.data_set(self.catalogue());
        let span = span(data_set, question.period);
        let mut snapshot = self.store.snapshot().await?;
        let stands = self.refuse_beyond(&mut snapshot, data_set, until).await?;
        let codes = self.codes(&mut snapshot, question).await?;
        let codes = codes.as_deref().map(as_texts);
        let revisions = snapshot.revisions(data_set.code(), span, codes.as_deref(), until, self.max_revisions).await?;
        if revisions.len() >= self.max_revisions {
            return Err(too_many(question.period, self.max_revisions).into());
        }
        let up_to = match until {
            Until::Position(position) => position,
            Until::Instant { .. } => {
                let last = revisions.iter().map(|revision| revision.provenance.position).max();
                last.unwrap_or_default().min(stands)
            }
        };
        let past = self.with_catalogues(&mut snapshot, revisions).await?;
        snapshot.end().await?;
        Ok((turn.count(move || past.state(question)).await?, up_to))
    }

    async fn with_catalogues(&self, snapshot: &mut Snapshot, revisions: Vec<Accepted>) -> Result<Past, ReadError> {
        let versions = revisions.iter().map(|revision| &revision.provenance.catalogue);
        Ok(Past { catalogues: self.catalogues(snapshot, versions).await?, revisions })
    }

    /// Refuses a position that is not reached; gives the one that is.
    async fn refuse_beyond(
        &self,
        snapshot: &mut Snapshot,
        data_set: &DataSet,
        until: Until,
    ) -> Result<Position, ReadError> {
        let stands = snapshot.position(self.partition(data_set)).await?;
        match until {
            Until::Position(asked) if asked > stands => {
                Err(Refused::BeyondLog { asked: asked.0, stands: stands.0 }.into())
            }
            _ => Ok(stands),
        }
    }

    /// The units whose reports may be in the totals that are asked about, by any catalogue that reports were judged by.
    async fn codes(&self, snapshot: &mut Snapshot, question: Question) -> Result<Codes, ReadError> {
        let catalogue = self.catalogue();
        let of = question.of(catalogue);
        let Some(mut codes) = recount::may_count(catalogue, of) else { return Ok(None) };
        let data_set = question.data_set(catalogue);
        let versions = snapshot.judged_by(data_set.code(), span(data_set, question.period)).await?;
        if versions.iter().any(|version| version != catalogue.version()) {
            let catalogues = self.catalogues(snapshot, versions.iter()).await?;
            for other in versions.iter().filter_map(|version| catalogues.find(version)) {
                match recount::may_count(other, of) {
                    None => return Ok(None),
                    Some(more) => codes.extend(more),
                }
            }
            codes.sort_unstable();
            codes.dedup();
        }
        Ok(Some(codes))
    }

    /// A page of what a cell of a unit's totals is made of.
    pub(crate) async fn contributions(
        &self,
        asked: Contributions<'_>,
        token: &str,
        size: usize,
    ) -> Result<pb::ListContributionsResponse, Refused> {
        let Contributions { question, cell, list, .. } = asked;
        self.ask(async {
            let page = match Page::read(list, token)? {
                Some(page) => page,
                None => self.first_page(asked).await?,
            };
            let catalogue = self.catalogue();
            let data_set = question.data_set(catalogue);
            let most = looked_at(data_set, question.period);
            // Most units give a value, mostly: no more are looked at than that takes. Else once more, at as many as may be.
            let few = few(size).min(most);
            let mut found = self.given_from(asked, &page, few, size).await?;
            if found.is_short() && few < most {
                found = self.given_from(asked, &page, most, size).await?;
            }
            let next = found.next();
            let Given { contributions, page_sum, .. } = found.given;
            let next_page_token =
                next.map(|(from, after)| Page { from, after: Some(after), ..page.clone() }.token(list));
            Ok(pb::ListContributionsResponse {
                contributions,
                next_page_token: next_page_token.unwrap_or_default(),
                sum: page.sum,
                decimals: u32::from(data_set.cells()[cell].element.value_type.decimals()),
                contributing: page.contributing,
                page_sum,
                log_position: page.up_to.0,
                period: question.period.to_string(),
            })
        })
        .await
    }

    /// What the reports of so many units give, from where a page begins.
    async fn given_from(
        &self,
        asked: Contributions<'_>,
        page: &Page,
        most: usize,
        size: usize,
    ) -> Result<Found, ReadError> {
        let Contributions { question, cell, level, .. } = asked;
        let data_set = question.data_set(self.catalogue());
        let span = span(data_set, question.period);
        let turn = self.turns.next().await;
        let mut snapshot = self.store.snapshot().await?;
        let codes = self.codes(&mut snapshot, question).await?;
        let codes = codes.as_deref().map(as_texts);
        let mut units = snapshot.reported_by(data_set.code(), span, codes.as_deref(), &page.from, most).await?;
        let wanted: Vec<&str> = units.iter().map(String::as_str).collect();
        let revisions = snapshot.revisions(data_set.code(), span, Some(&wanted), page.until, MOST_OF_A_PAGE).await?;
        if revisions.len() >= MOST_OF_A_PAGE {
            return Err(too_many(question.period, MOST_OF_A_PAGE).into());
        }
        let past = self.with_catalogues(&mut snapshot, revisions).await?;
        snapshot.end().await?;
        let (page, level) = (page.clone(), level.map(ToOwned::to_owned));
        let given = turn.count(move || past.given(question, cell, level.as_deref(), &page, size)).await?;
        let beyond = if units.len() == most { units.pop() } else { None };
        Ok(Found { given, beyond })
    }

    /// The total that all pages add up to, and where they begin.
    async fn first_page(&self, asked: Contributions<'_>) -> Result<Page, ReadError> {
        let Contributions { question, cell, level, until, .. } = asked;
        let (state, until, up_to) = match until {
            Some(until) => {
                let (state, up_to) = self.state_then(question, until).await?;
                // What had come in by an instant and is counted only later is in none of the pages.
                let until = match until {
                    Until::Position(_) => until,
                    Until::Instant { at, .. } => Until::Instant { at, up_to },
                };
                (Some(state), until, up_to)
            }
            None => {
                let mut snapshot = self.store.snapshot().await?;
                let (mut states, up_to) = self.states(&mut snapshot, &[question]).await?;
                snapshot.end().await?;
                (states.pop(), Until::Position(up_to), up_to)
            }
        };
        let mut all = Tally::zero(0);
        for (_, tally) in state
            .iter()
            .flat_map(|state| &state.tallies)
            .filter(|(of, _)| level.is_none_or(|level| of.as_str() == level))
        {
            all.add(tally)?;
        }
        Ok(Page {
            until,
            up_to,
            sum: all.given(cell),
            contributing: all.contributions(cell),
            from: String::new(),
            after: None,
        })
    }
}

/// The most revisions that one page looks at: several of each report for all periods of its units.
const MOST_OF_A_PAGE: usize = 300_000;

/// The most units that one page looks at, whether they gave a value or not.
const LOOKED_AT: usize = 1_000;

/// How many units are looked at first: a page of those that give a value, if nine of ten do.
fn few(size: usize) -> usize {
    size + size / 8 + 8
}

/// How many units' reports for how many periods one page looks at.
const LOOKED_AT_TOGETHER: usize = 50_000;

/// The units that one page looks at: fewer where each may have many reports in the period, and two at least. The next page looks
/// at the last of them again.
fn looked_at(data_set: &DataSet, period: Period) -> usize {
    let days = period.span(data_set.calendar());
    let from = window::is_window(data_set, period).then_some(days.first);
    let periods = match from {
        None => 1,
        Some(first) => window::own_periods(data_set, Some(first), days.last, LOOKED_AT_TOGETHER).len(),
    };
    (LOOKED_AT_TOGETHER / periods.max(1)).clamp(2, LOOKED_AT)
}

fn too_many(period: Period, most: usize) -> Refused {
    Refused::invalid(
        "AS_OF_TOO_LARGE",
        "period",
        format!(
            "Kỳ {period} có từ {most} báo cáo trở lên của các đơn vị cấp dưới, tính cả các lần sửa; hãy hỏi kỳ ngắn hơn hoặc đơn vị \
             nhỏ hơn."
        ),
        format!(
            "{period} has {most} revisions of reports or more below the unit; ask for a shorter period or a smaller unit"
        ),
    )
}

/// A cell of a unit's totals that is to be explained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contributions<'a> {
    pub(crate) question: Question,
    /// The cell's place.
    pub(crate) cell: usize,
    /// Reports of this level alone.
    pub(crate) level: Option<&'a str>,
    /// As it stood then.
    pub(crate) until: Option<Until>,
    /// All that was asked for, field by field.
    pub(crate) list: &'a [&'a str],
}

/// Where a page begins, and what all pages together are.
#[derive(Clone, Debug, PartialEq)]
struct Page {
    until: Until,
    up_to: Position,
    sum: Option<i64>,
    contributing: i64,
    /// The unit that is looked at first.
    from: String,
    /// Of that unit the period that was shown last, or none for all of its periods; not set on the first page.
    after: Option<Option<Period>>,
}

impl Page {
    fn is_after(&self, key: &domain::Key) -> bool {
        match self.after {
            Some(shown) if key.org_unit.as_str() == self.from => shown.is_some_and(|shown| key.period > shown),
            _ => true,
        }
    }

    fn token(&self, list: &[&str]) -> String {
        let Self { until, up_to, sum, contributing, from, after } = self;
        let until = match until {
            Until::Position(position) => format!("p{}", position.0),
            Until::Instant { at, .. } => format!("t{}", at.unix_micros()),
        };
        let sum = sum.map(|sum| sum.to_string()).unwrap_or_default();
        let after = after.flatten().map(|period| period.to_string()).unwrap_or_default();
        Sealed::seal(list, &format!("{until}.{}.{sum}.{contributing}.{from}.{after}", up_to.0))
    }

    /// None for the first page.
    fn read(list: &[&str], token: &str) -> Result<Option<Self>, Refused> {
        if token.is_empty() {
            return Ok(None);
        }
        let text = Sealed::open(list, token)?;
        let fields: Vec<&str> = text.split('.').collect();
        let read = || {
            let [until, up_to, sum, contributing, from, after] = fields[..] else { return None };
            let up_to = Position(up_to.parse().ok()?);
            let until = match until.split_at_checked(1)? {
                ("p", position) => Until::Position(Position(position.parse().ok()?)),
                ("t", micros) => Until::Instant { at: Timestamp::from_unix_micros(micros.parse().ok()?), up_to },
                _ => return None,
            };
            let sum = if sum.is_empty() { None } else { Some(sum.parse().ok()?) };
            let after = if after.is_empty() { None } else { Some(after.parse().ok()?) };
            Some(Self {
                until,
                up_to,
                sum,
                contributing: contributing.parse().ok()?,
                from: OrgUnitCode::new(from).ok()?.to_string(),
                after: Some(after),
            })
        };
        read().map(Some).ok_or(Refused::PageToken)
    }
}

fn contribution(catalogues: &Catalogues, given: &recount::Contribution<'_>) -> pb::Contribution {
    let Accepted { provenance, report, .. } = given.accepted;
    let catalogue = catalogues.find(&provenance.catalogue).unwrap_or(catalogues.current());
    let unit = catalogue.find_data_set(report.key.data_set.as_str()).and_then(|data_set| {
        let vintage = catalogue.vintage(data_set, report.key.period);
        Some(vintage.unit(vintage.find(report.key.org_unit.as_str())?))
    });
    pb::Contribution {
        org_unit: Some(pb::OrgUnit {
            code: report.key.org_unit.to_string(),
            name: unit.map(|unit| unit.name.clone()).unwrap_or_default(),
            level: given.level.to_string(),
        }),
        period: report.key.period.to_string(),
        revision: report.revision.get(),
        submission_id: report.submission_id.to_string(),
        principal: provenance.principal.to_string(),
        received_at: Some(proto::timestamp(provenance.received_at)),
        log_sequence: provenance.origin.sequence,
        log_index: provenance.origin.index,
        value: given.value,
    }
}

/// The data set's own periods that a period is made of. One that lies before all of them is made of itself.
fn span(data_set: &DataSet, period: Period) -> (Period, Option<Period>) {
    recount::span(data_set, period).unwrap_or((period, Some(period)))
}

fn as_texts(codes: &[OrgUnitCode]) -> Vec<&str> {
    codes.iter().map(OrgUnitCode::as_str).collect()
}

fn own_report(accepted: &Accepted) -> OwnReport {
    OwnReport {
        period: accepted.report.key.period,
        values: accepted.report.content.values().cloned(),
        on_time: accepted.on_time,
        warned: !accepted.warnings.is_empty() || accepted.warnings.omitted() > 0,
        version: 0,
        received_at: accepted.provenance.received_at,
        catalogue: accepted.provenance.catalogue.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{PeriodType, catalogue::DataSetParts};

    #[test]
    fn a_token_gives_back_the_page_for_the_same_list_alone() {
        let list = &["VN", "identity", "202211"];
        let pages = [
            (Until::Position(Position(1_764_000_000_000_001)), Some(-5), Some("202211".parse().unwrap())),
            (Until::Instant { at: Timestamp::from_unix_micros(-7), up_to: Position(9) }, None, None),
        ];
        for (until, sum, after) in pages {
            let (from, after) = ("31498".to_owned(), Some(after));
            let page = Page { until, up_to: Position(9), sum, contributing: 3, from, after };
            let token = page.token(list);
            assert_eq!(Page::read(list, &token), Ok(Some(page)));
            assert_eq!(Page::read(&["VN", "identity", "202212"], &token), Err(Refused::PageToken));
            // A sum that somebody changed is not taken for ours.
            assert_eq!(Page::read(list, &token.replace(".3.", ".4.")), Err(Refused::PageToken));
        }
        assert_eq!(Page::read(list, ""), Ok(None));
        assert_eq!(Page::read(list, "p9"), Err(Refused::PageToken));
    }

    #[test]
    fn a_page_looks_at_fewer_units_where_each_has_many_reports() {
        let catalogue = crate::tiny::catalogue();
        let monthly = catalogue.find_data_set("identity").unwrap();
        let most = |period: &str| looked_at(monthly, period.parse().unwrap());
        assert_eq!((most("202211"), most("2022"), most("latest20250701")), (1_000, 1_000, 50_000 / 894));
        // A page of one unit would end where it began.
        let daily = DataSetParts {
            period_type: PeriodType::Day,
            longer_periods: domain::window::kinds(PeriodType::Day).collect(),
            ..monthly.parts().clone()
        };
        let daily = DataSet::new(daily).unwrap();
        let most = |period: &str| looked_at(&daily, period.parse().unwrap());
        assert_eq!((most("20221107"), most("2022"), most("latest")), (1_000, 50_000 / 365, 2));
    }

    #[test]
    fn an_instant_is_read_to_the_microsecond_and_any_is_one() {
        let read = |seconds, nanos| {
            let instant = proto::timestamp(Timestamp::from_unix_micros(0));
            let instant = pb::as_of::State::Instant({
                let mut instant = instant;
                (instant.seconds, instant.nanos) = (seconds, nanos);
                instant
            });
            until(Some(&pb::AsOf { state: Some(instant) }))
        };
        let instant =
            |micros| Some(Until::Instant { at: Timestamp::from_unix_micros(micros), up_to: Position(u64::MAX) });
        assert_eq!(read(1, 5_999), instant(1_000_005));
        assert_eq!(read(i64::MAX, 0), instant(i64::MAX));
        assert_eq!(until(None), None);
        assert_eq!(until(Some(&pb::AsOf { state: None })), None);
    }
}
