//! Delivery: one stream to the collector at a time, opened anew when it breaks, for as long as there is anything to send.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use proto::pb::{
    collector::v1::{
        Refusal, SubmitRequest, SubmitStreamRequest, SubmitStreamResponse,
        collector_service_client::CollectorServiceClient, submit_stream_response::Outcome as Said,
    },
    report::v1 as pb,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    Channel, Config, Event, Outcome, Service, SpoolError, Trouble,
    clock::Millis,
    link::{ANSWER_WITHIN, LONGEST_ASKED, Link, again_after, refusal},
    queue::Queue,
    spool::{Known, Place, Receipt, Spool, Waiting},
};

/// Reports handed to the stream and not yet written to the connection.
const HANDED_OVER: usize = 64;
/// Reports fetched from the spool, and receipts noted in it, at a time.
const AT_A_TIME: usize = 256;
/// Reports that the queue is told of at a time.
const PAGE: u32 = 10_000;
/// How long a stream stays open that has nothing to do.
const IDLE: Duration = Duration::from_secs(60);
/// How often the age of reports and outcomes is looked at, at most.
const SWEEP: Duration = Duration::from_secs(60);

/// Where a client says what it does. Whoever listens must keep listening: nothing goes on while nobody takes an event.
#[derive(Clone, Debug)]
pub(crate) struct Saying(pub(crate) Option<mpsc::Sender<Event>>);

impl Saying {
    pub(crate) async fn say(&self, event: Event) {
        if let Saying(Some(events)) = self {
            // Whoever listened may have gone.
            drop(events.send(event).await);
        }
    }
}

/// What delivery and the asking for fates share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) spool: Spool,
    pub(crate) saying: Saying,
    /// There may be more to send.
    pub(crate) wake: Arc<Notify>,
    /// Counts the times that reports were finished.
    pub(crate) finished: Arc<watch::Sender<u64>>,
}

impl Shared {
    pub(crate) fn notice_finished(&self) {
        self.finished.send_modify(|times| *times = times.wrapping_add(1));
    }
}

/// Sends what is in the spool.
pub(crate) struct Delivery {
    shared: Shared,
    link: Link,
    queue: Queue,
    /// The last place that the queue was told of.
    loaded: Place,
    started: Instant,
    swept: Instant,
    sweep_every: Duration,
    /// Whether the next report may have broken a stream.
    is_any_suspected: bool,
    /// Whose fate is to be asked for; none where nobody can be asked.
    ask: Option<mpsc::UnboundedSender<Known>>,
    /// What is to be pushed again. Like `ask` without a limit of its own: the spool has one.
    again: mpsc::UnboundedReceiver<Waiting>,
}

impl Delivery {
    pub(crate) fn new(
        shared: Shared,
        link: Link,
        ask: Option<mpsc::UnboundedSender<Known>>,
        again: mpsc::UnboundedReceiver<Waiting>,
    ) -> Self {
        let now = Instant::now();
        let sweep_every = (shared.config.give_up_after / 4).clamp(Duration::from_millis(10), SWEEP);
        let queue = Queue::default();
        Self {
            shared,
            link,
            queue,
            loaded: 0,
            started: now,
            swept: now,
            sweep_every,
            is_any_suspected: false,
            ask,
            again,
        }
    }

