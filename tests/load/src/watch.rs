//! Watching the totals from outside: the events of TOTALS, as a downstream system gets them.
//!
//! Freshness is taken where it can be told exactly which report an event has: an event lists the first reports that moved its
//! total, so small districts are followed, in which hardly ever more move at a time. Where they do, those that are listed came
//! first and waited longest; nothing looks better for it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{LevelCode, OrgUnitCode};
use messaging::{
    Connection,
    progress::ProgressFeed,
    totals::{Cause, TotalsFeed},
};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use crate::{latency::Latency, mix::Tree};

/// Districts that are followed, of this many communes.
const DISTRICTS: usize = 12;
const COMMUNES: std::ops::RangeInclusive<usize> = 5..=9;

/// What is read of an event.
#[derive(serde::Deserialize)]
struct Event {
    data: Data,
}

#[derive(serde::Deserialize)]
struct Data {
    version: i64,
    previous_version: i64,
    cause: Cause,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// When the reports from the followed districts arrived at their sender.
    due: FxHashMap<Uuid, Instant>,
    freshness: Option<Latency>,
    /// How many reports each transaction counted, as aggregators tell.
    batches: Vec<u64>,
    /// Events that another took the place of before they were delivered.
    missed: i64,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// Reports that are counted: as aggregators tell, or as the events of the nation's totals do where nobody else may be heard.
    counted: AtomicU64,
    /// Whether aggregators are heard.
    hears: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was seen in the end.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) freshness: Latency,
    /// How many reports the transactions had, from few to many; empty where nobody tells.
    pub(crate) batches: Vec<u64>,
    /// Events of the nation that were replaced before they were delivered.
    pub(crate) missed: i64,
    /// Reports from the followed districts that no event listed.
    pub(crate) unlisted: usize,
}

/// Follows the nation and some small districts.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The communes below the followed districts.
    communes: FxHashSet<usize>,
    shared: Arc<Shared>,
    // Aborted when dropped.
    _feeds: JoinSet<()>,
}

impl Watch {
    /// Follows events from now on; nobody's without a connection.
    pub(crate) async fn start(connection: Option<&Connection>, tree: &Tree) -> anyhow::Result<Self> {
        let followed = followed(tree);
        let is_followed = |(_, commune): &(usize, &crate::mix::Commune)| followed.contains(&commune.above[0]);
        let communes = tree.communes.iter().enumerate().filter(is_followed).map(|(place, _)| place).collect();
        let seen = Mutex::new(Seen { freshness: Some(Latency::new()?), ..Seen::default() });
        let shared = Arc::new(Shared { seen, ..Shared::default() });
        let mut feeds = JoinSet::new();
        if let Some(connection) = connection {
            let nation = tree.above.iter().position(|unit| unit.communes == tree.communes.len());
            let units = followed.iter().copied().chain(nation).map(|place| &tree.above[place]);
            let units: Vec<(LevelCode, OrgUnitCode)> =
                units.map(|unit| Ok((unit.level.parse()?, unit.code.parse()?))).collect::<anyhow::Result<_>>()?;
            let nation = nation.map(|place| tree.above[place].level.clone());
            // One subscription for all: for each of its own the server would go through the whole stream.
            let units = units.iter().map(|(level, code)| (level, code));
            let feed = TotalsFeed::of_units_from_now(connection.clone(), units).await?;
            feeds.spawn(follow(feed, nation, Arc::clone(&shared)));
            // Not everybody may hear it.
            if let Ok(told) = connection.progress().await {
                shared.hears.store(true, Ordering::Relaxed);
                feeds.spawn(hear(told, Arc::clone(&shared)));
            }
        }
        Ok(Self { communes, shared, _feeds: feeds })
    }

    /// Notes when a report arrived at its sender, before it is sent, if its district is followed.
    pub(crate) fn expect(&self, commune: usize, id: Uuid, due: Instant) {
        if self.communes.contains(&commune) {
            self.shared.seen().due.entry(id).or_insert(due);
        }
    }

    /// How many reports were counted since the beginning, as far as anybody told.
    pub(crate) fn counted(&self) -> u64 {
        self.shared.counted.load(Ordering::Relaxed)
    }

