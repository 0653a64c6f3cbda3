//! Goal: a report that is kept packed says what its sender said, to a validator with an older catalogue too.

#![expect(clippy::unwrap_used, reason = "what the catalogues lack fails the test")]

use std::path::Path;

use domain::{
    Catalogue, Period, Timestamp, Values,
    catalogue::{Cell, DataSet, DataSetParts, ValueType},
    judge,
};
use proto::pb::report::v1::{Report, Value, value};
use time::macros::{date, datetime};

fn now() -> Timestamp {
    Timestamp::from(datetime!(2026 - 03 - 10 08:00 UTC))
}

fn catalogues() -> [Catalogue; 2] {
    ["../../deploy/catalogue/de06", "../catalogue/tests/fixtures/school_meals"].map(|dir| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        catalogue::load(&dir).unwrap_or_else(|faults| panic!("{faults}")).catalogue
    })
}

fn named(cell: &Cell, place: usize) -> Value {
    let given = match cell.element.value_type {
        ValueType::Count => value::Value::Integer(i64::try_from(place).unwrap()),
        ValueType::Signed => value::Value::Integer(-3),
        ValueType::Decimal(_) => value::Value::Decimal("92.5".to_owned()),
        ValueType::Flag => value::Value::Flag(place.is_multiple_of(2)),
        ValueType::Date => value::Value::Date("2024-02-29".to_owned()),
        ValueType::Text => value::Value::Text("Đã bàn giao cho công an xã".to_owned()),
    };
    Value {
        data_element: cell.element.code.to_string(),
        option: cell.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
        value: Some(given),
    }
}

/// A unit that reports the form, and a period for which it does.
fn who(catalogue: &Catalogue, data_set: &DataSet) -> (String, Period) {
    let days = [date!(2024 - 06 - 30), date!(2025 - 10 - 15)];
    let periods = days.map(|day| Period::containing(data_set.period_type(), data_set.calendar(), day).unwrap());
    let units = periods.into_iter().flat_map(|period| {
        let vintage = catalogue.vintage(data_set, period);
        vintage.units().map(move |(unit, _)| (vintage, unit, period))
    });
    let mut reporting = units.filter(|(vintage, unit, _)| catalogue.reports(data_set, vintage, *unit));
    let (vintage, unit, period) = reporting.next().unwrap();
    (vintage.unit(unit).code.to_string(), period)
}

fn read(catalogue: &Catalogue, report: &Report) -> domain::Report {
    judge::read(catalogue, &proto::report::draft(report, 1), now()).unwrap_or_else(|found| panic!("{found:?}")).0
}

/// The catalogue, when a form had its first cells only.
fn earlier(catalogue: &Catalogue, data_set: &DataSet, cells: usize) -> Catalogue {
    let parts = data_set.parts().clone();
    let parts = DataSetParts {
        cells: parts.cells[..cells].to_vec(),
        groups: Vec::new(),
        rules: Vec::new(),
        outliers: Vec::new(),
        indicators: Vec::new(),
        targets: Vec::new(),
        ..parts
    };
    let (levels, tree) = (catalogue.levels().to_vec(), catalogue.tree().clone());
    let version = domain::CatalogueVersion::new("earlier");
    Catalogue::new(version, levels, tree, vec![DataSet::new(parts).unwrap()], catalogue.utc_offset())
}

#[test]
fn what_is_packed_reads_as_it_was_given() {
    let mut kinds = std::collections::HashSet::new();
    for catalogue in catalogues() {
        for data_set in catalogue.data_sets() {
            let (org_unit, period) = who(&catalogue, data_set);
            let vintage = catalogue.vintage(data_set, period);
            let unit = vintage.find(&org_unit).unwrap();
            let cells: Vec<_> = (data_set.cells().iter().enumerate())
                .filter(|(_, cell)| catalogue.fills(cell, vintage, unit))
                .collect();
            kinds.extend(cells.iter().map(|(_, cell)| std::mem::discriminant(&cell.element.value_type)));
            // All cells, the first half, and every other one from the end.
            let choices = [
                cells.clone(),
                cells[..cells.len().div_ceil(2)].to_vec(),
                cells.iter().rev().step_by(2).copied().collect(),
            ];
            for chosen in choices {
                let given = Report {
                    submission_id: "0192f0c1-2b3c-7d4e-8f50-112233445566".to_owned(),
                    org_unit: org_unit.clone(),
                    data_set: data_set.code().to_string(),
                    period: period.to_string(),
                    values: chosen.iter().map(|(place, cell)| named(cell, *place)).collect(),
                    ..Report::default()
                };
                let was = read(&catalogue, &given);
                let values: &Values = was.content.values().unwrap();
                let (dense, words) = proto::report::pack(data_set, values);
                assert!(words.len() < given.values.len() || dense.is_none(), "numbers are packed");
                let packed = Report { dense, values: words, ..given };
                assert_eq!(read(&catalogue, &packed), was, "{}", data_set.code());

                let known = chosen.iter().map(|(place, _)| place + 1).max().unwrap();
                let earlier = read(&earlier(&catalogue, data_set, known), &packed);
                let mut numbers = values.as_slice().to_vec();
                numbers.truncate(known);
                assert_eq!(earlier.content.values().unwrap().as_slice(), numbers, "{}", data_set.code());
            }
        }
    }
    assert_eq!(kinds.len(), 5, "a form has each kind of value but signed numbers: {kinds:?}");
}