    /// Goes on until it is aborted, which does no harm at any point: what matters is in the spool.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let trouble = match self.deliver(&mut failures).await {
                Ok(()) => continue,
                Err(trouble) => trouble,
            };
            let pause = trouble.retry_after() + self.shared.config.retry.pause(failures);
            failures = failures.saturating_add(1);
            self.shared.saying.say(Event::Trouble(trouble)).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until there is something to send, and uses one connection for as long as it lasts and is needed.
    async fn deliver(&mut self, failures: &mut u32) -> Result<(), Trouble> {
        self.load().await?;
        if self.swept.elapsed() >= self.sweep_every {
            self.sweep().await?;
        }
        let now = self.now();
        if !self.queue.has_ready(now) {
            let due =
                self.queue.next_due().map_or(self.sweep_every, |due| due.saturating_sub(now).min(self.sweep_every));
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(due) => {}
            }
            return Ok(());
        }
        let mut client = CollectorServiceClient::new(self.link.connect().await?);
        // After the pause that the end of the stream has brought.
        if std::mem::take(&mut self.is_any_suspected) && self.probe(&mut client).await? {
            *failures = 0;
        }
        let mut batch = VecDeque::new();
        let ended = self.stream(&mut client, &mut batch).await;
        batch.into_iter().rev().for_each(|(place, _)| self.queue.put_back(place));
        let heard = matches!(ended, Ok(()) | Err(Trouble::BrokeOff { heard: true, .. }));
        if heard {
            *failures = 0;
        }
        let suspect = self.queue.broken(heard);
        self.is_any_suspected = suspect.is_some() && matches!(ended, Err(Trouble::BrokeOff { .. }));
        ended
    }

    async fn stream(
        &mut self,
        client: &mut CollectorServiceClient<Channel>,
        batch: &mut VecDeque<(Place, pb::Report)>,
    ) -> Result<(), Trouble> {
        let (reports, outgoing) = mpsc::channel(HANDED_OVER);
        let mut receipts = self.link.answer(client.submit_stream(ReceiverStream::new(outgoing))).await?;
        let mut heard = false;
        // When the collector last spoke, or was first given something to answer.
        let mut last_heard = Instant::now();
        loop {
            let now = self.now();
            let room = self.shared.config.in_flight.max(1).saturating_sub(self.queue.in_flight());
            if batch.is_empty() && room > 0 && self.queue.has_ready(now) {
                *batch = self.take(room.min(AT_A_TIME)).await?;
            }
            let (is_waiting, is_idle) = (self.queue.in_flight() > 0, self.queue.in_flight() == 0 && batch.is_empty());
            let due = self.queue.next_due().filter(|due| *due > now);
            tokio::select! {
                receipt = receipts.message() => {
                    let end = match receipt {
                        Ok(Some(receipt)) => {
                            (heard, last_heard) = (true, Instant::now());
                            let (all, end) = more(receipt, &mut receipts);
                            self.receipts(all).await?;
                            end
                        }
                        Ok(None) => Some(Ok(())),
                        Err(status) => Some(Err(status)),
                    };
                    let is_idle = self.queue.in_flight() == 0 && batch.is_empty();
                    match end {
                        None => {}
                        // Nobody waits for anything; the pause that was asked for is obeyed all the same.
                        Some(Ok(())) if is_idle => return Ok(()),
                        Some(end) => return Err(Trouble::BrokeOff { heard, status: end.err() }),
                    }
                }
                permit = reports.reserve(), if !batch.is_empty() && !reports.is_closed() => {
                    // A stream that is gone takes nothing: what is next stays the next.
                    let Ok(permit) = permit else { continue };
                    let Some((place, report)) = batch.pop_front() else { continue };
                    if !is_waiting {
                        last_heard = Instant::now();
                    }
                    permit.send(SubmitStreamRequest { report: Some(report) });
                    self.queue.sent(place);
                    self.say_sent(place).await;
                }
                () = self.shared.wake.notified() => self.load().await?,
                () = tokio::time::sleep_until(last_heard + ANSWER_WITHIN), if is_waiting => {
                    return Err(Trouble::Silent(Service::Collector));
                }
                () = tokio::time::sleep_until(last_heard + IDLE), if is_idle => return Ok(()),
                () = tokio::time::sleep_until(self.started + due.unwrap_or_default()), if due.is_some() && room > 0 => {}
                () = tokio::time::sleep_until(self.swept + self.sweep_every) => self.sweep().await?,
            }
        }
    }

    /// Sends one report on its own, so that the answer says what a broken stream does not: which report broke it, and why.
    /// Whether there was an answer.
    async fn probe(&mut self, client: &mut CollectorServiceClient<Channel>) -> Result<bool, Trouble> {
        let Some((place, report)) = self.take(1).await?.pop_front() else { return Ok(false) };
        self.queue.sent(place);
        self.say_sent(place).await;
        let answer = self.link.answer(client.submit(SubmitRequest { report: Some(report) })).await;
        let (outcome, trouble) = match answer {
            Ok(response) => (response.acknowledgement.map(Said::Acknowledgement), None),
            Err(Trouble::Answered { service, status }) => match refusal(&status) {
                Some(refusal) => (Some(Said::Refusal(refusal)), None),
                None => (None, Some(Trouble::Answered { service, status })),
            },
            Err(trouble) => (None, Some(trouble)),
        };
        match trouble {
            Some(trouble) => {
                self.queue.broken(true);
                Err(trouble)
            }
            None => {
                // The first of a new stream.
                let noted =
                    self.receipts(vec![SubmitStreamResponse { submission_id: String::new(), index: 0, outcome }]).await;
                // Also where the spool took no note: the next stream counts from its own first.
                self.queue.broken(true);
                noted?;
                Ok(true)
            }
        }
    }

    /// Tells the queue of what has come into the spool.
    async fn load(&mut self) -> Result<(), SpoolError> {
        while let Ok(waiting) = self.again.try_recv() {
            self.queue.add(waiting, Duration::ZERO);
        }
        loop {
            let after = self.loaded;
            let page = self.shared.spool.run(move |rows| rows.waiting(after, PAGE)).await?;
            let Some(Waiting { place: last, .. }) = page.last() else { return Ok(()) };
            self.loaded = *last;
            let (now, elapsed) = (Millis::now(), self.now());
            for waiting in page {
                // Whoever set the clock back must not make a report wait for years.
                let pause = waiting.not_before.since(now).min(LONGEST_ASKED);
                let not_before = if pause.is_zero() { Duration::ZERO } else { elapsed + pause };
                self.queue.add(waiting, not_before);
            }
        }
    }

    /// Takes up to so many reports out of the queue and the spool.
    async fn take(&mut self, most: usize) -> Result<VecDeque<(Place, pb::Report)>, SpoolError> {
        let now = self.now();
        let places: Vec<Place> = std::iter::from_fn(|| self.queue.take(now)).take(most).collect();
        let asked = places.clone();
        let taken = self.shared.spool.run(move |rows| rows.take(&asked, Millis::now())).await;
        match taken {
            Ok(taken) => {
                let mut found = taken.iter().map(|(place, _)| *place).peekable();
                for place in places {
                    if found.next_if_eq(&place).is_none() {
                        // Somebody has finished it in the meantime.
                        self.queue.settle(place);
                    }
                }
                Ok(taken.into())
            }
            Err(error) => {
                places.into_iter().rev().for_each(|place| self.queue.put_back(place));
                Err(error)
            }
        }
    }

    async fn say_sent(&self, place: Place) {
        if let Some(id) = self.queue.id(place) {
            self.shared.saying.say(Event::Sent(id)).await;
        }
    }

    /// Notes what the collector said to some reports.
    async fn receipts(&mut self, receipts: Vec<SubmitStreamResponse>) -> Result<(), SpoolError> {
        let mut noted = Vec::with_capacity(receipts.len());
        let mut pauses = Vec::new();
        let now = Millis::now();
        for SubmitStreamResponse { submission_id: _, index, outcome } in receipts {
            let Some(place) = self.queue.answered(index) else { continue };
            let receipt = match outcome {
                Some(Said::Acknowledgement(acknowledgement)) if self.ask.is_some() => {
                    Receipt::Acknowledged(acknowledgement)
                }
                Some(Said::Acknowledgement(acknowledgement)) => {
                    Receipt::Finished(Outcome::Acknowledged(acknowledgement))
                }
                Some(Said::Refusal(refusal)) => self.refused(place, refusal, now, &mut pauses),
                None => self.refused(place, Refusal::default(), now, &mut pauses),
            };
            noted.push((place, receipt));
        }
        let to_note = noted.clone();
        let known = match self.shared.spool.run(move |rows| rows.note(&to_note, now)).await {
            Ok(known) => known,
            Err(error) => {
                // Nothing was noted, so it is sent again: that does no harm.
                noted.iter().for_each(|(place, _)| self.queue.put_back(*place));
                return Err(error);
            }
        };
        if let Some(ask) = &self.ask {
            known.into_iter().for_each(|known| drop(ask.send(known)));
        }
        let mut pauses = pauses.into_iter();
        let mut is_any_finished = false;
        for (place, receipt) in noted {
            let Some(id) = self.queue.id(place) else { continue };
            let event = match receipt {
                Receipt::Postponed(_) => {
                    let pause = pauses.next().unwrap_or_default();
                    self.queue.postpone(place, self.now() + pause);
                    Event::Postponed(id, pause)
                }
                Receipt::Acknowledged(acknowledgement) => {
                    self.queue.settle(place);
                    Event::Acknowledged(id, acknowledgement)
                }
                Receipt::Finished(outcome) => {
                    self.queue.settle(place);
                    is_any_finished = true;
                    Event::Finished(id, outcome)
                }
            };
            self.shared.saying.say(event).await;
        }
        if is_any_finished {
            self.shared.notice_finished();
        }
        Ok(())
    }

    /// What a refusal means: sending again not before the pause that is asked for, or the end.
    fn refused(&self, place: Place, refusal: Refusal, now: Millis, pauses: &mut Vec<Duration>) -> Receipt {
        match again_after(&refusal) {
            Some(asked) => {
                let pause = asked + self.shared.config.retry.pause(self.queue.postponed(place));
                pauses.push(pause);
                Receipt::Postponed(now.plus(pause))
            }
            None => Receipt::Finished(Outcome::Refused(Box::new(refusal))),
        }
    }

    /// Gives up what is too old, and forgets outcomes that nobody has asked for in a long time.
    async fn sweep(&mut self) -> Result<(), SpoolError> {
        self.swept = Instant::now();
        let now = Millis::now();
        let Config { give_up_after, keep_outcomes, .. } = *self.shared.config;
        let places = self.queue.expired(now.minus(give_up_after));
        let old = places.clone();
        let given_up = self.shared.spool.run(move |rows| {
            rows.sweep(now.minus(keep_outcomes))?;
            rows.give_up(&old, now)
        });
        let given_up = given_up.await?;
        places.into_iter().for_each(|place| self.queue.settle(place));
        if !given_up.is_empty() {
            self.shared.notice_finished();
        }
        for (id, outcome) in given_up {
            self.shared.saying.say(Event::Finished(id, outcome)).await;
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// How a stream of receipts ended.
type End = Result<(), Status>;

/// A receipt and those that have come with it, and the end if that has come as well.
fn more(
    first: SubmitStreamResponse,
    receipts: &mut Streaming<SubmitStreamResponse>,
) -> (Vec<SubmitStreamResponse>, Option<End>) {
    let mut all = vec![first];
    while all.len() < AT_A_TIME {
        match receipts.message().now_or_never() {
            None => break,
            Some(Ok(Some(receipt))) => all.push(receipt),
            Some(Ok(None)) => return (all, Some(Ok(()))),
            Some(Err(status)) => return (all, Some(Err(status))),
        }
    }
    (all, None)
}
