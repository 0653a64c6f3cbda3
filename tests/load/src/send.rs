//! Pushing reports: streams that take what comes and note how each report was answered.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use client::Channel;
use local::Door;
use proto::{
    encoded::{Answers, Encoded},
    pb::collector::v1::{Refusal, SubmitResponse, SubmitStreamResponse, submit_stream_response::Outcome},
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_types::StatusExt as _;

use crate::{
    latency::Latency,
    mix::Random,
    world::{AGAIN, PATIENCE},
};

/// Requests that a stream may hold for the connection; beyond them the queue of the sender grows.
const OUTGOING: usize = 256;

/// A report on its way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) request: Bytes,
    /// When it arrived at the sender: waiting there counts.
    pub(crate) due: Instant,
}

/// How many reports are where.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Handed to the senders.
    pub(crate) sent: AtomicU64,
    /// Durable.
    pub(crate) acknowledged: AtomicU64,
    /// Refused for good.
    pub(crate) refused: AtomicU64,
    /// Asked for again, or sent again on a stream that was opened again.
    pub(crate) again: AtomicU64,
    /// Streams that were opened again.
    pub(crate) reopened: AtomicU64,
    /// How often each refusal was given, of both kinds, by its code and its stable reason.
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    pub(crate) fn get(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    /// Reports that are submitted and not answered for good.
    pub(crate) fn waiting(&self) -> u64 {
        let answered = Self::get(&self.acknowledged) + Self::get(&self.refused);
        Self::get(&self.sent).saturating_sub(answered)
    }

    /// How often each refusal was given.
    pub(crate) fn refusals(&self) -> BTreeMap<String, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a refusal, and gives the pause it asks for. There is none where the report is not to come again: only these two codes
    /// promise that another try does no harm.
    fn refuse(&self, code: Code, reason: &str, pause: Option<Duration>) -> Option<Duration> {
        let pause = pause.filter(|_| matches!(code, Code::ResourceExhausted | Code::Unavailable));
        let count = if pause.is_some() { &self.again } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(format!("{code:?} {reason}")).or_default() += 1;
        pause
    }
}

/// The reports of a stream that are not answered, by their place in it.
#[derive(Debug, Default)]
struct Waiting {
    /// The place of the first.
    first: u64,
    parcels: VecDeque<Option<Parcel>>,
}

impl Waiting {
    fn push(&mut self, parcel: Parcel) {
        self.parcels.push_back(Some(parcel));
    }

    /// All that are not answered, in their order.
    fn rest(&mut self) -> Vec<Parcel> {
        self.parcels.drain(..).flatten().collect()
    }

    fn take(&mut self, place: u64) -> Option<Parcel> {
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        let parcel = self.parcels.get_mut(at)?.take();
        while self.parcels.front().is_some_and(Option::is_none) {
            self.parcels.pop_front();
            self.first += 1;
        }
        parcel
    }
}

/// Several streams to one collector.
#[derive(Debug)]
pub(crate) struct Senders {
    queues: Vec<mpsc::UnboundedSender<Parcel>>,
    streams: JoinSet<anyhow::Result<Latency>>,
    pub(crate) counts: Arc<Counts>,
}

impl Senders {
    /// Connects that many.
    pub(crate) async fn connect(collector: &Door, count: usize) -> anyhow::Result<Self> {
        Self::connect_counting(collector, count, Arc::default()).await
    }

    /// The same, with the counts in the sight of somebody else.
    pub(crate) async fn connect_counting(collector: &Door, count: usize, counts: Arc<Counts>) -> anyhow::Result<Self> {
        let (mut queues, mut streams) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            let (queue, parcels) = mpsc::unbounded_channel();
            let stream = Stream {
                collector: collector.clone(),
                queue: queue.downgrade(),
                counts: Arc::clone(&counts),
                latency: Latency::new()?,
            };
            let channel = stream.connect().await?;
            streams.spawn(stream.run(channel, parcels));
            queues.push(queue);
        }
        Ok(Self { queues, streams, counts })
    }

    /// Hands a report over. Those of one commune go the same way, so that they stay in order as long as they can.
    pub(crate) fn send(&self, commune: usize, parcel: Parcel) {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        // A stream that broke is told about by `finish`.
        let _ = self.queues[commune % self.queues.len()].send(parcel);
    }

    /// Whether a stream broke.
    pub(crate) fn is_broken(&self) -> bool {
        self.queues.iter().any(mpsc::UnboundedSender::is_closed)
    }

    /// Waits until every report is answered, and gives how long each waited for its acknowledgement.
    ///
    /// # Errors
    /// When a stream broke, or nothing is answered for that long.
    pub(crate) async fn finish(mut self, patience: Duration) -> anyhow::Result<(Latency, Arc<Counts>)> {
        let Counts { sent, acknowledged, refused, .. } = &*self.counts;
        let answered = || Counts::get(acknowledged) + Counts::get(refused);
        let (mut seen, mut since) = (answered(), Instant::now());
        while answered() < Counts::get(sent) && !self.is_broken() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if answered() != seen {
                (seen, since) = (answered(), Instant::now());
            }
            anyhow::ensure!(since.elapsed() < patience, "{} of {} reports are answered", seen, Counts::get(sent));
        }
        self.queues.clear();
        let mut latency = Latency::new()?;
        while let Some(stream) = self.streams.join_next().await {
            latency.add(&stream??);
        }
        Ok((latency, self.counts))
    }
}

