//! Group commit: many reports, one message, one wait for the disk.
//!
//! One task gathers. It publishes at once when nothing is in flight and the last message was small; while a message is in
//! flight, or for a moment after a large one, reports gather. So the wait adapts to the load by itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use access::seal::Sealer;
use messaging::{Outgoing, Publisher};
use runtime::{Backoff, quota::Part};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{self, JoinHandle, JoinSet},
    time::Instant,
};

use crate::{Limits, metrics::NUMBERS, pace::Pace, refused::Refused};

/// Where a report stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    pub(crate) index: u32,
}

/// The report is not known to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// The log is at its limit.
    LogFull,
    /// JetStream did not take it in time.
    LogAway,
}

/// A report's answer, once there is one.
pub(crate) type Waiter = oneshot::Receiver<Result<Place, NotKept>>;

/// A place among the reports in flight, and one among those of its sender; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _of_all: OwnedSemaphorePermit,
    _of_one: Part,
}

/// Hands reports to the task that gathers them.
#[derive(Clone, Debug)]
pub(crate) struct GroupCommit {
    pending: mpsc::UnboundedSender<Pending>,
    slots: Arc<Semaphore>,
    pace: Arc<Pace>,
    give_up_after: Duration,
}

#[derive(Debug)]
struct Pending {
    /// The report's part of the message.
    part: Vec<u8>,
    /// When its caller is told that it is not known to be kept.
    give_up_at: Instant,
    answer: oneshot::Sender<Result<Place, NotKept>>,
    slot: Slot,
}

/// The task that gathers.
#[derive(Debug)]
pub(crate) struct Committing {
    gathering: JoinHandle<()>,
    last_call: oneshot::Sender<()>,
}

impl Committing {
    /// Takes no more reports and waits until all that were handed over are answered. It does not wait for the handles to
    /// go: a client that connected and says nothing keeps one for as long as it likes.
    pub(crate) async fn finish(self) {
        // Where nobody hears it the task has ended already.
        let _ = self.last_call.send(());
        if let Err(error) = self.gathering.await {
            tracing::error!(%error, "group commit ended abnormally; callers were told that their reports are not known to be kept");
        }
    }
}

impl GroupCommit {
    pub(crate) fn start(publisher: Publisher, sealer: Sealer, pace: Arc<Pace>, limits: &Limits) -> (Self, Committing) {
        // Unbounded in type only: whoever sends holds a slot, and there are `max_in_flight` of them.
        let (pending, gathered) = mpsc::unbounded_channel();
        let slots = Arc::new(Semaphore::new(limits.max_in_flight));
        let gatherer = Gatherer {
            publisher,
            sealer,
            refuses: Arc::default(),
            limits: limits.clone(),
            free_lanes: (0..limits.lanes).collect(),
            group: Group::default(),
            last_group: 0,
        };
        let (last_call, called) = oneshot::channel();
        let committing = Committing { gathering: tokio::spawn(gatherer.run(gathered, called)), last_call };
        (Self { pending, slots, pace, give_up_after: limits.give_up_after }, committing)
    }

    /// A place among the reports in flight, unless all are taken, or counting is behind and lets none in within a moment.
    pub(crate) async fn slot_soon(&self, of_one: Part) -> Result<Slot, Refused> {
        if !self.pace.enter_soon().await {
            return Err(Refused::Behind);
        }
        let of_all = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Refused::TooMany)?;
        Ok(Slot { _of_all: of_all, _of_one: of_one })
    }

    /// A place among the reports in flight, as soon as there is one and counting is not behind.
    pub(crate) async fn slot(&self, of_one: Part) -> Option<Slot> {
        self.pace.enter().await;
        let of_all = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        Some(Slot { _of_all: of_all, _of_one: of_one })
    }

    /// Hands a report over. The waiter is always answered: by its place, by a refusal, or by being closed.
    pub(crate) fn commit(&self, part: Vec<u8>, slot: Slot) -> Waiter {
        let (answer, waiter) = oneshot::channel();
        NUMBERS.in_flight.increment(1.0);
        // Where the task is gone the sender comes back and is dropped, which closes the waiter.
        drop(self.pending.send(Pending { part, give_up_at: Instant::now() + self.give_up_after, answer, slot }));
        waiter
    }
}

/// Reports that will go out as one message.
#[derive(Debug, Default)]
struct Group {
    reports: Vec<Pending>,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
}

struct Gatherer {
    publisher: Publisher,
    sealer: Sealer,
    /// Whether the last message found no room or no answer: that is told when it begins and when it is over, not of each message.
    refuses: Arc<AtomicBool>,
    limits: Limits,
    /// Each lane has one message on its way at most, and a shard of its own.
    free_lanes: VecDeque<u16>,
    group: Group,
    /// How many reports the last message had: whether this is a busy time.
    last_group: usize,
}

/// From this many reports in a message on, waiting a moment for more is worth it.
const BUSY_FROM: usize = 8;

