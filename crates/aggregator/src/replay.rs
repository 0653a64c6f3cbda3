//! Changing totals otherwise than by counting: to what their reports add up to, or to where they are after a restore. Safe while
//! services run: a partition's batches wait, and whoever counts them starts over with the events that are left here.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Catalogue, DataSetCode, LevelCode, OrgUnitCode, Period, Timestamp, fold::Tally};
use messaging::{
    Connection, Outgoing, Partition, Partitions, Publisher, ReadError, outbox, subjects,
    totals::{Cause, Told},
};
use store::{Mending, Store, StoreError, StoredTotal, TotalWrite, audit::Operated, verify::OfPeriod};

use crate::{
    event::{self, EventError},
    fold::MovedUnit,
};

/// Why totals were not changed. None was then.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was published cannot be read.
    #[error(transparent)]
    Told(#[from] ReadError),
    /// An event could not be written.
    #[error("an event about a total could not be written")]
    Event(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<EventError> for ReplayError {
    fn from(error: EventError) -> Self {
        Self::Event(Box::new(error))
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many units' totals have a new version.
    pub units: u64,
    /// Of how many of them nobody is told, because the catalogue in use does not have them.
    pub untold: u64,
}

/// What changes totals.
#[derive(Debug)]
pub struct Replay<'a> {
    /// The database.
    pub store: &'a Store,
    /// What was published.
    pub connection: &'a Connection,
    /// The catalogue in use: events name cells and units by it.
    pub catalogue: &'a Catalogue,
    /// The partitions, as provisioned.
    pub partitions: Partitions,
    /// When this is.
    pub now: Timestamp,
    /// Who does it.
    pub operated: Operated<'a>,
}

/// A unit's totals and the version that they get.
struct Unit {
    code: OrgUnitCode,
    version: i64,
    writes: Vec<TotalWrite>,
    unmoved: Vec<StoredTotal>,
}

impl Replay<'_> {
    /// Puts right the totals of some forms' periods that are not what the reports add up to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn correct(&self, periods: &[OfPeriod]) -> Result<Replayed, ReplayError> {
        let partitions: BTreeSet<_> = periods.iter().map(|of| self.partition(of)).collect();
        let mut mending = self.store.mend(partitions.into_iter().map(Partition::number), 0).await?;
        let mut corrected: BTreeMap<OfPeriod, BTreeMap<OrgUnitCode, Vec<StoredTotal>>> = BTreeMap::new();
        for total in mending.corrected(periods).await? {
            let of_period = corrected.entry((total.data_set.clone(), total.period)).or_default();
            of_period.entry(total.org_unit.clone()).or_default().push(total);
        }
        let mut done = Replayed::default();
        for (of, units) in corrected {
            let names: Vec<_> = units.keys().map(|unit| (of.0.clone(), of.1, unit.clone())).collect();
            let mut stored = by_unit(mending.totals(&names).await?);
            let mut written = Vec::with_capacity(units.len());
            for (code, corrected) in units {
                let mut unmoved = stored.remove(&code).unwrap_or_default();
                // Where all of a unit's totals are gone, only what was published knows their version.
                let was = if unmoved.is_empty() { self.told(&of, &code).await? } else { newest(&unmoved) };
                let version = was + 1;
                let writes = corrected.into_iter().map(|total| {
                    let place = unmoved.iter().position(|stored| stored.level == total.level);
                    let is_new = place.map(|place| unmoved.swap_remove(place)).is_none();
                    TotalWrite { total: StoredTotal { version, ..total }, is_new }
                });
                let writes = writes.collect();
                written.push(Unit { version, writes, code, unmoved });
            }
            self.write(&mut mending, &of, written, &mut done).await?;
        }
        mending.commit(&self.operated, self.now).await?;
        Ok(done)
    }

    /// After a restore: brings the database's totals and those that were `told` together. Where the two are at different
    /// versions, the totals as the database has them get a version above both, and are published.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bring_together(&self, told: Vec<Told>) -> Result<Replayed, ReplayError> {
        let mut all: BTreeMap<OfPeriod, BTreeMap<OrgUnitCode, Told>> = BTreeMap::new();
        for of in self.store.periods_with_totals().await? {
            all.entry(of).or_default();
        }
        let epoch = told.iter().map(|told| told.epoch).max().unwrap_or(0);
        for told in told {
            // What no program of ours published is left alone.
            if let (Ok(data_set), Ok(period), Ok(unit)) = (
                told.data_set.parse::<DataSetCode>(),
                told.period.parse::<Period>(),
                told.org_unit.parse::<OrgUnitCode>(),
            ) {
                all.entry((data_set, period)).or_default().insert(unit, told);
            }
        }
        let mut mending = self.store.mend(self.partitions.all().map(Partition::number), epoch).await?;
        let mut done = Replayed::default();
        for (of, mut told) in all {
            let mut stored = by_unit(mending.totals_of(&of).await?);
            for unit in told.keys() {
                stored.entry(unit.clone()).or_default();
            }
            let units = stored.into_iter().filter_map(|(code, stored)| {
                let told = told.remove(&code);
                let (has, was) = (newest(&stored), told.as_ref().map_or(0, |told| told.version));
                (has != was).then(|| {
                    let version = has.max(was) + 1;
                    let writes =
                        if stored.is_empty() { self.nothing(&of, &code, told.as_ref()) } else { of_old(stored) };
                    let writes = writes
                        .into_iter()
                        .map(|write| TotalWrite { total: StoredTotal { version, ..write.total }, ..write });
                    Unit { code, version, writes: writes.collect(), unmoved: Vec::new() }
                })
            });
            self.write(&mut mending, &of, units.collect(), &mut done).await?;
        }
        mending.commit(&self.operated, self.now).await?;
        Ok(done)
    }

    fn partition(&self, (data_set, _): &OfPeriod) -> Partition {
        self.partitions.of(data_set.as_str())
    }

    /// The version that was last published of a unit's totals; 0 where none was.
    async fn told(&self, (data_set, period): &OfPeriod, unit: &OrgUnitCode) -> Result<i64, ReadError> {
        let Some(form) = self.catalogue.find_data_set(data_set.as_str()) else { return Ok(0) };
        let vintage = self.catalogue.vintage(form, *period);
        let Some(ix) = vintage.find(unit.as_str()) else { return Ok(0) };
        let level = &self.catalogue.level(vintage.unit(ix).level).code;
        let version = self.connection.last_total_version(&subjects::totals(level, unit, data_set, *period)).await?;
        Ok(version.unwrap_or(0))
    }

    /// A total of a unit that the database knows no report of: it holds the version that was published.
    fn nothing(&self, (data_set, period): &OfPeriod, unit: &OrgUnitCode, told: Option<&Told>) -> Vec<TotalWrite> {
        let cells = self.catalogue.find_data_set(data_set.as_str()).map_or(0, |data_set| data_set.cells().len());
        let level = told.and_then(|told| told.levels.first()).and_then(|told| told.level.parse::<LevelCode>().ok());
        let total = level.map(|level| StoredTotal {
            data_set: data_set.clone(),
            period: *period,
            org_unit: unit.clone(),
            level,
            tally: Tally::zero(cells),
            version: 0,
        });
        total.map(|total| TotalWrite { total, is_new: true }).into_iter().collect()
    }

    /// Writes the totals of a form's period, and the events about them.
    async fn write(
        &self,
        mending: &mut Mending,
        of: &OfPeriod,
        units: Vec<Unit>,
        done: &mut Replayed,
    ) -> Result<(), ReplayError> {
        let (partition, time) = (self.partition(of), event::rfc3339(self.now)?);
        let at = mending.fence(partition.number());
        let mut units = units.into_iter().peekable();
        while units.peek().is_some() {
            let (mut events, mut writes): (Vec<Outgoing>, Vec<TotalWrite>) = Default::default();
            for unit in units.by_ref().take(Publisher::BATCH_LIMIT) {
                done.units += 1;
                writes.extend(unit.writes.iter().cloned());
                match self.moved(of, unit) {
                    Some(moved) => events.push(event::event(&moved, at, &time).message().map_err(EventError::from)?),
                    None => done.untold += 1,
                }
            }
            let packed = (!events.is_empty()).then(|| outbox::pack(&events));
            mending.write(partition.number(), &writes, packed.as_deref(), self.now).await?;
        }
        Ok(())
    }

    /// The unit as events tell of it; none where the catalogue in use does not have it.
    fn moved(&self, (data_set, period): &OfPeriod, unit: Unit) -> Option<MovedUnit<'_>> {
        let data_set = self.catalogue.find_data_set(data_set.as_str())?;
        let vintage = self.catalogue.vintage(data_set, *period);
        Some(MovedUnit {
            catalogue: self.catalogue,
            data_set,
            period: *period,
            vintage,
            unit: vintage.find(unit.code.as_str())?,
            version: unit.version,
            cause: Cause::default(),
            writes: unit.writes,
            unmoved: unit.unmoved,
        })
    }
}

fn by_unit(totals: Vec<StoredTotal>) -> BTreeMap<OrgUnitCode, Vec<StoredTotal>> {
    let mut by_unit: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for total in totals {
        by_unit.entry(total.org_unit.clone()).or_default().push(total);
    }
    by_unit
}

fn newest(totals: &[StoredTotal]) -> i64 {
    totals.iter().map(|total| total.version).max().unwrap_or(0)
}

fn of_old(totals: Vec<StoredTotal>) -> Vec<TotalWrite> {
    totals.into_iter().map(|total| TotalWrite { total, is_new: false }).collect()
}
