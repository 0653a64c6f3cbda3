#![doc = include_str!("../README.md")]

mod config;
mod publish;
mod refused;
mod revision;
mod serve;

use std::{io, net::SocketAddr, sync::Arc};

use domain::Catalogue;
use messaging::{ConnectError, Connection, Publisher};
use proto::pb::collector::v1::collector_service_server::CollectorServiceServer;
use runtime::{
    Clock, Process, Shutdown,
    grpc::{Listener, ServeError},
};

pub use config::{Config, Limits};
use publish::GroupCommit;
use serve::Service;

/// Why a collector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be bound.
    #[error("the port cannot be bound")]
    Bind(#[from] io::Error),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// A collector whose port is bound and whose connection stands.
#[derive(Debug)]
pub struct Collector {
    listener: Listener,
    connection: Connection,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Collector {
    /// Binds the port and connects to NATS.
    ///
    /// # Errors
    /// When either fails.
    pub async fn start(config: &Config, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let listener = Listener::bind(&config.grpc).await?;
        let connection = Connection::open("collector", &config.nats).await?;
        Ok(Self { listener, connection, catalogue, clock, limits: config.limits.clone() })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown is requested; then every report that was taken is answered before this returns.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let (group_commit, committing) = GroupCommit::start(Publisher::new(self.connection.clone()), &self.limits);
        let service = Service::new(self.catalogue, self.clock, group_commit, &self.limits, shutdown.clone());
        let service = CollectorServiceServer::new(service).max_decoding_message_size(self.limits.max_report_bytes);
        let served = self
            .listener
            .serve::<CollectorServiceServer<Service>>(|server| server.add_service(service), &shutdown)
            .await;
        // The service is gone and with it the last caller: what gathered goes out, then this ends.
        committing.finish().await;
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
