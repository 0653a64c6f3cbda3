//! Many times too much, and how soon after it everything is as fast as before.
//!
//! Reports arrive by the clock at their senders. Some of those push on streams, as systems do that send many; the others make a call
//! for each report. What is refused for now stays with its sender and goes out again after the pause it was told. A sender whose
//! hands are full lets what arrives go by: that is counted, and costs the machine nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use local::Door;
use messaging::progress::{Progress, ProgressFeed};
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use crate::{
    arrivals::Arrivals,
    mix::{Purity, Random},
    process::Meter,
    run::{FEW, MIDDLE, Runs},
    send::{Counts, OneByOne, Parcel, Senders},
    world::{self, PATIENCE, World},
};

/// Reports that the sender of one stream has in hand at a time: enough that it never has to wait for answers to send more.
const IN_HAND: u64 = 3_000;
/// Senders that make a call for each report, and the connections they share.
const CALLERS: usize = 3_000;
const CONNECTIONS: usize = 24;
/// Of so many reports one arrives at a caller.
const CALLS: u64 = 10;
/// How often the clock of the arrivals is looked at.
const TICK: Duration = Duration::from_millis(1);
/// How often it is noted how far things are.
const NOTE_EVERY: Duration = Duration::from_millis(250);
/// How often the database is asked for it. Counting fates reads the whole ledger: more often would be a load of its own.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// The same where nobody tells it.
const ASK_OFTEN: Duration = Duration::from_secs(1);
/// Full speed is what is kept up for so long: transactions are large, and a shorter time has one more or one less of them.
const KEPT_UP: Duration = Duration::from_secs(3);
/// The share of the rate of `max` that is full speed.
const FULL: f64 = 0.9;

/// How much too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// Reports that arrive a second.
    pub(crate) per_second: f64,
    /// For how long.
    pub(crate) lasting: Duration,
    /// For how long somebody sends afterwards who waits for what is on its way, as `max` does.
    pub(crate) afterwards: Duration,
    /// How many that may be.
    pub(crate) on_their_way: u64,
    /// The rate that `max` sustained.
    pub(crate) max: Option<f64>,
}

/// What it was like.
#[derive(Debug)]
pub(crate) struct Overload {
    offer: Offer,
    arrived: u64,
    let_by: u64,
    /// By streams, and by calls.
    acknowledged: [u64; 2],
    /// Asked for again, by streams, and by calls.
    pub(crate) again: u64,
    /// Refused for good, or in a way that does not say when to come again.
    pub(crate) refused: u64,
    /// Streams that ended early and were opened again.
    pub(crate) reopened: u64,
    refusals: BTreeMap<String, u64>,
    /// Reports that were sent afterwards.
    afterwards: u64,
    notes: Notes,
    /// Before, during and after.
    memory_mb: [BTreeMap<String, u64>; 3],
    parts: serde_json::Value,
    /// Bytes of REPORTS before and after.
    log: Option<[u64; 2]>,
}

impl Overload {
    /// All reports that were sent.
    pub(crate) fn reports(&self) -> u64 {
        self.acknowledged.iter().sum::<u64>() + self.refused + self.afterwards
    }

    /// Reports a second with a fate over the middle of it.
    pub(crate) fn sustained(&self) -> Option<f64> {
        self.notes.sustained(self.offer.lasting)
    }

    /// When full speed was reached, after its end.
    pub(crate) fn full_speed_after(&self) -> Option<Duration> {
        let sent_before = self.acknowledged.iter().sum();
        self.notes.full_speed_after(self.offer.lasting, sent_before, self.offer.max? * FULL)
    }

