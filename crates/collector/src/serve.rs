//! gRPC in: one report a call, or many on a stream.

use std::{net::IpAddr, pin::Pin, sync::Arc};

use access::{Access, Principal, Unauthenticated};
use domain::{Catalogue, Content, Reason, Timestamp, access::Wish, judge};
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream::FuturesUnordered};
use messaging::audit::{Refusal, Refusals, TurnedAway};
use proto::pb::{
    collector::v1::{
        Acknowledgement, SubmitRequest, SubmitResponse, SubmitStreamRequest, SubmitStreamResponse,
        collector_service_server::CollectorService, submit_stream_response::Outcome,
    },
    event::v1::SubmittedReport,
    report::v1::Report,
};
use runtime::{
    Clock, Shutdown,
    grpc::Peer,
    metrics::OneMore,
    quota::Part,
    trace::{MOST, Span, TRACEPARENT},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Limits,
    limits::Quotas,
    metrics::NUMBERS,
    publish::{GroupCommit, NotKept, Place, Slot},
    refused::{Refused, refusal},
    revision::Revisions,
};

/// The gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    access: Access,
    quotas: Quotas,
    revisions: Revisions,
    group_commit: GroupCommit,
    refusals: Refusals,
    in_flight_per_stream: usize,
    shutdown: Shutdown,
}

/// A report that may be taken, in the form it is kept in.
struct Admitted {
    submission_id: String,
    revision: i64,
    received_at: Timestamp,
    part: Vec<u8>,
    /// Where its way is recorded.
    step: Option<Span>,
}

impl Service {
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        clock: Arc<dyn Clock>,
        access: Access,
        group_commit: GroupCommit,
        refusals: Refusals,
        limits: &Limits,
        shutdown: Shutdown,
    ) -> Self {
        let in_flight_per_stream = limits.max_in_flight_per_stream;
        Self(Arc::new(Shared {
            catalogue,
            clock,
            access,
            quotas: Quotas::of(limits),
            revisions: Revisions::default(),
            group_commit,
            refusals,
            in_flight_per_stream,
            shutdown,
        }))
    }
}

impl Shared {
    /// Who calls; the gate has asked.
    fn caller<T>(request: &Request<T>) -> Result<Principal, Refused> {
        request.extensions().get().cloned().ok_or(Refused::Unauthenticated(Unauthenticated::Missing))
    }

    /// Checks what can be checked without history, also that the period has begun and that the sender may report for the unit, and
    /// gives the report a revision where it has none.
    fn admit(&self, caller: &Principal, report: Option<Report>, step: Option<Span>) -> Result<Admitted, Refused> {
        let Some(mut report) = report else { return Err(Refused::Invalid(judge::no_report())) };
        let received_at = Timestamp::from(self.clock.now());
        let revision = report.revision.unwrap_or_else(|| self.revisions.next(received_at));
        let refuse = |refused: Refused, reasons: String| {
            let (principal, claim) = (caller.name.to_string(), proto::report::claim(&report));
            self.refusals.tell(&Refusal { at: received_at, principal, reasons, claim });
            refused
        };
        let draft = proto::report::draft(&report, revision);
        let (read, data_set) = judge::read(&self.catalogue, &draft, received_at).map_err(|violations| {
            let reasons: Vec<_> = violations.list().iter().map(|violation| violation.reason.code()).collect();
            let reasons = reasons.join(" ");
            refuse(Refused::Invalid(violations), reasons)
        })?;
        let wish = Wish::to_submit(&self.catalogue, data_set, &read.key, received_at);
        self.access.may(&caller.name, &wish, self.catalogue.tree()).map_err(|denied| {
            refuse(
                Refused::NotGranted(denied.message(caller.name.as_str(), &wish)),
                Reason::NotGranted.code().to_owned(),
            )
        })?;
        // Names took most of the report's room; from here on the layout tells what is meant.
        if let Content::Values(values) = &read.content {
            (report.dense, report.values) = proto::report::pack(data_set, values);
        }
        report.revision = Some(revision);
        let submission_id = report.submission_id.clone();
        let submitted = SubmittedReport {
            report: Some(report),
            received_at_micros: received_at.unix_micros(),
            principal: caller.name.to_string(),
            traceparent: step.as_ref().map(Span::traceparent).unwrap_or_default(),
        };
        Ok(Admitted { submission_id, revision, received_at, part: proto::event::encode_submitted(&submitted), step })
    }

