//! Turns: what has many reports in memory and keeps a processor busy is done by few at a time, and not where others are answered.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinError,
};

use crate::{read::ReadError, refused::Refused};

/// So many turns at a time.
#[derive(Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

/// The right to read and count, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_a_time)))
    }

    /// Waits for a turn.
    pub(crate) async fn next(&self) -> Turn {
        // Never closed: there is always one to be had.
        Turn { _permit: Arc::clone(&self.0).acquire_owned().await.ok() }
    }
}

impl Turn {
    /// Counts on a thread of its own. The turn is over when that is done, also where nobody waits for it any more.
    pub(crate) async fn count<T: Send + 'static>(
        self,
        count: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let counting = tokio::task::spawn_blocking(move || {
            let counted = count();
            drop(self);
            counted
        });
        counting.await.unwrap_or_else(|error| broke_off(&error))
    }

    /// Reads on its own. The turn is over when the database has answered, also where nobody waits for it any more.
    pub(crate) async fn read<T: Send + 'static>(
        self,
        read: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reading = tokio::spawn(async move {
            let read = read.await;
            drop(self);
            read
        });
        reading.await.unwrap_or_else(|error| broke_off(&error))
    }
}

fn broke_off<T>(error: &JoinError) -> Result<T, ReadError> {
    tracing::error!(error = error as &dyn std::error::Error, "answering broke off");
    Err(Refused::DatabaseMalformed.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    /// Goal: whoever gives up leaves the turn to what is still being counted, and others are answered meanwhile.
    #[tokio::test]
    async fn a_turn_lasts_until_the_counting_is_done() {
        let turns = Turns::new(1);
        let (done, wait) = mpsc::channel::<()>();
        let counting = turns.next().await.count(move || Ok(wait.recv().is_ok()));
        let given_up = tokio::time::timeout(Duration::from_millis(20), counting).await;
        assert!(given_up.is_err() && turns.0.available_permits() == 0);
        done.send(()).unwrap();
        let counted = turns.next().await.count(|| Ok(7)).await;
        assert!(matches!(counted, Ok(7)));
    }

    /// Goal: the same of what the database is still looking for.
    #[tokio::test]
    async fn a_turn_lasts_until_the_reading_is_done() {
        let turns = Turns::new(1);
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        let reading = turns.next().await.read(async move { Ok(wait.await.is_ok()) });
        let given_up = tokio::time::timeout(Duration::from_millis(20), reading).await;
        assert!(given_up.is_err() && turns.0.available_permits() == 0);
        done.send(()).unwrap();
        let read = turns.next().await.read(async { Ok(7) }).await;
        assert!(matches!(read, Ok(7)));
    }
}