    /// Everything.
    pub(crate) fn json(&self) -> serde_json::Value {
        let sustained = self.sustained();
        let memory_mb: BTreeMap<&String, serde_json::Value> = self.memory_mb[1]
            .keys()
            .map(|name| {
                let [before, during, after] = self.memory_mb.each_ref().map(|peaks| peaks.get(name));
                (name, json!({ "before": before, "during": during, "after": after }))
            })
            .collect();
        let [by_streams, by_calls] = self.acknowledged;
        let mb = |bytes: u64| bytes / 1_000_000;
        json!({
            "offered_reports_per_second": self.offer.per_second.round(),
            "offered": self.arrived,
            "let_by": self.let_by,
            "acknowledged": by_streams + by_calls,
            "acknowledged_by_streams": by_streams,
            "acknowledged_by_calls": by_calls,
            "asked_again": self.again,
            "streams_opened_again": self.reopened,
            "refused": self.refused,
            "refusals": self.refusals,
            "sustained_reports_per_second": sustained.map(f64::round),
            "sustained_over_max": sustained.zip(self.offer.max).map(|(rate, max)| (rate / max * 100.0).round() / 100.0),
            "most_backlog": self.notes.most_backlog(),
            "full_speed_after_s": self.full_speed_after().map(|after| (after.as_secs_f64() * 10.0).round() / 10.0),
            "counted_each_second_after": self.notes.each_second(self.offer.lasting),
            "reports_log_mb": self.log.map(|log| log.map(mb)),
            "memory_mb": memory_mb,
            "parts": self.parts,
        })
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arrived, let_by, acknowledged: [streams, calls], again, refused, .. } = self;
        writeln!(
            f,
            "overload: {arrived} báo cáo đến / reports arrived, {let_by} let by, {} acknowledged",
            streams + calls
        )?;
        writeln!(f, "  {again} asked for again, {refused} refused: {:?}", self.refusals)?;
        let number = |number: Option<f64>| number.map_or("–".to_owned(), |number| format!("{number:.1}"));
        let full_speed = number(self.full_speed_after().map(|after| after.as_secs_f64()));
        writeln!(f, "  sustained {} reports/s, full speed after {full_speed} s", number(self.sustained()))?;
        write!(f, "  most backlog {:?}, memory {:?}", self.notes.most_backlog(), self.memory_mb[1])
    }
}

