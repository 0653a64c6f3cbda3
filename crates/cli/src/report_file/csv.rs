//! Reports in CSV: wide, one row a report and one column a cell; or long, one row a value.

use std::collections::HashMap;

use domain::{DataElementCode, Message, OptionCode};
use proto::pb::report::v1::{Report, Value};

use super::{Faults, File, FileReport, Place, Types, unit, value, value::Read};
use crate::output::both;

/// A cell, by data element and option; the option is empty without disaggregation.
type CellName = (String, String);

/// Where each thing stands in a row, from 0.
#[derive(Default)]
struct Columns {
    org_unit: Option<usize>,
    org_unit_name: Option<usize>,
    data_set: Option<usize>,
    period: Option<usize>,
    revision: Option<usize>,
    submission_id: Option<usize>,
    withdrawn: Option<usize>,
    // Of the long form:
    data_element: Option<usize>,
    option: Option<usize>,
    value: Option<usize>,
    // Of the wide form:
    cells: Vec<(usize, CellName)>,
}

/// The three that say what a report is about.
const REQUIRED: [&str; 3] = ["org_unit", "data_set", "period"];

pub(super) fn read(text: &str, types: Types<'_>) -> Result<File, Faults> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter(text)).from_reader(text.as_bytes());
    let mut faults = Faults::default();
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            faults.add(Place { line: 1, column: 1 }, "", explain(&error));
            return Err(faults);
        }
    };
    let header: Vec<&str> = header.iter().map(str::trim).collect();
    let columns = Columns::read(line_of(text, None), &header, &mut faults);
    // Without a good header every row would be at fault.
    if !faults.list.is_empty() {
        return Err(faults);
    }
    let file = File { reports: Vec::new(), remarks: Faults::default() };
    let names = unit::Names::default();
    let mut rows = Rows { types, names, header: &header, columns, file, by_key: HashMap::new(), faults };
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = line_of(text, record.position());
                rows.look_for_open_quotes(line, &record);
                let fields: Vec<&str> = record.iter().map(str::trim).collect();
                rows.row(line, &fields);
            }
            Err(error) => {
                let place = Place { line: line_of(text, error.position()), column: 1 };
                rows.faults.add(place, "", explain(&error));
            }
        }
    }
    rows.faults.unless_any(rows.file)
}

/// The line that a row begins at. The reader's position is before the ends of empty lines, and of a line that ends in two
/// characters before the second.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let (line, byte) = position.map_or((1, 0), |at| (at.line(), at.byte()));
    let rest = usize::try_from(byte).ok().and_then(|byte| text.as_bytes().get(byte..)).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    line + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// By the header, the first line that is not empty: comma, or what spreadsheets in Vietnam put in its place, where the comma is the decimal point; or the tab.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|delimiter| header.as_bytes().contains(delimiter)).unwrap_or(b',')
}

fn explain(error: &csv::Error) -> Message {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => both(
            format!(
                "dòng có {len} ô, dòng tiêu đề có {expected_len}; văn bản có dấu phân cách phải đặt trong dấu ngoặc kép"
            ),
            format!(
                "the row has {len} fields where the header has {expected_len}; a text with a separator in it needs quotes"
            ),
        ),
        _ => both(format!("CSV không đúng: {error}"), format!("not CSV: {error}")),
    }
}

impl Columns {
    /// `line` is the header's.
    fn read(line: u64, header: &[&str], faults: &mut Faults) -> Self {
        let mut columns = Self::default();
        let is_long = header.contains(&"data_element") && header.contains(&"value");
        for (index, name) in header.iter().enumerate() {
            let place = at(line, index);
            if header[..index].contains(name) {
                faults.add(place, name, both("cột xuất hiện hai lần", "the column occurs twice"));
                continue;
            }
            let slot = match *name {
                "org_unit" => &mut columns.org_unit,
                "org_unit_name" => &mut columns.org_unit_name,
                "data_set" => &mut columns.data_set,
                "period" => &mut columns.period,
                "revision" => &mut columns.revision,
                "submission_id" => &mut columns.submission_id,
                "withdrawn" => &mut columns.withdrawn,
                "data_element" if is_long => &mut columns.data_element,
                "option" if is_long => &mut columns.option,
                "value" if is_long => &mut columns.value,
                _ if is_long => {
                    faults.add(place, name, both(
                        "không nhận ra cột này; dạng dài có org_unit, org_unit_name, data_set, period, revision, submission_id, withdrawn, data_element, option, value",
                        "unknown column; the long form has org_unit, org_unit_name, data_set, period, revision, submission_id, withdrawn, data_element, option, value",
                    ));
                    continue;
                }
                name => {
                    match cell_name(name) {
                        Some(cell) => columns.cells.push((index, cell)),
                        None => faults.add(place, &value::shown(name), both(
                            "tên cột phải là mã chỉ tiêu hoặc mã chỉ tiêu[mã phân tổ], ví dụ rec_total, svc_online[s03]",
                            "a column is named by a data element, or a data element and an option: rec_total, svc_online[s03]",
                        )),
                    }
                    continue;
                }
            };
            *slot = Some(index);
        }
        let found = [columns.org_unit.or(columns.org_unit_name), columns.data_set, columns.period];
        for (name, _) in REQUIRED.iter().zip(found).filter(|(_, found)| found.is_none()) {
            faults.add(at(line, 0), name, both("thiếu cột này", "the column is missing"));
        }
        columns
    }
}

