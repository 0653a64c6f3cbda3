//! Files as this crate reads and writes them: bounded, whole or not at all, one writer at a time.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::Layout;

/// The most bytes of a file that are read: a grant for each commune and data set is a tenth of it.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// A file cannot be used; which, where in it, and why.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// It does not hold what it should.
    #[error("{}{}: {what}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where there is one.
        line: Option<u64>,
        /// What is wrong and what would be right.
        what: String,
    },
}

impl FileError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn wrong(path: &Path, what: impl Into<String>) -> Self {
        Self::Wrong { path: path.to_owned(), line: None, what: what.into() }
    }

    fn on_line(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::Wrong { path: path.to_owned(), line: Some(line), what: what.into() }
    }
}

/// Who may read a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone.
    Owner,
    /// Everybody.
    All,
}

/// Reads a file of text.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    read_from(path, File::open(path).map_err(FileError::io(path))?)
}

/// The same of a file that is open.
pub(crate) fn read_from(path: &Path, file: File) -> Result<String, FileError> {
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(FileError::io(path))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(FileError::wrong(path, format!("is larger than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

/// Writes a file as a whole, in the place of the one that is there: whoever reads sees one of the two.
pub(crate) fn write(path: &Path, readers: Readers, bytes: impl AsRef<[u8]>) -> Result<(), FileError> {
    let error = |source| FileError::io(path)(source);
    // A bare name has an empty parent.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(error)?;
    file.write_all(bytes.as_ref()).map_err(error)?;
    let mode = if readers == Readers::All { 0o644 } else { 0o600 };
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    file.persist(path).map_err(|failed| error(failed.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(error)
}

/// Makes a directory, unless it is there.
pub(crate) fn make_dir(path: &Path, readers: Readers) -> Result<(), FileError> {
    let mode = if readers == Readers::All { 0o755 } else { 0o700 };
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(FileError::io(path))
}

/// The rows of a CSV file whose header names these columns, in any order, each with its line.
pub(crate) fn rows<R: DeserializeOwned>(path: &Path, text: &str, columns: &[&str]) -> Result<Vec<(u64, R)>, FileError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| FileError::on_line(path, 1, error.to_string()))?.clone();
    let (mut found, mut wanted) = (header.iter().collect::<Vec<_>>(), columns.to_vec());
    found.sort_unstable();
    wanted.sort_unstable();
    if found != wanted {
        return Err(FileError::on_line(path, 1, format!("the columns must be {}", columns.join(","))));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let line = |position: Option<&csv::Position>| position.map_or(1, csv::Position::line);
        let record = record.map_err(|error| FileError::on_line(path, line(error.position()), error.to_string()))?;
        let line = line(record.position());
        let row = record.deserialize(Some(&header)).map_err(|error| {
            let what = match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
                _ => error.to_string(),
            };
            FileError::on_line(path, line, what)
        })?;
        rows.push((line, row));
    }
    Ok(rows)
}

/// The value that a field's text stands for.
pub(crate) fn field<T: std::str::FromStr<Err: std::fmt::Display>>(
    path: &Path,
    line: u64,
    column: &str,
    text: &str,
) -> Result<T, FileError> {
    text.parse().map_err(|error| FileError::on_line(path, line, format!("{column} `{text}` {error}")))
}

/// The value that a field's text stands for, by a function of its own.
pub(crate) fn field_by<T>(
    path: &Path,
    line: u64,
    column: &str,
    text: &str,
    wanted: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, FileError> {
    read(text).ok_or_else(|| FileError::on_line(path, line, format!("{column} `{text}` must be {wanted}")))
}

/// Rows as a CSV file.
pub(crate) fn csv_text<R: Serialize>(
    path: &Path,
    columns: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> Result<Vec<u8>, FileError> {
    let error = |error: csv::Error| FileError::wrong(path, error.to_string());
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns).map_err(error)?;
    for row in rows {
        writer.serialize(row).map_err(error)?;
    }
    writer.into_inner().map_err(|error| FileError::wrong(path, error.to_string()))
}

/// A keys directory that nobody else writes to until this is dropped. The lock is in `authority/`, which whoever writes has.
#[derive(Debug)]
pub struct Locked {
    _file: File,
}

impl Locked {
    /// Waits for whoever else writes there.
    ///
    /// # Errors
    /// When the lock's file cannot be made.
    pub fn keys(keys: &Layout) -> Result<Self, FileError> {
        let path = keys.authority(".lock");
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let file = opened.and_then(|file| file.lock().map(|()| file)).map_err(FileError::io(&path))?;
        Ok(Self { _file: file })
    }
}

/// Whether a file is there.
pub(crate) fn exists(path: &Path) -> Result<bool, FileError> {
    fs::exists(path).map_err(FileError::io(path))
}
