//! The files of a catalogue, read whole before any is understood.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::fault::{Faults, Place};

pub(crate) const ABOUT: &str = "catalogue.toml";
pub(crate) const LEVELS: &str = "levels.csv";
pub(crate) const ORG_UNITS: &str = "org_units.csv";
pub(crate) const DATA_ELEMENTS: &str = "data_elements.csv";
pub(crate) const INDICATORS: &str = "indicators.csv";
pub(crate) const TARGETS: &str = "targets.csv";
const REQUIRED: [&str; 4] = [ABOUT, LEVELS, ORG_UNITS, DATA_ELEMENTS];
const OPTIONAL: [&str; 2] = [INDICATORS, TARGETS];

/// Folders of files of one kind, with how their names end. A file's name without the ending is a code.
pub(crate) const OPTIONS: Folder = Folder { name: "options", ending: ".csv" };
pub(crate) const OPTION_GROUPS: Folder = Folder { name: "option_groups", ending: ".csv" };
pub(crate) const DATA_SETS: Folder = Folder { name: "data_sets", ending: ".toml" };
const FOLDERS: [Folder; 3] = [OPTIONS, OPTION_GROUPS, DATA_SETS];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Folder {
    name: &'static str,
    ending: &'static str,
}

impl Folder {
    /// The code in the path of one of the folder's files.
    fn code(self, path: &str) -> Option<&str> {
        path.strip_prefix(self.name)?.strip_prefix('/')?.strip_suffix(self.ending)
    }
}

/// Larger files than this are not a catalogue's: Vietnam's 15,402 units take 0.8 MB.
const FILE_BYTES_LIMIT: u64 = 16 << 20;

/// The catalogue's files by path, relative to its directory and with `/`.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    by_path: BTreeMap<String, Vec<u8>>,
}

/// A file's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextFile<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> TextFile<'a> {
    /// The place of the line that holds the byte at an offset of the text.
    pub(crate) fn place(self, offset: usize) -> Place<'a> {
        Place::line(self.path, line(self.text.as_bytes(), offset))
    }
}

fn line(bytes: &[u8], offset: usize) -> u64 {
    bytes.iter().take(offset).fold(1, |line, byte| line + u64::from(*byte == b'\n'))
}

impl Files {
    /// Reads a catalogue's directory. Hidden files and `*.md` are passed over; any other stranger is a fault, for it may
    /// be a file that someone believes to be in force.
    pub(crate) fn read(dir: &Path, faults: &mut Faults) -> Self {
        let mut by_path = BTreeMap::new();
        for (name, path) in entries(dir, "", faults) {
            if !path.is_dir() {
                take(&name, &path, &mut by_path, faults);
            } else if FOLDERS.iter().any(|folder| folder.name == name) {
                for (inner, path) in entries(&path, &name, faults) {
                    take(&format!("{name}/{inner}"), &path, &mut by_path, faults);
                }
            } else {
                refuse_stranger(&name, faults);
            }
        }
        Self { by_path }.complete(faults)
    }

    /// Takes files that were kept for those of a directory.
    pub(crate) fn kept(files: Vec<(String, Vec<u8>)>, faults: &mut Faults) -> Self {
        Self { by_path: files.into_iter().collect() }.complete(faults)
    }

    fn complete(self, faults: &mut Faults) -> Self {
        for name in REQUIRED.iter().filter(|name| !self.by_path.contains_key(**name)) {
            faults.add(Place::file(name), "is missing or cannot be read; every catalogue has one");
        }
        self
    }

    /// Path and bytes of each.
    pub(crate) fn list(&self) -> Vec<(String, Vec<u8>)> {
        self.by_path.iter().map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
    }

