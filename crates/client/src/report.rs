//! Reports as a local system writes them.

use std::{fmt, str::FromStr};

use proto::pb::report::v1 as pb;
use uuid::Uuid;

/// The name of one submission: a UUID that its sender makes, and under which it may be sent again without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionId(Uuid);

/// A text that is no submission id: not a UUID, or all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a submission id is a UUID such as 0192f0c1-2b3c-7d4e-8f50-112233445566, and not all zeros")]
pub struct MalformedId;

impl SubmissionId {
    /// A new one, of version 7: it grows with time.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for SubmissionId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        Uuid::try_parse(text).ok().filter(|id| !id.is_nil()).map(Self).ok_or(MalformedId)
    }
}

/// One org unit's values for one data set and period.
///
/// Whether the unit, the form and the cells exist is for the collector to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Report(pb::Report);

impl Report {
    /// A report of an org unit, by its code, for a data set and a period: `Report::of("31498", "identity", "202211")`.
    #[must_use]
    pub fn of(org_unit: &str, data_set: &str, period: &str) -> Self {
        Self(pb::Report {
            org_unit: org_unit.to_owned(),
            data_set: data_set.to_owned(),
            period: period.to_owned(),
            ..pb::Report::default()
        })
    }

    /// The takeback of what the unit reported.
    #[must_use]
    pub fn withdrawal_of(org_unit: &str, data_set: &str, period: &str) -> Self {
        let Self(report) = Self::of(org_unit, data_set, period);
        Self(pb::Report { withdrawn: true, ..report })
    }

    /// Adds the value of a data element that is not broken down. A cell left out is absent, which is not zero.
    #[must_use]
    pub fn value(self, data_element: &str, value: impl Into<Value>) -> Self {
        self.value_of(data_element, "", value)
    }

    /// Adds the value of one option of a data element.
    #[must_use]
    pub fn value_of(mut self, data_element: &str, option: &str, value: impl Into<Value>) -> Self {
        let Value(value) = value.into();
        let (data_element, option) = (data_element.to_owned(), option.to_owned());
        self.0.values.push(pb::Value { data_element, option, value: Some(value) });
        self
    }

    /// Gives it the sender's own version number, 0 or more; the highest counts. Without one the collector gives a number
    /// that grows with time.
    #[must_use]
    pub fn revision(mut self, revision: i64) -> Self {
        self.0.revision = Some(revision);
        self
    }

    /// Gives it a submission id of the sender's own.
    #[must_use]
    pub fn under(mut self, id: SubmissionId) -> Self {
        self.0.submission_id = id.to_string();
        self
    }

    /// The report under its id, which is made where there is none and written in one way.
    pub(crate) fn identified(self) -> Result<(SubmissionId, pb::Report), MalformedId> {
        let Self(mut report) = self;
        let id = if report.submission_id.is_empty() { SubmissionId::fresh() } else { report.submission_id.parse()? };
        report.submission_id = id.to_string();
        Ok((id, report))
    }
}

impl From<pb::Report> for Report {
    fn from(report: pb::Report) -> Self {
        Self(report)
    }
}

/// The value of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Value(pb::value::Value);

impl Value {
    /// A number with decimals, written with a point and without grouping: `92.3`.
    #[must_use]
    pub fn decimal(text: &str) -> Self {
        Self(pb::value::Value::Decimal(text.to_owned()))
    }

    /// A day, as `2022-06-01`.
    #[must_use]
    pub fn date(text: &str) -> Self {
        Self(pb::value::Value::Date(text.to_owned()))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self(pb::value::Value::Integer(number))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self(pb::value::Value::Flag(flag))
    }
}

/// Words.
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(pb::value::Value::Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_what_was_written() {
        let id = SubmissionId::fresh();
        let report = Report::of("31498", "identity", "202211").revision(2).under(id);
        let report = report.value("rec_total", 412).value_of("svc_rate", "s03", Value::decimal("92.3"));
        let report = report.value("met", true).value("note", "thiếu máy").value("since", Value::date("2022-06-01"));
        let (read, report) = report.identified().unwrap();
        assert_eq!((read, report.submission_id.as_str()), (id, id.to_string().as_str()));
        assert_eq!((report.org_unit.as_str(), report.period.as_str(), report.revision), ("31498", "202211", Some(2)));
        let values: Vec<_> = report.values.into_iter().filter_map(|value| value.value).collect();
        use pb::value::Value as Given;
        let (rate, note, since) = ("92.3".to_owned(), "thiếu máy".to_owned(), "2022-06-01".to_owned());
        let expected =
            [Given::Integer(412), Given::Decimal(rate), Given::Flag(true), Given::Text(note), Given::Date(since)];
        assert_eq!(values, expected);
    }

    #[test]
    fn an_id_is_made_where_there_is_none_and_written_in_one_way() {
        let (one, two) = (SubmissionId::fresh(), SubmissionId::fresh());
        assert!(one < two, "ids grow with time");
        let named = |id: &str| Report::from(pb::Report { submission_id: id.to_owned(), ..pb::Report::default() });
        let (_, shouted) = named("0192F0C12B3C7D4E8F50112233445566").identified().unwrap();
        assert_eq!(shouted.submission_id, "0192f0c1-2b3c-7d4e-8f50-112233445566");
        assert_eq!(named("").identified().unwrap().1.submission_id.len(), 36);
        assert_eq!(named("a-b").identified(), Err(MalformedId));
        assert_eq!(named("00000000-0000-0000-0000-000000000000").identified(), Err(MalformedId));
    }
}