    /// A place for a report of a stream, as soon as its sender and the collector have one and counting is not behind.
    async fn slot(self: Arc<Self>, of_one: Arc<Semaphore>) -> Option<Slot> {
        let of_one = of_one.acquire_owned().await.ok()?;
        self.group_commit.slot(of_one).await
    }

    /// The receipt for a report of a stream, once it is durable or refused.
    fn receipt(
        &self,
        index: u64,
        submission_id: String,
        admitted: Result<(Admitted, Slot), Refused>,
    ) -> impl Future<Output = SubmitStreamResponse> + use<> {
        let outcome = match admitted {
            Err(refused) => std::future::ready(Err(refused)).left_future(),
            Ok((admitted, slot)) => self.keep(admitted, slot).right_future(),
        };
        outcome.map(move |outcome| receipt(submission_id, index, outcome))
    }

    /// Keeps a report; done when it is durable.
    fn keep(&self, admitted: Admitted, slot: Slot) -> impl Future<Output = Result<Acknowledgement, Refused>> + use<> {
        let Admitted { submission_id, revision, received_at, part, mut step } = admitted;
        let began = Instant::now();
        let waiter = self.group_commit.commit(part, slot);
        async move {
            // A closed waiter means that group commit is gone: nothing is known to be kept.
            let answer = waiter.await.unwrap_or(Err(NotKept::LogAway));
            let Place { sequence, index } = answer.map_err(Refused::NotKept)?;
            if let Some(step) = &mut step {
                step.number("log_sequence", sequence);
                step.number("log_index", index.into());
            }
            NUMBERS.acknowledged.increment(1);
            NUMBERS.answer_seconds.record(began.elapsed());
            Ok(Acknowledgement {
                submission_id,
                revision,
                received_at: Some(proto::timestamp(received_at)),
                log_sequence: sequence,
                log_index: index,
            })
        }
    }
}

#[tonic::async_trait]
impl CollectorService for Service {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let shared = &self.0;
        if shared.shutdown.is_requested() {
            return Err(Refused::ShuttingDown.into());
        }
        let caller = Shared::caller(&request)?;
        shared.quotas.report(&caller)?;
        let step = Span::first("submit", traceparent(&request));
        let admitted = shared.admit(&caller, request.into_inner().report, step)?;
        let place = shared.quotas.in_flight(&caller)?;
        let slot = shared.group_commit.slot_soon(place).await?;
        let acknowledgement = shared.keep(admitted, slot).await?;
        Ok(Response::new(SubmitResponse { acknowledgement: Some(acknowledgement) }))
    }

    type SubmitStreamStream = Pin<Box<dyn Stream<Item = Result<SubmitStreamResponse, Status>> + Send>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        // Few: a sender that does not read its receipts is soon not read from either.
        let (receipts, outgoing) = mpsc::channel(64);
        let caller = Shared::caller(&request)?;
        let stream = self.0.quotas.stream(&caller)?;
        let caller = StreamCaller {
            peer: request.extensions().get().map(|Peer(peer)| *peer),
            traceparent: traceparent(&request).map(str::to_owned),
            principal: caller,
            _stream: stream,
        };
        tokio::spawn(answer_stream(Arc::clone(&self.0), caller, request.into_inner(), receipts));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// The step of the caller's trace that makes this call.
fn traceparent<T>(request: &Request<T>) -> Option<&str> {
    request.metadata().get(TRACEPARENT).and_then(|value| value.to_str().ok())
}

/// Who opened a stream.
struct StreamCaller {
    principal: Principal,
    peer: Option<IpAddr>,
    traceparent: Option<String>,
    /// Free again when it is dropped.
    _stream: Part,
}

/// A report of a stream that waits for its place. The stream is not read on meanwhile: that is what slows it down if it is too fast.
/// What was taken before it is answered.
struct Next {
    index: u64,
    admitted: Admitted,
    slot: futures_util::future::BoxFuture<'static, Option<Slot>>,
}

