//! Whether the database's disk had room when it was last needed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::StoreError;

/// For how long a commit that found no room is remembered: whoever counts tries again within seconds.
const REMEMBERED: Duration = Duration::from_secs(15);
/// What PostgreSQL calls a full disk.
const DISK_FULL: &str = "53100";

/// When a commit last found no room. A row that replaces another finds its place on a full disk too, so that writing one says
/// nothing about that.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<Option<Instant>>);

impl Room {
    /// Notes how a commit ended.
    pub(crate) fn note(&self, committed: &Result<(), StoreError>) {
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match committed {
            Ok(()) => *full_at = None,
            Err(error) if is_disk_full(error) => *full_at = Some(Instant::now()),
            Err(_) => {}
        }
    }

    /// Whether there was none lately.
    pub(crate) fn is_gone(&self) -> bool {
        let full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        full_at.is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

fn is_disk_full(error: &StoreError) -> bool {
    let StoreError::Database(source) = error else { return false };
    let answer = source.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    answer.is_some_and(|answer| answer.code().as_deref() == Some(DISK_FULL))
}
