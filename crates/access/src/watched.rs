//! Files that are read again only where they may have changed: those of the trust directory, and the key of seals.

use std::{
    fmt,
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{file::FileError, file::read_from, layout};

/// What a file system calls one instant may be as long as this: a file may change again within it and look the same. So a stamp
/// is believed once the file was read again that long after it was first seen.
const SETTLED: Duration = Duration::from_secs(2);

/// The files, in the order of their texts.
pub(crate) const FILES: [&str; 5] =
    [layout::CA, layout::TOKEN_KEYS, layout::SEAL_KEYS, layout::GRANTS, layout::REVOKED];

/// The files' texts, in the order of [`FILES`].
pub(crate) type Texts = [Arc<str>; 5];

/// The files as they were read last.
#[derive(Debug)]
pub(crate) struct Watched {
    files: [WatchedFile; 5],
}

/// A file as it was read last.
pub(crate) struct WatchedFile {
    path: PathBuf,
    text: Arc<str>,
    seen: Option<Seen>,
    /// How often it was read.
    #[cfg(test)]
    reads: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Stamp,
    /// When the file was first seen with this stamp.
    since: Instant,
    /// When it was read last.
    read: Instant,
}

/// By what it shows that a file is another, or holds something else, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its text may be a secret.
        f.debug_struct("WatchedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Watched {
    /// The files of a trust directory, none of them read yet.
    pub(crate) fn of(dir: &Path) -> Self {
        Self { files: FILES.map(|name| WatchedFile::at(dir.join(name))) }
    }

    /// The texts as they are now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn texts(&mut self) -> Result<Texts, FileError> {
        for file in &mut self.files {
            file.text()?;
        }
        Ok(self.files.each_ref().map(|file| Arc::clone(&file.text)))
    }

    /// How often files were read.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.files.iter().map(|file| file.reads).sum()
    }
}

impl WatchedFile {
    /// The file at a path, not read yet.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            text: Arc::default(),
            seen: None,
            #[cfg(test)]
            reads: 0,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text as it is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn text(&mut self) -> Result<Arc<str>, FileError> {
        let stamp = fs::metadata(&self.path).map_err(FileError::io(&self.path))?;
        let is_settled = |seen: &Seen| seen.stamp == Stamp::of(&stamp) && seen.read - seen.since >= SETTLED;
        if !self.seen.as_ref().is_some_and(is_settled) {
            self.read()?;
        }
        Ok(Arc::clone(&self.text))
    }

    fn read(&mut self) -> Result<(), FileError> {
        let file = File::open(&self.path).map_err(FileError::io(&self.path))?;
        // Before it is read: what changes meanwhile is another stamp.
        let stamp = Stamp::of(&file.metadata().map_err(FileError::io(&self.path))?);
        let read = Instant::now();
        let text = read_from(&self.path, file)?;
        // The same text stays the same in memory too, so that comparing it costs nothing.
        if *text != *self.text {
            self.text = text.into();
        }
        let since = self.seen.filter(|seen| seen.stamp == stamp).map_or(read, |seen| seen.since);
        self.seen = Some(Seen { stamp, since, read });
        #[cfg(test)]
        {
            self.reads += 1;
        }
        Ok(())
    }
}
