//! A collector and a query service that do as a test tells them.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use proto::pb::{
    collector::v1::{
        Acknowledgement, Refusal, SubmitRequest, SubmitResponse, SubmitStreamRequest, SubmitStreamResponse,
        collector_service_server::{CollectorService, CollectorServiceServer},
        submit_stream_response::Outcome,
    },
    query::v1::{
        Fate, GetSubmissionRequest, GetSubmissionResponse, GetTotalsRequest, GetTotalsResponse, ListChildTotalsRequest,
        ListChildTotalsResponse, ListReportsRequest, ListReportsResponse, Totals, UnitReport, WatchTotalsRequest,
        WatchTotalsResponse,
        query_service_server::{QueryService, QueryServiceServer},
    },
    report::v1::{Report, Severity, Violation},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{
        Server,
        server::{Router, TcpIncoming},
    },
};

/// What a collector does with a report, by the unit's code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Acknowledges,
    Refuses,
    /// Asks for it again, so many times, then acknowledges.
    Postpones(u32),
    /// Breaks the stream, so many times, then acknowledges.
    Breaks(u32),
    /// Breaks every stream, and refuses it alone.
    Poisoned,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) does: HashMap<String, Does>,
    /// Every report that came in, in order: unit and submission id.
    pub(crate) seen: Vec<(String, String)>,
    /// How many times the query service does not know a submission yet.
    pub(crate) not_found: u32,
    /// What each watcher sees before its stream breaks, the first one first.
    pub(crate) watched: VecDeque<Vec<Totals>>,
    /// What is answered to whoever asks for totals.
    pub(crate) totals: Option<Totals>,
    /// The pages of a list of reports; the token of each is its number.
    pub(crate) pages: Vec<Vec<UnitReport>>,
    /// Every question for reports that came in.
    pub(crate) asked: Vec<ListReportsRequest>,
}

impl Fake {
    fn answer(&self, report: &Report) -> Option<Outcome> {
        let mut state = self.state();
        state.seen.push((report.org_unit.clone(), report.submission_id.clone()));
        let does = state.does.entry(report.org_unit.clone()).or_insert(Does::Acknowledges);
        let acknowledged =
            Acknowledgement { submission_id: report.submission_id.clone(), revision: 1, ..Default::default() };
        match does {
            Does::Breaks(0) | Does::Postpones(0) | Does::Acknowledges => Some(Outcome::Acknowledgement(acknowledged)),
            Does::Refuses => {
                let violation = Violation {
                    reason: "VALUE_TYPE_WRONG".to_owned(),
                    severity: Severity::Error.into(),
                    field: "values[1]".to_owned(),
                    message_vi: "phải là số".to_owned(),
                    message_en: "must be a number".to_owned(),
                };
                let (code, reason) = (Code::InvalidArgument.into(), violation.reason.clone());
                Some(Outcome::Refusal(Refusal { code, reason, violations: vec![violation], ..Default::default() }))
            }
            Does::Postpones(times) => {
                *times -= 1;
                let retry_after = Some(proto::duration(Duration::from_millis(20)));
                Some(Outcome::Refusal(Refusal {
                    code: Code::Unavailable.into(),
                    reason: "LOG_UNAVAILABLE".to_owned(),
                    retry_after,
                    ..Default::default()
                }))
            }
            Does::Breaks(times) => {
                *times -= 1;
                None
            }
            Does::Poisoned => None,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Serves both on a port of its own; gives back the URL.
    pub(crate) async fn serve(self) -> String {
        let collector = CollectorServiceServer::new(self.clone());
        serve(Server::builder().add_service(collector).add_service(QueryServiceServer::new(self))).await
    }

    /// The same without the collector.
    pub(crate) async fn serve_queries_alone(self) -> String {
        serve(Server::builder().add_service(QueryServiceServer::new(self))).await
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    url
}

#[tonic::async_trait]
impl CollectorService for Fake {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let report = request.into_inner().report.unwrap();
        match self.answer(&report) {
            Some(Outcome::Acknowledgement(acknowledgement)) => {
                Ok(Response::new(SubmitResponse { acknowledgement: Some(acknowledgement) }))
            }
            _ => Err(Status::out_of_range("the report is too large")),
        }
    }

    type SubmitStreamStream = Pin<Box<dyn Stream<Item = Result<SubmitStreamResponse, Status>> + Send>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let (receipts, outgoing) = mpsc::channel(8);
        let (mut reports, fake) = (request.into_inner(), self.clone());
        tokio::spawn(async move {
            let mut index = 0;
            while let Ok(Some(SubmitStreamRequest { report: Some(report) })) = reports.message().await {
                // The end of the stream without a word is how a report that is too large shows.
                let Some(outcome) = fake.answer(&report) else { return };
                let submission_id = report.submission_id;
                drop(receipts.send(Ok(SubmitStreamResponse { submission_id, index, outcome: Some(outcome) })).await);
                index += 1;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

#[tonic::async_trait]
impl QueryService for Fake {
    async fn get_submission(
        &self,
        request: Request<GetSubmissionRequest>,
    ) -> Result<Response<GetSubmissionResponse>, Status> {
        let submission_id = request.into_inner().submission_id;
        let mut state = self.state();
        if state.not_found > 0 {
            state.not_found -= 1;
            return Err(Status::not_found("on its way"));
        }
        let (org_unit, _) = state.seen.iter().find(|(_, id)| *id == submission_id).unwrap();
        let fate = if org_unit == "2" { Fate::Rejected } else { Fate::Accepted };
        Ok(Response::new(GetSubmissionResponse { submission_id, fate: fate.into(), ..Default::default() }))
    }

    async fn get_totals(&self, _: Request<GetTotalsRequest>) -> Result<Response<GetTotalsResponse>, Status> {
        let totals = self.state().totals.clone();
        Ok(Response::new(GetTotalsResponse { totals: Some(totals.ok_or_else(|| Status::unimplemented(""))?) }))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        let request = request.into_inner();
        let page = request.page_token.parse().unwrap_or(0);
        let mut state = self.state();
        state.asked.push(request);
        let reports = state.pages[page].clone();
        let next_page_token = if page + 1 < state.pages.len() { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListReportsResponse { reports, next_page_token }))
    }

    async fn list_child_totals(
        &self,
        _: Request<ListChildTotalsRequest>,
    ) -> Result<Response<ListChildTotalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchTotalsStream = Pin<Box<dyn Stream<Item = Result<WatchTotalsResponse, Status>> + Send>>;

    async fn watch_totals(&self, _: Request<WatchTotalsRequest>) -> Result<Response<Self::WatchTotalsStream>, Status> {
        let Some(seen) = self.state().watched.pop_front() else { return Err(Status::not_found("nothing to watch")) };
        let answers = seen.into_iter().map(|totals| Ok(WatchTotalsResponse { totals: Some(totals) }));
        let broken = std::iter::once(Err(Status::unavailable("going away")));
        Ok(Response::new(Box::pin(tokio_stream::iter(answers.chain(broken)))))
    }
}
