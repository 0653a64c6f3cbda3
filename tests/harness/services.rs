//! The four services as processes, and clients of the two that answer.

use std::sync::Arc;

use client::{Channel, Credentials};
use local::Keys;
use proto::pb::{
    collector::v1::{
        Acknowledgement, SubmitRequest, SubmitStreamRequest, collector_service_client::CollectorServiceClient,
        submit_stream_response::Outcome,
    },
    query::v1::{
        DataSet, GetCatalogueRequest, GetSubmissionRequest, GetSubmissionResponse, GetTotalsRequest, Totals,
        query_service_client::QueryServiceClient,
    },
    report::v1::Report,
};
use tokio::sync::watch;
use tonic::Status;

use crate::{Sending, Service, eventually};

/// Clients of somebody in particular.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Of the collector.
    pub sender: CollectorServiceClient<Channel>,
    /// Of the query service.
    pub reader: QueryServiceClient<Channel>,
}

/// The four services, and clients of the two that answer; of somebody who may send and read everything, where nothing else is
/// said.
#[derive(Debug)]
pub struct Services {
    /// Takes reports.
    pub collector: Service,
    /// Judges them.
    pub validator: Service,
    /// Counts them.
    pub aggregator: Service,
    /// Answers questions.
    pub query: Service,
    senders: watch::Sender<Channel>,
    readers: Channel,
    keys: Arc<Keys>,
}

impl Services {
    pub(crate) async fn new(
        keys: Arc<Keys>,
        collector: Service,
        validator: Service,
        aggregator: Service,
        query: Service,
    ) -> Self {
        let senders = watch::Sender::new(collector.channel().await);
        let readers = query.channel().await;
        Self { collector, validator, aggregator, query, senders, readers, keys }
    }

    /// Another collector takes the place of this one, which is given back; senders find it when they connect again.
    pub async fn replace_collector(&mut self, collector: Service) -> Service {
        self.senders.send_replace(collector.channel().await);
        std::mem::replace(&mut self.collector, collector)
    }

    /// Others take the place of all of these; senders and readers find them.
    pub async fn replace_all(&mut self, others: Self) {
        self.replace_collector(others.collector).await;
        let Self { validator, aggregator, query, readers, .. } = self;
        (*validator, *aggregator, *query, *readers) =
            (others.validator, others.aggregator, others.query, others.readers);
    }

    /// Sends reports on a stream, in order and as far as allowed, again and again until each is acknowledged.
    #[must_use]
    pub fn send(&self, reports: &Arc<[Report]>) -> Sending {
        Sending::start(Arc::clone(reports), self.senders.subscribe())
    }

    /// Fails if one of the four logged anything at level ERROR, or panicked.
    pub fn assert_quiet(&self) {
        for service in [&self.collector, &self.validator, &self.aggregator, &self.query] {
            service.assert_quiet();
        }
    }

    /// Clients of a principal with a certificate of its own. It may do what the world's keys grant it.
    pub async fn as_principal(&self, name: &str) -> Caller {
        self.with(&self.keys.credentials(name).unwrap()).await
    }

    /// The credentials of somebody who may send and read everything.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.query.door().credentials
    }

    /// Clients of the operator, who may read and operate everything.
    pub async fn as_operator(&self) -> Caller {
        self.with(&self.keys.operator()).await
    }

    /// Clients of somebody with these credentials.
    pub async fn with(&self, credentials: &Credentials) -> Caller {
        let to = async |service: &Service| service.door().with(credentials.clone()).connect().await.unwrap();
        Caller {
            sender: CollectorServiceClient::new(to(&self.collector).await),
            reader: QueryServiceClient::new(to(&self.query).await),
        }
    }

    /// A sender's client.
    #[must_use]
    pub fn sender(&self) -> CollectorServiceClient<Channel> {
        CollectorServiceClient::new(self.senders.borrow().clone())
    }

    /// A reader's client.
    #[must_use]
    pub fn reader(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.readers.clone())
    }

    /// Submits one report.
    ///
    /// # Errors
    /// As the collector answers.
    pub async fn submit(&self, report: &Report) -> Result<Acknowledgement, Status> {
        let answer = self.sender().submit(SubmitRequest { report: Some(report.clone()) }).await?;
        Ok(answer.into_inner().acknowledgement.unwrap())
    }

    /// Submits reports on one stream and gives their receipts in the order of the reports.
    pub async fn submit_all(&self, reports: &[Report]) -> Vec<Outcome> {
        let requests = reports.iter().cloned().map(|report| SubmitStreamRequest { report: Some(report) });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut receipts = self.sender().submit_stream(requests).await.unwrap().into_inner();
        let mut outcomes = vec![None; reports.len()];
        while let Some(receipt) = receipts.message().await.unwrap() {
            let place = usize::try_from(receipt.index).unwrap();
            assert_eq!(receipt.submission_id, reports[place].submission_id);
            assert!(outcomes[place].is_none(), "one receipt a report");
            outcomes[place] = receipt.outcome;
        }
        outcomes.into_iter().map(|outcome| outcome.expect("every report has its receipt")).collect()
    }

    /// The totals of a unit.
    pub async fn totals(&self, org_unit: &str, data_set: &str, period: &str) -> Totals {
        let question = GetTotalsRequest {
            org_unit: org_unit.into(),
            data_set: data_set.into(),
            period: period.into(),
            ..GetTotalsRequest::default()
        };
        self.reader().get_totals(question).await.unwrap().into_inner().totals.unwrap()
    }

    /// A form, and the version of the catalogue it is in.
    pub async fn form(&self, data_set: &str) -> (DataSet, String) {
        let question = GetCatalogueRequest { data_set: data_set.to_owned() };
        let told = self.reader().get_catalogue(question).await.unwrap().into_inner();
        let [form] = told.data_sets.try_into().unwrap();
        (form, told.version)
    }

    /// What became of a submission.
    ///
    /// # Errors
    /// As the query service answers.
    pub async fn submission(&self, id: &str) -> Result<GetSubmissionResponse, Status> {
        let question = GetSubmissionRequest { submission_id: id.to_owned() };
        Ok(self.reader().get_submission(question).await?.into_inner())
    }

    /// What became of a submission, once it is settled.
    pub async fn fate(&self, id: &str) -> GetSubmissionResponse {
        eventually("the submission has its fate", || self.submission(id)).await
    }
}