impl Next {
    /// The place; none ever without a report.
    async fn slot(next: &mut Option<Self>) -> Option<Slot> {
        match next {
            Some(next) => next.slot.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

/// Takes the reports of a stream as they come and sends their receipts as they are ready.
async fn answer_stream(
    shared: Arc<Shared>,
    StreamCaller { principal: caller, peer, traceparent, _stream }: StreamCaller,
    mut reports: Streaming<SubmitStreamRequest>,
    receipts: mpsc::Sender<Result<SubmitStreamResponse, Status>>,
) {
    let _open = OneMore::of(&NUMBERS.streams);
    let mut waiting = FuturesUnordered::new();
    let places = shared.quotas.places(&caller);
    // Whether the next report is within what the sender may bring.
    let mut is_due = false;
    let mut index = 0_u64;
    let mut next: Option<Next> = None;
    let mut open = true;
    let mut broken = None;
    while open || next.is_some() || !waiting.is_empty() {
        tokio::select! {
            biased;
            Some(receipt) = waiting.next(), if !waiting.is_empty() => {
                if receipts.send(Ok(receipt)).await.is_err() {
                    return; // the sender is gone; its reports are kept all the same
                }
            }
            slot = Next::slot(&mut next), if next.is_some() => {
                if let Some(Next { index, admitted, slot: _ }) = next.take() {
                    let submission_id = admitted.submission_id.clone();
                    let admitted = slot.map(|slot| (admitted, slot)).ok_or(Refused::ShuttingDown);
                    waiting.push(shared.receipt(index, submission_id, admitted));
                }
            }
            () = shared.shutdown.requested(), if open => open = false,
            () = shared.quotas.next_report(&caller), if open && !is_due => is_due = true,
            report = reports.message(), if open && is_due && next.is_none() && waiting.len() < shared.in_flight_per_stream => match report {
                Ok(None) => open = false,
                Err(status) => {
                    // What was taken is answered first, as far as anybody listens; then the stream ends as it broke.
                    open = false;
                    tracing::debug!(%status, "a stream of reports broke off");
                    broken = Some(status);
                }
                Ok(Some(SubmitStreamRequest { report })) => {
                    // A stream outlives what opened it: an end of the credentials ends it too, before the report is taken.
                    let now = shared.clock.now();
                    if let Err(refused) = shared.access.still(&caller, now) {
                        let (principal, reason) = (Some(caller.name.clone()), refused.reason());
                        shared.refusals.turned_away(TurnedAway { principal, reason, peer }, None, now.into());
                        open = false;
                        broken = Some(Refused::Unauthenticated(refused).into());
                        continue;
                    }
                    is_due = false;
                    let place = index;
                    index += 1;
                    let submission_id = report.as_ref().map(|report| report.submission_id.clone()).unwrap_or_default();
                    // A stream may go on for a day: its first reports are in its caller's trace, all others in their own.
                    let parent = traceparent.as_deref().filter(|_| place < MOST as u64);
                    let step = Span::first("submit", parent);
                    match shared.admit(&caller, report, step) {
                        Err(refused) => waiting.push(shared.receipt(place, submission_id, Err(refused))),
                        Ok(admitted) => {
                            let slot = Arc::clone(&shared).slot(Arc::clone(&places)).boxed();
                            next = Some(Next { index: place, admitted, slot });
                        }
                    }
                }
            },
        }
    }
    let ending = broken.or_else(|| shared.shutdown.is_requested().then(|| Refused::ShuttingDown.into()));
    if let Some(status) = ending {
        drop(receipts.send(Err(status)).await);
    }
}

fn receipt(submission_id: String, index: u64, outcome: Result<Acknowledgement, Refused>) -> SubmitStreamResponse {
    let outcome = match outcome {
        Ok(acknowledgement) => Outcome::Acknowledgement(acknowledgement),
        Err(refused) => Outcome::Refusal(refusal(&refused)),
    };
    SubmitStreamResponse { submission_id, index, outcome: Some(outcome) }
}
