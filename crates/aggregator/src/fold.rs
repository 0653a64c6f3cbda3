//! From verdicts to totals: pure, without waiting.

use std::collections::BTreeMap;

use domain::{
    Catalogue, Catalogues, DataSetCode, LevelCode, OrgUnitCode, Period, UnitIx, Vintage,
    catalogue::DataSet,
    fold::{Overflow, Tally},
    settle::{Accepted, Book, Changes, Judged, Known, Origin, SettleError},
};
use messaging::totals::Cause;
use rustc_hash::FxHashMap;
use store::{StoredTotal, TotalWrite};

use crate::cause::Causes;

/// Why a batch cannot be counted. Nothing of it is; the partition waits until somebody has looked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// Settles every verdict of a batch.
pub(crate) fn settle<'c>(
    catalogues: &'c Catalogues,
    standing: Vec<Accepted>,
    known: Vec<Known>,
    settled: Vec<Origin>,
    judged: Vec<Judged>,
) -> Result<Changes<'c>, FoldError> {
    let mut book = Book::open(catalogues, standing, known, settled)?;
    for judged in judged {
        book.settle(judged)?;
    }
    Ok(book.close())
}

/// The units whose totals move.
pub(crate) fn units(changes: &Changes<'_>) -> Vec<(DataSetCode, Period, OrgUnitCode)> {
    let mut units = Vec::new();
    for sheet in &changes.sheets {
        let mut moved: Vec<UnitIx> = sheet.deltas.keys().map(|(unit, _)| *unit).collect();
        moved.sort_unstable();
        moved.dedup();
        units.extend(
            moved
                .into_iter()
                .map(|unit| (sheet.data_set.code().clone(), sheet.period, sheet.vintage.unit(unit).code.clone())),
        );
    }
    units
}

/// A unit whose totals moved, with all its totals as they stand now.
#[derive(Debug)]
pub(crate) struct MovedUnit<'c> {
    pub(crate) catalogue: &'c Catalogue,
    pub(crate) data_set: &'c DataSet,
    pub(crate) period: Period,
    pub(crate) vintage: &'c Vintage,
    pub(crate) unit: UnitIx,
    /// Grew by one.
    pub(crate) version: i64,
    /// What moved them.
    pub(crate) cause: Cause,
    /// Those that moved.
    pub(crate) writes: Vec<TotalWrite>,
    /// Those that did not.
    pub(crate) unmoved: Vec<StoredTotal>,
}

/// Adds the differences to the stored totals.
pub(crate) fn add<'c>(changes: &Changes<'c>, stored: Vec<StoredTotal>) -> Result<Vec<MovedUnit<'c>>, FoldError> {
    let mut by_unit: FxHashMap<(DataSetCode, Period, OrgUnitCode), Vec<StoredTotal>> = FxHashMap::default();
    for total in stored {
        by_unit.entry((total.data_set.clone(), total.period, total.org_unit.clone())).or_default().push(total);
    }
    let mut moved = Vec::new();
    for sheet in &changes.sheets {
        let causes = Causes::of(sheet, &changes.ledger);
        let mut deltas: BTreeMap<UnitIx, Vec<(&LevelCode, &Tally)>> = BTreeMap::new();
        for ((unit, level), delta) in sheet.deltas.iter().filter(|(_, delta)| !delta.is_zero()) {
            deltas.entry(*unit).or_default().push((&sheet.catalogue.level(*level).code, delta));
        }
        for (unit, deltas) in deltas {
            let org_unit = &sheet.vintage.unit(unit).code;
            let mut unmoved =
                by_unit.remove(&(sheet.data_set.code().clone(), sheet.period, org_unit.clone())).unwrap_or_default();
            let version = unmoved.iter().map(|total| total.version).max().unwrap_or(0) + 1;
            let mut writes = Vec::with_capacity(deltas.len());
            for (level, delta) in deltas {
                let stored =
                    unmoved.iter().position(|total| total.level == *level).map(|place| unmoved.swap_remove(place));
                let is_new = stored.is_none();
                let mut total = stored.unwrap_or_else(|| StoredTotal {
                    data_set: sheet.data_set.code().clone(),
                    period: sheet.period,
                    org_unit: org_unit.clone(),
                    level: level.clone(),
                    tally: Tally::zero(sheet.data_set.cells().len()),
                    version: 0,
                });
                total.tally.add(delta)?;
                total.version = version;
                writes.push(TotalWrite { total, is_new });
            }
            moved.push(MovedUnit {
                catalogue: sheet.catalogue,
                data_set: sheet.data_set,
                period: sheet.period,
                vintage: sheet.vintage,
                unit,
                version,
                cause: causes.of_unit(unit),
                writes,
                unmoved,
            });
        }
    }
    Ok(moved)
}
