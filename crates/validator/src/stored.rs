//! What judging needs to know of what is stored: what units reported before, and which closed periods were opened again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    time::Duration,
};

use domain::{
    Catalogue, Content, DataSetCode, Key, Period, Report, Timestamp, Values,
    catalogue::DataSet,
    judge::{self, Context},
};
use store::{Earlier, EarlierThan, Reopening, Store, StoreError};

/// Within what time PostgreSQL answers; after that it is taken to be away.
const ANSWER: Duration = Duration::from_secs(10);

/// The most questions in one statement.
const TOGETHER: usize = 5_000;

/// What PostgreSQL is asked about some reports.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// For each key, how many earlier reports matter.
    earlier: HashMap<Key, usize>,
    closed: BTreeSet<(DataSetCode, Period)>,
}

impl Questions {
    /// Adds what weighing a report needs to know; mostly nothing.
    pub(crate) fn add(&mut self, catalogue: &Catalogue, data_set: &DataSet, report: &Report, received_at: Timestamp) {
        let Key { data_set: code, period, .. } = &report.key;
        if judge::is_closed(catalogue, data_set, *period, received_at) {
            self.closed.insert((code.clone(), *period));
        }
        let most = judge::history_of_interest(data_set);
        if most > 0 && matches!(report.content, Content::Values(_)) {
            self.earlier.insert(report.key.clone(), most);
        }
    }

    /// Asks, where there is anything to ask.
    pub(crate) async fn ask(self, catalogue: &Catalogue, store: &Store) -> Result<Stored, StoreError> {
        let mut stored = Stored::default();
        let questions: Vec<EarlierThan> = self
            .earlier
            .into_iter()
            .map(|(Key { data_set, period, org_unit }, most)| EarlierThan { data_set, org_unit, period, most })
            .collect();
        let mut answers = Vec::with_capacity(questions.len());
        for questions in questions.chunks(TOGETHER) {
            answers.extend(in_time(store.earlier(questions)).await?);
        }
        for (EarlierThan { data_set, org_unit, period, most: _ }, earlier) in questions.into_iter().zip(answers) {
            let key = Key { data_set, period, org_unit };
            let history = History::of(catalogue, &key, earlier);
            stored.histories.insert(key, history);
        }
        if !self.closed.is_empty() {
            let closed: Vec<_> = self.closed.into_iter().collect();
            for reopening in in_time(store.reopenings(&closed)).await? {
                let of = (reopening.data_set.clone(), reopening.period);
                stored.reopenings.entry(of).or_default().push(reopening);
            }
        }
        Ok(stored)
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER, answer).await.unwrap_or(Err(StoreError::Unanswered(ANSWER)))
}

/// What PostgreSQL said.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    histories: HashMap<Key, History>,
    reopenings: BTreeMap<(DataSetCode, Period), Vec<Reopening>>,
}

impl Stored {
    /// What is known about a report that was asked about.
    pub(crate) fn context(
        &self,
        catalogue: &Catalogue,
        data_set: &DataSet,
        report: &Report,
        received_at: Timestamp,
    ) -> Context<'_> {
        let mut context = Context::at(received_at);
        if let Some(history) = self.histories.get(&report.key) {
            context.previous = history.values.first().filter(|_| history.begins_just_before);
            context.history = &history.values;
        }
        let vintage = catalogue.vintage(data_set, report.key.period);
        let reopenings = self.reopenings.get(&(report.key.data_set.clone(), report.key.period));
        if let (Some(reopenings), Some(unit)) = (reopenings, vintage.find(report.key.org_unit.as_str())) {
            context.is_reopened =
                reopenings.iter().filter(|reopening| reopening.covers(received_at)).any(|reopening| {
                    let opened = vintage.find(reopening.org_unit.as_str());
                    vintage.with_ancestors(unit).any(|above| Some(above) == opened)
                });
        }
        context
    }
}

/// What counts for a unit in earlier periods, newest first.
#[derive(Debug)]
struct History {
    values: Vec<Values>,
    /// Whether the first is of the period just before.
    begins_just_before: bool,
}

impl History {
    /// Leaves out what was reported under the same code by another unit: codes were given anew in 2025.
    fn of(catalogue: &Catalogue, key: &Key, earlier: Vec<Earlier>) -> Self {
        let Some(data_set) = catalogue.find_data_set(key.data_set.as_str()) else {
            return Self { values: Vec::new(), begins_just_before: false };
        };
        let last_day = data_set.last_day(key.period);
        let by_the_same = |earlier: &Earlier| {
            let unit = catalogue.vintage(data_set, earlier.period).find(key.org_unit.as_str());
            let goes_on = |unit| catalogue.tree().continued(unit, data_set.last_day(earlier.period), last_day).1;
            unit.is_some_and(goes_on)
        };
        let earlier: Vec<Earlier> = earlier.into_iter().filter(by_the_same).collect();
        let begins_just_before = earlier.first().is_some_and(|first| Some(first.period) == key.period.previous());
        Self { values: earlier.into_iter().map(|earlier| earlier.values).collect(), begins_just_before }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use domain::OrgTree;
    use time::{Date, macros::date};

    use super::*;

    const REFORM: Date = date!(2025 - 07 - 01);

    /// The shipped forms and units; codes were given anew on the day of the reform.
    fn shipped() -> Catalogue {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
        let loaded = catalogue::load(&dir).unwrap();
        let tree = OrgTree::new(&loaded.org_units, vec![REFORM]).unwrap();
        let shipped = loaded.catalogue;
        let (levels, data_sets) = (shipped.levels().to_vec(), shipped.data_sets().to_vec());
        Catalogue::new(shipped.version().clone(), levels, tree, data_sets, shipped.utc_offset())
    }

    fn history(catalogue: &Catalogue, unit: &str, period: &str, earlier: &[&str]) -> (Vec<i64>, bool) {
        let key = Key {
            data_set: "identity".parse().unwrap(),
            period: period.parse().unwrap(),
            org_unit: unit.parse().unwrap(),
        };
        let earlier = (0..).zip(earlier).map(|(place, period)| Earlier {
            period: period.parse().unwrap(),
            values: Values::from(vec![Some(place)]),
        });
        let History { values, begins_just_before } = History::of(catalogue, &key, earlier.collect());
        (values.iter().filter_map(|values| values.get(0)).collect(), begins_just_before)
    }

    #[test]
    fn only_the_period_just_before_is_previous() {
        let catalogue = shipped();
        assert_eq!(history(&catalogue, "31498", "202211", &["202210", "202208"]), (vec![0, 1], true));
        assert_eq!(history(&catalogue, "31498", "202211", &["202209", "202208"]), (vec![0, 1], false));
        assert_eq!(history(&catalogue, "31498", "202301", &["202212"]), (vec![0], true));
        assert_eq!(history(&catalogue, "31498", "202211", &[]), (vec![], false));
    }

    /// Commune 31507 before July 2025 is not the commune that has the code since.
    #[test]
    fn a_unit_that_got_the_code_of_another_has_not_its_history() {
        let catalogue = shipped();
        assert!(catalogue.tree().on(REFORM).find("31507").is_some(), "the code goes on");
        let (values, is_previous) = history(&catalogue, "31507", "202508", &["202507", "202506", "202505"]);
        assert_eq!((values, is_previous), (vec![0], true));
        let (values, is_previous) = history(&catalogue, "31507", "202507", &["202506", "202505"]);
        assert_eq!((values, is_previous), (vec![], false));
    }
}
