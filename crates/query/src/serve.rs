//! gRPC in: questions about totals, reports and submissions.

use std::sync::Arc;

use domain::{UnitIx, Violations, judge};
use futures_util::{StreamExt as _, stream::BoxStream};
use proto::pb::query::v1::{
    GetSubmissionRequest, GetSubmissionResponse, GetTotalsRequest, GetTotalsResponse, ListChildTotalsRequest,
    ListChildTotalsResponse, ListReportsRequest, ListReportsResponse, WatchTotalsRequest, WatchTotalsResponse,
    query_service_server::QueryService,
};
use runtime::Shutdown;
use tonic::{Request, Response, Status};

use crate::{
    Limits, answer, page,
    question::{Asked, Question},
    read::Reader,
    refused::Refused,
    reports,
    watch::{Hub, Watcher},
};

/// The gRPC service.
#[derive(Debug)]
pub(crate) struct Service {
    reader: Arc<Reader>,
    hub: Arc<Hub>,
    limits: Limits,
    shutdown: Shutdown,
}

impl Service {
    pub(crate) fn new(reader: Reader, hub: Arc<Hub>, limits: Limits, shutdown: Shutdown) -> Self {
        Self { reader: Arc::new(reader), hub, limits, shutdown }
    }

    async fn children(&self, request: ListChildTotalsRequest) -> Result<ListChildTotalsResponse, Refused> {
        let ListChildTotalsRequest { org_unit, data_set, period, page_size, page_token } = &request;
        let catalogue = self.reader.catalogue();
        let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        // By the name of the period that was found: another `latest` is another list.
        let found = question.period.to_string();
        let list = &[org_unit, data_set, found.as_str()];
        let after = page::after(list, page_token)?;

        let vintage = question.vintage(catalogue);
        let rest = page::rest(vintage, &question.unit(catalogue).children, after.as_ref());
        let (units, more) = rest.split_at(size.min(rest.len()));
        let totals = self.reader.totals_of(question, units).await?;
        let last = units.last().filter(|_| !more.is_empty());
        let next_page_token = last.map(|unit| page::token(list, &vintage.unit(*unit).code)).unwrap_or_default();
        Ok(ListChildTotalsResponse { totals, next_page_token })
    }

    async fn reports(&self, request: ListReportsRequest) -> Result<ListReportsResponse, Refused> {
        let ListReportsRequest { org_unit, data_set, period, filter, page_size, page_token } = &request;
        let catalogue = self.reader.catalogue();
        let question = Question::of_reports(catalogue, Asked { org_unit, data_set, period })?;
        let wanted = reports::filter(*filter)?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        let filter = filter.to_string();
        let list = &[org_unit, data_set, period, "reports", filter.as_str()];
        let after = page::after(list, page_token)?;

        let units = reports::reporting(catalogue, question);
        let rest = page::rest(question.vintage(catalogue), &units, after.as_ref());
        let (looked_at, _) = rest.split_at(reports::LOOKED_AT.min(rest.len()));
        let found = self.reader.reports(question, looked_at, wanted, size).await?;
        let (reports, done) = reports::page(catalogue, question, looked_at, found, size);
        let last = rest[..done].last().filter(|_| done < rest.len());
        let code = |unit: &UnitIx| &question.vintage(catalogue).unit(*unit).code;
        let next_page_token = last.map(|unit| page::token(list, code(unit))).unwrap_or_default();
        Ok(ListReportsResponse { reports, next_page_token })
    }

    async fn submission(&self, text: &str) -> Result<GetSubmissionResponse, Refused> {
        let mut violations = Violations::default();
        let Some(id) = judge::read_submission_id(text, &mut violations) else {
            return Err(Refused::Malformed(violations));
        };
        Ok(answer::submission(id.to_string(), self.reader.submission(id).await?))
    }
}

#[tonic::async_trait]
impl QueryService for Service {
    async fn get_totals(&self, request: Request<GetTotalsRequest>) -> Result<Response<GetTotalsResponse>, Status> {
        let GetTotalsRequest { org_unit, data_set, period } = &request.into_inner();
        let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
        let totals = self.reader.totals(question).await?;
        Ok(Response::new(GetTotalsResponse { totals: Some(totals) }))
    }

    async fn list_child_totals(
        &self,
        request: Request<ListChildTotalsRequest>,
    ) -> Result<Response<ListChildTotalsResponse>, Status> {
        Ok(Response::new(self.children(request.into_inner()).await?))
    }

    type WatchTotalsStream = BoxStream<'static, Result<WatchTotalsResponse, Status>>;

    async fn watch_totals(
        &self,
        request: Request<WatchTotalsRequest>,
    ) -> Result<Response<Self::WatchTotalsStream>, Status> {
        let WatchTotalsRequest { org_unit, data_set, period } = &request.into_inner();
        let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
        let (reader, shutdown) = (Arc::clone(&self.reader), self.shutdown.clone());
        let watcher = Watcher::new(reader, &self.hub, question, self.limits.look_again_after, shutdown)?;
        let responses = watcher.stream().map(|next| {
            let totals = Some(next?);
            Ok(WatchTotalsResponse { totals })
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        Ok(Response::new(self.reports(request.into_inner()).await?))
    }

    async fn get_submission(
        &self,
        request: Request<GetSubmissionRequest>,
    ) -> Result<Response<GetSubmissionResponse>, Status> {
        let GetSubmissionRequest { submission_id } = request.into_inner();
        Ok(Response::new(self.submission(&submission_id).await?))
    }
}
