//! A collector and a query service that do as a test tells them.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "for tests alone: what does not hold has failed one"
)]

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::Write as _,
    os::fd::AsRawFd as _,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, MutexGuard},
    time::Duration,
};

use proto::pb::{
    collector::v1::{
        Acknowledgement, Refusal, SubmitRequest, SubmitResponse, SubmitStreamRequest, SubmitStreamResponse,
        collector_service_server::{CollectorService, CollectorServiceServer},
        submit_stream_response::Outcome,
    },
    query::v1::{
        BatchGetTotalsRequest, BatchGetTotalsResponse, Fate, GetCatalogueRequest, GetCatalogueResponse,
        GetReportRequest, GetReportResponse, GetSeriesRequest, GetSeriesResponse, GetSubmissionRequest,
        GetSubmissionResponse, GetTotalsRequest, GetTotalsResponse, ListBreakdownRequest, ListBreakdownResponse,
        ListChildTotalsRequest, ListChildTotalsResponse, ListContributionsRequest, ListContributionsResponse,
        ListOrgUnitsRequest, ListOrgUnitsResponse, ListReportsRequest, ListReportsResponse, Totals, UnitReport,
        WatchManyRequest, WatchManyResponse, WatchTotalsRequest, WatchTotalsResponse,
        query_service_server::{QueryService, QueryServiceServer},
    },
    report::v1::{Report, Severity, Violation},
};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{
        Identity, Server, ServerTlsConfig,
        server::{Router, TcpIncoming},
    },
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::Credentials;

/// What a collector does with a report, by the unit's code.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// Keeps it.
    Acknowledges,
    /// Says that it can never count.
    Refuses,
    /// Asks for it again, so many times, then acknowledges.
    Postpones(u32),
    /// Breaks the stream, so many times, then acknowledges.
    Breaks(u32),
    /// Acknowledges it once so many reports have come in.
    WaitsFor(usize),
    /// Breaks every stream, and refuses it alone.
    Poisoned,
}

/// Both services; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Fake(Arc<Mutex<State>>);

/// What they are told, and what they have seen.
#[derive(Debug)]
pub struct State {
    /// What the collector does with the reports of a unit, if not acknowledge them.
    pub does: HashMap<String, Does>,
    /// Every report that came in, in order: unit and submission id.
    pub seen: Vec<(String, String)>,
    /// When each of these came, and with what revision.
    pub came: Vec<(Instant, Option<i64>)>,
    /// The pause that the collector asks for where it postpones.
    pub postpones_for: Duration,
    /// What a stream ends with that the collector breaks; without, it ends without a word.
    pub breaks_with: Option<Status>,
    /// What the collector answers to those who open a stream, the first one first; then it opens them.
    pub opens_with: VecDeque<Status>,
    /// How often a submission must have come in before the query service knows it.
    pub known_after: usize,
    /// What the query service answers to questions for fates, the first one first, before it says what it knows.
    pub answers_with: VecDeque<Status>,
    /// The unit whose reports' fates it does not tell, and why.
    pub unreadable: Option<(String, Status)>,
    /// When it was asked for a fate.
    pub asked: Vec<Instant>,
    /// How many times the query service does not know a submission yet.
    pub not_found: u32,
    /// What each watcher sees before its stream breaks, the first one first.
    pub watched: VecDeque<Vec<Totals>>,
    /// What is answered to whoever asks for totals.
    pub totals: Option<Totals>,
    /// The pages of a list of reports; the token of each is its number.
    pub pages: Vec<Vec<UnitReport>>,
    /// Every question for reports that came in.
    pub listed: Vec<ListReportsRequest>,
    /// What is answered to whoever asks for a series.
    pub series: Option<GetSeriesResponse>,
    /// What is answered to whoever asks for a report.
    pub report: Option<GetReportResponse>,
    /// The pages of contributions; the token of each is its number.
    pub contributions: Vec<ListContributionsResponse>,
    /// Every question for contributions that came in.
    pub explained: Vec<ListContributionsRequest>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            does: HashMap::new(),
            seen: Vec::new(),
            came: Vec::new(),
            postpones_for: Duration::from_millis(20),
            breaks_with: None,
            opens_with: VecDeque::new(),
            known_after: 1,
            answers_with: VecDeque::new(),
            unreadable: None,
            asked: Vec::new(),
            not_found: 0,
            watched: VecDeque::new(),
            totals: None,
            pages: Vec::new(),
            listed: Vec::new(),
            series: None,
            report: None,
            contributions: Vec::new(),
            explained: Vec::new(),
        }
    }
}

