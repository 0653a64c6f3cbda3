//! AUDIT: what collectors refused, on its way into the audit log.
//!
//! A report that is refused is in no log of reports: this is its only trace. Nobody waits for it: a sender has the answer
//! before the trace is on disk, and what comes faster than it can be written down is counted instead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    Timestamp,
    settle::{Claim, Position},
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{Connection, Outgoing, Publisher, ordered::OrderedReader, subjects};

/// Refusals that may wait to be written down.
const WAITING: usize = 2_000;
/// Refusals in one message, and so the most that are written down in [`PAUSE`].
const TOGETHER: usize = 200;
/// How long refusals gather: whoever sends nonsense must not fill the database with it.
const PAUSE: Duration = Duration::from_secs(1);

/// A report that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// Who sent it; empty where that is not known.
    pub principal: String,
    /// The stable reasons, with blanks between.
    pub reasons: String,
    /// What it claimed to be about.
    pub claim: Claim,
}

impl Refusal {
    /// As the audit log keeps it. None of it holds what separates fields: words are free of it, claims are cut.
    fn line(&self) -> String {
        let Self { at, principal, reasons, claim } = self;
        let Claim { submission_id, data_set, period, org_unit, revision } = claim;
        let id = submission_id.map(|id| id.to_string()).unwrap_or_default();
        let at = at.unix_micros();
        format!("{at}\t{principal}\t{reasons}\t{id}\t{org_unit}\t{data_set}\t{period}\t{revision}\n")
    }
}

/// Where a collector tells what it refused. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Refusals {
    waiting: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
}

impl Refusals {
    /// Begins to write down refusals.
    #[must_use]
    pub fn start(connection: Connection) -> (Self, Telling) {
        let (waiting, refusals) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let telling = tokio::spawn(tell(Publisher::new(connection), refusals, Arc::clone(&dropped)));
        (Self { waiting, dropped }, Telling(telling))
    }

    /// Has a refusal written down. Never waits; where too many do, this one is counted only.
    pub fn tell(&self, refusal: &Refusal) {
        if self.waiting.try_send(refusal.line()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The work of writing refusals down.
#[derive(Debug)]
pub struct Telling(JoinHandle<()>);

impl Telling {
    /// Waits until what was told is written down, once every [`Refusals`] is gone; for a while, if NATS is away.
    pub async fn finish(mut self) {
        const WITHIN: Duration = Duration::from_secs(3);
        if tokio::time::timeout(WITHIN, &mut self.0).await.is_err() {
            self.0.abort();
            tracing::warn!("the last refusals could not be written down");
        }
    }
}

async fn tell(publisher: Publisher, mut refusals: mpsc::Receiver<String>, dropped: Arc<AtomicU64>) {
    while let Some(first) = refusals.recv().await {
        let lines = gather(first, &mut refusals, &dropped);
        let message = Outgoing {
            subject: subjects::AUDIT_COLLECTOR.to_owned(),
            message_id: uuid::Uuid::now_v7().to_string(),
            content_type: None,
            payload: lines.into(),
        };
        let mut told = false;
        while let Err(error) = publisher.publish(&message).await {
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "refusals are not written down yet; trying again");
            }
            tokio::time::sleep(PAUSE).await;
        }
        if !refusals.is_closed() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What one message tells: what waits, and how many more there were since the last.
fn gather(mut lines: String, refusals: &mut mpsc::Receiver<String>, dropped: &AtomicU64) -> String {
    let mut together = 1;
    while together < TOGETHER
        && let Ok(line) = refusals.try_recv()
    {
        lines.push_str(&line);
        together += 1;
    }
    let missing = dropped.swap(0, Ordering::Relaxed);
    if missing > 0 {
        tracing::warn!(missing, "more was refused than is written down");
        lines.push_str(&format!("\t\tNOT_WRITTEN_DOWN {missing}\t\t\t\t\t\n"));
    }
    lines
}

/// Reads what collectors refused, in order.
pub struct RefusalLog {
    reader: OrderedReader,
}

impl std::fmt::Debug for RefusalLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefusalLog")
    }
}

impl RefusalLog {
    /// A reader of what stands after a position.
    #[must_use]
    pub fn after(connection: Connection, position: Position) -> Self {
        let filter = subjects::AUDIT_COLLECTOR.to_owned();
        Self { reader: OrderedReader::new(connection, subjects::AUDIT, filter, position.0) }
    }

    /// The next lines and their position; waits for as long as there are none. May be dropped while it waits.
    pub async fn next(&mut self) -> (Position, String) {
        let (position, message) = self.reader.next().await;
        // Whoever got past the collector may have put anything here; PostgreSQL's text cannot hold a zero byte.
        (Position(position), String::from_utf8_lossy(&message.payload).replace('\0', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_is_counted_and_told() {
        let (waiting, mut lines) = mpsc::channel(2);
        let refusals = Refusals { waiting, dropped: Arc::default() };
        let refusal = Refusal {
            at: Timestamp::from_unix_micros(7),
            principal: "xã".to_owned(),
            reasons: "ORG_UNIT_UNKNOWN PERIOD_CLOSED".to_owned(),
            claim: Claim { org_unit: "99999".to_owned(), ..Claim::default() },
        };
        for _ in 0..5 {
            refusals.tell(&refusal);
        }
        let first = lines.try_recv().unwrap();
        let message = gather(first, &mut lines, &refusals.dropped);
        let line = "7\txã\tORG_UNIT_UNKNOWN PERIOD_CLOSED\t\t99999\t\t\t0\n";
        assert_eq!(message, format!("{line}{line}\t\tNOT_WRITTEN_DOWN 3\t\t\t\t\t\n"));
        refusals.tell(&refusal);
        let next = lines.try_recv().unwrap();
        assert_eq!(gather(next, &mut lines, &refusals.dropped), line, "each is told of once");
    }
}
