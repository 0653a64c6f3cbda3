#![doc = include_str!("../README.md")]

mod config;
mod limits;
mod metrics;
mod pace;
mod publish;
mod refused;
mod revision;
mod serve;

use std::{io, net::SocketAddr, sync::Arc};

use access::{Access, FileError, Principal, seal::Sealer};
use domain::Catalogue;
use messaging::{
    ConnectError, Connection, Publisher,
    audit::{Door, Refusals, TurnedAway},
};
use proto::pb::collector::v1::collector_service_server::CollectorServiceServer;
use runtime::{
    Calls, Clock, Process, Shutdown,
    admin::Admin,
    grpc::{ListenError, Listener, ServeError, Shown},
};

pub use config::{Config, Limits, SealConfig};
use pace::Pace;
use publish::GroupCommit;
use refused::Refused;
use serve::Service;
use tonic::service::interceptor::InterceptedService;

/// Why a collector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Whom to believe cannot be read, or the key of its seal.
    #[error(transparent)]
    Access(#[from] FileError),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// A collector whose port is bound and whose connection stands.
#[derive(Debug)]
pub struct Collector {
    listener: Listener,
    admin: Admin,
    access: Access,
    sealer: Sealer,
    connection: Connection,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Collector {
    /// Binds the port, reads whom it may believe and connects to NATS.
    ///
    /// # Errors
    /// When one of these fails.
    pub async fn start(config: &Config, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let listener = Listener::bind(&config.grpc).await?;
        let admin = Admin::bind("collector", &config.admin).await.map_err(ListenError::from)?;
        let access = Access::open(&config.access)?;
        let sealer = Sealer::open(&config.seal.key)?;
        sealer.keep_current(&config.access);
        let connection = Connection::open("collector", &config.nats).await?;
        Ok(Self { listener, admin, access, sealer, connection, catalogue, clock, limits: config.limits.clone() })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address at which whoever watches it asks.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Serves until shutdown is requested; then every report that was taken is answered before this returns.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let probed = self.connection.clone();
        let publishes = move || {
            let probed = probed.clone();
            async move { probed.probe("collector").await }
        };
        let _watched = self.admin.check("nats", publishes).start(&shutdown).await;
        let publisher = Publisher::new(self.connection.clone());
        let pace = Pace::of(self.limits.behind);
        // Ends with the connection.
        tokio::spawn(Arc::clone(&pace).follow(self.connection.clone(), Arc::clone(&self.clock)));
        let (group_commit, committing) = GroupCommit::start(publisher, self.sealer, pace, &self.limits);
        let (refusals, telling) = Refusals::start(self.connection.clone(), Door::Collector);
        let (catalogue, clock, access) = (self.catalogue, self.clock, self.access);
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
            self.listener.gate(authenticate, |caller: &Principal| &caller.name)
        };
        let listener = {
            let (clock, refusals) = (Arc::clone(&clock), refusals.clone());
            self.listener.telling(move |peer, why| {
                let reason = refused::unbelieved(why).reason();
                runtime::metrics::refused("collector", reason);
                let turned_away = TurnedAway { principal: None, reason, peer: Some(peer) };
                refusals.turned_away(turned_away, None, clock.now().into());
            })
        };
        let service = Service::new(catalogue, clock, access, group_commit, refusals, &self.limits, shutdown.clone());
        let service = CollectorServiceServer::new(service).max_decoding_message_size(self.limits.max_report_bytes);
        let service = InterceptedService::new(service, gate);
        let served = listener.serve(|server| server.add_service(Calls::of("collector", service)), &shutdown).await;
        // The service is gone and with it the last caller: what gathered goes out, then this ends.
        committing.finish().await;
        telling.finish().await;
        self.connection.close().await;
        served
    }
}

/// Runs a collector as a process of its own.
///
/// # Errors
/// When it cannot start or serving fails.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let loaded = catalogue::load(&config.catalogue)?;
    tracing::info!(version = %loaded.catalogue.version(), "loaded the catalogue");
    let collector = Collector::start(&config, Arc::new(loaded.catalogue), process.clock).await?;
    tracing::info!(address = %collector.local_addr()?, "taking reports");
    Ok(collector.serve(process.shutdown).await?)
}