    /// The text of a file. A file that is missing was a fault when the directory was read, if every catalogue has one.
    pub(crate) fn text<'a>(&'a self, path: &str, faults: &mut Faults) -> Option<TextFile<'a>> {
        let (path, bytes) = self.by_path.get_key_value(path)?;
        match str::from_utf8(bytes) {
            // Spreadsheet programs begin a UTF-8 file with a byte order mark.
            Ok(text) => Some(TextFile { path, text: text.strip_prefix('\u{feff}').unwrap_or(text) }),
            Err(error) => {
                let place = Place::line(path, line(bytes, error.valid_up_to()));
                faults.add(place, "is not UTF-8; save the file with the encoding UTF-8");
                None
            }
        }
    }

    /// The files of a folder, by code: code and path.
    pub(crate) fn of(&self, folder: Folder) -> impl Iterator<Item = (&str, &str)> {
        self.by_path.keys().filter_map(move |path| Some((folder.code(path)?, path.as_str())))
    }

    /// The first 8 hexadecimal digits of a SHA-256 over every file's path and bytes.
    ///
    /// It is taken over the lines that `sha256sum` prints for the files in the order of their paths, so that anyone can
    /// take it.
    pub(crate) fn fingerprint(&self) -> String {
        let mut all = Sha256::new();
        for (path, bytes) in &self.by_path {
            all.update(format!("{}  {path}\n", hex(&Sha256::digest(bytes))));
        }
        hex(&all.finalize()[..4])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a directory has, hidden files and `*.md` left out: names and paths.
fn entries(dir: &Path, name: &str, faults: &mut Faults) -> Vec<(String, PathBuf)> {
    let listed: io::Result<Vec<_>> =
        fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let paths = listed.unwrap_or_else(|error| {
        let name = if name.is_empty() { dir.to_string_lossy() } else { name.into() };
        faults.add(Place::file(&name), format!("the directory cannot be read: {error}"));
        Vec::new()
    });
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let named = paths.into_iter().map(|path| (name(&path), path));
    named.filter(|(name, _)| !name.starts_with('.') && !name.ends_with(".md")).collect()
}

/// Reads a file into the map if it is a catalogue's.
fn take(name: &str, path: &Path, by_path: &mut BTreeMap<String, Vec<u8>>, faults: &mut Faults) {
    let named = REQUIRED.contains(&name) || OPTIONAL.contains(&name);
    if !named && FOLDERS.iter().all(|folder| folder.code(name).is_none()) {
        return refuse_stranger(name, faults);
    }
    let bytes = fs::metadata(path).and_then(|about| {
        if about.len() > FILE_BYTES_LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { fs::read(path) }
    });
    match bytes {
        Ok(bytes) => {
            by_path.insert(name.to_owned(), bytes);
        }
        Err(error) => faults.add(Place::file(name), format!("cannot be read: {error}")),
    }
}

fn refuse_stranger(name: &str, faults: &mut Faults) {
    let what = format!(
        "is no part of a catalogue, which is {}, {}, options/*.csv, option_groups/*.csv and data_sets/*.toml; rename or \
         remove it",
        REQUIRED.join(", "),
        OPTIONAL.join(", ")
    );
    faults.add(Place::file(name), what);
}

#[cfg(test)]
impl Files {
    /// A catalogue of two levels with every kind of file.
    pub(crate) fn sample() -> Self {
        let files = [
            (
                ABOUT,
                "name = \"sample\"\ntitle_vi = \"Mẫu\"\ntitle_en = \"Sample\"\nversion = \"1\"\n\
                 time_zone = \"Asia/Ho_Chi_Minh\"\n",
            ),
            (LEVELS, "code,name_vi,name_en,stands_in_for\ncity,Thành phố,City,\nschool,Trường,School,\n"),
            (
                ORG_UNITS,
                "code,name,level,kind,parent_code,valid_from,valid_to\nC,Thành phố,city,,,,\nS1,Hoa Mai,school,,C,,\n\
                 S2,Hoa Cúc,school,,C,2024-01-01,2025-01-01\n",
            ),
            (
                DATA_ELEMENTS,
                "code,name_vi,name_en,family,value_type,measure,time_agg,space_agg,unit_of_measure,levels,options\n\
                 served,Số suất ăn,Meals served,meal,count,flow,sum,sum,meal,school,\n\
                 by_kind,Theo loại,By kind,meal,count,flow,sum,sum,meal,school,kinds\n\
                 weight,Khối lượng,Weight,meal,decimal:1,flow,sum,sum,kilogram,school|city,\n\
                 note,Ghi chú,Note,meal,text,none,none,collect,,school,\n\
                 day,Ngày,Day,meal,date,stock,last,none,,school,\n",
            ),
            ("options/kinds.csv", "code,name_vi,name_en\nrice,Cơm,Rice\nsoup,Canh,Soup\n"),
            (
                "option_groups/kinds.csv",
                "group,name_vi,name_en,option,valid_from,valid_to\nwarm,Món nóng,Warm,rice,,\nwarm,,,soup,2025-01-01,\n",
            ),
            (
                INDICATORS,
                "code,name_vi,name_en,family,numerator,denominator\nweight_rate,Khối lượng một suất,Weight of a meal,meal,\
                 weight,served\n",
            ),
            (TARGETS, "org_unit,period,element,option,goal,due\nS1,2025,served,,1000,2025-12-31\n"),
            (
                "data_sets/meals.toml",
                "name_vi = \"Bữa ăn\"\nname_en = \"Meals\"\nperiod_type = \"week\"\ncalendar = \"gregorian\"\n\
                 levels = [\"school\"]\ncells = [\n    { element = \"served\" },\n    { element = \"by_kind\" },\n    \
                 { element = \"weight\" },\n]\n\n[[rule]]\nid = \"kinds_at_most_served\"\nseverity = \"error\"\n\
                 check = \"by_kind[*] <= served\"\nmessage_vi = \"{option}: {left} > {right}\"\n\
                 message_en = \"{option}: {left} > {right}\"\n",
            ),
        ];
        Self { by_path: files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into() }
    }

    /// Puts another text in the place of the first such text of a file.
    pub(crate) fn edit(&mut self, path: &str, from: &str, to: &str) {
        let text = str::from_utf8(&self.by_path[path]).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        let text = text.replacen(from, to, 1);
        self.set(path, &text);
    }

    pub(crate) fn set(&mut self, path: &str, text: &str) {
        self.by_path.insert(path.to_owned(), text.as_bytes().to_vec());
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.by_path.remove(path);
    }

    fn write_to(&self, dir: &Path) {
        for (path, bytes) in &self.by_path {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path) -> (Files, String) {
        let mut faults = Faults::default();
        let files = Files::read(dir, &mut faults);
        (files, faults.sorted().to_string())
    }

    #[test]
    fn a_directory_is_read_whole_and_notes_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        Files::sample().write_to(dir.path());
        let before = read(dir.path());
        fs::write(dir.path().join("README.md"), "how to edit").unwrap();
        fs::write(dir.path().join("options/.kinds.csv.swp"), "an editor's").unwrap();
        let after = read(dir.path());
        assert_eq!((before.1.as_str(), after.1.as_str()), ("", ""));
        assert_eq!(before.0.by_path, Files::sample().by_path);
        assert_eq!(before.0.fingerprint(), after.0.fingerprint());
    }

    #[test]
    fn strangers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        Files::sample().write_to(dir.path());
        fs::write(dir.path().join("data_sets/meals.toml.old"), "").unwrap();
        fs::create_dir(dir.path().join("data_set")).unwrap();
        let what = "is no part of a catalogue, which is catalogue.toml, levels.csv, org_units.csv, data_elements.csv, \
                    indicators.csv, targets.csv, options/*.csv, option_groups/*.csv and data_sets/*.toml; rename or \
                    remove it";
        assert_eq!(read(dir.path()).1, format!("data_set: {what}\ndata_sets/meals.toml.old: {what}"));
    }

    #[test]
    fn a_missing_file_and_a_missing_directory_are_told() {
        let dir = tempfile::tempdir().unwrap();
        Files::sample().write_to(dir.path());
        fs::remove_file(dir.path().join(LEVELS)).unwrap();
        assert_eq!(read(dir.path()).1, "levels.csv: is missing or cannot be read; every catalogue has one");
        let faults = read(&dir.path().join("nowhere")).1;
        assert!(faults.contains("nowhere: the directory cannot be read: "), "{faults}");
    }

    #[test]
    fn a_file_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        Files::sample().write_to(dir.path());
        let file = fs::File::create(dir.path().join("options/kinds.csv")).unwrap();
        file.set_len(FILE_BYTES_LIMIT + 1).unwrap();
        assert_eq!(read(dir.path()).1, "options/kinds.csv: cannot be read: file too large");
    }

    #[test]
    fn a_text_that_is_not_utf8_is_told_with_its_line() {
        let mut files = Files::sample();
        files.by_path.insert(LEVELS.to_owned(), b"code,name_vi\ncity,Th\xe0nh".to_vec());
        let mut faults = Faults::default();
        assert!(files.text(LEVELS, &mut faults).is_none());
        assert_eq!(faults.to_string(), "levels.csv:2: is not UTF-8; save the file with the encoding UTF-8");
    }

    #[test]
    fn the_fingerprint_is_what_sha256sum_gives() {
        // printf 'one\n' > levels.csv; printf 'two\n' > options/kinds.csv; then as the README says.
        let by_path = [("levels.csv", "one\n"), ("options/kinds.csv", "two\n")];
        let by_path = by_path.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into();
        assert_eq!(Files { by_path }.fingerprint(), "740fda62");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let mut files = Files::sample();
        files.set(LEVELS, "\u{feff}code");
        assert_eq!(files.text(LEVELS, &mut Faults::default()).unwrap().text, "code");
    }
}
