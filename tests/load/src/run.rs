//! Runs of the load: what is sent when, and what was measured while it was.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    arrivals::Arrivals,
    kill::Killed,
    latency::Latency,
    mix::{Kind, Mix, Purity},
    process::Meter,
    send::{Counts, OneByOne, Parcel, Senders},
    streams::{self, Level},
    watch::{Watch, Watched},
    wire::Writer,
    world::{self, PATIENCE, World},
};

/// How often the database is asked how far it is, while a closed loop waits for it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Reports that are sent between two looks at how many are on their way.
pub(crate) const FEW: u64 = 64;
/// The middle of a run, from and to: what is sustained is measured there.
pub(crate) const MIDDLE: [f64; 2] = [0.3, 0.95];

/// What decides when the next report is sent.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// The clock: so many a second, for so long.
    Clock { per_second: f64, lasting: Duration },
    /// What is counted: so many may be on their way.
    Closed { on_their_way: u64, until: Until },
}

/// When a closed loop has sent enough.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    /// After so long.
    Elapsed(Duration),
    /// After that many reports.
    Sent(u64),
    /// When this is set.
    Told(Arc<AtomicBool>),
}

impl Until {
    /// How many reports come next; none when it is enough.
    fn next(&self, elapsed: Duration, sent: u64) -> Option<u64> {
        match self {
            Self::Elapsed(lasting) => (elapsed < *lasting).then_some(FEW),
            Self::Sent(reports) => reports.checked_sub(sent).filter(|left| *left > 0).map(|left| left.min(FEW)),
            Self::Told(told) => (!told.load(Ordering::Relaxed)).then_some(FEW),
        }
    }
}

/// What a run was like.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) reports: u64,
    pub(crate) refused: u64,
    pub(crate) again: u64,
    /// Streams that ended early and were opened again.
    pub(crate) reopened: u64,
    /// How often each refusal was given.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// From the first report until the last was acknowledged.
    pub(crate) acknowledged_in: Duration,
    /// From the first report until the database had all.
    pub(crate) counted_in: Option<Duration>,
    /// Reports a second with a fate over the middle of the run.
    pub(crate) sustained: Option<f64>,
    /// Acknowledged reports without a fate, at the beginning and at the end of the middle.
    pub(crate) backlog: Option<(u64, u64)>,
    pub(crate) acknowledgement: Latency,
    pub(crate) watched: Watched,
    pub(crate) stages: serde_json::Value,
    pub(crate) parts: serde_json::Value,
    /// Reports in a message of REPORTS, and bytes of it.
    pub(crate) message: Option<(f64, usize)>,
    /// What was killed meanwhile.
    pub(crate) killed: Vec<Killed>,
}

impl Outcome {
    /// Whether the backlog grew by more than a quarter of a second's reports.
    pub(crate) fn is_growing(&self) -> bool {
        let (Some((from, to)), Some(sustained)) = (self.backlog, self.sustained) else { return false };
        to as f64 > from as f64 + sustained / 4.0
    }

    /// Everything.
    pub(crate) fn json(&self) -> serde_json::Value {
        let batch = |share: usize| self.watched.batches.get(self.watched.batches.len() * share / 100);
        json!({
            "reports": self.reports,
            "refused": self.refused,
            "asked_again": self.again,
            "streams_opened_again": self.reopened,
            "refusals": self.refusals,
            "acknowledged_in_s": self.acknowledged_in.as_secs_f64(),
            "counted_in_s": self.counted_in.map(|took| took.as_secs_f64()),
            "sustained_reports_per_second": self.sustained.map(f64::round),
            "backlog_from_to": self.backlog,
            "backlog_growing": self.is_growing(),
            "acknowledgement_ms": self.acknowledgement.json(),
            "freshness_ms": self.watched.freshness.json(),
            "freshness_not_listed": self.watched.unlisted,
            "reports_per_transaction": batch(50).map(|p50| json!({
                "p50": p50, "p95": batch(95), "transactions": self.watched.batches.len()
            })),
            "events_of_the_nation_replaced": self.watched.missed,
            "reports_per_message": self.message.map(|(reports, _)| (reports * 10.0).round() / 10.0),
            "stages": self.stages,
            "parts": self.parts,
            "killed": self.killed.iter().map(Killed::json).collect::<Vec<_>>(),
        })
    }
}

/// The load, and where it goes.
#[derive(Debug)]
pub(crate) struct Runs<'w> {
    pub(crate) world: &'w World,
    pub(crate) mix: Mix,
    pub(crate) writer: Writer,
    pub(crate) senders: usize,
}

/// How far things were at one moment.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    acknowledged: u64,
    settled: u64,
}

