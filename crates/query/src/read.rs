//! Reading from PostgreSQL: one snapshot a question, so that what an answer says belongs together.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    error::Error,
    future::Future,
    sync::Arc,
    time::Duration,
};

use catalogue::Versions;
use domain::{
    Catalogue, CatalogueVersion, Catalogues, Period, PeriodType, SubmissionId, UnitIx,
    catalogue::DataSet,
    fold::Overflow,
    recount::{self, RecountError},
    settle::{Position, SettleError},
    window,
};
use messaging::Partitions;
use proto::pb::query::v1 as pb;
use store::{
    Lookout, OwnReport, ReportFilter, Revised, Snapshot, Standing, Store, StoreError, StoredTotal, Submission,
    UnitTotals, Until,
};

use crate::{
    Limits, answer,
    expected::Expected,
    kept::{Kept, Told},
    pulse::{Positions, Pulse},
    question::{Asked, Question},
    refused::Refused,
    state::{Series, State},
    turns::Turns,
};

/// Units of a page that are read together: what their answers are made of is in memory at a time.
const TOGETHER: usize = 100;

/// The most of a data set's own periods that targets look back to: a year of days, 33 years of months.
const LOOKS_BACK: usize = 400;

/// States of the past, and pages of what totals are made of, that are counted at a time.
const PAST_AT_A_TIME: usize = 2;

/// Why an answer cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Store(StoreError),
    Refused(Refused),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refused> for ReadError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Overflow> for ReadError {
    fn from(_: Overflow) -> Self {
        Self::Store(StoreError::Malformed("total: it is out of range"))
    }
}

impl From<SettleError> for ReadError {
    fn from(_: SettleError) -> Self {
        Self::Store(StoreError::Malformed("report: its catalogue has no such unit, data set or cell"))
    }
}

impl From<RecountError> for ReadError {
    fn from(error: RecountError) -> Self {
        match error {
            RecountError::Settle(error) => error.into(),
            RecountError::Overflow(error) => error.into(),
        }
    }
}

/// What callers named, looked up: which period `latest` is only once for each data set and state.
#[derive(Debug)]
pub(crate) struct Questions<'r> {
    reader: &'r Reader,
    latest: Vec<(String, Option<Until>, Option<Period>)>,
}

impl<'r> Questions<'r> {
    pub(crate) fn new(reader: &'r Reader) -> Self {
        Self { reader, latest: Vec::new() }
    }

    /// Looks up what the caller named. `latest` is the newest for which something was reported, by then if a state of the past is
    /// meant; that of the newest tree where nothing was.
    pub(crate) async fn read(&mut self, asked: Asked<'_>, until: Option<Until>) -> Result<Question, Refused> {
        let catalogue = self.reader.catalogue();
        if asked.period != PeriodType::Latest.as_str() {
            return Question::read(catalogue, asked);
        }
        // Before anything is looked for.
        answerable(catalogue, asked)?;
        let known = self.latest.iter().find(|(data_set, state, _)| data_set == asked.data_set && *state == until);
        let newest = match known {
            Some((_, _, newest)) => *newest,
            None => {
                let newest = self.reader.latest(asked.data_set, until).await?;
                self.latest.push((asked.data_set.to_owned(), until, newest));
                newest
            }
        };
        match newest {
            Some(newest) => Question::of_period(catalogue, asked, newest),
            None => Question::read(catalogue, asked),
        }
    }
}

