//! From verdicts to totals: pure, without waiting.

use std::collections::BTreeMap;

use domain::{
    Catalogue, Catalogues, DataSetCode, LevelCode, OrgUnitCode, Period, UnitIx, Vintage,
    catalogue::DataSet,
    fold::{Overflow, Tally},
    settle::{Accepted, Book, Changes, Judged, Known, Origin, SettleError, Sheet},
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

/// The units whose totals move, each once.
pub(crate) fn units(changes: &Changes<'_>) -> Vec<(DataSetCode, Period, OrgUnitCode)> {
    let units = deltas(changes).into_keys().map(|(place, unit)| (&changes.sheets[place], unit));
    units
        .map(|(sheet, unit)| (sheet.data_set.code().clone(), sheet.period, sheet.vintage.unit(unit).code.clone()))
        .collect()
}

/// What the totals of each unit gain, by level, under the first sheet that has the unit. Several may have it, each with other levels: those
/// of catalogues that are not in use, of which one knows more levels than the other.
fn deltas<'a>(changes: &'a Changes<'_>) -> BTreeMap<(usize, UnitIx), Vec<(&'a LevelCode, &'a Tally)>> {
    let mut first = FxHashMap::default();
    let mut deltas: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (place, sheet) in changes.sheets.iter().enumerate() {
        for ((unit, level), delta) in sheet.deltas.iter().filter(|(_, delta)| !delta.is_zero()) {
            let named = (sheet.data_set.code(), sheet.period, &sheet.vintage.unit(*unit).code);
            let first = *first.entry(named).or_insert((place, *unit));
            deltas.entry(first).or_default().push((&sheet.catalogue.level(*level).code, delta));
        }
    }
    deltas
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
pub(crate) fn add<'c>(
    catalogues: &'c Catalogues,
    changes: &Changes<'c>,
    stored: Vec<StoredTotal>,
) -> Result<Vec<MovedUnit<'c>>, FoldError> {
    let mut by_unit: FxHashMap<(DataSetCode, Period, OrgUnitCode), Vec<StoredTotal>> = FxHashMap::default();
    for total in stored {
        by_unit.entry((total.data_set.clone(), total.period, total.org_unit.clone())).or_default().push(total);
    }
    let causes: Vec<_> = changes.sheets.iter().map(|sheet| Causes::of(sheet, &changes.ledger)).collect();
    let mut moved = Vec::new();
    for ((place, unit), deltas) in deltas(changes) {
        let (sheet, cause) = (&changes.sheets[place], causes[place].of_unit(unit));
        let org_unit = &sheet.vintage.unit(unit).code;
        let mut unmoved =
            by_unit.remove(&(sheet.data_set.code().clone(), sheet.period, org_unit.clone())).unwrap_or_default();
        let version = unmoved.iter().map(|total| total.version).max().unwrap_or(0) + 1;
        let mut writes = Vec::with_capacity(deltas.len());
        for (level, delta) in deltas {
            let stored = unmoved.iter().position(|total| total.level == *level).map(|place| unmoved.swap_remove(place));
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
        let tallies = writes.iter().map(|write| &write.total).chain(&unmoved).map(|total| &total.tally);
        let cells = tallies.map(|tally| tally.sums.len()).max().unwrap_or(0);
        let Named { catalogue, data_set, vintage, unit } = named(catalogues, sheet, unit, cells);
        moved.push(MovedUnit {
            catalogue,
            data_set,
            period: sheet.period,
            vintage,
            unit,
            version,
            cause,
            writes,
            unmoved,
        });
    }
    Ok(moved)
}

/// A unit, and what names it.
struct Named<'c> {
    catalogue: &'c Catalogue,
    data_set: &'c DataSet,
    vintage: &'c Vintage,
    unit: UnitIx,
}

/// What events name a unit and its cells by: the catalogue in use, whoever judged the reports. Forms get cells at their end alone, so it
/// must have as many as the totals have: while services are started anew with the next catalogue, the one in use here may be the older.
fn named<'c>(catalogues: &'c Catalogues, sheet: &Sheet<'c>, unit: UnitIx, cells: usize) -> Named<'c> {
    let Sheet { catalogue, data_set, vintage, period, .. } = *sheet;
    let (form, code) = (data_set.code().as_str(), vintage.unit(unit).code.as_str());
    let mut known = [catalogues.current(), catalogue].into_iter().chain(catalogues.all());
    let named = known.find_map(|catalogue| {
        let data_set = catalogue.find_data_set(form).filter(|data_set| data_set.cells().len() >= cells)?;
        let vintage = catalogue.vintage(data_set, period);
        Some(Named { catalogue, data_set, vintage, unit: vintage.find(code)? })
    });
    named.unwrap_or(Named { catalogue, data_set, vintage, unit })
}
