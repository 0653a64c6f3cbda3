//! Sending: one stream at a time, opened anew when it breaks, until every report is settled.

use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

use proto::pb::{
    collector::v1::{
        Acknowledgement, Refusal, SubmitRequest, SubmitStreamRequest, SubmitStreamResponse,
        collector_service_client::CollectorServiceClient, submit_stream_response::Outcome,
    },
    report::v1::Report,
};
use runtime::Backoff;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_types::StatusExt as _;

use super::{
    queue::{Index, Next, Queue, decide},
    tell::{Summary, Teller},
};
use crate::{
    output::{Failure, both},
    peer::{ANSWER_WITHIN, Peer, reason, vietnamese},
    report_file::FileReport,
};

/// Reports handed to the stream and not yet written to the connection.
const HANDED_OVER: usize = 64;

/// Ctrl-C, once it comes.
pub(super) type Interrupt<'a> = Pin<&'a mut (dyn Future<Output = ()> + 'a)>;

/// Sends the reports of a file.
pub(super) struct Sender<'a> {
    peer: Peer,
    reports: &'a [FileReport],
    window: usize,
    give_up_after: Duration,
    teller: Teller<'a>,
    queue: Queue,
    started: Instant,
    /// When the collector last said anything.
    last_heard: Instant,
    acknowledged: BTreeSet<Index>,
}

/// How sending ended, unless it failed.
pub(super) struct Left {
    pub(super) interrupted: bool,
    /// The reports that were acknowledged, in the file's order.
    pub(super) acknowledged: BTreeSet<Index>,
}