impl Runs<'_> {
    /// Sends reports at a pace and waits until all are counted.
    ///
    /// # Errors
    /// When something does not answer.
    pub(crate) async fn run(&mut self, name: &'static str, pace: Pace, purity: Purity) -> anyhow::Result<Outcome> {
        self.run_counting(name, pace, purity, Arc::default()).await
    }

    /// The same, with the counts in the sight of somebody else.
    pub(crate) async fn run_counting(
        &mut self,
        name: &'static str,
        pace: Pace,
        purity: Purity,
        counts: Arc<Counts>,
    ) -> anyhow::Result<Outcome> {
        let world = self.world;
        let watch = Watch::start(world.connection.as_ref(), &self.mix.tree).await?;
        let senders = Senders::connect_counting(&world.collector, self.senders, Arc::clone(&counts)).await?;
        let before = world.settled().await?;
        let levels = self.levels().await?;
        let meter = Meter::start(&world.parts());
        let start = Instant::now();

        let marks = before.and_then(|before| self.mark(&pace, start, before, Arc::clone(&counts)));
        match pace {
            Pace::Clock { per_second, lasting } => {
                let arrivals = Arrivals::at(per_second);
                let mut number = 0;
                while arrivals.due(number) < lasting {
                    let due = start + arrivals.due(number);
                    if due > Instant::now() {
                        tokio::time::sleep_until(due).await;
                    }
                    self.send(&senders, &watch, purity, due)?;
                    number += 1;
                    if number.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                        anyhow::ensure!(!senders.is_broken(), "a stream of reports broke");
                    }
                }
            }
            Pace::Closed { on_their_way, until } => {
                while let Some(few) = until.next(start.elapsed(), Counts::get(&counts.sent)) {
                    self.room(&senders, &watch, before, on_their_way).await?;
                    for _ in 0..few {
                        // Without a bound they have all arrived at the beginning.
                        let due = if on_their_way == u64::MAX { start } else { Instant::now() };
                        self.send(&senders, &watch, purity, due)?;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        let (acknowledgement, counts) = senders.finish(PATIENCE).await?;
        let acknowledged_in = start.elapsed();
        let acknowledged = Counts::get(&counts.acknowledged);
        if let Some(before) = before {
            self.until_settled(before + acknowledged).await?;
        }
        let counted_in = before.map(|_| start.elapsed());
        let marks = match marks {
            Some(marks) => Some(marks.await??),
            None => None,
        };
        let after = self.levels().await?;
        let (stages, message) = stages(&levels, &after, acknowledged, counted_in.unwrap_or(acknowledged_in));
        let parts = meter.json(acknowledged);
        let sustained = match marks {
            Some((one, other)) => Some((other.settled - one.settled) as f64 / (other.at - one.at).as_secs_f64()),
            None => counted_in.map(|took| acknowledged as f64 / took.as_secs_f64()),
        };
        let backlog = marks.map(|(one, other)| {
            let of = |mark: Mark| mark.acknowledged.saturating_sub(mark.settled);
            (of(one), of(other))
        });
        let [refused, again, reopened] = [&counts.refused, &counts.again, &counts.reopened].map(Counts::get);
        self.until_published().await?;
        let (reports, watched) = (Counts::get(&counts.sent), watch.finish().await?);
        Ok(Outcome {
            name,
            reports,
            refused,
            again,
            reopened,
            refusals: counts.refusals(),
            acknowledged_in,
            counted_in,
            sustained,
            backlog,
            acknowledgement,
            watched,
            stages,
            parts,
            message,
            killed: Vec::new(),
        })
    }

    /// Submits reports by calls of their own, one at a time.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub(crate) async fn unary(&mut self, reports: usize) -> anyhow::Result<Latency> {
        let before = self.world.settled().await?;
        let mut collector = OneByOne::connect(&self.world.collector).await?;
        let mut latency = Latency::new()?;
        for _ in 0..reports {
            let order = self.mix.next(Purity::Firsts)?;
            let request = self.writer.request(&self.mix, &order);
            let began = Instant::now();
            collector.submit(request).await?;
            latency.record(began.elapsed());
        }
        if let Some(before) = before {
            self.until_settled(before + latency.count()).await?;
        }
        Ok(latency)
    }

    fn send(&mut self, senders: &Senders, watch: &Watch, purity: Purity, due: Instant) -> anyhow::Result<()> {
        let order = self.mix.next(purity)?;
        if order.kind == Kind::Counts {
            watch.expect(order.commune, order.id, due);
        }
        senders.send(order.commune, Parcel { request: self.writer.request(&self.mix, &order), due });
        Ok(())
    }

    /// Waits until fewer than that many reports are on their way.
    async fn room(
        &self,
        senders: &Senders,
        watch: &Watch,
        before: Option<u64>,
        on_their_way: u64,
    ) -> anyhow::Result<()> {
        let (sent, mut asked) = (Counts::get(&senders.counts.sent), Instant::now());
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            anyhow::ensure!(!senders.is_broken(), "a stream of reports broke");
            // Without a database nobody knows what is counted: then what is acknowledged decides.
            let done = if before.is_some() { watch.counted() } else { Counts::get(&senders.counts.acknowledged) };
            if sent < done.saturating_add(on_their_way) {
                return Ok(());
            }
            if done != seen {
                (seen, since) = (done, Instant::now());
            }
            anyhow::ensure!(since.elapsed() < PATIENCE, "{done} of {sent} reports are done with, and no more are");
            tokio::time::sleep(Duration::from_millis(1)).await;
            // Who tells may be killed before, and events tell of neither repetitions nor rejections: the database knows.
            if let Some(before) = before.filter(|_| asked.elapsed() > ASK_EVERY) {
                let settled = self.world.settled().await?.context("there is a database")?;
                watch.at_least(settled - before);
                asked = Instant::now();
            }
        }
    }

    /// Notes how far things are at the beginning and at the end of the middle of a run.
    fn mark(
        &self,
        pace: &Pace,
        start: Instant,
        before: u64,
        counts: Arc<Counts>,
    ) -> Option<JoinHandle<anyhow::Result<(Mark, Mark)>>> {
        let (&Pace::Clock { lasting, .. } | &Pace::Closed { until: Until::Elapsed(lasting), .. }) = pace else {
            return None;
        };
        let store = self.world.store.clone()?;
        Some(tokio::spawn(async move {
            let mut marks = Vec::with_capacity(2);
            for share in MIDDLE {
                tokio::time::sleep_until(start + lasting.mul_f64(share)).await;
                let (at, acknowledged) = (Instant::now(), Counts::get(&counts.acknowledged));
                let settled = world::settled(&store).await? - before;
                marks.push(Mark { at, acknowledged, settled });
            }
            Ok((marks[0], marks[1]))
        }))
    }

    pub(crate) async fn until_settled(&self, reports: u64) -> anyhow::Result<()> {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let asked = Instant::now();
            let Some(settled) = self.world.settled().await? else { return Ok(()) };
            if settled >= reports {
                return Ok(());
            }
            if settled != seen {
                (seen, since) = (settled, Instant::now());
            }
            anyhow::ensure!(since.elapsed() < PATIENCE, "{settled} of {reports} acknowledged reports have a fate");
            // Counting fates reads the ledger: asked more often, it would be a load of its own.
            tokio::time::sleep(Duration::from_millis(50).max(asked.elapsed() * 4)).await;
        }
    }

    /// Waits until the events of all that is counted are published: those that come last are the oldest, and are no less fresh for it.
    async fn until_published(&self) -> anyhow::Result<()> {
        let Some(store) = &self.world.store else { return Ok(()) };
        let since = Instant::now();
        while store.outbox_length().await? > 0 {
            anyhow::ensure!(since.elapsed() < PATIENCE, "events are not published");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) async fn levels(&self) -> anyhow::Result<Option<BTreeMap<String, Level>>> {
        match &self.world.monitoring {
            Some(monitoring) => Ok(Some(streams::levels(monitoring).await?)),
            None => Ok(None),
        }
    }
}