/// `rec_total`, `svc_online[s03]`
fn cell_name(name: &str) -> Option<CellName> {
    let (element, option) = match name.split_once('[') {
        None => (name, ""),
        Some((element, rest)) => {
            (element, OptionCode::new(rest.strip_suffix(']')?).ok().map(|_| &rest[..rest.len() - 1])?)
        }
    };
    DataElementCode::new(element).ok()?;
    Some((element.to_owned(), option.to_owned()))
}

/// The place of a field; `index` is from 0.
fn at(line: u64, index: usize) -> Place {
    Place { line, column: index as u64 + 1 }
}

/// What makes rows of the long form one report.
type Key = [String; 4];

struct Rows<'h> {
    types: Types<'h>,
    names: unit::Names<'h>,
    header: &'h [&'h str],
    columns: Columns,
    file: File,
    /// Of the long form: the report that a key's rows belong to.
    by_key: HashMap<Key, usize>,
    faults: Faults,
}

impl Rows<'_> {
    /// A quotation mark that is not closed takes all rows up to the next one, or to the end of the file, into its field. Only a value
    /// can be words of several lines, and those do not end with an empty one.
    fn look_for_open_quotes(&mut self, line: u64, record: &csv::StringRecord) {
        const ENDS: [char; 2] = ['\r', '\n'];
        for (index, field) in record.iter().enumerate().filter(|(_, field)| field.contains(ENDS)) {
            let is_value =
                self.columns.value == Some(index) || self.columns.cells.iter().any(|(column, _)| *column == index);
            if !is_value || field.ends_with(ENDS) {
                let message = both(
                    "ô có dấu xuống dòng; có lẽ thiếu dấu ngoặc kép đóng",
                    "the field has a line break; its closing quotation mark may be missing",
                );
                self.faults.add(at(line, index), self.header.get(index).copied().unwrap_or_default(), message);
            }
        }
    }

    fn row(&mut self, line: u64, fields: &[&str]) {
        // Spreadsheets save rows that were once used.
        if fields.iter().all(|field| field.is_empty()) {
            return;
        }
        if self.columns.value.is_some() { self.long(line, fields) } else { self.wide(line, fields) }
    }

    fn wide(&mut self, line: u64, fields: &[&str]) {
        let report = self.head(line, fields);
        let (mut values, mut values_at) = (Vec::new(), Vec::new());
        for (index, (element, option)) in &self.columns.cells {
            let field = field(fields, Some(*index));
            if field.is_empty() {
                continue;
            }
            match value::of_field(field, self.types.of(&report.data_set, element, option)) {
                Ok(Read { value, remark }) => {
                    if let Some(remark) = remark {
                        self.file.remarks.add(at(line, *index), self.header[*index], remark);
                    }
                    values.push(Value { data_element: element.clone(), option: option.clone(), value: Some(value) });
                    values_at.push(at(line, *index));
                }
                Err(message) => self.faults.add(at(line, *index), self.header[*index], message),
            }
        }
        self.file.reports.push(FileReport { place: at(line, 0), values_at, report: Report { values, ..report } });
    }

    fn long(&mut self, line: u64, fields: &[&str]) {
        let head = self.head(line, fields);
        let revision = head.revision.map(|revision| revision.to_string()).unwrap_or_default();
        let key = [head.org_unit.clone(), head.data_set.clone(), head.period.clone(), revision];
        let index = *self.by_key.entry(key).or_insert(self.file.reports.len());
        if index == self.file.reports.len() {
            self.file.reports.push(FileReport { place: at(line, 0), values_at: Vec::new(), report: head });
        } else {
            self.join(line, index, &head, value::flag(field(fields, self.columns.withdrawn)));
        }
        let (element, option) = (field(fields, self.columns.data_element), field(fields, self.columns.option));
        let given = field(fields, self.columns.value);
        if given.is_empty() {
            return;
        }
        let place = self.columns.value.map_or(at(line, 0), |value| at(line, value));
        if element.is_empty() {
            let message = both("có giá trị nhưng thiếu mã chỉ tiêu", "there is a value without a data element");
            return self.faults.add(place, "data_element", message);
        }
        let value_type = self.types.of(&self.file.reports[index].report.data_set, element, option);
        match value::of_field(given, value_type) {
            Ok(Read { value, remark }) => {
                if let Some(remark) = remark {
                    self.file.remarks.add(place, "value", remark);
                }
                let report = &mut self.file.reports[index];
                let value = Value { data_element: element.to_owned(), option: option.to_owned(), value: Some(value) };
                report.report.values.push(value);
                report.values_at.push(place);
            }
            Err(message) => self.faults.add(place, "value", message),
        }
    }

    /// One more row of a report: what it says of the whole must be what the first row said, or nothing.
    fn join(&mut self, line: u64, index: usize, head: &Report, withdrawn: Option<bool>) {
        let first = &mut self.file.reports[index];
        let place = |column: Option<usize>| at(line, column.unwrap_or(0));
        if !head.submission_id.is_empty() && head.submission_id != first.report.submission_id {
            let from = first.place.line;
            let message = both(
                format!("khác với dòng {from} của cùng báo cáo"),
                format!("differs from line {from} of the same report"),
            );
            self.faults.add(place(self.columns.submission_id), "submission_id", message);
        }
        if withdrawn.is_some_and(|withdrawn| withdrawn != first.report.withdrawn) {
            let from = first.place.line;
            let message = both(
                format!("khác với dòng {from} của cùng báo cáo"),
                format!("differs from line {from} of the same report"),
            );
            self.faults.add(place(self.columns.withdrawn), "withdrawn", message);
        }
    }

    /// The code of the unit that a row is about: the one it gives, or that of the unit it names.
    fn org_unit(&mut self, line: u64, fields: &[&str]) -> String {
        let Columns { org_unit, org_unit_name, data_set, period, .. } = self.columns;
        let (code, name) = (field(fields, org_unit), field(fields, org_unit_name));
        let place = |column: Option<usize>| at(line, column.unwrap_or(0));
        let tree =
            self.types.0.and_then(|catalogue| unit::tree(catalogue, field(fields, data_set), field(fields, period)));
        match (code, name, tree) {
            ("", "", _) => {
                self.faults.add(place(org_unit), "org_unit", both("ô này không được để trống", "the field is empty"));
            }
            ("", name, Some(tree)) => match self.names.code_of(tree, name) {
                Ok(code) => return code,
                Err(message) => self.faults.add(place(org_unit_name), "org_unit_name", message),
            },
            ("", _, None) => {
                let message = both(
                    "phải có mã đơn vị; muốn tra theo tên thì cần danh mục (--catalogue), biểu mẫu và kỳ đúng",
                    "the unit's code is needed; to look it up by name takes the catalogue (--catalogue), a data set and a period it knows",
                );
                self.faults.add(place(org_unit), "org_unit", message);
            }
            (code, name, Some(tree)) if !name.is_empty() => {
                if let Some(remark) = self.names.contradiction(tree, code, name) {
                    self.file.remarks.add(place(org_unit_name), "org_unit_name", remark);
                }
            }
            _ => {}
        }
        code.to_owned()
    }

    /// The report that a row is or belongs to, without values.
    fn head(&mut self, line: u64, fields: &[&str]) -> Report {
        let Columns { data_set, period, revision, submission_id, withdrawn, .. } = self.columns;
        let org_unit = self.org_unit(line, fields);
        for (name, column) in [("data_set", data_set), ("period", period)] {
            if field(fields, column).is_empty() {
                let place = at(line, column.unwrap_or(0));
                self.faults.add(place, name, both("ô này không được để trống", "the field is empty"));
            }
        }
        let text = |column| field(fields, column).to_owned();
        let (given_revision, given_withdrawn) = (text(revision), text(withdrawn));
        let is_plain = given_revision.bytes().all(|byte| byte.is_ascii_digit());
        let number = given_revision.parse::<i64>().ok().filter(|_| is_plain);
        if number.is_none() && !given_revision.is_empty() {
            let message = both("lần sửa phải là số nguyên từ 0 trở lên", "a revision is a whole number, 0 or more");
            self.faults.add(at(line, revision.unwrap_or(0)), "revision", message);
        }
        let flag = value::flag(&given_withdrawn);
        if flag.is_none() && !given_withdrawn.is_empty() {
            let message = both("phải là có/không hoặc true/false", "must be có/không or true/false");
            self.faults.add(at(line, withdrawn.unwrap_or(0)), "withdrawn", message);
        }
        Report {
            submission_id: text(submission_id),
            org_unit,
            data_set: text(data_set),
            period: text(period),
            revision: number,
            values: Vec::new(),
            withdrawn: flag.unwrap_or_default(),
            dense: None,
        }
    }
}

