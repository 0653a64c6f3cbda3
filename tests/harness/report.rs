//! Reports to send.

use proto::pb::{
    query::v1::DataSet,
    report::v1::{DenseValues, Report, Value, value},
};

/// A whole number.
#[must_use]
pub fn int(data_element: &str, number: i64) -> Value {
    Value { data_element: data_element.to_owned(), option: String::new(), value: Some(value::Value::Integer(number)) }
}

/// Yes or no.
#[must_use]
pub fn flag(data_element: &str, flag: bool) -> Value {
    Value { data_element: data_element.to_owned(), option: String::new(), value: Some(value::Value::Flag(flag)) }
}

/// A report on `identity`, period 202211, under a new submission id.
#[must_use]
pub fn report(org_unit: &str, revision: i64, values: Vec<Value>) -> Report {
    Report {
        submission_id: uuid::Uuid::now_v7().to_string(),
        org_unit: org_unit.to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        revision: Some(revision),
        values,
        withdrawn: false,
        dense: None,
    }
}

/// A report on `organisation`, period 2022Q4.
#[must_use]
pub fn organisation(org_unit: &str, revision: i64, values: Vec<Value>) -> Report {
    Report { data_set: "organisation".to_owned(), period: "2022Q4".to_owned(), ..report(org_unit, revision, values) }
}

/// The withdrawal of what a unit reported on `identity` in 202211.
#[must_use]
pub fn withdrawal(org_unit: &str, revision: i64) -> Report {
    Report { withdrawn: true, ..report(org_unit, revision, Vec::new()) }
}

/// The same report under another submission id, its values packed in the order of the cells that the query service told.
#[must_use]
pub fn dense(report: &Report, data_set: &DataSet, catalogue_version: &str) -> Report {
    let mut left = report.values.clone();
    let mut dense = DenseValues {
        catalogue_version: catalogue_version.to_owned(),
        present: vec![0; data_set.cells.len().div_ceil(8)],
        values: Vec::new(),
    };
    for (place, cell) in data_set.cells.iter().enumerate() {
        let option = cell.option.as_ref().map_or("", |option| option.code.as_str());
        let is_meant = |value: &Value| value.data_element == cell.data_element && value.option == option;
        let Some(given) = left.iter().position(is_meant) else { continue };
        let scale = 10_i64.pow(cell.decimals);
        let number = match left.remove(given).value.unwrap() {
            value::Value::Integer(number) => number * scale,
            value::Value::Decimal(text) => {
                let (whole, part) = text.split_once('.').unwrap();
                let missing = usize::try_from(cell.decimals).unwrap() - part.len();
                format!("{whole}{part}{}", "0".repeat(missing)).parse().unwrap()
            }
            value::Value::Flag(flag) => i64::from(flag),
            value::Value::Date(day) => day.replace('-', "").parse().unwrap(),
            value::Value::Text(text) => panic!("words are not packed: {text}"),
        };
        dense.present[place / 8] |= 1 << (place % 8);
        dense.values.push(number);
    }
    assert!(left.is_empty(), "the form has no such cells: {left:?}");
    let submission_id = uuid::Uuid::now_v7().to_string();
    Report { submission_id, values: Vec::new(), dense: Some(dense), ..report.clone() }
}
