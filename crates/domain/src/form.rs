//! A form for tests of what is computed from totals.

use crate::{
    Calendar, PeriodType,
    catalogue::{
        Cell, DataElement, DataSet, DataSetParts, LevelSet, Measure, Schedule, SpaceAggregation, TimeAggregation,
        ValueType,
    },
    fold::Tally,
};

/// A cell of which the latest value counts.
pub(crate) fn cell(code: &str, value_type: ValueType, space_aggregation: SpaceAggregation) -> Cell {
    let element = DataElement {
        code: code.parse().unwrap(),
        name_vi: String::new(),
        name_en: String::new(),
        family: String::new(),
        value_type,
        measure: Measure::Stock,
        time_aggregation: TimeAggregation::Last,
        space_aggregation,
        unit_of_measure: String::new(),
    };
    Cell { element, option: None, levels: LevelSet::default() }
}

/// A cell that is added up over time.
pub(crate) fn flow(code: &str) -> Cell {
    let mut flow = cell(code, ValueType::Count, SpaceAggregation::Sum);
    flow.element.measure = Measure::Flow;
    flow.element.time_aggregation = TimeAggregation::Sum;
    flow
}

/// A form reported by month of the usual calendar.
pub(crate) fn form(cells: Vec<Cell>) -> DataSet {
    DataSet::new(DataSetParts {
        code: "form".parse().unwrap(),
        name_vi: "Biểu mẫu".to_owned(),
        name_en: "Form".to_owned(),
        period_type: PeriodType::Month,
        calendar: Calendar::Gregorian,
        longer_periods: crate::window::kinds(PeriodType::Month).collect(),
        levels: LevelSet::default(),
        schedule: Schedule::default(),
        cells,
        groups: Vec::new(),
        rules: Vec::new(),
        outliers: Vec::new(),
        indicators: Vec::new(),
        targets: Vec::new(),
    })
    .unwrap()
}

/// The totals of one report, or of many that are given as their sums.
pub(crate) fn tally(sums: &[Option<i64>]) -> Tally {
    Tally {
        reported: 1,
        sums: sums.iter().map(|sum| sum.unwrap_or(0)).collect(),
        contributing: sums.iter().map(|sum| i64::from(sum.is_some())).collect(),
        ..Tally::zero(0)
    }
}
