//! `options/*.csv`: the lists by which data elements are broken down, one a file.

use std::collections::{BTreeMap, HashMap};

use domain::{OptionCode, catalogue::CategoryOption};
use serde::Deserialize;

use crate::{
    csv_file,
    fault::{Faults, Place, filled, parsed},
    files::{Files, OPTIONS},
};

const COLUMNS: [&str; 3] = ["code", "name_vi", "name_en"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    name_vi: String,
    name_en: String,
}

/// The lists by name, which is their file's.
#[derive(Debug)]
pub(crate) struct OptionLists(BTreeMap<String, Vec<CategoryOption>>);

impl OptionLists {
    /// Every list, without the rows that have a fault.
    pub(crate) fn read(files: &Files, faults: &mut Faults) -> Self {
        Self(files.of(OPTIONS).map(|(name, path)| (name.to_owned(), read_list(files, path, faults))).collect())
    }

    /// The list of that name; a fault that names all of them where there is none.
    pub(crate) fn find(&self, place: Place<'_>, name: &str, faults: &mut Faults) -> Option<&[CategoryOption]> {
        let list = self.0.get(name);
        if list.is_none() {
            faults.add(place, format!("unknown option list `{name}`; the files in options/ are {}", self.names()));
        }
        list.map(Vec::as_slice)
    }

    /// The list of that name, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<&[CategoryOption]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// What lists there are, in words.
    pub(crate) fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn read_list(files: &Files, path: &str, faults: &mut Faults) -> Vec<CategoryOption> {
    let before = faults.count();
    let Some(file) = files.text(path, faults) else { return Vec::new() };
    let mut seen = HashMap::new();
    let mut list = Vec::new();
    for (place, Row { code, name_vi, name_en }) in csv_file::rows::<Row>(file, &COLUMNS, faults) {
        filled(place, [("name_vi", &name_vi), ("name_en", &name_en)], faults);
        let Some(code) = parsed::<OptionCode>((place, "code"), &code, faults) else { continue };
        if let Some(earlier) = seen.insert(code.to_string(), place) {
            faults.add(place, format!("option `{code}` is defined twice; first {earlier}"));
            continue;
        }
        list.push(CategoryOption { code, name_vi, name_en });
    }
    if list.is_empty() && faults.count() == before {
        faults.add(Place::file(path), "has no option; a list has at least one");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rows: &str) -> String {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set("options/kinds.csv", &format!("code,name_vi,name_en\n{rows}"));
        OptionLists::read(&files, &mut faults);
        faults.to_string()
    }

    #[test]
    fn wrong_rows_are_refused() {
        assert_eq!(
            faults("a b,Một,One\nrice,Cơm,Rice\nrice,Cơm,Rice\nsoup,,Soup\n"),
            "options/kinds.csv:2: code `a b` must be 1 to 40 characters of A-Z, a-z, 0-9, '_' or '-'\n\
             options/kinds.csv:4: option `rice` is defined twice; first on line 3\n\
             options/kinds.csv:5: name_vi is empty; every name_vi needs a text"
        );
        assert_eq!(faults(""), "options/kinds.csv: has no option; a list has at least one");
    }

    #[test]
    fn an_unknown_list_is_told_with_the_known_ones() {
        let mut faults = Faults::default();
        let lists = OptionLists::read(&Files::sample(), &mut faults);
        assert!(lists.find(Place::line("x.csv", 3), "kind", &mut faults).is_none());
        assert_eq!(faults.to_string(), "x.csv:3: unknown option list `kind`; the files in options/ are kinds");
    }
}