impl Runs<'_> {
    /// Offers that many reports, then sends as `max` does, until all are counted.
    ///
    /// # Errors
    /// When something does not answer, or a stream of reports breaks.
    pub(crate) async fn overload(&mut self, offer: Offer) -> anyhow::Result<Overload> {
        let world = self.world;
        let log_before = self.levels().await?;
        let before = world.settled().await?;
        let memory_before = Meter::start(&world.parts()).memory_mb();
        let crowd = Crowd::connect(&world.collector, self.senders).await?;
        let (meter, start) = (Meter::start(&world.parts()), Instant::now());
        let noting = Noting::start(world, before, start, crowd.counts()).await?;
        let (arrived, let_by) = self.crowd_in(&crowd, offer, start).await?;
        let sent: u64 = crowd.counts().iter().map(|counts| Counts::get(&counts.sent)).sum();
        let parts = meter.json(sent);

        let meter = Meter::start(&world.parts());
        let fresh = Senders::connect(&world.collector, self.senders).await?;
        let end = Instant::now() + offer.afterwards;
        while Instant::now() < end {
            anyhow::ensure!(!fresh.is_broken(), "a stream of reports broke");
            // What it sent is counted after what was sent before it. Without a database what is acknowledged decides.
            let done = match before {
                Some(_) => noting.counted().saturating_sub(sent),
                None => Counts::get(&fresh.counts.acknowledged),
            };
            if Counts::get(&fresh.counts.sent) >= done + offer.on_their_way {
                tokio::time::sleep(TICK).await;
                continue;
            }
            for _ in 0..FEW {
                let order = self.mix.next(Purity::Mixed)?;
                let request = self.writer.request(&self.mix, &order);
                fresh.send(order.commune, Parcel { request, due: Instant::now() });
            }
            tokio::task::yield_now().await;
        }
        let notes = noting.finish().await?;
        let counts = crowd.finish().await?;
        let (_, fresh) = fresh.finish(PATIENCE).await?;
        let of = |counts: &[Arc<Counts>], which: fn(&Counts) -> &AtomicU64| -> u64 {
            counts.iter().map(|counts| Counts::get(which(counts))).sum()
        };
        let by = |counts: &[Arc<Counts>]| of(counts, |counts| &counts.acknowledged);
        let acknowledged = counts.each_ref().map(|counts| by(counts));
        let all = [counts.concat(), vec![fresh]].concat();
        if let Some(before) = before {
            self.until_settled(before + by(&all)).await?;
        }
        let memory_after = meter.memory_mb();
        let log = log_before.zip(self.levels().await?);
        let log =
            log.map(|both| <[_; 2]>::from(both).map(|levels| levels.get("REPORTS").map_or(0, |level| level.bytes)));
        let mut refusals: BTreeMap<String, u64> = BTreeMap::new();
        for (why, count) in all.iter().flat_map(|counts| counts.refusals()) {
            *refusals.entry(why).or_default() += count;
        }
        Ok(Overload {
            offer,
            arrived,
            let_by,
            acknowledged,
            again: of(&all, |counts| &counts.again),
            refused: of(&all, |counts| &counts.refused),
            reopened: of(&all, |counts| &counts.reopened),
            refusals,
            afterwards: of(&all[all.len() - 1..], |counts| &counts.sent),
            notes,
            memory_mb: [memory_before, parts_memory(&parts), memory_after],
            parts,
            log,
        })
    }

    /// Lets reports arrive; gives how many did, and how many of those nobody had a hand free for.
    async fn crowd_in(&mut self, crowd: &Crowd, offer: Offer, start: Instant) -> anyhow::Result<(u64, u64)> {
        let arrivals = Arrivals::at(offer.per_second);
        let (mut arrived, mut let_by, mut taken) = (0_u64, 0_u64, 0_u64);
        while start.elapsed() < offer.lasting {
            anyhow::ensure!(!crowd.is_broken(), "a stream of reports broke");
            let now = start.elapsed().min(offer.lasting);
            while arrivals.due(arrived) < now {
                let sender = crowd.sender(arrived);
                arrived += 1;
                let Some(sender) = sender else {
                    let_by += 1;
                    continue;
                };
                let order = self.mix.next(Purity::Mixed)?;
                sender.send(order.commune, self.writer.request(&self.mix, &order));
                taken += 1;
                if taken.is_multiple_of(FEW) {
                    tokio::task::yield_now().await;
                }
            }
            tokio::time::sleep(TICK).await;
        }
        Ok((arrived, let_by))
    }
}

/// The most memory of each part, of what a meter told.
fn parts_memory(parts: &serde_json::Value) -> BTreeMap<String, u64> {
    let of = |(name, part): (&String, &serde_json::Value)| Some((name.clone(), part["memory_mb"].as_u64()?));
    parts.as_object().into_iter().flatten().filter_map(of).collect()
}

/// All who send.
#[derive(Debug)]
struct Crowd {
    streams: Vec<Senders>,
    callers: Vec<mpsc::Sender<Bytes>>,
    calling: JoinSet<()>,
    by_calls: Arc<Counts>,
}

/// Somebody with a hand free.
enum Free<'c> {
    Stream(&'c Senders),
    Caller(mpsc::Permit<'c, Bytes>, &'c Counts),
}

impl Free<'_> {
    fn send(self, commune: usize, request: Bytes) {
        match self {
            Self::Stream(stream) => stream.send(commune, Parcel { request, due: Instant::now() }),
            Self::Caller(caller, counts) => {
                counts.sent.fetch_add(1, Ordering::Relaxed);
                caller.send(request);
            }
        }
    }
}

impl Crowd {
    async fn connect(collector: &Door, streams: usize) -> anyhow::Result<Self> {
        let mut crowd =
            Self { streams: Vec::new(), callers: Vec::new(), calling: JoinSet::new(), by_calls: Arc::default() };
        for _ in 0..streams {
            crowd.streams.push(Senders::connect(collector, 1).await?);
        }
        for connection in 0..CONNECTIONS {
            let one_by_one = OneByOne::connect(collector).await?;
            for caller in 0..CALLERS / CONNECTIONS {
                let (mut one_by_one, counts) = (one_by_one.clone(), Arc::clone(&crowd.by_calls));
                let (sender, mut reports) = mpsc::channel(1);
                let mut random = Random(u64::try_from(connection * CALLERS + caller)?);
                crowd.callers.push(sender);
                crowd.calling.spawn(async move {
                    while let Some(request) = reports.recv().await {
                        one_by_one.submit_until_answered(request, &mut random, &counts).await;
                    }
                });
            }
        }
        Ok(crowd)
    }