/// Why a stream ended.
enum End {
    /// Every report is settled.
    Done,
    Interrupted,
    /// It broke after receipts had come.
    Broke,
    /// It broke and had brought no receipt: perhaps it was a report that broke it.
    Barren,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        collector: &str,
        reports: &'a [FileReport],
        window: usize,
        give_up_after: Duration,
        teller: Teller<'a>,
    ) -> Self {
        let now = Instant::now();
        let queue = Queue::new(reports.len(), give_up_after);
        let (peer, acknowledged) = (Peer::collector(collector), BTreeSet::new());
        Self { peer, reports, window, give_up_after, teller, queue, started: now, last_heard: now, acknowledged }
    }

    /// Sends until every report is acknowledged, refused or given up, or Ctrl-C comes. What became of each is told as it is
    /// known, and counted.
    pub(super) async fn run(mut self, interrupt: &mut Interrupt<'_>, summary: &mut Summary) -> Result<Left, Failure> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let mut is_quiet = false;
        let mut ended = Ok(false);
        while !self.queue.is_done() {
            let connected = tokio::select! {
                () = interrupt.as_mut() => { ended = Ok(true); break; }
                connected = self.peer.connect() => connected,
            };
            let trouble = match connected {
                Err(failure) => Err(failure),
                Ok(channel) => self.serve(channel, interrupt, summary).await,
            };
            match trouble {
                Ok(End::Done) => {}
                Ok(End::Interrupted) => {
                    ended = Ok(true);
                    break;
                }
                Ok(End::Broke) => {
                    is_quiet = false;
                    backoff.reset();
                }
                Ok(End::Barren) if self.last_heard.elapsed() >= self.give_up_after => {
                    ended = Err(self.peer.silent());
                    break;
                }
                Ok(End::Barren) => {}
                Err(failure) if !failure.may_pass || self.last_heard.elapsed() >= self.give_up_after => {
                    ended = Err(failure);
                    break;
                }
                Err(failure) => {
                    if !is_quiet {
                        let seconds = self.give_up_after.as_secs();
                        self.teller.output.remark(&both(
                            format!("{}; sẽ thử lại trong {seconds} giây", failure.message.vi),
                            format!("{}; trying again for {seconds} s", failure.message.en),
                        ));
                    }
                    is_quiet = true;
                }
            }
            if self.queue.is_done() {
                break;
            }
            tokio::select! {
                () = interrupt.as_mut() => { ended = Ok(true); break; }
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
        let (unknown, not_sent) = self.queue.abandon();
        for index in unknown {
            self.unknown(index, summary);
        }
        summary.not_sent += not_sent.len();
        not_sent.into_iter().for_each(|index| self.teller.not_sent(&self.reports[index]));
        ended.map(|interrupted| Left { interrupted, acknowledged: self.acknowledged })
    }

    /// Uses one connection for as long as it lasts.
    async fn serve(
        &mut self,
        channel: Channel,
        interrupt: &mut Interrupt<'_>,
        summary: &mut Summary,
    ) -> Result<End, Failure> {
        let mut client = CollectorServiceClient::new(channel);
        let end = self.stream(&mut client, interrupt, summary).await?;
        let now = self.started.elapsed();
        for index in self.queue.broken(now) {
            self.unknown(index, summary);
        }
        if matches!(end, End::Barren) && self.queue.has_ready(now) {
            return Ok(self.probe(&mut client, interrupt, summary).await);
        }
        Ok(end)
    }

    async fn stream(
        &mut self,
        client: &mut CollectorServiceClient<Channel>,
        interrupt: &mut Interrupt<'_>,
        summary: &mut Summary,
    ) -> Result<End, Failure> {
        let (reports, outgoing) = mpsc::channel(HANDED_OVER);
        let mut receipts: Streaming<SubmitStreamResponse> = tokio::select! {
            () = interrupt.as_mut() => return Ok(End::Interrupted),
            answer = self.peer.answer(client.submit_stream(ReceiverStream::new(outgoing))) => answer?,
        };
        let mut broke = End::Barren;
        let mut last_receipt = Instant::now();
        while !self.queue.is_done() {
            let now = self.started.elapsed();
            let may_send = self.queue.in_flight() < self.window && self.queue.has_ready(now) && !reports.is_closed();
            let due = self.queue.next_due().map_or(now + ANSWER_WITHIN, |due| due);
            tokio::select! {
                () = interrupt.as_mut() => return Ok(End::Interrupted),
                receipt = receipts.message() => match receipt {
                    Ok(Some(receipt)) => {
                        (self.last_heard, last_receipt, broke) = (Instant::now(), Instant::now(), End::Broke);
                        self.receipt(receipt, summary);
                    }
                    // It was ended, or the line was cut: the same is to be done.
                    Ok(None) | Err(_) => return Ok(broke),
                },
                permit = reports.reserve(), if may_send => {
                    let (Ok(permit), Some(index)) = (permit, self.queue.take(now)) else { continue };
                    if self.queue.in_flight() == 1 {
                        last_receipt = Instant::now();
                    }
                    permit.send(SubmitStreamRequest { report: Some(self.report(index)) });
                }
                () = tokio::time::sleep_until(last_receipt + ANSWER_WITHIN), if self.queue.in_flight() > 0 => return Ok(broke),
                () = tokio::time::sleep_until(self.started + due), if self.queue.in_flight() < self.window && !may_send => {}
            }
        }
        Ok(End::Done)
    }

    /// Sends one report on its own, so that the answer says what a broken stream does not: which report broke it, and why.
    async fn probe(
        &mut self,
        client: &mut CollectorServiceClient<Channel>,
        interrupt: &mut Interrupt<'_>,
        summary: &mut Summary,
    ) -> End {
        let Some(index) = self.queue.take(self.started.elapsed()) else { return End::Barren };
        let request = SubmitRequest { report: Some(self.report(index)) };
        let answer = tokio::select! {
            () = interrupt.as_mut() => return End::Interrupted,
            answer = tokio::time::timeout(ANSWER_WITHIN, client.submit(request)) => answer,
        };
        let outcome = match answer {
            Ok(Ok(response)) => response.into_inner().acknowledgement.map(Outcome::Acknowledgement),
            Ok(Err(status)) => Some(Outcome::Refusal(refusal(&status))),
            Err(_) => None,
        };
        let heard = outcome.is_some();
        if heard {
            self.last_heard = Instant::now();
        }
        // The first of a new stream.
        self.receipt(SubmitStreamResponse { submission_id: String::new(), index: 0, outcome }, summary);
        for index in self.queue.broken(self.started.elapsed()) {
            self.unknown(index, summary);
        }
        if heard { End::Broke } else { End::Barren }
    }

    fn receipt(&mut self, receipt: SubmitStreamResponse, summary: &mut Summary) {
        let SubmitStreamResponse { submission_id: _, index: place, outcome } = receipt;
        let Some(index) = self.queue.answered(place) else { return };
        let of = &self.reports[index];
        match outcome {
            Some(Outcome::Acknowledgement(acknowledgement)) => {
                self.acknowledge(index, &acknowledgement, summary);
            }
            Some(Outcome::Refusal(refusal)) => {
                let retry_after = refusal.retry_after.and_then(|pause| Duration::try_from(pause).ok());
                match decide(Code::from_i32(refusal.code), retry_after, self.queue.refusals(index)) {
                    Next::Again(pause) => self.again(index, pause, summary),
                    Next::Refuse => {
                        self.queue.settle();
                        summary.refused += 1;
                        self.teller.refused(of, &refusal);
                    }
                }
            }
            None => self.again(index, Duration::from_secs(1), summary),
        }
    }

    fn acknowledge(&mut self, index: Index, acknowledgement: &Acknowledgement, summary: &mut Summary) {
        self.queue.settle();
        self.acknowledged.insert(index);
        summary.acknowledged += 1;
        self.teller.acknowledged(&self.reports[index], acknowledgement);
    }

    fn again(&mut self, index: Index, pause: Duration, summary: &mut Summary) {
        if !self.queue.again(index, self.started.elapsed(), pause) {
            self.unknown(index, summary);
        }
    }

    fn unknown(&self, index: Index, summary: &mut Summary) {
        summary.unknown += 1;
        self.teller.unknown(&self.reports[index]);
    }

    fn report(&self, index: Index) -> Report {
        self.reports[index].report.clone()
    }
}

/// The answer to a single report as a stream would have it.
fn refusal(status: &Status) -> Refusal {
    let details = status.get_error_details();
    let retry_after = details.retry_info().and_then(|info| info.retry_delay).map(proto::duration);
    Refusal {
        code: status.code().into(),
        reason: reason(&details, status.code()),
        message_vi: vietnamese(&details),
        message_en: status.message().to_owned(),
        violations: Vec::new(),
        retry_after,
    }
}
