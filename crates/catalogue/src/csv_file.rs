//! Rows of a CSV file, each with the place it begins at.

use serde::de::DeserializeOwned;

use crate::{
    fault::{Faults, Place},
    files::TextFile,
};

/// The rows of a file that must have exactly these columns, in any order. A row that cannot be read is a fault and left
/// out.
pub(crate) fn rows<'a, R: DeserializeOwned>(
    file: TextFile<'a>,
    columns: &[&str],
    faults: &mut Faults,
) -> Vec<(Place<'a>, R)> {
    let mut reader = csv::Reader::from_reader(file.text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            faults.add(Place::line(file.path, 1), error.to_string());
            return Vec::new();
        }
    };
    if !check_header(&header, file.path, columns, faults) {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.add(Place::line(file.path, line(error.position())), explain(&error));
                continue;
            }
        };
        let place = Place::line(file.path, line(record.position()));
        match record.deserialize(Some(&header)) {
            Ok(row) => rows.push((place, row)),
            Err(error) => faults.add(place, error.to_string()),
        }
    }
    rows
}

fn line(position: Option<&csv::Position>) -> u64 {
    position.map_or(1, csv::Position::line)
}

fn check_header(header: &csv::StringRecord, path: &str, columns: &[&str], faults: &mut Faults) -> bool {
    let before = faults.count();
    let place = Place::line(path, 1);
    for (index, name) in header.iter().enumerate() {
        if !columns.contains(&name) {
            faults.add(place, format!("unknown column `{name}`; the columns are {}", columns.join(",")));
        } else if header.iter().take(index).any(|earlier| earlier == name) {
            faults.add(place, format!("column `{name}` occurs twice"));
        }
    }
    for column in columns.iter().filter(|column| !header.iter().any(|name| name == **column)) {
        faults.add(place, format!("column `{column}` is missing; the columns are {}", columns.join(",")));
    }
    faults.count() == before
}

fn explain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "the row has {len} fields where the header has {expected_len}; a text with a comma in it needs quotes"
            )
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        code: String,
        name: Option<String>,
    }

    fn read(text: &str) -> (Vec<(String, Option<String>)>, String) {
        let mut faults = Faults::default();
        let rows = rows::<Row>(TextFile { path: "x.csv", text }, &["code", "name"], &mut faults);
        (rows.into_iter().map(|(_, Row { code, name })| (code, name)).collect(), faults.to_string())
    }

    #[test]
    fn columns_come_in_any_order_and_an_empty_field_is_none() {
        let rows = vec![("1".to_owned(), Some("a, b".to_owned())), ("2".to_owned(), None)];
        assert_eq!(read("name,code\n\"a, b\",1\n,2\n"), (rows, String::new()));
    }

    #[test]
    fn a_wrong_header_is_refused() {
        assert_eq!(
            read("code,nmae,code\n1,a,1\n").1,
            "x.csv:1: unknown column `nmae`; the columns are code,name\nx.csv:1: column `code` occurs twice\n\
             x.csv:1: column `name` is missing; the columns are code,name"
        );
        assert!(read("").1.starts_with("x.csv:1: column `code` is missing"));
    }

    #[test]
    fn a_row_of_another_length_is_refused_and_the_others_are_read() {
        let (rows, faults) = read("code,name\n1,a,b\n2,b\n3\n");
        assert_eq!(rows, [("2".to_owned(), Some("b".to_owned()))]);
        assert_eq!(
            faults,
            "x.csv:2: the row has 3 fields where the header has 2; a text with a comma in it needs quotes\n\
             x.csv:4: the row has 1 fields where the header has 2; a text with a comma in it needs quotes"
        );
    }
}