    fn is_broken(&self) -> bool {
        self.streams.iter().any(Senders::is_broken)
    }

    /// Whose turn it is with the report of that number, if they have a hand free.
    fn sender(&self, number: u64) -> Option<Free<'_>> {
        let of = |senders: usize, turn: u64| usize::try_from(turn).map_or(0, |turn| turn % senders);
        if number.is_multiple_of(CALLS) {
            let caller = &self.callers[of(self.callers.len(), number / CALLS)];
            return caller.try_reserve().ok().map(|hand| Free::Caller(hand, &self.by_calls));
        }
        let stream = &self.streams[of(self.streams.len(), number)];
        (stream.counts.waiting() < IN_HAND).then_some(Free::Stream(stream))
    }

    fn counts(&self) -> Vec<Arc<Counts>> {
        let streams = self.streams.iter().map(|stream| Arc::clone(&stream.counts));
        streams.chain([Arc::clone(&self.by_calls)]).collect()
    }

    /// Waits until all have their answers: those of the streams, and of the callers.
    async fn finish(self) -> anyhow::Result<[Vec<Arc<Counts>>; 2]> {
        let Self { streams, callers, mut calling, by_calls } = self;
        drop(callers);
        let mut by_streams = Vec::new();
        for stream in streams {
            by_streams.push(stream.finish(PATIENCE).await?.1);
        }
        let called = async { while calling.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, called).await.context("a report that was submitted alone is not answered")?;
        Ok([by_streams, vec![by_calls]])
    }
}

/// How far things were at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    /// Since the beginning.
    at: Duration,
    /// Reports of the crowd that were acknowledged.
    acknowledged: u64,
    /// All reports that got their fate.
    counted: u64,
}

/// How far things were, again and again; none without a database.
#[derive(Debug, Default)]
struct Notes(Vec<Note>);

impl Notes {
    /// The most reports that were acknowledged and not counted.
    fn most_backlog(&self) -> Option<u64> {
        self.0.iter().map(|note| note.acknowledged.saturating_sub(note.counted)).max()
    }

    /// Reports a second that were counted over the middle of what lasted so long.
    fn sustained(&self, lasting: Duration) -> Option<f64> {
        let middle = MIDDLE.map(|share| lasting.mul_f64(share));
        let one = self.0.iter().find(|note| note.at >= middle[0])?;
        let other = self.0.iter().rfind(|note| note.at <= middle[1] && note.at > one.at)?;
        Some(rate(one, other, 0))
    }

    /// Reports that were counted in each second after the end.
    fn each_second(&self, end: Duration) -> Vec<u64> {
        let at = |second: u32| {
            let moment = end + Duration::from_secs(second.into());
            self.0.iter().find(|note| note.at >= moment).map(|note| note.counted)
        };
        (0..).map_while(|second| Some(at(second + 1)? - at(second)?)).collect()
    }

    /// How long after the end those who sent afterwards reach a rate that they keep up, where so many were sent before.
    fn full_speed_after(&self, end: Duration, sent_before: u64, wanted: f64) -> Option<Duration> {
        let after = || self.0.iter().filter(|note| note.at >= end);
        let is_full = |one: &&Note| {
            let other = after().find(|other| other.at >= one.at + KEPT_UP);
            other.is_some_and(|other| rate(one, other, sent_before) >= wanted)
        };
        after().find(is_full).map(|note| note.at - end)
    }
}

/// Reports a second that were counted between two moments, without the first so many.
fn rate(one: &Note, other: &Note, without: u64) -> f64 {
    let counted = |note: &Note| note.counted.saturating_sub(without);
    (counted(other) - counted(one)) as f64 / (other.at - one.at).as_secs_f64()
}

