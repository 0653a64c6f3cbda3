//! What a total says, in a form in which totals of any origin can be compared.

use std::collections::BTreeMap;

use messaging::totals::TotalsData;
use proto::pb::query::v1::Totals;

/// By reporting level: how many reported, and by cell the sum and how many gave a value. Levels from which nobody reported
/// and cells that nobody gave are left out.
pub type Sums = BTreeMap<String, (i64, BTreeMap<(String, String), (i64, i64)>)>;

/// What an answer of the query service says.
#[must_use]
pub fn sums_of(totals: &Totals) -> Sums {
    let levels = totals.levels.iter().filter(|level| level.reported > 0);
    let level = |level: &proto::pb::query::v1::LevelTotals| {
        let cells = level.cells.iter().filter_map(|cell| {
            assert_eq!(cell.sum.is_some(), cell.contributing > 0, "absent is not zero: {cell:?}");
            Some(((cell.data_element.clone(), cell.option.clone()), (cell.sum?, cell.contributing)))
        });
        (level.level.clone(), (level.reported, cells.collect()))
    };
    levels.map(level).collect()
}

/// What an event says.
#[must_use]
pub fn sums_of_event(data: &TotalsData) -> Sums {
    let levels = data.levels.iter().filter(|level| level.reported > 0);
    let level = |level: &messaging::totals::LevelTotals| {
        let cells = level.cells.iter().map(|cell| {
            let option = cell.option.clone().unwrap_or_default();
            ((cell.data_element.clone(), option), (cell.sum.0, cell.contributing))
        });
        (level.level.clone(), (level.reported, cells.collect()))
    };
    levels.map(level).collect()
}
