#![doc = include_str!("../README.md")]

mod answer;
mod breakdown;
mod config;
mod definitions;
mod expected;
mod kept;
mod org_units;
mod page;
mod past;
mod pulse;
mod question;
mod range;
mod read;
mod refused;
mod reports;
mod resume;
mod selection;
mod serve;
mod state;
#[cfg(test)]
mod tiny;
mod turns;
mod warm;
mod watch;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use domain::Catalogue;
use messaging::{ConnectError, Connection, ProvisionError, ReadError, totals::TotalsFeed};
use proto::pb::query::v1::query_service_server::QueryServiceServer;
use runtime::{
    Process, Shutdown,
    grpc::{Listener, ServeError},
};
use store::{Store, StoreConfig, StoreError};
use tonic_web::GrpcWebLayer;
use tower_layer::Layer as _;

pub use config::{Config, Limits};
use read::Reader;
use serve::Service;
use warm::Warm;
use watch::Hub;

/// The largest question, in bytes: the codes of far more units than may be watched, so that who names too many is told so.
const MAX_QUESTION_BYTES: usize = 512 * 1024;

/// After how long a connection takes no more calls; those that are open go on. A client that connected and says nothing has no
/// pings to answer yet: which HTTP it speaks is not known.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);

/// What a call may take longer than the database: to send its question.
const ASKING: Duration = Duration::from_secs(2);

/// Why a query service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port cannot be bound.
    #[error("the port cannot be bound")]
    Listen(#[source] io::Error),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams were not provisioned.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The events about totals cannot be followed.
    #[error("the events about totals cannot be followed")]
    Feed(#[from] ReadError),
    /// PostgreSQL cannot be reached.
    #[error("cannot connect to PostgreSQL")]
    Store(#[from] StoreError),
}

/// A query service whose port is bound and whose connections stand.
#[derive(Debug)]
pub struct Query {
    listener: Listener,
    local_addr: SocketAddr,
    connection: Connection,
    feed: TotalsFeed,
    store: Store,
    look_out: Store,
    reader: Arc<Reader>,
    hub: Arc<Hub>,
    limits: Limits,
}

impl Query {
    /// Binds the port, then connects to PostgreSQL and NATS and begins to follow the events about totals. `catalogue` is
    /// used, whatever directory the configuration names.
    ///
    /// # Errors
    /// When one of these fails, or streams and partitions were not provisioned.
    pub async fn bind(config: &Config, catalogue: Arc<Catalogue>) -> Result<Self, BindError> {
        let Config { catalogue: _, grpc, nats, store, limits, telemetry: _ } = config;
        let listener = Listener::bind(grpc).await.map_err(BindError::Listen)?;
        let local_addr = listener.local_addr().map_err(BindError::Listen)?;
        let half_of_the_connections = usize::try_from(store.max_connections.div_ceil(2)).unwrap_or(1);
        // Every answer waits for a look at how far everything is counted: it must not wait for the others' connections.
        let look_out = Store::connect("query", &StoreConfig { max_connections: 1, ..store.clone() }).await?;
        let store = Store::connect("query", store).await?;
        let connection = Connection::open("query", nats).await?;
        let partitions = connection.partitions().await?;
        let feed = TotalsFeed::subjects_from_now(connection.clone()).await?;
        let reader = Arc::new(Reader::new(catalogue, store.clone(), look_out.clone(), partitions, limits));
        let hub = Arc::new(Hub::new(limits.max_watchers, limits.max_watched, half_of_the_connections));
        Ok(Self { listener, local_addr, connection, feed, store, look_out, reader, hub, limits: limits.clone() })
    }

    /// The address it listens on, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until shutdown is requested; then watchers are sent away and questions that were asked are answered before
    /// this returns.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self { listener, local_addr: _, connection, feed, store, look_out, reader, hub, limits } = self;
        // Covers the reading of a question and the beginning of the answer, not the life of a watch. Which period `latest` is
        // is a question of its own.
        let timeout = 2 * limits.answer_within + ASKING;
        let service = Arc::new(Service::new(Arc::clone(&reader), Arc::clone(&hub), limits, shutdown.clone()));
        let generated = QueryServiceServer::from_arc(Arc::clone(&service));
        let generated = generated.max_decoding_message_size(MAX_QUESTION_BYTES);
        let service = Warm::new(service, generated, MAX_QUESTION_BYTES);
        // A browser speaks gRPC-Web, over HTTP/1.1 where there is no TLS.
        let service = GrpcWebLayer::new().layer(service);
        let serving = listener.serve::<QueryServiceServer<Service>>(
            |server| {
                server
                    .clone()
                    .accept_http1(true)
                    .max_connection_age(MAX_CONNECTION_AGE)
                    .timeout(timeout)
                    .add_service(service)
            },
            &shutdown,
        );
        let served = tokio::select! {
            served = serving => served,
            never = watch::follow(feed, &hub) => match never {},
            never = reader.look() => match never {},
        };
        // A connection of the database is given back within `answer_within`: this ends.
        store.close().await;
        look_out.close().await;
        connection.close().await;
        served
    }
}

/// Runs a query service as a process of its own.
///
/// # Errors
/// When it cannot start or serving fails.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let loaded = catalogue::load(&config.catalogue)?;
    tracing::info!(version = %loaded.catalogue.version(), "loaded the catalogue");
    let query = Query::bind(&config, Arc::new(loaded.catalogue)).await?;
    tracing::info!(address = %query.local_addr(), "answering questions");
    Ok(query.serve(process.shutdown).await?)
}