fn locked(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that is opened again when it ends early, as that of any sender is: a collector lets go of old connections.
struct Stream {
    collector: Door,
    queue: mpsc::WeakUnboundedSender<Parcel>,
    counts: Arc<Counts>,
    latency: Latency,
}

impl Stream {
    async fn connect(&self) -> anyhow::Result<Channel> {
        self.collector.connect().await.context("connecting to the collector")
    }

    /// Connects, trying again while the collector is away.
    async fn connect_again(&self) -> anyhow::Result<Channel> {
        let began = Instant::now();
        loop {
            match self.connect().await {
                Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
                connected => return connected,
            }
        }
    }

    /// Sends what comes until no more does and all is answered.
    async fn run(
        mut self,
        mut channel: Channel,
        mut parcels: mpsc::UnboundedReceiver<Parcel>,
    ) -> anyhow::Result<Latency> {
        let mut unanswered = Vec::new();
        let mut answered_at = Instant::now();
        loop {
            let waiting = Arc::new(Mutex::new(Waiting::default()));
            let (outgoing, requests) = mpsc::channel(OUTGOING);
            let feeding = tokio::spawn(feed(unanswered, parcels, Arc::clone(&waiting), outgoing));
            let broke = self.answers(channel, requests, &waiting, &mut answered_at).await?;
            parcels = feeding.await?;
            unanswered = locked(&waiting).rest();
            if broke.is_none() && unanswered.is_empty() && parcels.is_closed() && parcels.is_empty() {
                return Ok(self.latency);
            }
            let is_worth_a_try = broke.as_ref().is_none_or(may_pass) && answered_at.elapsed() < PATIENCE;
            anyhow::ensure!(is_worth_a_try, "a stream of reports broke: {broke:?}");
            self.counts.reopened.fetch_add(1, Ordering::Relaxed);
            self.counts.again.fetch_add(u64::try_from(unanswered.len())?, Ordering::Relaxed);
            // Not as fast as it goes, where one ends as soon as it is opened.
            tokio::time::sleep(AGAIN).await;
            channel = self.connect_again().await?;
        }
    }

    /// Takes and counts answers until the stream ends, and gives why it broke if it did.
    async fn answers(
        &mut self,
        channel: Channel,
        requests: mpsc::Receiver<Encoded>,
        waiting: &Mutex<Waiting>,
        answered_at: &mut Instant,
    ) -> anyhow::Result<Option<Status>> {
        let mut grpc = Grpc::new(channel);
        if let Err(error) = grpc.ready().await {
            return Ok(Some(Status::unavailable(error.to_string())));
        }
        let path = PathAndQuery::from_static("/tonghop.collector.v1.CollectorService/SubmitStream");
        let requests = tonic::Request::new(ReceiverStream::new(requests));
        let receipts = match grpc.streaming(requests, path, Answers::<SubmitStreamResponse>::default()).await {
            Ok(receipts) => receipts,
            Err(status) => return Ok(Some(status)),
        };
        let mut receipts = receipts.into_inner();
        loop {
            let SubmitStreamResponse { index, outcome, .. } = match receipts.message().await {
                Ok(Some(receipt)) => receipt,
                Ok(None) => return Ok(None),
                Err(status) => return Ok(Some(status)),
            };
            *answered_at = Instant::now();
            let parcel = locked(waiting).take(index).context("a receipt for no report")?;
            match outcome {
                Some(Outcome::Acknowledgement(_)) => {
                    self.latency.record(parcel.due.elapsed());
                    self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Some(Outcome::Refusal(Refusal { code, reason, retry_after, .. })) => {
                    let pause = retry_after.and_then(|after| Duration::try_from(after).ok());
                    if let Some(pause) = self.counts.refuse(Code::from_i32(code), &reason, pause) {
                        let queue = self.queue.upgrade();
                        let queue = queue.context("a report is asked for again after all were answered")?;
                        tokio::spawn(async move {
                            tokio::time::sleep(pause).await;
                            let _ = queue.send(parcel);
                        });
                    }
                }
                None => {
                    self.counts.refuse(Code::Unknown, "a receipt that says nothing", None);
                }
            }
        }
    }
}

/// Whether a stream that ended so may be opened again: the collector, or the way to it, was gone.
fn may_pass(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

/// Sends what was not answered on the stream before, then what comes, until no more does or the stream has ended.
async fn feed(
    unanswered: Vec<Parcel>,
    mut parcels: mpsc::UnboundedReceiver<Parcel>,
    waiting: Arc<Mutex<Waiting>>,
    outgoing: mpsc::Sender<Encoded>,
) -> mpsc::UnboundedReceiver<Parcel> {
    let mut unanswered = unanswered.into_iter();
    loop {
        let parcel = match unanswered.next() {
            Some(parcel) => Some(parcel),
            None => tokio::select! {
                parcel = parcels.recv() => parcel,
                () = outgoing.closed() => None,
            },
        };
        let Some(parcel) = parcel else { return parcels };
        let request = Encoded::from(parcel.request.clone());
        locked(&waiting).push(parcel);
        if outgoing.send(request).await.is_err() {
            // What did not go out is not answered either.
            unanswered.for_each(|parcel| locked(&waiting).push(parcel));
            return parcels;
        }
    }
}

/// Submits reports one at a time, each by a call of its own. Its clones share a connection.
#[derive(Clone, Debug)]
pub(crate) struct OneByOne(Grpc<Channel>);

impl OneByOne {
    pub(crate) async fn connect(collector: &Door) -> anyhow::Result<Self> {
        Ok(Self(Grpc::new(collector.connect().await.context("connecting to the collector")?)))
    }

    /// Done when the report is durable.
    pub(crate) async fn submit(&mut self, request: Bytes) -> anyhow::Result<()> {
        Ok(self.call(request).await?)
    }

    /// Done when the report is durable or refused for good. Refused for now, it goes out again after the pause that was asked for and,
    /// so that those who were refused together do not come back together, a random part of it more.
    pub(crate) async fn submit_until_answered(&mut self, request: Bytes, random: &mut Random, counts: &Counts) {
        while let Err(status) = self.call(request.clone()).await {
            let details = status.get_error_details();
            let pause = details.retry_info().and_then(|info| info.retry_delay);
            let reason = details.error_info().map_or(status.message(), |info| &info.reason);
            let Some(pause) = counts.refuse(status.code(), reason, pause) else { return };
            let more = pause.mul_f64(random.below(1_000) as f64 / 1_000.0);
            tokio::time::sleep(pause + more).await;
        }
        counts.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    async fn call(&mut self, request: Bytes) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static("/tonghop.collector.v1.CollectorService/Submit");
        let request = tonic::Request::new(Encoded::from(request));
        let answer = self.0.unary(request, path, Answers::<SubmitResponse>::default()).await?.into_inner();
        let acknowledgement = answer.acknowledgement.ok_or(Status::unknown("an answer without an acknowledgement"))?;
        drop(acknowledgement);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_promises_that_another_try_does_no_harm_is_sent_again() {
        let (counts, pause) = (Counts::default(), Some(Duration::from_millis(500)));
        assert_eq!(counts.refuse(Code::ResourceExhausted, "TOO_MANY_IN_FLIGHT", pause), pause);
        assert_eq!(counts.refuse(Code::Unavailable, "LOG_UNAVAILABLE", pause), pause);
        assert_eq!(counts.refuse(Code::Unavailable, "LOG_UNAVAILABLE", None), None);
        assert_eq!(counts.refuse(Code::DeadlineExceeded, "CALL_TOO_LONG", pause), None);
        assert_eq!((Counts::get(&counts.again), Counts::get(&counts.refused)), (2, 2));
        assert_eq!(counts.refusals()["Unavailable LOG_UNAVAILABLE"], 2);
    }

    #[test]
    fn receipts_find_their_reports_in_any_order() {
        let mut waiting = Waiting::default();
        let parcel = |byte: u8| Parcel { request: vec![byte].into(), due: Instant::now() };
        (0..5).for_each(|byte| waiting.push(parcel(byte)));
        let taken = |waiting: &mut Waiting, place| waiting.take(place).map(|parcel| parcel.request[0]);
        assert_eq!([1, 0, 3].map(|place| taken(&mut waiting, place)), [Some(1), Some(0), Some(3)]);
        assert_eq!(waiting.first, 2, "what is answered is let go of");
        waiting.push(parcel(5));
        assert_eq!([0, 3, 6].map(|place| taken(&mut waiting, place)), [None; 3], "answered before, or never sent");
        assert_eq!([2, 4, 5].map(|place| taken(&mut waiting, place)), [Some(2), Some(4), Some(5)]);
        assert!(waiting.parcels.is_empty());
    }
}
