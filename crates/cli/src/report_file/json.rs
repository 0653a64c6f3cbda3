//! Reports in JSON: one object, a list of them, or one after the other.

use std::fmt;

use domain::catalogue::ValueType;
use proto::pb::report::v1::{Report, Value};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Faults, File, FileReport, Place, Types, value};
use crate::output::both;

/// A report as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    submission_id: Option<String>,
    org_unit: String,
    data_set: String,
    period: String,
    revision: Option<i64>,
    #[serde(default)]
    withdrawn: bool,
    #[serde(borrow)]
    values: Option<Entries<'a>>,
}

/// The keys and values of an object, in its order, also those that occur twice.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of values by data element")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}

pub(super) fn read(text: &str, types: Types<'_>) -> Result<File, Faults> {
    let mut reader = Reader { types, lines: Lines::new(text), reports: Vec::new(), faults: Faults::default() };
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match document {
            Err(error) => reader.syntax(text, &error),
            Ok(raw) if raw.get().starts_with('[') => match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
                Err(error) => reader.syntax(raw.get(), &error),
                Ok(list) => list.into_iter().for_each(|raw| reader.report(raw)),
            },
            Ok(raw) => reader.report(raw),
        }
    }
    reader.faults.unless_any(File { reports: reader.reports, remarks: Faults::default() })
}

struct Reader<'a> {
    types: Types<'a>,
    lines: Lines<'a>,
    reports: Vec<FileReport>,
    faults: Faults,
}

impl<'a> Reader<'a> {
    fn report(&mut self, raw: &'a RawValue) {
        let place = self.lines.place(raw.get());
        let row: Row<'a> = match serde_json::from_str(raw.get()) {
            Ok(row) => row,
            Err(error) => return self.syntax(raw.get(), &error),
        };
        let Row { submission_id, org_unit, data_set, period, revision, withdrawn, values } = row;
        let (mut list, mut values_at) = (Vec::new(), Vec::new());
        for (data_element, raw) in values.map_or(Vec::new(), |entries| entries.0) {
            let options = if raw.get().starts_with('{') {
                match serde_json::from_str::<Entries<'a>>(raw.get()) {
                    Ok(options) => options.0,
                    Err(error) => return self.syntax(raw.get(), &error),
                }
            } else {
                vec![(String::new(), raw)]
            };
            for (option, raw) in options {
                let place = self.lines.place(raw.get());
                match given(raw.get(), self.types.of(&data_set, &data_element, &option)) {
                    Ok(None) => {}
                    Ok(value) => {
                        list.push(Value { data_element: data_element.clone(), option, value });
                        values_at.push(place);
                    }
                    Err(message) => {
                        let (element, option) = (value::shown(&data_element), value::shown(&option));
                        let field = if option.is_empty() { element } else { format!("{element}[{option}]") };
                        self.faults.add(place, &field, message);
                    }
                }
            }
        }
        let submission_id = submission_id.unwrap_or_default();
        let report =
            Report { submission_id, org_unit, data_set, period, revision, values: list, withdrawn, dense: None };
        self.reports.push(FileReport { place, values_at, report });
    }

    /// Tells what the parser says of `part`, which is the text or a slice of it.
    fn syntax(&mut self, part: &'a str, error: &serde_json::Error) {
        let start: usize = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        // The parser counts bytes, and points at the last of what it has read.
        let mut at = (start + error.column().saturating_sub(1)).min(part.len());
        while !part.is_char_boundary(at) {
            at -= 1;
        }
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let place = self.lines.place(&part[at..]);
        self.faults.add(
            place,
            "",
            both(format!("JSON không đúng: {said}"), format!("not the JSON of a report: {said}")),
        );
    }
}

/// The value of a cell; none for `null`, which says as little as leaving the cell out.
fn given(
    raw: &str,
    value_type: Option<ValueType>,
) -> Result<Option<proto::pb::report::v1::value::Value>, domain::Message> {
    use proto::pb::report::v1::value::Value as Given;
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b't') => Ok(Some(Given::Flag(true))),
        Some(b'f') => Ok(Some(Given::Flag(false))),
        Some(b'"') => {
            let text: String = serde_json::from_str(raw).map_err(|error| both(error.to_string(), error.to_string()))?;
            value::of_text(&text, value_type).map(Some)
        }
        Some(b'[' | b'{') => Err(both(
            "giá trị phải là số, true/false, chuỗi hoặc (một cấp) các phân tổ",
            "a value is a number, true or false, a string, or (one level of) options",
        )),
        _ => value::of_number(raw).map(Some),
    }
}