/// Notes how far things are until it is told to stop.
#[derive(Debug)]
struct Noting {
    counted: Arc<AtomicU64>,
    notes: Arc<Mutex<Notes>>,
    noting: JoinHandle<anyhow::Result<()>>,
}

impl Noting {
    /// Counts what aggregators tell, as collectors do, and asks the database now and then: it knows better where somebody may not hear
    /// them.
    async fn start(
        world: &World,
        before: Option<u64>,
        start: Instant,
        counts: Vec<Arc<Counts>>,
    ) -> anyhow::Result<Self> {
        let (counted, notes) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Notes>>::default());
        let (so_far, noted) = (Arc::clone(&counted), Arc::clone(&notes));
        let store = world.store.clone().zip(before);
        let mut feed = match &world.connection {
            Some(connection) => Some(connection.progress().await?),
            None => None,
        };
        let noting = tokio::spawn(async move {
            let Some((store, before)) = store else { return Ok(()) };
            let (mut told, mut asked) = (0, start);
            let mut tick = tokio::time::interval(NOTE_EVERY);
            loop {
                tokio::select! {
                    Some(progress) = hear(&mut feed) => {
                        told += progress.counted;
                        so_far.fetch_max(told, Ordering::Relaxed);
                    }
                    _ = tick.tick() => {
                        let acknowledged = counts.iter().map(|counts| Counts::get(&counts.acknowledged)).sum();
                        let note = Note { at: start.elapsed(), acknowledged, counted: so_far.load(Ordering::Relaxed) };
                        noted.lock().unwrap_or_else(PoisonError::into_inner).0.push(note);
                        // Who may not hear it is refused without a word.
                        if asked.elapsed() >= if told > 0 { ASK_EVERY } else { ASK_OFTEN } {
                            let settled = world::settled(&store).await?;
                            so_far.fetch_max(settled.saturating_sub(before), Ordering::Relaxed);
                            asked = Instant::now();
                        }
                    }
                }
            }
        });
        Ok(Self { counted, notes, noting })
    }

    /// Reports that got their fate since the beginning.
    fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// What was noted.
    async fn finish(self) -> anyhow::Result<Notes> {
        self.noting.abort();
        match self.noting.await {
            Err(error) if error.is_cancelled() => {}
            ended => ended.context("noting how far things are ended abnormally")??,
        }
        Ok(std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The next that an aggregator tells; none ever where nobody may hear it.
async fn hear(feed: &mut Option<ProgressFeed>) -> Option<Progress> {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A note every second, of a crowd for ten seconds and of others after it.
    fn notes(counted: &[u64]) -> Notes {
        let note = |(second, counted): (u64, &u64)| {
            let acknowledged = second.min(10) * 150;
            Note { at: Duration::from_secs(second), acknowledged, counted: *counted }
        };
        Notes((0..).zip(counted).map(note).collect())
    }

    #[test]
    fn full_speed_is_that_of_those_who_come_afterwards() {
        let seconds = Duration::from_secs;
        let crowd: Vec<u64> = (0..=10).map(|second| second * 100).collect();
        // 500 of the crowd are left; then nothing moves for two seconds; then it is as before.
        let after = [1_100, 1_300, 1_500, 1_500, 1_500, 1_600, 1_700, 1_800, 1_900];
        let notes = notes(&[crowd, after.to_vec()].concat());
        assert_eq!(notes.sustained(seconds(10)), Some(100.0));
        assert_eq!(notes.most_backlog(), Some(500));
        assert_eq!(notes.each_second(seconds(10)), [100, 200, 200, 0, 0, 100, 100, 100, 100]);
        assert_eq!(notes.full_speed_after(seconds(10), 1_500, 100.0), Some(seconds(5)));
        assert_eq!(notes.full_speed_after(seconds(10), 1_500, 60.0), Some(seconds(4)), "a part of a second is one");
        assert_eq!(notes.full_speed_after(seconds(10), 1_500, 101.0), None);
        assert_eq!(Notes::default().full_speed_after(seconds(10), 0, 1.0), None);
        assert_eq!(Notes::default().sustained(seconds(10)), None);
    }
}