impl Fake {
    fn answer(&self, report: &Report) -> Option<Outcome> {
        let mut state = self.state();
        state.seen.push((report.org_unit.clone(), report.submission_id.clone()));
        state.came.push((Instant::now(), report.revision));
        let retry_after = Some(proto::duration(state.postpones_for));
        let does = state.does.entry(report.org_unit.clone()).or_insert(Does::Acknowledges);
        let acknowledged =
            Acknowledgement { submission_id: report.submission_id.clone(), revision: 1, ..Default::default() };
        match does {
            Does::Breaks(0) | Does::Postpones(0) | Does::Acknowledges | Does::WaitsFor(_) => {
                Some(Outcome::Acknowledgement(acknowledged))
            }
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

    /// How many reports must have come in before this one is answered.
    fn waits_for(&self, report: &Report) -> usize {
        match self.state().does.get(&report.org_unit) {
            Some(Does::WaitsFor(reports)) => *reports,
            _ => 0,
        }
    }

    /// To look at and to change; not to be held while anybody is to be served.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Serves both on a port of its own; gives back the URL.
    pub async fn serve(self) -> String {
        let collector = CollectorServiceServer::new(self.clone());
        serve(server().add_service(collector).add_service(QueryServiceServer::new(self))).await
    }

    /// The same on a port that somebody has chosen.
    pub fn serve_on(self, listener: TcpListener) {
        let collector = CollectorServiceServer::new(self.clone());
        let router = server().add_service(collector).add_service(QueryServiceServer::new(self));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    }

    /// The same without the collector.
    pub async fn serve_queries_alone(self) -> String {
        serve(server().add_service(QueryServiceServer::new(self))).await
    }
}

/// What they show, and a file with it for those who are to believe it; the file has no name and goes with the process.
static SHOWN: LazyLock<(Identity, File)> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(certified.cert.pem().as_bytes()).unwrap();
    (Identity::from_pem(certified.cert.pem(), certified.signing_key.serialize_pem()), file)
});

/// Credentials of a client that believes the fakes of this process.
pub fn credentials() -> Credentials {
    let ca = format!("/proc/self/fd/{}", SHOWN.1.as_raw_fd());
    Credentials { ca: Some(ca.into()), ..Credentials::default() }
}

fn server() -> Server {
    Server::builder().tls_config(ServerTlsConfig::new().identity(SHOWN.0.clone())).unwrap()
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    url
}

/// What the query service says of a submission that it does not know: that it may be asked again in a second.
fn not_found() -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("SUBMISSION_UNKNOWN", "tonghop.v1", []);
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::NotFound, "nothing is known of it", details)
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
        if let Some(status) = self.state().opens_with.pop_front() {
            return Err(status);
        }
        let (receipts, outgoing) = mpsc::channel(8);
        let (mut reports, fake) = (request.into_inner(), self.clone());
        tokio::spawn(async move {
            let mut index = 0;
            while let Ok(Some(SubmitStreamRequest { report: Some(report) })) = reports.message().await {
                // The end of the stream without a word is how a report that is too large shows.
                let Some(outcome) = fake.answer(&report) else {
                    let status = fake.state().breaks_with.clone();
                    if let Some(status) = status {
                        drop(receipts.send(Err(status)).await);
                    }
                    return;
                };
                let waits_for = fake.waits_for(&report);
                let submission_id = report.submission_id;
                let receipt = SubmitStreamResponse { submission_id, index, outcome: Some(outcome) };
                index += 1;
                if waits_for == 0 {
                    drop(receipts.send(Ok(receipt)).await);
                    continue;
                }
                let (receipts, fake) = (receipts.clone(), fake.clone());
                tokio::spawn(async move {
                    while fake.state().seen.len() < waits_for {
                        tokio::task::yield_now().await;
                    }
                    drop(receipts.send(Ok(receipt)).await);
                });
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
        state.asked.push(Instant::now());
        if let Some(status) = state.answers_with.pop_front() {
            return Err(status);
        }
        if state.seen.iter().filter(|(_, id)| *id == submission_id).count() < state.known_after {
            return Err(not_found());
        }
        if state.not_found > 0 {
            state.not_found -= 1;
            return Err(not_found());
        }
        let (org_unit, _) = state.seen.iter().find(|(_, id)| *id == submission_id).unwrap();
        if let Some((_, why)) = state.unreadable.as_ref().filter(|(unit, _)| unit == org_unit) {
            return Err(why.clone());
        }
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
        state.listed.push(request);
        let reports = state.pages[page].clone();
        let next_page_token = if page + 1 < state.pages.len() { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListReportsResponse { reports, next_page_token }))
    }

    async fn get_series(&self, _: Request<GetSeriesRequest>) -> Result<Response<GetSeriesResponse>, Status> {
        Ok(Response::new(self.state().series.clone().ok_or_else(|| Status::unimplemented(""))?))
    }

    async fn get_report(&self, _: Request<GetReportRequest>) -> Result<Response<GetReportResponse>, Status> {
        Ok(Response::new(self.state().report.clone().ok_or_else(|| Status::unimplemented(""))?))
    }

    async fn list_contributions(
        &self,
        request: Request<ListContributionsRequest>,
    ) -> Result<Response<ListContributionsResponse>, Status> {
        let request = request.into_inner();
        let page = request.page_token.parse().unwrap_or(0);
        let mut state = self.state();
        state.explained.push(request);
        let next_page_token = if page + 1 < state.contributions.len() { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListContributionsResponse { next_page_token, ..state.contributions[page].clone() }))
    }

    async fn batch_get_totals(
        &self,
        _: Request<BatchGetTotalsRequest>,
    ) -> Result<Response<BatchGetTotalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_breakdown(
        &self,
        _: Request<ListBreakdownRequest>,
    ) -> Result<Response<ListBreakdownResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_catalogue(&self, _: Request<GetCatalogueRequest>) -> Result<Response<GetCatalogueResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_org_units(&self, _: Request<ListOrgUnitsRequest>) -> Result<Response<ListOrgUnitsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchManyStream = Pin<Box<dyn Stream<Item = Result<WatchManyResponse, Status>> + Send>>;

    async fn watch_many(&self, _: Request<WatchManyRequest>) -> Result<Response<Self::WatchManyStream>, Status> {
        Err(Status::unimplemented(""))
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