    /// At least so many: the database says so.
    pub(crate) fn at_least(&self, counted: u64) {
        self.shared.counted.fetch_max(counted, Ordering::Relaxed);
    }

    /// What was seen, after the last events had a moment to arrive.
    pub(crate) async fn finish(self) -> anyhow::Result<Watched> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut seen = std::mem::take(&mut *self.shared.seen());
        seen.batches.sort_unstable();
        let freshness = seen.freshness.map_or_else(Latency::new, Ok)?;
        Ok(Watched { freshness, batches: seen.batches, missed: seen.missed, unlisted: seen.due.len() })
    }
}

/// Small districts from all over the country, by their place in [`Tree::above`].
fn followed(tree: &Tree) -> FxHashSet<usize> {
    let is_directly_above = |place| tree.communes.iter().any(|commune| commune.above[0] == place);
    let small: Vec<usize> = (0..tree.above.len())
        .filter(|place| COMMUNES.contains(&tree.above[*place].communes) && is_directly_above(*place))
        .collect();
    let step = small.len().div_ceil(DISTRICTS).max(1);
    small.into_iter().step_by(step).collect()
}

/// `nation` is the level of the nation.
async fn follow(mut feed: TotalsFeed, nation: Option<String>, shared: Arc<Shared>) {
    let mut versions: FxHashMap<String, i64> = FxHashMap::default();
    loop {
        let (subject, payload) = feed.next().await;
        let now = Instant::now();
        if !is_month(&subject) {
            continue; // a longer period: the same reports once more
        }
        let Ok(Event { data: Data { version, previous_version, cause } }) = serde_json::from_slice(&payload) else {
            continue;
        };
        let mut seen = shared.seen();
        if level(&subject) == nation.as_deref() {
            if !shared.hears.load(Ordering::Relaxed) {
                shared.counted.fetch_add(u64::try_from(cause.reports).unwrap_or(0), Ordering::Relaxed);
            }
            let last = versions.insert(subject, version).unwrap_or(previous_version);
            seen.missed += previous_version - last;
            continue;
        }
        for report in &cause.listed {
            let Ok(id) = report.submission_id.parse::<Uuid>() else { continue };
            if let (Some(due), Some(freshness)) = (seen.due.remove(&id), &mut seen.freshness) {
                freshness.record(now.saturating_duration_since(due));
            }
        }
    }
}

async fn hear(mut told: ProgressFeed, shared: Arc<Shared>) {
    while let Some(progress) = told.next().await {
        shared.counted.fetch_add(progress.counted, Ordering::Relaxed);
        shared.seen().batches.push(progress.counted);
    }
}

/// The level that a subject of TOTALS is about.
fn level(subject: &str) -> Option<&str> {
    subject.split('.').nth(2)
}

/// Whether a subject of TOTALS is about a month: `totals.v1.district.941.load_records.202211`.
fn is_month(subject: &str) -> bool {
    let period = subject.rsplit('.').next().unwrap_or_default();
    period.len() == 6 && period.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_told_from_longer_periods() {
        assert!(is_month("totals.v1.national.VN.load_records.202211"));
        for longer in ["2022Q4", "2022S2", "2022", "latest", "latest20250701"] {
            assert!(!is_month(&format!("totals.v1.national.VN.load_records.{longer}")), "{longer}");
        }
    }

    #[test]
    fn the_nation_is_told_from_districts() {
        assert_eq!(level("totals.v1.national.VN.load_records.202211"), Some("national"));
        assert_eq!(level("totals.v1.district.941.load_records.202211"), Some("district"));
    }

    #[test]
    fn an_event_is_read_as_far_as_needed() {
        let event = r#"{"specversion":"1.0","data":{"version":7,"previous_version":6,"org_unit":"941","cause":{"reports":4,
            "listed":[{"org_unit":"1","period":"202211","revision":"2","submission_id":"x","log_sequence":5,"log_index":1}]}}}"#;
        let Event { data } = serde_json::from_str(event).unwrap();
        assert_eq!((data.version, data.previous_version, data.cause.reports), (7, 6, 4));
        assert_eq!(data.cause.listed[0].submission_id, "x");
    }
}
