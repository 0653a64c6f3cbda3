//! Files of reports: CSV as a spreadsheet saves it, JSON as a program writes it.
//!
//! The crate's README describes both. A file is read as a whole or not at all: either every report in it could be read, or
//! everything that could not is told with its line and column. Nothing is guessed. The catalogue, where it is at hand, says
//! what kind of value a cell takes; whether a unit, a form or a cell exists is for the collector to say.

mod csv;
mod json;
mod unit;
mod value;

use std::fmt;

use domain::{
    Catalogue, Message,
    catalogue::{DataSet, ValueType},
};
use proto::pb::report::v1::Report;

use crate::output::both;

/// The largest file that is read.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// CSV with a header, wide or long
    Csv,
    /// JSON: one report, a list of reports, or one report a line
    Json,
}

impl Format {
    /// The format that the ending of a file's name stands for.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A place in a file, both numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// In CSV the field of the row, in JSON the character of the line.
    pub column: u64,
}

impl fmt::Display for Place {
    /// `12:4`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A report of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileReport {
    /// Where it begins.
    pub place: Place,
    /// Where each of its values stands, in the order of the report's values.
    pub values_at: Vec<Place>,
    /// The report; its submission id is empty where the file gives none.
    pub report: Report,
}

/// Something in a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The column of the CSV file or the key in the JSON report, where one is meant.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: Message,
}

/// All that cannot be read: up to [`Faults::LIMIT`] faults, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
    omitted: u64,
}

impl Faults {
    /// How many are listed; the rest is counted.
    pub const LIMIT: usize = 100;

    /// The faults, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many were left out of the list.
    #[must_use]
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    fn add(&mut self, place: Place, field: &str, message: Message) {
        if self.list.len() < Self::LIMIT {
            self.list.push(Fault { place, field: field.to_owned(), message });
        } else {
            self.omitted += 1;
        }
    }

    /// The reports, if nothing is wrong.
    fn unless_any<T>(self, reports: T) -> Result<T, Self> {
        if self.list.is_empty() { Ok(reports) } else { Err(self) }
    }
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its reports, in order.
    pub reports: Vec<FileReport>,
    /// What is odd about how it is written without keeping it from being read.
    pub remarks: Faults,
}

/// What kinds of values cells take, as far as that is known.
#[derive(Clone, Copy, Debug)]
struct Types<'c>(Option<&'c Catalogue>);

impl<'c> Types<'c> {
    #[cfg(test)]
    const fn unknown() -> Self {
        Self(None)
    }

    #[cfg(test)]
    const fn of_catalogue(catalogue: &'c Catalogue) -> Self {
        Self(Some(catalogue))
    }

    fn of(self, data_set: &str, element: &str, option: &str) -> Option<ValueType> {
        let data_set: &DataSet = self.0?.find_data_set(data_set)?;
        Some(data_set.cells().get(data_set.find_cell(element, option)?)?.element.value_type)
    }
}

/// The reports in the text of a file. With a catalogue the types of its cells are known: `1.205` is 1205 in a cell of whole
/// numbers, and words may stand in a cell of words.
///
/// # Errors
/// Everything that cannot be read, up to [`Faults::LIMIT`].
pub fn read(format: Format, text: &str, catalogue: Option<&Catalogue>) -> Result<File, Faults> {
    // Spreadsheets put a byte order mark before UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Csv => csv::read(text, Types(catalogue)),
        Format::Json => json::read(text, Types(catalogue)),
    }
}

/// That a file is too large.
pub(crate) fn too_large() -> Message {
    let mib = MAX_BYTES >> 20;
    both(
        format!("Tệp lớn hơn {mib} MiB; hãy chia thành nhiều tệp."),
        format!("The file has more than {mib} MiB; split it."),
    )
}

/// That a file is no text we read.
pub(crate) fn not_utf8() -> Message {
    both(
        "Tệp không phải là văn bản UTF-8; hãy lưu lại với mã hóa UTF-8 (trong Excel: CSV UTF-8).",
        "The file is no UTF-8 text; save it as UTF-8 (in Excel: CSV UTF-8).",
    )
}

/// That there is nothing in a file.
pub(crate) fn empty() -> Message {
    both("Tệp không có báo cáo nào.", "There is no report in the file.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_name_tells_the_format() {
        for (name, format) in [
            ("a.csv", Some(Format::Csv)),
            ("A.CSV", Some(Format::Csv)),
            ("a.b.json", Some(Format::Json)),
            ("a.jsonl", Some(Format::Json)),
            ("a.ndjson", Some(Format::Json)),
            ("a.xlsx", None),
            ("csv", None),
        ] {
            assert_eq!(Format::of_name(name), format, "for {name}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert!(read(Format::Json, "\u{feff}[]", None).unwrap().reports.is_empty());
        let file = read(Format::Csv, "\u{feff}org_unit,data_set,period,a\n1,x,2022,5\n", None).unwrap();
        assert_eq!(file.reports[0].report.org_unit, "1");
    }

    #[test]
    fn faults_past_the_limit_are_counted() {
        let rows: String = (0..120).map(|_| "1,x,2022,~\n").collect();
        let faults = read(Format::Csv, &format!("org_unit,data_set,period,a\n{rows}"), None).unwrap_err();
        assert_eq!((faults.list().len(), faults.omitted()), (100, 20));
    }
}
