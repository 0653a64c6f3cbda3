//! The spool: reports on disk until their fate is known, in an SQLite file that one thread reads and writes.
//!
//! What is asked of the spool at the same time shares a transaction, and so a wait for the disk. An answer comes once the
//! transaction is on disk.

mod rows;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use tokio::sync::{mpsc, oneshot};

use crate::Limits;

pub(crate) use rows::{Known, Place, Receipt, Rows, Waiting};

/// Marks the file as a spool: "THSP".
const APPLICATION_ID: i32 = 0x5448_5350;
/// Which tables it has.
const VERSION: i32 = 1;
/// Jobs that wait for the thread.
const QUEUED: usize = 1024;
/// The most jobs that share a transaction.
const TOGETHER: usize = 256;
/// How long another process is waited for that is just leaving.
const BUSY: Duration = Duration::from_millis(500);

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another client of this one, has it.
    #[error("the spool {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is some other file.
    #[error("{} is no spool", .0.display())]
    NotASpool(PathBuf),
    /// A later version of this program made it.
    #[error("the spool {} has tables of version {version}, this program knows version {VERSION}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: i32,
    },
    /// It cannot be opened, read or written.
    #[error("cannot open the spool {}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// No thread could be started for it.
    #[error("cannot start the thread of the spool")]
    Thread(#[source] std::io::Error),
    /// An address is not one.
    #[error("{0:?} is no address of a service: it must be https://HOST:PORT")]
    Address(String),
    /// What it holds cannot be read.
    #[error("cannot read what the spool holds")]
    Unreadable(#[from] SpoolError),
}

/// Why the spool did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpoolError {
    /// It could not be read or written: the disk is full, or gone.
    #[error("the spool cannot be read or written")]
    Disk(#[source] Arc<rusqlite::Error>),
    /// Something in it is not what was written there.
    #[error("the spool holds {0} that cannot be read")]
    Damaged(&'static str),
    /// The client was shut down.
    #[error("the spool is closed")]
    Closed,
}

impl From<rusqlite::Error> for SpoolError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Disk(Arc::new(error))
    }
}

/// Something to do in a transaction, and then, once that is on disk or has failed, somebody to tell.
type Job = Box<dyn FnOnce(&mut Rows<'_>) -> Worked + Send>;

struct Worked {
    /// Whether what was done is to be kept.
    keep: bool,
    answer: Answer,
}

type Answer = Box<dyn FnOnce(Result<(), SpoolError>) + Send>;

/// A handle on the spool. The file is closed when the last one is gone and what was asked for is done.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    jobs: mpsc::Sender<Job>,
}

impl Spool {
    /// Opens the file, or makes it; nobody else can until the thread has ended.
    pub(crate) async fn open(path: &Path, limits: Limits) -> Result<(Self, thread::JoinHandle<()>), OpenError> {
        let (jobs, queue) = mpsc::channel(QUEUED);
        let (opened, is_open) = oneshot::channel();
        let path = path.to_owned();
        let thread = thread::Builder::new().name("spool".to_owned()).spawn(move || match connection(&path) {
            Ok((connection, held)) => {
                drop(opened.send(Ok(())));
                work(&connection, held, limits, queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        });
        let thread = thread.map_err(OpenError::Thread)?;
        is_open.await.unwrap_or(Err(OpenError::Unreadable(SpoolError::Closed)))?;
        Ok((Self { jobs }, thread))
    }

    /// Does something in a transaction. When this gives back a value, what was done is on disk; else nothing of it is.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut Rows<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SpoolError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |rows| {
            let result = work(rows);
            let keep = result.is_ok();
            // An error of the work's own says more than that it was not kept.
            let answer: Answer =
                Box::new(move |kept| drop(answer.send(result.and_then(|value| kept.map(|()| value).map_err(E::from)))));
            Worked { keep, answer }
        });
        if self.jobs.send(job).await.is_err() {
            return Err(SpoolError::Closed.into());
        }
        answered.await.unwrap_or_else(|_| Err(SpoolError::Closed.into()))
    }
}

/// What the spool holds, kept count of by its thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) reports: u64,
    pub(crate) bytes: u64,
    /// The number of the report that was finished last.
    pub(crate) finished: i64,
}

fn connection(path: &Path) -> Result<(Connection, Held), OpenError> {
    let unusable = |source| unusable(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        // On a connection of its own that only reads and leaves a log beside the file as it is: another's file is not
        // changed.
        let connection = Connection::open_with_flags(path, flags).map_err(unusable)?;
        connection.busy_timeout(BUSY).map_err(unusable)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(unusable)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE").map_err(unusable)?;
        is_made(path, &connection)?;
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_CREATE).map_err(unusable)?;
    connection.busy_timeout(BUSY).map_err(unusable)?;
    // Exclusive before anything else touches the file: the lock is then kept for as long as the connection is open, also
    // between transactions, and a process that is killed leaves it behind for nobody.
    let prepare = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                   PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864; BEGIN IMMEDIATE";
    connection.execute_batch(prepare).map_err(unusable)?;
    // Looked at again now that nobody else can write to it.
    if !is_made(path, &connection)? {
        let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}");
        connection.execute_batch(include_str!("spool/schema.sql")).map_err(unusable)?;
        connection.execute_batch(&marks).map_err(unusable)?;
    }
    let held = rows::held(&connection).map_err(unusable)?;
    connection.execute_batch("COMMIT").map_err(unusable)?;
    Ok((connection, held))
}

/// Whether the spool's tables are there; an error where the file is not empty and no spool of ours.
fn is_made(path: &Path, connection: &Connection) -> Result<bool, OpenError> {
    let number = |question: &str| {
        connection.query_row(question, (), |row| row.get::<_, i32>(0)).map_err(|source| unusable(path, source))
    };
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (number("PRAGMA application_id")?, number("PRAGMA user_version")?) {
        (0, 0) if tables == 0 => Ok(false),
        (APPLICATION_ID, VERSION) => Ok(true),
        (APPLICATION_ID, version) => Err(OpenError::TooNew { path: path.to_owned(), version }),
        _ => Err(OpenError::NotASpool(path.to_owned())),
    }
}

fn unusable(path: &Path, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse(path.to_owned()),
        Some(ErrorCode::NotADatabase) => OpenError::NotASpool(path.to_owned()),
        _ => OpenError::Unusable { path: path.to_owned(), source },
    }
}

/// Does jobs until nobody is left who could ask.
fn work(connection: &Connection, mut held: Held, limits: Limits, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let before = held;
        let mut answers = Vec::new();
        let together = || {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut next = Some(first);
            while let Some(job) = next {
                answers.push(alone(connection, &mut held, limits, job)?);
                next = if answers.len() < TOGETHER { queue.try_recv().ok() } else { None };
            }
            connection.execute_batch("COMMIT")
        };
        let kept = together().map_err(SpoolError::from);
        if kept.is_err() {
            held = before;
            // There is none to roll back where it could not begin, or SQLite has done it.
            drop(connection.execute_batch("ROLLBACK"));
        }
        answers.into_iter().for_each(|answer| answer(kept.clone()));
    }
}

/// Does one job of a transaction; if it fails, the others are none the worse.
fn alone(connection: &Connection, held: &mut Held, limits: Limits, job: Job) -> rusqlite::Result<Answer> {
    connection.execute_batch("SAVEPOINT job")?;
    let before = *held;
    let Worked { keep, answer } = job(&mut Rows::new(connection, held, limits));
    if !keep {
        *held = before;
        connection.execute_batch("ROLLBACK TO job")?;
    }
    connection.execute_batch("RELEASE job")?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
