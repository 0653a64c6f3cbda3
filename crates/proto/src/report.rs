//! Reports and violations between the wire and the domain.

use domain::{
    Message, Reason, Severity, SubmissionId, Values, Violation, Violations,
    catalogue::{Cell, DataSet, ValueType},
    draft::{Dense, Draft, DraftValue, Given},
    number::PLAIN,
    settle::Claim,
};

use crate::{packed, pb::report::v1 as pb};

/// What a sender claims, for the domain to judge. A report without a revision has the one given here.
#[must_use]
pub fn draft(report: &pb::Report, assigned_revision: i64) -> Draft<'_> {
    let pb::Report { submission_id, org_unit, data_set, period, revision, values, withdrawn, dense } = report;
    Draft {
        submission_id,
        org_unit,
        data_set,
        period,
        revision: revision.unwrap_or(assigned_revision),
        withdrawn: *withdrawn,
        values: values.iter().map(draft_value).collect(),
        dense: dense.as_ref().map(draft_dense),
    }
}

fn draft_dense(dense: &pb::DenseValues) -> Dense<'_> {
    let pb::DenseValues { catalogue_version, present, values } = dense;
    Dense { catalogue_version, present, values }
}

fn draft_value(value: &pb::Value) -> DraftValue<'_> {
    let pb::Value { data_element, option, value } = value;
    let given = match value {
        None => Given::Nothing,
        Some(pb::value::Value::Integer(number)) => Given::Integer(*number),
        Some(pb::value::Value::Decimal(text)) => Given::Decimal(text),
        Some(pb::value::Value::Flag(flag)) => Given::Flag(*flag),
        Some(pb::value::Value::Text(text)) => Given::Text(text),
        Some(pb::value::Value::Date(text)) => Given::Date(text),
    };
    DraftValue { element: data_element, option, given }
}

/// What a report that cannot count claims to be about, in its sender's words, cut to a bound. A person's number typed in a wrong
/// place is not kept.
#[must_use]
pub fn claim(report: &pb::Report) -> Claim {
    Claim {
        submission_id: uuid::Uuid::try_parse(&report.submission_id).ok().map(SubmissionId),
        data_set: Claim::said(&report.data_set),
        period: Claim::said(&report.period),
        org_unit: Claim::said(&report.org_unit),
        revision: report.revision.unwrap_or(-1),
    }
}

/// The values and words of a report, in the order of the data set's cells, as its sender would write them.
#[must_use]
pub fn values(data_set: &DataSet, values: &Values) -> Vec<pb::Value> {
    let cells = data_set.cells().iter().enumerate();
    cells.filter_map(|(place, cell)| value(cell, place, values.get(place)?, values)).collect()
}

/// The values of a report that was read, told as shortly as they can be: numbers packed in the order of the data set's cells, words by
/// name. The layout is that of the cells up to the last that is given: whoever has yet to hear of cells that came later
/// understands it too.
#[must_use]
pub fn pack(data_set: &DataSet, values: &Values) -> (Option<pb::DenseValues>, Vec<pb::Value>) {
    let cells = data_set.cells();
    let number = |place: usize| values.get(place).filter(|_| cells[place].element.value_type != ValueType::Text);
    let used = (0..cells.len()).rposition(|place| number(place).is_some()).map_or(0, |last| last + 1);
    let dense = (used > 0).then(|| {
        let (present, values) = packed::pack((0..used).map(number));
        pb::DenseValues { catalogue_version: data_set.layout_of_first(used).to_string(), present, values }
    });
    let words = values.notes().iter().filter_map(|note| value(cells.get(note.cell)?, note.cell, 0, values));
    (dense, words.collect())
}

fn value(cell: &Cell, place: usize, number: i64, values: &Values) -> Option<pb::Value> {
    use pb::value::Value;
    let value = match cell.element.value_type {
        ValueType::Count | ValueType::Signed => Value::Integer(number),
        ValueType::Decimal(places) => Value::Decimal(PLAIN.write(number, u32::from(places))),
        ValueType::Flag => Value::Flag(number != 0),
        ValueType::Date => Value::Date(format!("{:04}-{:02}-{:02}", number / 10_000, number / 100 % 100, number % 100)),
        ValueType::Text => Value::Text(values.notes().iter().find(|note| note.cell == place)?.text.to_string()),
    };
    Some(pb::Value {
        data_element: cell.element.code.to_string(),
        option: cell.option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
        value: Some(value),
    })
}

/// Violations as the wire has them.
#[must_use]
pub fn violations(violations: &Violations) -> Vec<pb::Violation> {
    violations.list().iter().map(violation).collect()
}

fn violation(violation: &Violation) -> pb::Violation {
    let Violation { reason, severity, field, message: Message { vi, en } } = violation;
    let severity = match severity {
        Severity::Error => pb::Severity::Error,
        Severity::Warning => pb::Severity::Warning,
    };
    pb::Violation {
        reason: reason.code().to_owned(),
        severity: severity.into(),
        field: field.clone(),
        message_vi: vi.clone(),
        message_en: en.clone(),
    }
}

/// Violations as the domain has them. One whose reason or severity is not known here, because a newer program wrote it, is
/// counted as left out: a verdict stands whatever is told about it.
#[must_use]
pub fn read_violations(list: Vec<pb::Violation>, omitted: u32) -> Violations {
    let given = list.len();
    let list = list.into_iter().filter_map(|violation| {
        let pb::Violation { reason, severity, field, message_vi, message_en } = violation;
        let severity = match pb::Severity::try_from(severity).ok()? {
            pb::Severity::Error => Severity::Error,
            pb::Severity::Warning => Severity::Warning,
            pb::Severity::Unspecified => return None,
        };
        let message = Message { vi: message_vi, en: message_en };
        Some(Violation { reason: Reason::from_code(&reason)?, severity, field, message })
    });
    let list: Vec<_> = list.collect();
    let unread = u32::try_from(given - list.len()).unwrap_or(u32::MAX);
    Violations::restore(list, omitted.saturating_add(unread))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_persons_number_is_not_kept() {
        let report = pb::Report {
            org_unit: "079123456789".to_owned(),
            period: "0912.345.678".to_owned(),
            data_set: "identity".to_owned(),
            ..pb::Report::default()
        };
        let Claim { org_unit, period, data_set, .. } = claim(&report);
        assert_eq!((org_unit.as_str(), period.as_str(), data_set.as_str()), ("", "", "identity"));
    }

    /// A report of forty cells as the shipped forms name them, both ways.
    #[test]
    fn dense_values_take_a_sixth_of_the_room() {
        let number = |place: i64| 1_000 + 997 * place;
        let named = pb::Report {
            submission_id: "0192f0c1-2b3c-7d4e-8f50-112233445566".to_owned(),
            org_unit: "31498".to_owned(),
            data_set: "identity".to_owned(),
            period: "202211".to_owned(),
            revision: Some(1),
            values: (0..40)
                .map(|place| pb::Value {
                    data_element: format!("id_card_records_collect_{place:02}"),
                    option: String::new(),
                    value: Some(pb::value::Value::Integer(number(place))),
                })
                .collect(),
            ..pb::Report::default()
        };
        let dense = pb::DenseValues {
            catalogue_version: "dd2c806480c4d5d9".to_owned(),
            present: vec![0xff; 5],
            values: (0..40).map(number).collect(),
        };
        let dense = pb::Report { values: Vec::new(), dense: Some(dense), ..named.clone() };
        assert!(6 * dense.encoded_len() < named.encoded_len(), "{} of {}", dense.encoded_len(), named.encoded_len());
    }
}
