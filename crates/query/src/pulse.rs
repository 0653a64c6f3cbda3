//! How far everything is counted, asked once for all who want to know.
//!
//! A caller needs a look at the database that began after its question came in. All who come while one look is under way share
//! the next: however many questions there are, one statement is under way at a time.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use store::Fence;
use tokio::sync::{Notify, watch};

use crate::refused::Refused;

/// Where each partition stood.
pub(crate) type Positions = HashMap<u16, Fence>;

/// A look at the database.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    /// Looks are numbered as they begin.
    pub(crate) number: u64,
    positions: Result<Arc<Positions>, Refused>,
}

impl Beat {
    /// A look of that number that found nothing.
    #[cfg(test)]
    pub(crate) fn at(number: u64) -> Self {
        Self { number, positions: Ok(Arc::default()) }
    }

    /// Where a partition stood.
    pub(crate) fn stands(&self, partition: u16) -> Result<Fence, Refused> {
        let positions = self.positions.as_ref().map_err(Clone::clone)?;
        positions.get(&partition).copied().ok_or(Refused::DatabaseMalformed)
    }
}

/// Looks on demand.
#[derive(Debug)]
pub(crate) struct Pulse {
    wanted: Notify,
    begun: AtomicU64,
    beats: watch::Sender<Beat>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let never = Beat { number: 0, positions: Err(Refused::DatabaseAway) };
        Self { wanted: Notify::new(), begun: AtomicU64::new(0), beats: watch::Sender::new(never) }
    }

    /// The number of the last look that has begun: what is read from now on is no older than any look up to it.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// A look that begins after this call. Waits for as long as [`Pulse::run`] does not run.
    pub(crate) async fn next(&self) -> Beat {
        let mut beats = self.beats.subscribe();
        let before = self.begun();
        self.wanted.notify_one();
        let beat = beats.wait_for(|beat| beat.number > before).await.map(|beat| beat.clone());
        // The sender is ours: it cannot be gone.
        beat.unwrap_or(Beat { number: before, positions: Err(Refused::DatabaseAway) })
    }

    /// Looks whenever somebody wants to know: one look after the other, and whoever comes during one shares the next.
    pub(crate) async fn run<F>(&self, look: impl Fn() -> F) -> Infallible
    where
        F: Future<Output = Result<Positions, Refused>>,
    {
        loop {
            self.wanted.notified().await;
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let positions = look().await.map(Arc::new);
            self.beats.send_replace(Beat { number, positions });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::settle::Position;
    use futures_util::future::{join_all, select};
    use std::{pin::pin, sync::Mutex, time::Duration};

    fn at(position: u64) -> Fence {
        Fence { position: Position(position), epoch: 1 }
    }

    /// Goal: whoever asks gets a look that began after it asked, and a hundred who ask together get one or two.
    #[tokio::test]
    async fn many_questions_share_a_look_that_began_after_them() {
        let (pulse, looks, now) = (Pulse::new(), AtomicU64::new(0), Mutex::new(1));
        let look = || async {
            looks.fetch_add(1, Ordering::SeqCst);
            let seen = *now.lock().unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(Positions::from([(0, at(seen))]))
        };
        let asking = async {
            let beats = join_all((0..100).map(|_| pulse.next())).await;
            assert!(beats.iter().all(|beat| beat.stands(0) == Ok(at(1))));
            assert!((1..=2).contains(&looks.load(Ordering::SeqCst)), "{looks:?}");
            // One is under way when the log moves: who asks then waits for the next.
            let (first, second) = tokio::join!(pulse.next(), async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                *now.lock().unwrap() = 2;
                pulse.next().await
            });
            assert!(second.number > first.number);
            assert_eq!((first.stands(0), second.stands(0)), (Ok(at(1)), Ok(at(2))));
            assert_eq!(second.stands(7), Err(Refused::DatabaseMalformed), "was not provisioned");
        };
        select(pin!(asking), pin!(pulse.run(look))).await;
    }
}
