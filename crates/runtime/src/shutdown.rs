//! Stopping: who asks for it, who hears of it, and how long it may take.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The request to stop, as seen by everyone who must heed it. Clones are one request; it cannot be taken back.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Not requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests shutdown of this handle, its clones and its children. Asking twice changes nothing.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether shutdown was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until shutdown is requested; at once if it was already. May be dropped and called again.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// A part that stops with the whole, and can be stopped without it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Runs `work` to its end, which must come within `deadline` once shutdown is requested. Before that it may take
    /// for ever.
    ///
    /// # Errors
    ///
    /// [`DrainOverrun`] when the deadline passed; `work` has then been dropped.
    pub async fn drain<F: Future>(&self, deadline: Duration, work: F) -> Result<F::Output, DrainOverrun> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            output = &mut work => return Ok(output),
            () = self.requested() => {}
        }
        tokio::time::timeout(deadline, work).await.map_err(|_elapsed| DrainOverrun { deadline })
    }

    /// Requests shutdown at the first SIGTERM or SIGINT and ends the process at the second, with exit code 143 or 130.
    /// Signals are caught once this has returned.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the handlers.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn on_signals(&self) -> io::Result<()> {
        let signals =
            Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        tokio::spawn(obey(signals, self.clone()));
        Ok(())
    }
}

/// Work was not finished in the time that shutdown allows, and was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("work was still in flight {deadline:?} after shutdown was requested")]
pub struct DrainOverrun {
    /// The time that was allowed.
    pub deadline: Duration,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The next signal's name and the exit code by which a shell knows it: 128 and its number.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 128 + SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => ("SIGINT", 128 + SignalKind::interrupt().as_raw_value()),
        }
    }
}

async fn obey(mut signals: Signals, shutdown: Shutdown) {
    let (signal, _) = signals.next().await;
    tracing::info!(signal, "received {signal}, finishing what is in flight; a second signal ends the process at once");
    shutdown.request();

    let (signal, exit_code) = signals.next().await;
    tracing::warn!(signal, exit_code, "received {signal} while finishing, leaving at once");
    process::exit(exit_code);
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    #[test]
    fn a_request_reaches_clones_and_children_but_no_parent() {
        let whole = Shutdown::new();
        let (clone, part) = (whole.clone(), whole.child());
        part.request();
        assert!(part.is_requested() && !whole.is_requested());
        whole.request();
        assert!(clone.is_requested() && whole.child().is_requested());
    }

    #[tokio::test(start_paused = true)]
    async fn work_has_no_deadline_before_shutdown_is_requested() {
        let work = tokio::time::sleep(DEADLINE * 1000);
        assert_eq!(Shutdown::new().drain(DEADLINE, work).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_within_the_deadline_gives_its_output() {
        let shutdown = Shutdown::new();
        shutdown.request();
        let work = async {
            tokio::time::sleep(DEADLINE - Duration::from_millis(1)).await;
            7
        };
        assert_eq!(shutdown.drain(DEADLINE, work).await, Ok(7));
        assert_eq!(shutdown.drain(Duration::ZERO, ready(7)).await, Ok(7), "what is ready is not late");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_dropped_at_the_deadline_counted_from_the_request() {
        let shutdown = Shutdown::new();
        let started = tokio::time::Instant::now();
        let request = async {
            tokio::time::sleep(DEADLINE).await;
            shutdown.request();
        };
        let (drained, ()) = tokio::join!(shutdown.drain(DEADLINE, pending::<()>()), request);
        assert_eq!(drained, Err(DrainOverrun { deadline: DEADLINE }));
        assert_eq!(started.elapsed().as_secs(), 2 * DEADLINE.as_secs());
    }
}