/// What each stream took a second, and how many reports a message of REPORTS had, of how many bytes.
fn stages(
    before: &Option<BTreeMap<String, Level>>,
    after: &Option<BTreeMap<String, Level>>,
    acknowledged: u64,
    took: Duration,
) -> (serde_json::Value, Option<(f64, usize)>) {
    let (Some(before), Some(after)) = (before, after) else { return (serde_json::Value::Null, None) };
    let moved = |name: &str| {
        let (from, to) = (before.get(name).copied().unwrap_or_default(), after.get(name).copied().unwrap_or_default());
        (to.last.saturating_sub(from.last), to.bytes.saturating_sub(from.bytes))
    };
    let seconds = took.as_secs_f64();
    let mut stages = serde_json::Map::new();
    for name in ["REPORTS", "VERDICTS", "TOTALS", "FATES"] {
        let (messages, _) = moved(name);
        stages.insert(format!("{name}_messages_per_second"), json!((messages as f64 / seconds).round()));
    }
    stages.insert("reports_per_second".to_owned(), json!((acknowledged as f64 / seconds).round()));
    let (messages, bytes) = moved("REPORTS");
    let message =
        (messages > 0).then(|| (acknowledged as f64 / messages as f64, usize::try_from(bytes / messages).unwrap_or(0)));
    (stages.into(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_loop_ends_where_it_is_to() {
        let second = Duration::from_secs(1);
        assert_eq!(Until::Elapsed(second).next(second / 2, 1_000), Some(FEW));
        assert_eq!(Until::Elapsed(second).next(second, 0), None);
        assert_eq!(
            [0, 90, 100, 101].map(|sent| Until::Sent(100).next(second, sent)),
            [Some(FEW), Some(10), None, None]
        );
        let told = Arc::<AtomicBool>::default();
        let until = Until::Told(Arc::clone(&told));
        assert_eq!(until.next(second, 1_000), Some(FEW));
        told.store(true, Ordering::Relaxed);
        assert_eq!(until.next(second, 1_000), None);
    }

    #[test]
    fn stages_are_differences() {
        let levels = |last, bytes| Some(BTreeMap::from([("REPORTS".to_owned(), Level { last, bytes })]));
        let (stages, message) = stages(&levels(100, 1_000), &levels(110, 9_000), 50, Duration::from_secs(2));
        assert_eq!(stages["REPORTS_messages_per_second"], 5.0);
        assert_eq!(stages["reports_per_second"], 25.0);
        assert_eq!(message, Some((5.0, 800)));
        assert_eq!(super::stages(&None, &levels(1, 1), 1, Duration::from_secs(1)).1, None);
    }
}