/// Refuses a question about `latest` that no tree has an answer to, and one whose caller may read none.
fn answerable(catalogue: &Catalogue, asked: Asked<'_>) -> Result<(), Refused> {
    let mut refused = None;
    for latest in window::latest(catalogue) {
        match Question::of_period(catalogue, asked, latest) {
            Ok(_) => return Ok(()),
            // A unit of an older tree alone is known, whatever the newest says.
            Err(refusal @ Refused::NotGranted(_)) => refused = Some(refusal),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Answers from what is stored.
#[derive(Debug)]
pub(crate) struct Reader {
    catalogue: Arc<Catalogue>,
    expected: Expected,
    pub(crate) store: Store,
    /// Every answer waits for a look at how far everything is counted: it does not wait for the others' connections.
    pub(crate) lookout: Lookout,
    versions: Versions,
    partitions: Partitions,
    answer_within: Duration,
    pulse: Pulse,
    kept: Kept,
    pub(crate) turns: Turns,
    pub(crate) max_revisions: usize,
}

impl Reader {
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        store: Store,
        lookout: Lookout,
        partitions: Partitions,
        limits: &Limits,
    ) -> Self {
        Self {
            expected: Expected::count(&catalogue),
            versions: Versions::new(Arc::clone(&catalogue)),
            catalogue,
            store,
            lookout,
            partitions,
            answer_within: limits.answer_within,
            pulse: Pulse::new(),
            kept: Kept::new(limits.kept_answers),
            turns: Turns::new(PAST_AT_A_TIME),
            max_revisions: limits.max_revisions,
        }
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The partition that a data set's reports are in.
    pub(crate) fn partition(&self, data_set: &DataSet) -> u16 {
        self.partitions.of(data_set.code().as_str()).number()
    }

    /// Looks how far everything is counted whenever a question needs to know. Answers wait for as long as this does not run.
    pub(crate) async fn look(&self) -> Infallible {
        self.pulse.run(|| self.positions()).await
    }

    async fn positions(&self) -> Result<Positions, Refused> {
        let positions = self.ask(async { Ok(self.lookout.fences().await?) }).await?;
        Ok(positions.into_iter().collect())
    }

    /// Looks up what the caller named, as it stands.
    pub(crate) async fn question(&self, asked: Asked<'_>) -> Result<Question, Refused> {
        Questions::new(self).read(asked, None).await
    }

    /// The newest `latest` for which something was reported; by then, if a state of the past is meant.
    async fn latest(&self, data_set: &str, until: Option<Until>) -> Result<Option<Period>, Refused> {
        let catalogue = &*self.catalogue;
        let Some(data_set) = catalogue.find_data_set(data_set) else { return Ok(None) };
        if let Some(until) = until {
            return self.latest_then(data_set, until).await;
        }
        let candidates = window::latest(catalogue).map(|period| {
            let vintage = catalogue.vintage(data_set, period);
            (period, vintage.unit(vintage.root()).code.clone())
        });
        let candidates: Vec<_> = candidates.collect();
        self.ask(async { Ok(self.store.newest_with_totals(data_set.code(), &candidates).await?) }).await
    }

    async fn latest_then(&self, data_set: &DataSet, until: Until) -> Result<Option<Period>, Refused> {
        let mut spans = Vec::new();
        let all: Vec<_> = window::latest(&self.catalogue)
            .filter_map(|latest| recount::span(data_set, latest).map(|(first, _)| (latest, first)))
            .collect();
        for (place, (_, first)) in all.iter().enumerate() {
            // Each ends where the newer one begins.
            let next = place.checked_sub(1).map(|newer| all[newer].1);
            spans.push((*first, next));
        }
        // It may read everything of the form: a question of the past, and it has its turn as one.
        let found = self.ask(async {
            let (turn, store, data_set) = (self.turns.next().await, self.store.clone(), data_set.code().clone());
            turn.read(async move { Ok(store.first_reported_by_then(&data_set, &spans, until).await?) }).await
        });
        Ok(found.await?.and_then(|place| all.get(place)).map(|(latest, _)| *latest))
    }

    /// The totals of the unit that is asked about, as they stand at some moment after the question.
    pub(crate) async fn totals(&self, question: Question) -> Result<Arc<Told>, Refused> {
        let partition = self.partition(question.data_set(&self.catalogue));
        let answer = async {
            let beat = self.pulse.next().await;
            let stands = beat.stands(partition)?;
            let read = async || {
                if let Some(answer) = self.ask(self.read_at_once(question)).await? {
                    return Ok(answer);
                }
                let mut answers = self.read_alone(&[question]).await?;
                answers.pop().ok_or(Refused::DatabaseMalformed)
            };
            self.kept.entry(question).answer_or(&beat, stands, || self.pulse.begun(), read).await
        };
        // Waiting for a look, and for somebody else's reading, have their time as reading has.
        match tokio::time::timeout(2 * self.answer_within, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Refused::DatabaseAway),
        }
    }

    /// The answer to a question, where one statement reads all that it is made of: then it is of one instant without a
    /// transaction, and there is one round trip and not four. None where more is to be read.
    async fn read_at_once(&self, question: Question) -> Result<Option<pb::Totals>, ReadError> {
        let catalogue = &*self.catalogue;
        let (data_set, unit) = (question.data_set(catalogue), question.unit(catalogue));
        if question.is_window(catalogue) {
            return Ok(None);
        }
        let nothing = State::new(&self.versions.known(), question, UnitTotals::default(), Vec::new())?;
        let looked_at = self.looked_at(&nothing);
        if looked_at.iter().any(|period| *period != question.period) {
            return Ok(None);
        }
        let wanted = [(question.period, unit.code.as_str())];
        let (stored, up_to) = self.store.totals(self.partition(data_set), data_set.code(), &wanted).await?;
        let stored = stored.into_iter().next().unwrap_or_default();
        let own = stored.own.as_ref().filter(|_| unit.is_leaf());
        if !self.versions.missing(own.map(|report| &report.catalogue)).is_empty() {
            return Ok(None);
        }
        let series =
            if looked_at.is_empty() { Series::default() } else { Series::of_one(catalogue, question, &stored) };
        let state = State::new(&self.versions.known(), question, stored, Vec::new())?;
        Ok(Some(self.answer(&state, &series, up_to)?))
    }

    /// The data set's own periods that a unit's targets look back to, the newest first.
    fn looked_at(&self, state: &State) -> Vec<Period> {
        let looked_at = state.looks_back(&self.catalogue);
        looked_at.map(|(data_set, from, to)| window::own_periods(data_set, from, to, LOOKS_BACK)).unwrap_or_default()
    }

    /// The answers to some questions about one data set, in their order, all of one instant.
    pub(crate) async fn read_alone(&self, questions: &[Question]) -> Result<Vec<pb::Totals>, Refused> {
        self.ask(async {
            let mut snapshot = self.store.snapshot().await?;
            let answers = self.read(&mut snapshot, questions).await?;
            snapshot.end().await?;
            Ok(answers)
        })
        .await
    }

    /// The totals of some units of the tree that is asked about, in their order.
    pub(crate) async fn totals_of(&self, question: Question, units: &[UnitIx]) -> Result<Vec<pb::Totals>, Refused> {
        let questions: Vec<_> = units.iter().map(|unit| Question { unit: *unit, ..question }).collect();
        self.read_alone(&questions).await
    }

    /// The answers to questions about any data sets, in their order, all of one instant.
    pub(crate) async fn read_together(&self, questions: &[Question]) -> Result<Vec<pb::Totals>, Refused> {
        self.ask(async {
            let mut snapshot = self.store.snapshot().await?;
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                answers.extend(self.read(&mut snapshot, &[*question]).await?);
            }
            snapshot.end().await?;
            Ok(answers)
        })
        .await
    }

    /// The answers to some questions about one data set, in their order.
    pub(crate) async fn read(
        &self,
        snapshot: &mut Snapshot,
        questions: &[Question],
    ) -> Result<Vec<pb::Totals>, ReadError> {
        let mut answers = Vec::with_capacity(questions.len());
        for questions in questions.chunks(TOGETHER) {
            let (states, up_to) = self.states(snapshot, questions).await?;
            let series = self.series(snapshot, &states).await?;
            for (state, series) in states.iter().zip(series) {
                answers.push(self.answer(state, &series, up_to)?);
            }
        }
        Ok(answers)
    }

    /// A state in words.
    pub(crate) fn answer(&self, state: &State, series: &Series, up_to: Position) -> Result<pb::Totals, Overflow> {
        answer::totals(&self.catalogue, &self.expected, state, series, up_to)
    }

    /// How many units are expected to report, over all levels.
    pub(crate) fn expected(&self, question: Question) -> i64 {
        self.expected.of(question).iter().copied().map(i64::from).sum()
    }

    /// Where the totals stand that are asked about, all of one data set, and the position up to which they count.
    pub(crate) async fn states(
        &self,
        snapshot: &mut Snapshot,
        questions: &[Question],
    ) -> Result<(Vec<State>, Position), ReadError> {
        let catalogue = &*self.catalogue;
        let Some(data_set) = questions.first().map(|question| question.data_set(catalogue)) else {
            return Ok((Vec::new(), Position::default()));
        };
        let wanted: Vec<_> =
            questions.iter().map(|question| (question.period, question.unit(catalogue).code.as_str())).collect();
        let (stored, up_to) = snapshot.totals(self.partition(data_set), data_set.code(), &wanted).await?;
        let is_added_up = |question: &&Question| question.is_window(catalogue) && question.unit(catalogue).is_leaf();
        let added_up: Vec<_> = questions.iter().filter(is_added_up).copied().collect();
        let reports = self.own_reports(snapshot, &added_up).await?;
        let is_leaf = |question: &Question| question.unit(catalogue).is_leaf();
        let own = questions.iter().zip(&stored).filter(|(question, _)| is_leaf(question));
        let own = own.filter_map(|(_, stored)| stored.own.as_ref()).chain(reports.values().flatten());
        let catalogues = self.catalogues(snapshot, own.map(|report| &report.catalogue)).await?;
        let states = questions.iter().zip(stored).map(|(question, stored)| {
            let code = question.unit(catalogue).code.as_str();
            let reports = reports.get(code).filter(|_| is_added_up(&question)).cloned().unwrap_or_default();
            State::new(&catalogues, *question, stored, reports)
        });
        Ok((states.collect::<Result<_, _>>()?, up_to))
    }

    /// All catalogues that are known, with at least those of some versions: read by the connection of a snapshot, because who holds
    /// one and waits for another may wait for himself.
    pub(crate) async fn catalogues<'v>(
        &self,
        snapshot: &mut Snapshot,
        versions: impl Iterator<Item = &'v CatalogueVersion>,
    ) -> Result<Catalogues, StoreError> {
        for version in self.versions.missing(versions) {
            let files = snapshot.catalogue_files(&version).await?;
            self.versions.add(&version, files).map_err(|error| {
                tracing::error!(%version, error = causes(&error), "a catalogue is not to be had");
                StoreError::Malformed("catalogue")
            })?;
        }
        Ok(self.versions.known())
    }

    /// The own reports of units for the longer periods that are asked about, and perhaps more, by unit.
    async fn own_reports(
        &self,
        snapshot: &mut Snapshot,
        questions: &[Question],
    ) -> Result<HashMap<&str, Vec<OwnReport>>, StoreError> {
        let catalogue = &*self.catalogue;
        let Some(data_set) = questions.first().map(|question| question.data_set(catalogue)) else {
            return Ok(HashMap::new());
        };
        let (kind, calendar) = (data_set.period_type(), data_set.calendar());
        let spans = || questions.iter().map(|question| question.period.span(data_set.calendar()));
        let first =
            spans().map(|span| span.first).min().and_then(|day| Period::containing_or_first(kind, calendar, day));
        let last = spans().map(|span| span.last).max().and_then(|day| Period::containing(kind, calendar, day));
        let Some(first) = first else { return Ok(HashMap::new()) };
        let codes: BTreeSet<_> = questions.iter().map(|question| question.unit(catalogue).code.as_str()).collect();
        let codes: Vec<_> = codes.into_iter().collect();
        let reports = snapshot.own_reports(data_set.code(), first, last, &codes).await?;
        Ok(codes.into_iter().zip(reports).collect())
    }

    /// The totals that the units' targets look back to.
    pub(crate) async fn series(&self, snapshot: &mut Snapshot, states: &[State]) -> Result<Vec<Series>, StoreError> {
        let catalogue = &*self.catalogue;
        let looked_at: Vec<_> = states.iter().map(|state| self.looked_at(state)).collect();
        let all: BTreeSet<Period> = looked_at.iter().flatten().copied().collect();
        let (Some(oldest), Some(newest), Some(state)) = (all.first(), all.last(), states.first()) else {
            return Ok(vec![Series::default(); states.len()]);
        };
        let data_set = state.question.data_set(catalogue).code();
        let unit = |state: &State| state.question.unit(catalogue);
        let codes = |are_leaves: bool| {
            let looks_back = states.iter().zip(&looked_at).filter(|(_, periods)| !periods.is_empty());
            let wanted = looks_back.map(|(state, _)| unit(state)).filter(|unit| unit.is_leaf() == are_leaves);
            wanted.map(|unit| unit.code.as_str()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        let (trees, leaves) = (codes(false), codes(true));
        let periods: Vec<_> = all.iter().copied().collect();
        let totals = snapshot.series(data_set, &periods, &trees).await?;
        let reports = snapshot.own_reports(data_set, *oldest, Some(*newest), &leaves).await?;
        let totals: HashMap<&str, Vec<StoredTotal>> = trees.into_iter().zip(totals).collect();
        let reports: HashMap<&str, Vec<OwnReport>> = leaves.into_iter().zip(reports).collect();
        let series = states.iter().zip(&looked_at).map(|(state, periods)| {
            let (Some(newest), Some(oldest)) = (periods.first(), periods.last()) else { return Series::default() };
            let code = unit(state).code.as_str();
            if unit(state).is_leaf() {
                let mut reports = reports.get(code).cloned().unwrap_or_default();
                reports.retain(|report| (oldest..=newest).contains(&&report.period));
                Series::of_reports(catalogue, state.question, &reports)
            } else {
                let totals = totals.get(code).into_iter().flatten();
                let totals = totals.filter(|total| (oldest..=newest).contains(&&total.period)).cloned().collect();
                Series::of_totals(catalogue, state.question, totals)
            }
        });
        Ok(series.collect())
    }

    /// What some units of the tree that is asked about report, by their place in the list: those that the filter lets
    /// through, so many at most.
    pub(crate) async fn reports(
        &self,
        question: Question,
        units: &[UnitIx],
        filter: ReportFilter,
        limit: usize,
    ) -> Result<Vec<(usize, Option<Standing>)>, Refused> {
        let vintage = question.vintage(&self.catalogue);
        let codes: Vec<&str> = units.iter().map(|unit| vintage.unit(*unit).code.as_str()).collect();
        let data_set = question.data_set(&self.catalogue).code();
        self.ask(async { Ok(self.store.list_reports(data_set, question.period, &codes, filter, limit).await?) }).await
    }

    /// A unit's report with its revisions, the newest first, so many at most, and how many more there are.
    pub(crate) async fn report(
        &self,
        question: Question,
        limit: usize,
    ) -> Result<(Vec<Revised>, i64, Position), Refused> {
        let (data_set, unit) = (question.data_set(&self.catalogue), question.unit(&self.catalogue));
        self.ask(async {
            let mut snapshot = self.store.snapshot().await?;
            let up_to = snapshot.position(self.partition(data_set)).await?;
            let (revisions, more) =
                snapshot.report(data_set.code(), question.period, unit.code.as_str(), limit).await?;
            snapshot.end().await?;
            Ok((revisions, more, up_to))
        })
        .await
    }

    /// What became of a submission.
    pub(crate) async fn submission(&self, id: SubmissionId, asked_by: &str) -> Result<Submission, Refused> {
        self.ask(async { Ok(self.store.submission(id, asked_by).await?) }).await?.ok_or(Refused::SubmissionUnknown(id))
    }

    /// Bounds the wait for an answer, and keeps what went wrong for the log: no caller sees the database's words.
    pub(crate) async fn ask<T>(&self, answer: impl Future<Output = Result<T, ReadError>>) -> Result<T, Refused> {
        match tokio::time::timeout(self.answer_within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(ReadError::Refused(refused))) => Err(refused),
            Ok(Err(ReadError::Store(error @ StoreError::Malformed(_)))) => {
                tracing::error!(error = causes(&error), "what PostgreSQL holds cannot be read");
                Err(Refused::DatabaseMalformed)
            }
            Ok(Err(ReadError::Store(error))) => {
                tracing::warn!(error = causes(&error), "PostgreSQL did not answer a question");
                Err(Refused::DatabaseAway)
            }
            Err(_elapsed) => {
                tracing::warn!(answer_within = ?self.answer_within, "PostgreSQL took too long over a question");
                Err(Refused::DatabaseAway)
            }
        }
    }
}

/// An error and what caused it, outermost first.
fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
