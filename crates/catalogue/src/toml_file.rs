//! A TOML file taken apart, so that a fault in one of its tables does not hide those in the others.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::{
    fault::{Faults, Place},
    files::TextFile,
};

/// A table taken out: where it begins, and where each of its keys is, the key and its value.
pub(crate) type Table<'a, T> = (Place<'a>, Vec<(Place<'a>, String, T)>);

/// A file of which tables are taken one by one.
#[derive(Debug)]
pub(crate) struct TomlFile<'a> {
    pub(crate) file: TextFile<'a>,
    table: DeTable<'a>,
    span: Range<usize>,
}

impl<'a> TomlFile<'a> {
    /// The file's table; none where the file is not TOML.
    pub(crate) fn open(file: TextFile<'a>, faults: &mut Faults) -> Option<Self> {
        let (table, errors) = DeTable::parse_recoverable(file.text);
        for error in &errors {
            faults.add(place(file, error), error.message());
        }
        let span = table.span();
        errors.is_empty().then(|| Self { file, table: table.into_inner(), span })
    }

    /// Takes out the list under a key, each entry read by itself. An entry that cannot be read is a fault and left out.
    pub(crate) fn take_list<T: DeserializeOwned>(&mut self, key: &str, faults: &mut Faults) -> Vec<(Place<'a>, T)> {
        let Some(value) = self.table.remove(key) else { return Vec::new() };
        let start = value.span().start;
        let DeValue::Array(entries) = value.into_inner() else {
            faults.add(self.file.place(start), format!("`{key}` must be a list"));
            return Vec::new();
        };
        let mut list = Vec::new();
        for entry in entries {
            let start = entry.span().start;
            list.extend(self.read(entry, faults).map(|entry| (self.file.place(start), entry)));
        }
        list
    }

    /// Takes out the table under a key: each of its keys with its value, which is read by itself. An entry that cannot be
    /// read is a fault and left out; none where there is no such key.
    pub(crate) fn take_table<T: DeserializeOwned>(&mut self, key: &str, faults: &mut Faults) -> Option<Table<'a, T>> {
        let value = self.table.remove(key)?;
        let place = self.file.place(value.span().start);
        let DeValue::Table(entries) = value.into_inner() else {
            faults.add(place, format!("`{key}` must be a table, [{key}] and below it its keys"));
            return None;
        };
        let mut table = Vec::new();
        for (name, value) in entries {
            let place = self.file.place(name.span().start);
            table.extend(self.read(value, faults).map(|value| (place, name.into_inner().into_owned(), value)));
        }
        Some((place, table))
    }

    /// What is left of the table.
    pub(crate) fn rest<T: DeserializeOwned>(mut self, faults: &mut Faults) -> Option<T> {
        let table = Spanned::new(self.span.clone(), DeValue::Table(std::mem::take(&mut self.table)));
        self.read(table, faults)
    }

    fn read<T: DeserializeOwned>(&self, value: Spanned<DeValue<'a>>, faults: &mut Faults) -> Option<T> {
        let read = T::deserialize(ValueDeserializer::from(value));
        read.map_err(|error| faults.add(place(self.file, &error), error.message())).ok()
    }
}

fn place<'a>(file: TextFile<'a>, error: &toml::de::Error) -> Place<'a> {
    file.place(error.span().map_or(0, |span| span.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rest {
        name: Spanned<String>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        id: Spanned<String>,
    }

    /// The names and ids read, with the byte at which each begins, and the faults.
    fn read(text: &str) -> (Vec<(String, usize)>, String) {
        let mut faults = Faults::default();
        let mut read = Vec::new();
        if let Some(mut file) = TomlFile::open(TextFile { path: "x.toml", text }, &mut faults) {
            let entries = file.take_list::<Entry>("entry", &mut faults);
            read.extend(file.rest::<Rest>(&mut faults).map(|Rest { name }| name));
            read.extend(entries.into_iter().map(|(_, Entry { id })| id));
        }
        (read.into_iter().map(|text| (text.get_ref().clone(), text.span().start)).collect(), faults.to_string())
    }

    #[test]
    fn texts_keep_their_place_in_the_file() {
        let text = "name = 'n'\n[[entry]]\nid = 'a'\n[[entry]]\nid = 'b'\n";
        let place = |quoted: &str| text.find(quoted).unwrap();
        let read_texts = [("n", place("'n'")), ("a", place("'a'")), ("b", place("'b'"))];
        assert_eq!(read(text), (read_texts.map(|(text, place)| (text.to_owned(), place)).to_vec(), String::new()));
    }

    #[test]
    fn a_fault_in_one_table_does_not_hide_those_in_others() {
        let (texts, faults) =
            read("name = 'n'\ncolour = 1\n[[entry]]\nid = 'a'\nidd = 'a'\n[[entry]]\nid = 2\n[[entry]]\n");
        assert!(texts.is_empty());
        assert_eq!(
            faults,
            "x.toml:5: unknown field `idd`, expected `id`\nx.toml:7: invalid type: integer `2`, expected a string\n\
             x.toml:8: missing field `id`\nx.toml:2: unknown field `colour`, expected `name`"
        );
        assert_eq!(read("name = 'n'\nentry = 1\n").1, "x.toml:2: `entry` must be a list");
    }

    #[test]
    fn a_table_is_taken_entry_by_entry() {
        let taken = |text| {
            let mut faults = Faults::default();
            let mut file = TomlFile::open(TextFile { path: "x.toml", text }, &mut faults).unwrap();
            let table = file.take_table::<u16>("days", &mut faults);
            let entries = table.map(|(_, entries)| entries.into_iter().map(|(_, key, value)| (key, value)).collect());
            (entries, faults.to_string())
        };
        let entries: Vec<(String, u16)> = vec![("a".to_owned(), 1)];
        assert_eq!(
            taken("[days]\na = 1\nb = '2'\nc = -1\n"),
            (
                Some(entries),
                "x.toml:3: invalid type: string \"2\", expected u16\nx.toml:4: invalid value: integer `-1`, expected u16"
                    .to_owned()
            )
        );
        assert_eq!(
            taken("days = 1\n"),
            (None, "x.toml:1: `days` must be a table, [days] and below it its keys".to_owned())
        );
        assert_eq!(taken(""), (None, String::new()));
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        let faults = read("name = 'n'\nentry = [\n").1;
        assert!(faults.starts_with("x.toml:"), "{faults}");
        assert!(faults.contains("unclosed array"), "{faults}");
    }
}
