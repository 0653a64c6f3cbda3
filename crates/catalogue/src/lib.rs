#![doc = include_str!("../README.md")]

mod about;
mod csv_file;
mod data_elements;
mod data_sets;
mod day;
mod fault;
mod files;
mod indicators;
mod levels;
mod name;
mod option_groups;
mod options;
mod org_units;
mod rule_text;
mod rules;
mod targets;
mod toml_file;
mod versions;

use std::{collections::HashMap, path::Path};

use domain::{
    Catalogue, CatalogueVersion, UnitVersion,
    catalogue::{DataSet, DataSetParts},
};

pub use about::About;
pub use fault::{Fault, Faults};
pub use name::fold_name;
pub use versions::{KeptFiles, VersionError, Versions};

use crate::{
    about::Head, data_elements::Elements, data_sets::Definitions, fault::Place, files::Files, levels::Levels,
    option_groups::OptionGroups, options::OptionLists, targets::Known,
};

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
    pub files: KeptFiles,
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
pub fn load_files(files: KeptFiles) -> Result<Loaded, Faults> {
    let mut faults = Faults::default();
    let files = Files::kept(files, &mut faults);
    assemble(&files, faults)
}

/// The catalogue that the files make, unless `faults` holds or gets one.
fn assemble(files: &Files, mut faults: Faults) -> Result<Loaded, Faults> {
    let head = about::read(files, &mut faults);
    let options = OptionLists::read(files, &mut faults);
    let groups = OptionGroups::read(files, &options, &mut faults);
    // Without good levels every other row would be at fault for naming one.
    let Some(levels) = Levels::read(files, &mut faults) else { return Err(faults.sorted()) };
    let recoded = head.as_ref().map_or(&[][..], |head| &head.recoded);
    let units = org_units::read(files, &levels, recoded, &mut faults);
    let elements = Elements::read(files, &levels, &options, &mut faults);
    let data_sets = read_data_sets(
        files,
        Definitions { levels: &levels, elements: &elements, options: &options, groups: &groups },
        units.as_ref().map(|(units, _)| units.as_slice()),
        &mut faults,
    );
    match (head, units) {
        (Some(Head { about, version, utc_offset, .. }), Some((org_units, tree))) if faults.is_empty() => {
            let version = CatalogueVersion::new(&format!("{version}-{}", files.fingerprint()));
            let catalogue = Catalogue::new(version, levels.into_list(), tree, data_sets, utc_offset);
            Ok(Loaded { about, catalogue, org_units, files: files.list() })
        }
        _ => Err(faults.sorted()),
    }
}

/// The data sets with the indicators and targets of their cells.
fn read_data_sets(
    files: &Files,
    definitions: Definitions<'_>,
    units: Option<&[UnitVersion]>,
    faults: &mut Faults,
) -> Vec<DataSet> {
    let before = faults.count();
    let elements = definitions.elements;
    let mut data_sets = data_sets::read(files, definitions, faults);
    let whole = faults.count() == before;
    indicators::read(files, elements, &mut data_sets, whole, faults);
    let by_code = units.map(|units| {
        let mut by_code: HashMap<&str, Vec<&UnitVersion>> = HashMap::new();
        for unit in units {
            by_code.entry(unit.code.as_str()).or_default().push(unit);
        }
        by_code
    });
    targets::read(files, &Known { elements, units: by_code, whole }, &mut data_sets, faults);
    let made = data_sets.into_iter().map(|parts: DataSetParts| {
        let path = format!("data_sets/{}.toml", parts.code);
        // What the domain refuses was refused before with its line; this is the second of the pair.
        DataSet::new(parts).map_err(|error| faults.add(Place::file(&path), error.to_string())).ok()
    });
    made.flatten().collect()
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
        let [meals] = loaded.catalogue.data_sets() else { panic!("one form") };
        assert_eq!((meals.groups().len(), meals.indicators().len(), meals.targets().len()), (1, 1, 1));
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
