#![doc = include_str!("../README.md")]

mod answer;
mod breakdown;
mod caller;
mod config;
mod definitions;
mod expected;
mod kept;
mod metrics;
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

use access::{Access, FileError, Principal};
use domain::Catalogue;
use messaging::{
    ConnectError, Connection, ProvisionError,
    audit::{Door, Refusals, TurnedAway},
};
use proto::pb::query::v1::query_service_server::QueryServiceServer;
use runtime::{
    Calls, Clock, Process, Shutdown,
    admin::Admin,
    grpc::{ListenError, Listener, ServeError, Shown},
};
use store::{Lookout, Store, StoreError};
use tonic::service::interceptor::InterceptedService;
use tonic_web::GrpcWebLayer;
use tower_layer::Layer as _;

pub use config::{Config, Limits};
use read::Reader;
use refused::Refused;
use serve::Service;
use warm::Warm;
use watch::Hub;

/// The largest question, in bytes: the codes of far more units than may be watched, so that who names too many is told so.
const MAX_QUESTION_BYTES: usize = 512 * 1024;

/// What a call may take longer than the database: to send its question.
const ASKING: Duration = Duration::from_secs(2);

/// Why a query service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The admin port cannot be bound.
    #[error("the admin port cannot be bound")]
    Admin(#[source] io::Error),
    /// The port cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Whom to believe cannot be read.
    #[error(transparent)]
    Access(#[from] FileError),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams were not provisioned.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// PostgreSQL cannot be reached.
    #[error("cannot connect to PostgreSQL")]
    Store(#[from] StoreError),
}

/// A query service whose port is bound and whose connections stand.
#[derive(Debug)]
pub struct Query {
    admin: Admin,
    listener: Listener,
    local_addr: SocketAddr,
    access: Access,
    clock: Arc<dyn Clock>,
    connection: Connection,
    store: Store,
    reader: Arc<Reader>,
    hub: Arc<Hub>,
    limits: Limits,
}

impl Query {
    /// Binds the port, reads whom it may believe, then connects to PostgreSQL and NATS. `catalogue` is used, whatever directory the configuration names.
    ///
    /// # Errors
    /// When one of these fails, or streams and partitions were not provisioned.
    pub async fn bind(config: &Config, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Result<Self, BindError> {
        let Config { catalogue: _, grpc, access, admin, nats, store, limits, telemetry: _ } = config;
        let admin = Admin::bind("query", admin).await.map_err(BindError::Admin)?;
        // A browser speaks gRPC-Web, which may come over HTTP/1.1.
        let listener = Listener::bind(grpc).await?.http1();
        let local_addr = listener.local_addr().map_err(ListenError::from)?;
        let access = Access::open(access)?;
        let half_of_the_connections = usize::try_from(store.max_connections.div_ceil(2)).unwrap_or(1);
        let store = Store::open("query", store).await?;
        let lookout = Lookout::open(&store).await?;
        let connection = Connection::open("query", nats).await?;
        let partitions = connection.partitions().await?;
        let reader = Arc::new(Reader::new(catalogue, store.clone(), lookout, partitions, limits));
        let hub = Arc::new(Hub::new(limits.max_watchers, limits.max_watched, half_of_the_connections));
        Ok(Self { admin, listener, local_addr, access, clock, connection, store, reader, hub, limits: limits.clone() })
    }

    /// The address it listens on, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address at which whoever watches it asks.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Serves until shutdown is requested; then watchers are sent away and questions that were asked are answered before
    /// this returns.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self { admin, listener, local_addr: _, access, clock, connection, store, reader, hub, limits } = self;
        let database = store.clone();
        // It reads, and without NATS it reads on: it is ready while the database answers.
        let answers = move || {
            let database = database.clone();
            async move { database.ping().await }
        };
        let _watched = admin.check("database", answers).start(&shutdown).await;
        // Covers the reading of a question and the beginning of the answer, not the life of a watch. Which period `latest` is
        // is a question of its own.
        let timeout = 2 * limits.answer_within + ASKING;
        let (refusals, telling) = Refusals::start(connection.clone(), Door::Query);
        let gate = {
            let (access, clock, refusals) = (access.clone(), Arc::clone(&clock), refusals.clone());
            let authenticate = move |Shown { peer, certificate, authorization }: Shown<'_>| {
                let now = clock.now();
                let caller = access.authenticate(certificate, authorization, now).map_err(|why| {
                    let principal = access.once(why, certificate, authorization);
                    refusals.turned_away(TurnedAway { principal, reason: why.reason(), peer }, None, now.into());
                    Refused::Unauthenticated(why)
                });
                Ok(caller?)
            };
            listener.gate(authenticate, |caller: &Principal| &caller.name)
        };
        let listener = {
            let (clock, refusals) = (Arc::clone(&clock), refusals.clone());
            listener.telling(move |peer, why| {
                let reason = refused::unbelieved(why).reason();
                runtime::metrics::refused("query", reason);
                let turned_away = TurnedAway { principal: None, reason, peer: Some(peer) };
                refusals.turned_away(turned_away, None, clock.now().into());
            })
        };
        let (asked, told) = (Arc::clone(&reader), Arc::clone(&hub));
        let service = Arc::new(Service::new(access, refusals, clock, asked, told, limits, shutdown.clone()));
        let generated = QueryServiceServer::from_arc(Arc::clone(&service));
        let generated = generated.max_decoding_message_size(MAX_QUESTION_BYTES);
        let service = InterceptedService::new(Warm::new(service, generated, MAX_QUESTION_BYTES), gate);
        let service = Calls::of("query", service);
        let service = GrpcWebLayer::new().layer(service);
        let serving = listener.serve(|server| server.clone().timeout(timeout).add_service(service), &shutdown);
        let served = tokio::select! {
            served = serving => served,
            never = watch::follow(&connection, &hub) => match never {},
            never = metrics::look(Arc::clone(&hub)) => match never {},
            never = reader.look() => match never {},
        };
        // A connection of the database is given back within `answer_within`: this ends.
        store.close().await;
        reader.lookout.close().await;
        telling.finish().await;
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
    let query = Query::bind(&config, Arc::new(loaded.catalogue), process.clock).await?;
    tracing::info!(address = %query.local_addr(), "answering questions");
    Ok(query.serve(process.shutdown).await?)
}
