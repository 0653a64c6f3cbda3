//! AUDIT: what collectors and query services refused, on its way into the audit log.
//!
//! A report that is refused is in no log of reports: this is its only trace. So it is of whoever was turned away at the door.
//! Nobody waits for it: a sender has the answer before the trace is on disk, and what comes faster than it can be written down
//! is counted instead. Strangers cost nothing to be: who is turned away again for the same reason is counted too, and told of
//! every minute.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    Timestamp,
    access::PrincipalName,
    settle::{Claim, Position},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use crate::{Connection, Outgoing, Publisher, ordered::OrderedReader, subjects};

/// Refusals that may wait to be written down.
const WAITING: usize = 2_000;
/// Refusals in one message, and so the most that are written down in [`PAUSE`].
const TOGETHER: usize = 200;
/// How long refusals gather: whoever sends nonsense must not fill the database with it.
const PAUSE: Duration = Duration::from_secs(1);

/// How long those who are turned away again for the same reason are only counted.
const COUNTED_FOR: Duration = Duration::from_secs(60);
/// The most that are told of in that time, by who, whence and why; all others together are counted.
const MOST_TURNED_AWAY: usize = 100;

/// Which service refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A collector.
    Collector,
    /// A query service.
    Query,
}

impl Door {
    const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Query => "query",
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::Collector => subjects::AUDIT_COLLECTOR,
            Self::Query => subjects::AUDIT_QUERY,
        }
    }
}

/// Somebody whose credentials were refused, or who asked for what they may not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TurnedAway {
    /// Whose credentials they are or were; none where that is not proved.
    pub principal: Option<PrincipalName>,
    /// The stable reason.
    pub reason: &'static str,
    /// The address it came from, where that is known.
    pub peer: Option<IpAddr>,
}

impl TurnedAway {
    /// As the audit log keeps it: the fields of a [`Refusal`], then the service, the address, and how many times.
    fn line(&self, at: Timestamp, door: Door, (org_unit, data_set): (&str, &str), times: u64) -> String {
        let Self { principal, reason, peer } = self;
        let (at, door) = (at.unix_micros(), door.name());
        let principal = principal.as_ref().map_or("", PrincipalName::as_str);
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        let [org_unit, data_set] = [org_unit, data_set].map(|text| text.replace(char::is_control, " "));
        format!("{at}\t{principal}\t{reason}\t\t{org_unit}\t{data_set}\t\t\t{door}\t{peer}\t{times}\n")
    }
}

/// Who was turned away since the last were told of, and how many times more.
#[derive(Debug, Default)]
struct Tally {
    again: HashMap<TurnedAway, (Timestamp, u64)>,
}

impl Tally {
    /// A line for each who came again, and for nobody else. Everybody is new from now on.
    fn told(&mut self, door: Door) -> String {
        let again = std::mem::take(&mut self.again);
        let again = again.iter().filter(|(_, (_, times))| *times > 0);
        again.map(|(turned_away, (last, times))| turned_away.line(*last, door, ("", ""), *times)).collect()
    }
}

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

/// Where a service tells what it refused. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Refusals {
    door: Door,
    waiting: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
}

impl Refusals {
    /// Begins to write down refusals.
    #[must_use]
    pub fn start(connection: Connection, door: Door) -> (Self, Telling) {
        let (this, refusals) = Self::new(door);
        let (dropped, tally) = (Arc::clone(&this.dropped), Arc::clone(&this.tally));
        let telling = tokio::spawn(tell(Publisher::new(connection), door, refusals, dropped, tally));
        (this, Telling(telling))
    }

    fn new(door: Door) -> (Self, mpsc::Receiver<String>) {
        let (waiting, refusals) = mpsc::channel(WAITING);
        (Self { door, waiting, dropped: Arc::default(), tally: Arc::default() }, refusals)
    }

    /// Has a refusal written down. Never waits; where too many do, this one is counted only.
    pub fn tell(&self, refusal: &Refusal) {
        self.write_down(refusal.line());
    }