/// Finds lines and columns. It remembers where it was, so that asking for places in order takes one walk through the text.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, place: Place { line: 1, column: 1 } }
    }

    /// Where a slice of the text begins.
    fn place(&mut self, slice: &str) -> Place {
        let offset = (slice.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        if offset < self.at {
            *self = Self::new(self.text);
        }
        for c in self.text[self.at..offset].chars() {
            if c == '\n' {
                self.place = Place { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        self.at = offset;
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::pb::report::v1::value::Value as Given;

    fn read(text: &str) -> Result<Vec<FileReport>, Faults> {
        super::read(text, Types::unknown()).map(|file| file.reports)
    }

    /// A fault as `line:column field: message`.
    fn faults(text: &str) -> Vec<String> {
        let faults = read(text).unwrap_err();
        faults.list().iter().map(|fault| format!("{} {}: {}", fault.place, fault.field, fault.message.en)).collect()
    }

    #[test]
    fn a_report_is_read_with_every_kind_of_value() {
        let text = r#"{
  "submission_id": "0192f0c1-2b3c-7d4e-8f50-112233445566",
  "org_unit": "31498", "data_set": "identity", "period": "202211", "revision": 3,
  "values": {
    "id_cards_issued": 7, "é": true, "rate": "92.3", "exact": 92.30, "note": "thiếu máy", "absent": null,
    "svc_online": {"s03": 4, "s04": null}
  }
}"#;
        let [FileReport { place, values_at, report }] = read(text).unwrap().try_into().unwrap();
        assert_eq!(place, Place { line: 1, column: 1 });
        assert_eq!((report.org_unit.as_str(), report.revision, report.withdrawn), ("31498", Some(3), false));
        let values: Vec<_> = report
            .values
            .iter()
            .map(|value| (value.data_element.as_str(), value.option.as_str(), value.value.clone().unwrap()))
            .collect();
        let decimal = |text: &str| Given::Decimal(text.to_owned());
        assert_eq!(
            values,
            [
                ("id_cards_issued", "", Given::Integer(7)),
                ("é", "", Given::Flag(true)),
                ("rate", "", decimal("92.3")),
                ("exact", "", decimal("92.30")),
                ("note", "", Given::Text("thiếu máy".to_owned())),
                ("svc_online", "s03", Given::Integer(4)),
            ]
        );
        let columns: Vec<_> = values_at.iter().map(|place| (place.line, place.column)).collect();
        assert_eq!(
            columns,
            [(5, 24), (5, 32), (5, 46), (5, 63), (5, 78), (6, 27)],
            "characters are counted, not bytes"
        );
    }

    #[test]
    fn one_report_a_list_and_one_a_line_are_the_same() {
        let (a, b) = (
            r#"{"org_unit":"1","data_set":"x","period":"2022","values":{"a":1}}"#,
            r#"{"org_unit":"2","data_set":"x","period":"2022","withdrawn":true}"#,
        );
        for text in [format!("{a}\n{b}\n"), format!("[{a},\n{b}]"), format!("\n[{a}] {b}")] {
            let reports = read(&text).unwrap();
            let seen: Vec<_> = reports
                .iter()
                .map(|read| (read.report.org_unit.as_str(), read.report.withdrawn, read.report.revision))
                .collect();
            assert_eq!(seen, [("1", false, None), ("2", true, None)]);
        }
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("[]"), Ok(Vec::new()));
        assert_eq!(read(&format!("{a}\n{b}")).unwrap()[1].place, Place { line: 2, column: 1 });
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column() {
        let report = |values: &str| {
            format!("{{\"org_unit\":\"1\",\"data_set\":\"x\",\"period\":\"2022\",\n\"values\":{{{values}}}}}")
        };
        assert_eq!(
            faults(&report(
                r#""a": 1e3, "b": "1.205.627", "c": [1], "d": {"s03": {"x": 1}}, "e": 99999999999999999999"#
            )),
            [
                "2:16 a: `1e3`: write all digits, without an exponent",
                "2:26 b: `1.205.627`: write numbers without grouping, and decimals after a point: 1205627, 92.3",
                "2:44 c: a value is a number, true or false, a string, or (one level of) options",
                "2:62 d[s03]: a value is a number, true or false, a string, or (one level of) options",
                "2:78 e: the number `99999999999999999999` is too large",
            ]
        );
    }

    #[test]
    fn a_misspelt_missing_or_mistyped_key_is_told() {
        let known = "`submission_id`, `org_unit`, `data_set`, `period`, `revision`, `withdrawn`, `values`";
        for (text, expected) in [
            (
                "{\"org_unit\":\"1\",\n\"data_sets\":\"x\"}",
                format!("2:11 : not the JSON of a report: unknown field `data_sets`, expected one of {known}"),
            ),
            (
                "\n  {\"org_unit\": 94}",
                "2:17 : not the JSON of a report: invalid type: integer `94`, expected a string".to_owned(),
            ),
            (
                "{\"org_unit\":\"1\",\"data_set\":\"x\"}",
                "1:31 : not the JSON of a report: missing field `period`".to_owned(),
            ),
            (
                "{\"org_unit\":\"1\",\"values\":[]}",
                "1:25 : not the JSON of a report: invalid type: sequence, expected an object of values by data element"
                    .to_owned(),
            ),
            ("[1]", "1:2 : not the JSON of a report: invalid type: integer `1`, expected struct Row".to_owned()),
        ] {
            assert_eq!(faults(text), [expected]);
        }
    }

    #[test]
    fn broken_json_is_told_once_with_its_place() {
        assert_eq!(faults("{\"é\": 1,\n\"a\" 2}"), ["2:5 : not the JSON of a report: expected `:`"]);
        assert_eq!(faults("[{}"), ["1:3 : not the JSON of a report: EOF while parsing a list"]);
        assert_eq!(faults("org_unit,data_set"), ["1:1 : not the JSON of a report: expected value"]);
    }
}
