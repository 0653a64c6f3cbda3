#![doc = include_str!("../README.md")]

mod config;
mod consume;
mod judge;

use std::sync::Arc;

use domain::Catalogue;
use messaging::{ConnectError, Connection, Partitions, ProvisionError};
use runtime::{Process, Shutdown};

pub use config::Config;

/// Why a validator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not there.
    #[error(transparent)]
    Topology(#[from] ProvisionError),
}

/// A validator whose connection stands.
#[derive(Debug)]
pub struct Validator {
    connection: Connection,
    partitions: Partitions,
    catalogue: Arc<Catalogue>,
    workers: usize,
}

impl Validator {
    /// Connects to NATS.
    ///
    /// # Errors
    /// When it cannot be reached, or the streams were not provisioned.
    pub async fn start(config: &Config, catalogue: Arc<Catalogue>) -> Result<Self, StartError> {
        let connection = Connection::open("validator", &config.nats).await?;
        let partitions = connection.partitions().await?;
        Ok(Self { connection, partitions, catalogue, workers: config.workers })
    }

    /// Judges until shutdown is requested; what was taken is judged, published and acknowledged before this returns.
    pub async fn run(self, shutdown: Shutdown) {
        let mut workers = tokio::task::JoinSet::new();
        let work =
            || consume::run(self.connection.clone(), self.partitions, Arc::clone(&self.catalogue), shutdown.clone());
        for _ in 0..self.workers.max(1) {
            workers.spawn(work());
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                // What it had taken comes again once JetStream has missed its acknowledgement.
                tracing::error!(%error, "a worker ended abnormally; another takes its place");
                workers.spawn(work());
            }
        }
        self.connection.close().await;
    }
}

/// Runs a validator as a process of its own.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let loaded = catalogue::load(&config.catalogue)?;
    tracing::info!(version = %loaded.catalogue.version(), "loaded the catalogue");
    let validator = Validator::start(&config, Arc::new(loaded.catalogue)).await?;
    tracing::info!("judging reports");
    validator.run(process.shutdown).await;
    Ok(())
}