/// A field of a row; empty where the file has no such column.
fn field<'a>(fields: &[&'a str], column: Option<usize>) -> &'a str {
    column.and_then(|column| fields.get(column)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::pb::report::v1::value::Value as Given;

    fn read(text: &str) -> Result<Vec<FileReport>, Faults> {
        super::read(text, Types::unknown()).map(|file| file.reports)
    }

    fn faults(text: &str) -> Vec<String> {
        let faults = read(text).unwrap_err();
        faults.list().iter().map(|fault| format!("{} {}: {}", fault.place, fault.field, fault.message.en)).collect()
    }

    fn values(report: &FileReport) -> Vec<(&str, &str, Given)> {
        let values = report.report.values.iter();
        values.map(|value| (value.data_element.as_str(), value.option.as_str(), value.value.clone().unwrap())).collect()
    }

    #[test]
    fn the_wide_form_has_a_row_for_each_report() {
        let reports = read(
            "org_unit,data_set,period,revision,rec_total,svc_online[s03],org_plan_issued\n\
             31498,online,202211,2,1.234.567,\"92,3\",có\n\
             \n\
             31501,online,202211,, 0 ,,\n\
             ,,,,,,\n",
        )
        .unwrap();
        assert_eq!(reports.len(), 2, "a row of empty fields is none");
        assert_eq!(
            values(&reports[0]),
            [
                ("rec_total", "", Given::Integer(1_234_567)),
                ("svc_online", "s03", Given::Decimal("92.3".to_owned())),
                ("org_plan_issued", "", Given::Flag(true))
            ]
        );
        assert_eq!(reports[0].values_at[1], Place { line: 2, column: 6 });
        assert_eq!(
            values(&reports[1]),
            [("rec_total", "", Given::Integer(0))],
            "an empty field is absent, which is not zero"
        );
        assert_eq!((reports[0].report.revision, reports[1].report.revision), (Some(2), None));
        assert_eq!(reports[1].place, Place { line: 4, column: 1 }, "the empty line is counted");
    }

    /// Goal: rows that an open quotation mark has taken into a field are missed, wherever it is.
    #[test]
    fn a_quotation_mark_that_is_not_closed_is_a_fault() {
        let header = "data_set,period,org_unit,rec_total,words,org_unit_name\n";
        let faulty =
            ["x,202211,1,7,a,\"Phường 5\nx,202211,2,7,a,b\n", "x,202211,1,7,a,\"Phường 5\nx,202211,2,7,a,\"b\"\n"];
        let is_told = |rows: &str| {
            // Words take the catalogue; without it they are faults of their own.
            let faults = read(&format!("{header}{rows}")).unwrap_err();
            faults.list.iter().any(|fault| fault.message.en.contains("line break"))
        };
        for rows in faulty {
            assert!(is_told(rows), "{rows}");
        }
        assert!(!is_told("x,202211,1,7,\"one\ntwo\",b\nx,202211,2,7,\"say \"\"so\"\"\",b\n"), "words have lines");
    }

    #[test]
    fn the_long_form_has_a_row_for_each_value() {
        let reports = read(
            "org_unit;data_set;period;data_element;option;value\n\
             1;x;202211;rec_total;;7\n\
             2;x;202211;rec_total;;5\n\
             1;x;202211;svc_online;s03;4\n\
             2;x;202211;rec_online;;\n",
        )
        .unwrap();
        assert_eq!(reports.len(), 2);
        assert_eq!(
            values(&reports[0]),
            [("rec_total", "", Given::Integer(7)), ("svc_online", "s03", Given::Integer(4))]
        );
        assert_eq!(reports[0].values_at[1], Place { line: 4, column: 6 });
        assert_eq!(values(&reports[1]), [("rec_total", "", Given::Integer(5))]);
    }

    /// The shipped forms say what their cells take: one group of three is a count.
    #[test]
    fn units_are_known_by_name_and_codes_decide() {
        let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogue/de06"));
        let catalogue = catalogue::load(dir).unwrap().catalogue;
        let types = Types::of_catalogue(&catalogue);
        let header = "org_unit,org_unit_name,data_set,period,id_cards_issued\n";
        let units = |rows: &str| {
            let file = super::read(&format!("{header}{rows}"), types).unwrap();
            let codes: Vec<String> = file.reports.iter().map(|read| read.report.org_unit.clone()).collect();
            (codes, file.remarks)
        };
        // Spelling is folded, also where the code stands beside it.
        let (codes, remarks) = units(
            ",tinh soc trang,identity,202211,1\n94,TỈNH SÓC TRĂNG,identity,202211,1\n46,Thừa Thiên Huế,identity,202211,1\n\
             48,Thành phố Đà Nẵng,identity,202211,1\n48,thanh pho Da Nang,identity,202211,1\n",
        );
        assert_eq!(codes, ["94", "94", "46", "48", "48"]);
        assert!(remarks.list().is_empty(), "{remarks:?}");
        // Without the kind, and each period by its own tree.
        let (codes, _) = units(",Dak Lak,identity,202211,1\n,Tỉnh Đăk Lăk,identity,202508,1\n");
        assert_eq!(codes, ["66", "66"]);
        // The code decides, and the contradiction is told.
        let (codes, remarks) = units("94,Tỉnh Bạc Liêu,identity,202211,1\n");
        assert_eq!(codes, ["94"]);
        assert_eq!(
            remarks.list()[0].message.en,
            "the code 94 is Tỉnh Sóc Trăng, not `Tỉnh Bạc Liêu`; the report goes by its code; `Tỉnh Bạc Liêu` is 95 Tỉnh Bạc Liêu"
        );
        let refused =
            |row: &str| super::read(&format!("{header}{row}"), types).unwrap_err().list()[0].message.en.clone();
        assert!(refused(",Xã Tân Tiến,identity,202211,1\n").starts_with("several units are named `Xã Tân Tiến`: "));
        assert_eq!(
            refused(",Tỉnh Atlantis,identity,202211,1\n"),
            "no unit is named `Tỉnh Atlantis` in this period; give its code in the column org_unit"
        );
        // Sóc Trăng is a part of Cần Thơ since July 2025.
        assert!(refused(",Tỉnh Sóc Trăng,identity,202508,1\n").starts_with("no unit is named"));
        let unknown = read(&format!("{header},Tỉnh Sóc Trăng,identity,202211,1\n")).unwrap_err();
        assert!(unknown.list()[0].message.en.starts_with("the unit's code is needed"), "{unknown:?}");
    }

    #[test]
    fn cells_that_are_known_take_what_they_take() {
        let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogue/de06"));
        let catalogue = catalogue::load(dir).unwrap().catalogue;
        let types = Types::of_catalogue(&catalogue);
        let wide = "org_unit,data_set,period,id_eligible_citizens,id_card_target_met,id_cards_issued\n\
                    31498,identity,202211,14.309,x,02\n";
        let file = super::read(wide, types).unwrap();
        assert_eq!(
            values(&file.reports[0]),
            [
                ("id_eligible_citizens", "", Given::Integer(14_309)),
                ("id_card_target_met", "", Given::Flag(true)),
                ("id_cards_issued", "", Given::Integer(2))
            ]
        );
        let [remark] = file.remarks.list() else { panic!("{:?}", file.remarks) };
        assert_eq!((remark.place, remark.field.as_str()), (Place { line: 2, column: 6 }, "id_cards_issued"));
        let long = "org_unit,data_set,period,data_element,option,value\n\
                    31498,online_services,202211,svc_total,s03,1.205\n\
                    31498,elsewhere,202211,svc_total,s03,\"92,3\"\n";
        let file = super::read(long, types).unwrap();
        assert_eq!(values(&file.reports[0]), [("svc_total", "s03", Given::Integer(1_205))]);
        assert_eq!(values(&file.reports[1]), [("svc_total", "s03", Given::Decimal("92.3".to_owned()))], "not known");
        let faulty = wide.replace("14.309,x", "14.309,1");
        let faults = super::read(&faulty, types).unwrap_err();
        assert_eq!(faults.list()[0].place, Place { line: 2, column: 5 });
    }

    #[test]
    fn a_withdrawal_and_an_id_of_the_senders_own_are_read() {
        let reports = read("submission_id,org_unit,data_set,period,withdrawn\n\"a-b\",1,x,2022,có\n").unwrap();
        assert!(reports[0].report.withdrawn);
        assert_eq!(reports[0].report.submission_id, "a-b");
    }

    #[test]
    fn a_wrong_header_is_told_and_the_rows_are_not_looked_at() {
        assert_eq!(
            faults("org_unit,period,Số thẻ,a,a,svc[s 3],svc[s3\n~,~,~,~,~,~,~\n"),
            [
                "1:3 Số thẻ: a column is named by a data element, or a data element and an option: rec_total, svc_online[s03]",
                "1:5 a: the column occurs twice",
                "1:6 svc[s 3]: a column is named by a data element, or a data element and an option: rec_total, svc_online[s03]",
                "1:7 svc[s3: a column is named by a data element, or a data element and an option: rec_total, svc_online[s03]",
                "1:1 data_set: the column is missing",
            ]
        );
        assert!(
            faults("org_unit,data_set,period,data_element,value,note\n")[0]
                .starts_with("1:6 note: unknown column; the long form has")
        );
        assert_eq!(faults("").len(), 3);
    }

    #[test]
    fn every_field_that_cannot_be_read_is_told_with_line_and_column() {
        assert_eq!(
            faults(
                "org_unit,data_set,period,revision,withdrawn,a,b[s03]\r\n\
                 1,x,2022,0,,8.1026,5\r\n\
                 ,x,2022,-1,maybe,5,\"1,205,627\"\r\n\
                 \r\n\
                 1,x\r\n\
                 1,x,2022,x,,1.205,nhiều\r\n\
                 1,x,2022,+5,,1,\r\n"
            ),
            [
                "2:6 a: `8.1026` has separators where none belong: dots part groups of three digits, decimals stand after a comma; is 81.026 or 8,1026 meant?",
                "3:1 org_unit: the field is empty",
                "3:4 revision: a revision is a whole number, 0 or more",
                "3:5 withdrawn: must be có/không or true/false",
                "3:7 b[s03]: `1,205,627` has separators where none belong: dots part groups of three digits, decimals stand after a comma; is 1.205.627 meant?",
                "5:1 : the row has 2 fields where the header has 7; a text with a separator in it needs quotes",
                "6:4 revision: a revision is a whole number, 0 or more",
                "6:6 a: `1.205` may be 1205 or 1,205: write 1205 for the whole number, 1,205 for the other, or name the catalogue by --catalogue",
                "6:7 b[s03]: `nhiều` is neither a number, a day (09/06/2023) nor có/không; words need the catalogue (--catalogue)",
                "7:4 revision: a revision is a whole number, 0 or more",
            ]
        );
    }

    #[test]
    fn rows_of_one_report_agree() {
        assert_eq!(
            faults(
                "org_unit,data_set,period,submission_id,withdrawn,data_element,value\n\
                 1,x,2022,i,,a,1\n\
                 1,x,2022,j,,b,2\n\
                 1,x,2022,,có,,\n\
                 1,x,2022,,,,3\n"
            ),
            [
                "3:4 submission_id: differs from line 2 of the same report",
                "4:5 withdrawn: differs from line 2 of the same report",
                "5:7 data_element: there is a value without a data element",
            ]
        );
        assert_eq!(
            faults(
                "org_unit,data_set,period,withdrawn,data_element,value\n\
                 1,x,2022,có,,\n\
                 1,x,2022,,,\n\
                 1,x,2022,không,,\n"
            ),
            ["4:4 withdrawn: differs from line 2 of the same report"],
            "nothing is said where the field is empty"
        );
    }

    #[test]
    fn empty_lines_before_the_header_are_passed_over() {
        let reports = read("\r\n\norg_unit;data_set;period;a\n1;x;2022;92,3\n").unwrap();
        assert_eq!(values(&reports[0]), [("a", "", Given::Decimal("92.3".to_owned()))]);
        assert_eq!(reports[0].place.line, 4);
        assert_eq!(faults("\norg_unit;period;a\n"), ["2:1 data_set: the column is missing"]);
    }
}
