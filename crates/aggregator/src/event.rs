//! Events about totals that moved.

use domain::{LevelCode, Timestamp, fold::Tally};
use messaging::{
    Exact, Outgoing, subjects,
    totals::{CellTotal, LevelTotals, TotalsData, TotalsEvent},
};
use store::Fence;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{fold::MovedUnit, steps::Steps};

/// An event that has no JSON form. Does not happen; the types of `serde_json` and `time` allow for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error("an event has no JSON form")]
    Json(#[from] serde_json::Error),
    #[error("an event's time has no RFC 3339 form")]
    Time(#[from] time::error::Format),
}

/// The events of a batch, one for each unit whose totals moved, at the position the batch reaches and in its epoch.
pub(crate) fn events(
    moved: &[MovedUnit<'_>],
    at: Fence,
    time: &str,
    steps: &Steps,
) -> Result<Vec<Outgoing>, EventError> {
    let traced = |moved: &MovedUnit<'_>| TotalsEvent { traceparent: steps.of(&moved.cause), ..event(moved, at, time) };
    moved.iter().map(|moved| Ok(traced(moved).message()?)).collect()
}

/// An instant as events tell it.
pub(crate) fn rfc3339(instant: Timestamp) -> Result<String, EventError> {
    Ok(OffsetDateTime::from(instant).format(&Rfc3339)?)
}

pub(crate) fn event(moved: &MovedUnit<'_>, at: Fence, time: &str) -> TotalsEvent {
    let MovedUnit { catalogue, data_set, period, vintage, unit, version, cause, writes, unmoved } = moved;
    let expected = catalogue.expected(data_set, vintage, *unit);
    let totals = || writes.iter().map(|write| &write.total).chain(unmoved);
    let tally_of = |level: &LevelCode| totals().find(|total| total.level == *level).map(|total| &total.tally);
    // The levels that are expected to report, and any that did without being.
    let levels = catalogue.levels().iter().enumerate().filter_map(|(place, level)| {
        let expected = expected.iter().find(|(ix, _)| ix.get() == place).map(|(_, count)| *count);
        let tally = tally_of(&level.code);
        (expected.is_some() || tally.is_some()).then(|| LevelTotals {
            level: level.code.to_string(),
            reported: tally.map_or(0, |tally| tally.reported),
            on_time: tally.map_or(0, |tally| tally.on_time),
            warned: tally.map_or(0, |tally| tally.warned),
            expected: expected.unwrap_or(0),
            cells: tally.map(|tally| cells(moved, tally)).unwrap_or_default(),
        })
    });
    let org_unit = vintage.unit(*unit);
    let level = &catalogue.level(org_unit.level).code;
    let data = TotalsData {
        org_unit: org_unit.code.to_string(),
        level: level.to_string(),
        data_set: data_set.code().to_string(),
        period: period.to_string(),
        version: *version,
        previous_version: *version - 1,
        epoch: at.epoch,
        log_position: at.position.0,
        catalogue_version: catalogue.version().to_string(),
        cause: cause.clone(),
        levels: levels.collect(),
    };
    TotalsEvent::of(subjects::totals(level, &org_unit.code, data_set.code(), *period), time.to_owned(), data)
}

fn cells(moved: &MovedUnit<'_>, tally: &Tally) -> Vec<CellTotal> {
    let cells = moved.data_set.cells().iter().zip(tally.sums.iter().zip(&tally.contributing));
    let given = cells.filter(|(_, (_, contributing))| **contributing > 0);
    given
        .map(|(cell, (sum, contributing))| CellTotal {
            data_element: cell.element.code.as_str().to_owned(),
            option: cell.option.as_ref().map(|option| option.code.as_str().to_owned()),
            sum: Exact(*sum),
            decimals: cell.element.value_type.decimals(),
            contributing: *contributing,
        })
        .collect()
}
