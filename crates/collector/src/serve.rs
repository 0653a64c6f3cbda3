//! gRPC in: one report a call, or many on a stream.

use std::{pin::Pin, sync::Arc};

use domain::{Catalogue, Timestamp, judge};
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream::FuturesUnordered};
use proto::pb::{
    collector::v1::{
        Acknowledgement, SubmitRequest, SubmitResponse, SubmitStreamRequest, SubmitStreamResponse,
        collector_service_server::CollectorService, submit_stream_response::Outcome,
    },
    event::v1::SubmittedReport,
    report::v1::Report,
};
use runtime::{Clock, Shutdown};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Limits,
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
    revisions: Revisions,
    group_commit: GroupCommit,
    in_flight_per_stream: usize,
    shutdown: Shutdown,
}

/// A report that may be taken, in the form it is kept in.
struct Admitted {
    submission_id: String,
    revision: i64,
    received_at: Timestamp,
    part: Vec<u8>,
}

impl Service {
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        clock: Arc<dyn Clock>,
        group_commit: GroupCommit,
        limits: &Limits,
        shutdown: Shutdown,
    ) -> Self {
        let in_flight_per_stream = limits.max_in_flight_per_stream;
        Self(Arc::new(Shared {
            catalogue,
            clock,
            revisions: Revisions::default(),
            group_commit,
            in_flight_per_stream,
            shutdown,
        }))
    }
}

impl Shared {
    /// Checks what can be checked without history, also that the period has begun, and gives the report a revision where it has none.
    fn admit(&self, report: Option<Report>) -> Result<Admitted, Refused> {
        let Some(mut report) = report else { return Err(Refused::Invalid(judge::no_report())) };
        let received_at = Timestamp::from(self.clock.now());
        let revision = report.revision.unwrap_or_else(|| self.revisions.next(received_at));
        judge::read(&self.catalogue, &proto::report::draft(&report, revision), received_at)
            .map_err(Refused::Invalid)?;
        report.revision = Some(revision);
        let submission_id = report.submission_id.clone();
        let submitted = SubmittedReport {
            report: Some(report),
            received_at_micros: received_at.unix_micros(),
            principal: "anonymous".to_owned(),
        };
        Ok(Admitted { submission_id, revision, received_at, part: proto::event::encode_submitted(&submitted) })
    }

    /// Keeps a report; done when it is durable.
    fn keep(&self, admitted: Admitted, slot: Slot) -> impl Future<Output = Result<Acknowledgement, Refused>> + use<> {
        let Admitted { submission_id, revision, received_at, part } = admitted;
        let waiter = self.group_commit.commit(part, slot);
        async move {
            // A closed waiter means that group commit is gone: nothing is known to be kept.
            let answer = waiter.await.unwrap_or(Err(NotKept::LogAway));
            let Place { sequence, index } = answer.map_err(Refused::NotKept)?;
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
        let admitted = shared.admit(request.into_inner().report)?;
        let slot = shared.group_commit.try_slot().ok_or(Refused::TooMany)?;
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
        tokio::spawn(answer_stream(Arc::clone(&self.0), request.into_inner(), receipts));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// Takes the reports of a stream as they come and sends their receipts as they are ready.
async fn answer_stream(
    shared: Arc<Shared>,
    mut reports: Streaming<SubmitStreamRequest>,
    receipts: mpsc::Sender<Result<SubmitStreamResponse, Status>>,
) {
    let mut waiting = FuturesUnordered::new();
    let mut index = 0_u64;
    let mut open = true;
    let mut broken = None;
    while open || !waiting.is_empty() {
        tokio::select! {
            biased;
            Some(receipt) = waiting.next(), if !waiting.is_empty() => {
                if receipts.send(Ok(receipt)).await.is_err() {
                    return; // the sender is gone; its reports are kept all the same
                }
            }
            () = shared.shutdown.requested(), if open => open = false,
            next = reports.message(), if open && waiting.len() < shared.in_flight_per_stream => match next {
                Ok(None) => open = false,
                Err(status) => {
                    // What was taken is answered first, as far as anybody listens; then the stream ends as it broke.
                    open = false;
                    tracing::debug!(%status, "a stream of reports broke off");
                    broken = Some(status);
                }
                Ok(Some(SubmitStreamRequest { report })) => {
                    let place = index;
                    index += 1;
                    let submission_id = report.as_ref().map(|report| report.submission_id.clone()).unwrap_or_default();
                    let outcome = match shared.admit(report) {
                        Err(refused) => std::future::ready(Err(refused)).left_future(),
                        // Waiting for a slot is what slows a stream down that is too fast.
                        Ok(admitted) => match shared.group_commit.slot().await {
                            None => std::future::ready(Err(Refused::ShuttingDown)).left_future(),
                            Some(slot) => shared.keep(admitted, slot).right_future(),
                        },
                    };
                    waiting.push(outcome.map(move |outcome| receipt(submission_id, place, outcome)));
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