    /// Has it written down that somebody was turned away, and from which unit and data set, where that is known. Never waits; who
    /// comes again within the minute is counted.
    pub fn turned_away(&self, turned_away: TurnedAway, from: Option<(&str, &str)>, at: Timestamp) {
        let line = turned_away.line(at, self.door, from.unwrap_or_default(), 1);
        {
            // Who holds it only counts: what is there is right even if somebody panicked.
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((last, times)) = tally.again.get_mut(&turned_away) {
                (*last, *times) = (at, *times + 1);
                return;
            }
            if tally.again.len() >= MOST_TURNED_AWAY {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            tally.again.insert(turned_away, (at, 0));
        }
        self.write_down(line);
    }

    fn write_down(&self, line: String) {
        if self.waiting.try_send(line).is_err() {
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

async fn tell(
    publisher: Publisher,
    door: Door,
    mut refusals: mpsc::Receiver<String>,
    dropped: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
) {
    let again = || tally.lock().unwrap_or_else(PoisonError::into_inner).told(door);
    let mut minutes = tokio::time::interval_at(Instant::now() + COUNTED_FOR, COUNTED_FOR);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = true;
    while open {
        let first = tokio::select! {
            first = refusals.recv() => first.unwrap_or_else(|| {
                open = false;
                again()
            }),
            _ = minutes.tick() => again(),
        };
        let lines = gather(first, &mut refusals, &dropped);
        if lines.is_empty() {
            continue;
        }
        let message = Outgoing {
            subject: door.subject().to_owned(),
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

/// Reads what was refused, in order.
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
        let filter = subjects::AUDIT_SUBJECTS[0].to_owned();
        Self { reader: OrderedReader::new(connection, subjects::AUDIT, filter, position.0) }
    }

    /// The next lines and their position; waits for as long as there are none. May be dropped while it waits.
    pub async fn next(&mut self) -> (Position, String) {
        let (position, message) = self.reader.next().await;
        // Whoever got past a service may have put anything here; PostgreSQL's text cannot hold a zero byte.
        (Position(position), String::from_utf8_lossy(&message.payload).replace('\0', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_is_counted_and_told() {
        let (waiting, mut lines) = mpsc::channel(2);
        let refusals = Refusals { waiting, ..Refusals::new(Door::Collector).0 };
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

    #[test]
    fn strangers_cannot_fill_the_log() {
        let (refusals, mut lines) = Refusals::new(Door::Query);
        let at = Timestamp::from_unix_micros;
        let from = |peer: u8| TurnedAway {
            principal: None,
            reason: "CREDENTIALS_INVALID",
            peer: Some([10, 0, 0, peer].into()),
        };
        for round in 0..1_000 {
            for peer in 0..150 {
                refusals.turned_away(from(peer), Some(("94", "a\tb")), at(round));
            }
        }
        let first = lines.try_recv().unwrap();
        assert_eq!(first, "0\t\tCREDENTIALS_INVALID\t\t94\ta b\t\t\tquery\t10.0.0.0\t1\n");
        let message = gather(first, &mut lines, &refusals.dropped);
        assert_eq!(message.lines().count(), MOST_TURNED_AWAY + 1);
        assert!(message.ends_with("\t\tNOT_WRITTEN_DOWN 50000\t\t\t\t\t\n"), "{message}");
        // What came again, once a minute; then everybody is new.
        let again = refusals.tally.lock().unwrap().told(Door::Query);
        assert_eq!(again.lines().count(), MOST_TURNED_AWAY);
        assert!(again.contains("999\t\tCREDENTIALS_INVALID\t\t\t\t\t\tquery\t10.0.0.7\t999\n"), "{again}");
        assert_eq!(refusals.tally.lock().unwrap().told(Door::Query), "");
        refusals.turned_away(from(7), None, at(2_000));
        assert!(lines.try_recv().unwrap().starts_with("2000\t"));
    }
}
