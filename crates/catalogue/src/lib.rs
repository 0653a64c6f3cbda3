#![doc = include_str!("../README.md")]

mod about;
mod csv_file;
mod data_elements;
mod data_sets;
mod fault;
mod files;
mod levels;
mod options;
mod org_units;
mod rule_text;
mod rules;
mod toml_file;

use std::path::Path;

use domain::{Catalogue, CatalogueVersion, UnitVersion};

pub use about::About;
pub use fault::{Fault, Faults};

use crate::{data_elements::Elements, files::Files, levels::Levels, options::OptionLists};

/// A directory's catalogue, checked.
#[derive(Debug)]
pub struct Loaded {
    /// What the catalogue is.
    pub about: About,
    /// What may be reported, by whom, and how it adds up.
    pub catalogue: Catalogue,
    /// The rows of the tree over all time, in the file's order. The catalogue's tree is built from them.
    pub org_units: Vec<UnitVersion>,
    /// The files it was read from: path and bytes. [`load_files`] makes the same of them again.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Reads the catalogue in a directory.
///
/// # Errors
/// Every fault found in its files, up to [`Faults::LIMIT`].
pub fn load(dir: &Path) -> Result<Loaded, Faults> {
    let mut faults = Faults::default();
    let files = Files::read(dir, &mut faults);
    assemble(&files, faults)
}

/// Reads the catalogue in files that were kept.
///
/// # Errors
/// Every fault found in them: they were written by another program version, or are not what was kept.
pub fn load_files(files: Vec<(String, Vec<u8>)>) -> Result<Loaded, Faults> {
    let mut faults = Faults::default();
    let files = Files::kept(files, &mut faults);
    assemble(&files, faults)
}

/// The catalogue that the files make, unless `faults` holds or gets one.
fn assemble(files: &Files, mut faults: Faults) -> Result<Loaded, Faults> {
    let about = about::read(files, &mut faults);
    let options = OptionLists::read(files, &mut faults);
    // Without good levels every other row would be at fault for naming one.
    let Some(levels) = Levels::read(files, &mut faults) else { return Err(faults.sorted()) };
    let units = org_units::read(files, &levels, &mut faults);
    let elements = Elements::read(files, &levels, &options, &mut faults);
    let data_sets = data_sets::read(files, &levels, &elements, &options, &mut faults);
    match (about, units) {
        (Some((about, version)), Some((org_units, tree))) if faults.is_empty() => {
            let version = CatalogueVersion::new(&format!("{version}-{}", files.fingerprint()));
            Ok(Loaded {
                files: files.list(),
                about,
                catalogue: Catalogue::new(version, levels.into_list(), tree, data_sets, time::macros::offset!(+7)),
                org_units,
            })
        }
        _ => Err(faults.sorted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::found;

    #[test]
    fn a_small_catalogue_loads() {
        let loaded = assemble(&Files::sample(), Faults::default()).unwrap();
        assert_eq!(loaded.about.name, "sample");
        assert_eq!(loaded.org_units.len(), 3);
        assert_eq!(loaded.catalogue.levels().len(), 2);
        assert_eq!(loaded.catalogue.data_sets().len(), 1);
    }

    #[test]
    fn faults_of_all_files_are_found_at_once() {
        let mut files = Files::sample();
        files.edit("catalogue.toml", "version = \"1\"", "version = \"1 \"");
        files.edit("org_units.csv", "city", "town");
        files.edit("data_elements.csv", "flow", "flux");
        files.edit("data_sets/meals.toml", "gregorian", "julian");
        let faults = assemble(&files, Faults::default()).unwrap_err();
        let places: Vec<_> = faults.list().iter().map(|fault| (fault.file.as_str(), fault.line.unwrap())).collect();
        assert_eq!(
            places,
            [("catalogue.toml", 4), ("data_elements.csv", 2), ("data_sets/meals.toml", 4), ("org_units.csv", 2)]
        );
    }

    #[test]
    fn faulty_levels_are_told_alone() {
        let mut files = Files::sample();
        files.edit("levels.csv", "city", "ci ty");
        found(
            assemble(&files, Faults::default()),
            "levels.csv:2: code `ci ty` must be 1 to 24 characters of A-Z, a-z, 0-9, '_' or '-'",
        );
    }

    #[test]
    fn other_contents_have_another_version() {
        let version = |files: &Files| assemble(files, Faults::default()).unwrap().catalogue.version().to_string();
        let (one, mut files) = (version(&Files::sample()), Files::sample());
        files.edit("org_units.csv", "Hoa Mai", "Hoa Sen");
        let other = version(&files);
        assert!(one.starts_with("1-") && one.len() == 10, "{one}");
        assert_ne!(one, other);
    }
}
