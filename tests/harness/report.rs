//! Reports to send.

use proto::pb::report::v1::{Report, Value, value};

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
