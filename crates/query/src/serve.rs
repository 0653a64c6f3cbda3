//! gRPC in: questions about totals and submissions.

use std::sync::Arc;

use domain::{Violations, judge};
use futures_util::{StreamExt as _, stream::BoxStream};
use proto::pb::query::v1::{
    GetSubmissionRequest, GetSubmissionResponse, GetTotalsRequest, GetTotalsResponse, ListChildTotalsRequest,
    ListChildTotalsResponse, WatchTotalsRequest, WatchTotalsResponse, query_service_server::QueryService,
};
use runtime::Shutdown;
use tonic::{Request, Response, Status};

use crate::{
    Limits, answer, page,
    question::{Asked, Question},
    read::Reader,
    refused::Refused,
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
        let asked = Asked { org_unit, data_set, period };
        let catalogue = self.reader.catalogue();
        let question = Question::read(catalogue, asked)?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        let after = page::after(asked, page_token)?;

        let vintage = question.vintage(catalogue);
        let rest = page::rest(vintage, &question.unit(catalogue).children, after.as_ref());
        let (units, more) = rest.split_at(size.min(rest.len()));
        let totals = self.reader.totals_of(question, units).await?;
        let last = units.last().filter(|_| !more.is_empty());
        let next_page_token = last.map(|unit| page::token(asked, &vintage.unit(*unit).code)).unwrap_or_default();
        Ok(ListChildTotalsResponse { totals, next_page_token })
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
        let question = Question::read(self.reader.catalogue(), Asked { org_unit, data_set, period })?;
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
        let question = Question::read(self.reader.catalogue(), Asked { org_unit, data_set, period })?;
        let (reader, shutdown) = (Arc::clone(&self.reader), self.shutdown.clone());
        let watcher = Watcher::new(reader, &self.hub, question, self.limits.look_again_after, shutdown)?;
        let responses = watcher.stream().map(|next| {
            let totals = Some(next?);
            Ok(WatchTotalsResponse { totals })
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn get_submission(
        &self,
        request: Request<GetSubmissionRequest>,
    ) -> Result<Response<GetSubmissionResponse>, Status> {
        let GetSubmissionRequest { submission_id } = request.into_inner();
        Ok(Response::new(self.submission(&submission_id).await?))
    }
}
