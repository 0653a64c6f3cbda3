//! Reading from PostgreSQL: one snapshot a question, so that what an answer says belongs together.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use domain::{Catalogue, Period, PeriodType, SubmissionId, UnitIx, fold::Overflow, window};
use messaging::Partitions;
use proto::pb::query::v1 as pb;
use store::{ReportFilter, Snapshot, Standing, Store, StoreError, Submission};

use crate::{
    answer,
    expected::Expected,
    question::{Asked, Question},
    refused::Refused,
    state::{Series, State},
};

/// Units of a page that are read together: what their answers are made of is in memory at a time.
const TOGETHER: usize = 100;

/// The most of a data set's own periods that targets look back to: a year of days, 33 years of months.
const LOOKS_BACK: usize = 400;

/// Answers from what is stored.
#[derive(Debug)]
pub(crate) struct Reader {
    catalogue: Arc<Catalogue>,
    expected: Expected,
    store: Store,
    partitions: Partitions,
    answer_within: Duration,
}

impl Reader {
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        store: Store,
        partitions: Partitions,
        answer_within: Duration,
    ) -> Self {
        let expected = Expected::count(&catalogue);
        Self { catalogue, expected, store, partitions, answer_within }
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Looks up what the caller named. `latest` is the newest for which something was reported; that of the newest tree
    /// where nothing was.
    pub(crate) async fn question(&self, asked: Asked<'_>) -> Result<Question, Refused> {
        let catalogue = &*self.catalogue;
        let Some(data_set) =
            catalogue.find_data_set(asked.data_set).filter(|_| asked.period == PeriodType::Latest.as_str())
        else {
            return Question::read(catalogue, asked);
        };
        let candidates = window::latest(catalogue).map(|period| {
            let vintage = catalogue.vintage(data_set, period);
            (period, vintage.unit(vintage.root()).code.clone())
        });
        let candidates: Vec<_> = candidates.collect();
        match self.ask(self.store.newest_with_totals(data_set.code(), &candidates)).await? {
            Some(newest) => Question::of_period(catalogue, asked, newest),
            None => Question::read(catalogue, asked),
        }
    }

    /// The totals of the unit that is asked about.
    pub(crate) async fn totals(&self, question: Question) -> Result<pb::Totals, Refused> {
        self.totals_of(question, &[question.unit]).await?.pop().ok_or(Refused::DatabaseMalformed)
    }

    /// The totals of some units of the tree that is asked about, in their order.
    pub(crate) async fn totals_of(&self, question: Question, units: &[UnitIx]) -> Result<Vec<pb::Totals>, Refused> {
        self.ask(async {
            let mut snapshot = self.store.snapshot().await?;
            let mut answers = Vec::with_capacity(units.len());
            for units in units.chunks(TOGETHER) {
                self.read_totals(&mut snapshot, question, units, &mut answers).await?;
            }
            snapshot.end().await?;
            Ok(answers)
        })
        .await
    }

    async fn read_totals(
        &self,
        snapshot: &mut Snapshot,
        question: Question,
        units: &[UnitIx],
        answers: &mut Vec<pb::Totals>,
    ) -> Result<(), StoreError> {
        let catalogue = &*self.catalogue;
        let (data_set, vintage) = (question.data_set(catalogue), question.vintage(catalogue));
        let partition = self.partitions.of(data_set.code().as_str()).number();
        let codes: Vec<&str> = units.iter().map(|unit| vintage.unit(*unit).code.as_str()).collect();
        let (stored, up_to) = snapshot.totals(partition, data_set.code(), question.period, &codes).await?;

        let span = question.period.span(data_set.calendar());
        let own = |day| Period::containing(data_set.period_type(), data_set.calendar(), day);
        let reports = match own(span.first).filter(|_| question.is_window(catalogue)) {
            Some(first) => {
                let leaves = only(&codes, |place| vintage.unit(units[place]).is_leaf());
                snapshot.own_reports(data_set.code(), first, own(span.last), &leaves).await?
            }
            None => vec![Vec::new(); units.len()],
        };
        let states: Vec<State> = (units.iter().zip(stored).zip(reports))
            .map(|((unit, stored), reports)| {
                State::new(catalogue, Question { unit: *unit, ..question }, stored, reports)
            })
            .collect();
        let series = self.series(snapshot, &states, &codes).await?;
        for (state, series) in states.iter().zip(series) {
            let answer = answer::totals(catalogue, &self.expected, state, &series, up_to);
            answers.push(answer.map_err(|Overflow| StoreError::Malformed("total: it is out of range"))?);
        }
        Ok(())
    }

    /// The totals that the units' targets look back to.
    async fn series(
        &self,
        snapshot: &mut Snapshot,
        states: &[State],
        codes: &[&str],
    ) -> Result<Vec<Series>, StoreError> {
        let catalogue = &*self.catalogue;
        let Some((data_set, from, to)) = states.iter().filter_map(|state| state.looks_back(catalogue)).reduce(
            |(data_set, from, to), (_, other_from, other_to)| {
                // None is before everything.
                (data_set, from.min(other_from), to.max(other_to))
            },
        ) else {
            return Ok(vec![Series::default(); states.len()]);
        };
        let periods = window::own_periods(data_set, from, to, LOOKS_BACK);
        let (Some(newest), Some(oldest)) = (periods.first(), periods.last()) else {
            return Ok(vec![Series::default(); states.len()]);
        };
        let is_leaf = |place: usize| states[place].question.unit(catalogue).is_leaf();
        let trees = snapshot.series(data_set.code(), &periods, &only(codes, |place| !is_leaf(place))).await?;
        let leaves = snapshot.own_reports(data_set.code(), *oldest, Some(*newest), &only(codes, is_leaf)).await?;
        let both = states.iter().zip(trees).zip(leaves).map(|((state, totals), reports)| {
            let question = state.question;
            if question.unit(catalogue).is_leaf() {
                Series::of_reports(catalogue, question, &reports)
            } else {
                Series::of_totals(catalogue, question, totals)
            }
        });
        Ok(both.collect())
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
        self.ask(self.store.list_reports(data_set, question.period, &codes, filter, limit)).await
    }

    /// What became of a submission.
    pub(crate) async fn submission(&self, id: SubmissionId) -> Result<Submission, Refused> {
        self.ask(self.store.submission(id)).await?.ok_or(Refused::SubmissionUnknown(id))
    }

    /// Bounds the wait for an answer, and keeps what went wrong for the log: no caller sees the database's words.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, Refused> {
        match tokio::time::timeout(self.answer_within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error @ StoreError::Malformed(_))) => {
                tracing::error!(error = causes(&error), "what PostgreSQL holds cannot be read");
                Err(Refused::DatabaseMalformed)
            }
            Ok(Err(error)) => {
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

/// The list with nothing in the places that do not count: no unit has the empty code.
fn only<'a>(codes: &[&'a str], counts: impl Fn(usize) -> bool) -> Vec<&'a str> {
    codes.iter().enumerate().map(|(place, code)| if counts(place) { *code } else { "" }).collect()
}

/// An error and what caused it, outermost first.
fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