impl Gatherer {
    /// Ends after the last call, or when the last handle is gone, once everything is answered.
    async fn run(mut self, mut pending: mpsc::UnboundedReceiver<Pending>, mut last_call: oneshot::Receiver<()>) {
        let mut publishing: JoinSet<()> = JoinSet::new();
        let mut lane_of: HashMap<task::Id, u16> = HashMap::new();
        let (mut open, mut called) = (true, false);
        while open || !self.group.reports.is_empty() || !publishing.is_empty() {
            let full = self.is_full();
            let due = self.due(open, publishing.is_empty());
            tokio::select! {
                _ = &mut last_call, if !called => {
                    called = true;
                    pending.close();
                }
                received = pending.recv(), if open && !full => match received {
                    None => open = false,
                    Some(first) => {
                        self.take(first);
                        while !self.is_full() && let Ok(more) = pending.try_recv() {
                            self.take(more);
                        }
                    }
                },
                Some(done) = publishing.join_next_with_id() => {
                    let task = match done {
                        Ok((task, ())) => task,
                        Err(error) => {
                            // Its waiters are closed, and say so to their callers.
                            tracing::error!(%error, "publishing a message ended abnormally");
                            error.id()
                        }
                    };
                    self.free_lanes.extend(lane_of.remove(&task));
                }
                () = wait_until(due), if !self.free_lanes.is_empty() && due.is_some() => {
                    if let Some(lane) = self.free_lanes.pop_front() {
                        let group = std::mem::take(&mut self.group);
                        self.last_group = group.reports.len();
                        let (publisher, sealer) = (self.publisher.clone(), self.sealer.clone());
                        let refuses = Arc::clone(&self.refuses);
                        let task = publishing.spawn(publish(publisher, sealer, refuses, lane, group.reports)).id();
                        lane_of.insert(task, lane);
                    }
                }
            }
        }
    }

    fn take(&mut self, pending: Pending) {
        self.group.since.get_or_insert_with(Instant::now);
        self.group.bytes += pending.part.len();
        self.group.reports.push(pending);
    }

    fn is_full(&self) -> bool {
        self.group.reports.len() >= self.limits.max_group || self.group.bytes >= self.limits.max_group_bytes
    }

    /// When the group is to go out, if a lane is free; none while it should go on gathering.
    fn due(&self, open: bool, nothing_in_flight: bool) -> Option<Instant> {
        let since = self.group.since?;
        if self.is_full() || !open {
            return Some(since);
        }
        match (nothing_in_flight, self.last_group >= BUSY_FROM) {
            (true, false) => Some(since),
            (true, true) => Some(since + self.limits.linger),
            // A message is on its way: the next one gathers until it is back, or is full.
            (false, _) => None,
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    // The timer counts whole milliseconds: for a moment that has come already it would wait for the end of one.
    if let Some(due) = due.filter(|due| *due > Instant::now()) {
        tokio::time::sleep_until(due).await;
    }
}

/// Publishes a group and answers everybody in it.
async fn publish(publisher: Publisher, sealer: Sealer, refuses: Arc<AtomicBool>, lane: u16, reports: Vec<Pending>) {
    // The first came first: nobody in the group waits longer than promised.
    let Some(give_up_at) = reports.first().map(|pending| pending.give_up_at) else { return };
    let mut payload = Vec::with_capacity(reports.iter().map(|pending| pending.part.len()).sum());
    for pending in &reports {
        payload.extend_from_slice(&pending.part);
    }
    let seal = sealer.seal(&payload);
    let message = Outgoing {
        subject: messaging::subjects::submitted(lane),
        // The same for every try: a message that came through although its acknowledgement did not is not kept twice.
        message_id: uuid::Uuid::now_v7().to_string(),
        content_type: None,
        payload: payload.into(),
    };
    NUMBERS.batch_reports.record(reports.len() as f64);
    let began = Instant::now();
    let answer = match seal {
        Some(seal) => {
            let answer = publish_until(give_up_at, &publisher, &message, &seal).await;
            tell(&refuses, answer);
            answer
        }
        None => {
            tracing::error!("a message cannot be sealed; senders are told to come again");
            Err(NotKept::LogAway)
        }
    };
    NUMBERS.publish_seconds.record(began.elapsed());
    NUMBERS.in_flight.decrement(reports.len() as f64);
    for (index, Pending { answer: waiting, slot, .. }) in (0_u32..).zip(reports) {
        // A caller that went away does not hear it; its report is kept all the same.
        let _ = waiting.send(answer.map(|sequence| Place { sequence, index }));
        drop(slot);
    }
}

/// Tells when the log begins to take nothing, and when it takes messages again.
fn tell(refuses: &AtomicBool, answer: Result<u64, NotKept>) {
    let refused = refuses.swap(answer.is_err(), Ordering::Relaxed);
    match answer {
        Err(NotKept::LogFull) if !refused => {
            tracing::warn!("the log of submitted reports is full; senders are told to come again");
        }
        Err(NotKept::LogAway) if !refused => {
            tracing::warn!("the log of submitted reports is away; senders are told to come again");
        }
        Ok(_) if refused => tracing::info!("the log of submitted reports takes messages again"),
        _ => {}
    }
}

async fn publish_until(
    give_up_at: Instant,
    publisher: &Publisher,
    message: &Outgoing,
    seal: &str,
) -> Result<u64, NotKept> {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
    // A group that waited for a lane until its time was up is not tried at all.
    while Instant::now() < give_up_at {
        match tokio::time::timeout_at(give_up_at, publisher.publish_sealed(message, seal)).await {
            Ok(Ok(published)) => return Ok(published.sequence),
            Ok(Err(error)) if error.is_full() => {
                tracing::debug!(%error, "there is no room");
                return Err(NotKept::LogFull);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "publishing failed; trying again");
                NUMBERS.publish_retries.increment(1);
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(_) => break,
        }
    }
    Err(NotKept::LogAway)
}
