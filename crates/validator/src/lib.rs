#![doc = include_str!("../README.md")]

mod config;
mod consume;
mod judge;
mod metrics;
mod stored;

use std::{io, net::SocketAddr, sync::Arc};

use access::{Access, FileError};
use domain::Catalogue;
use messaging::{ConnectError, Connection, ProvisionError};
use runtime::{Process, Shutdown, admin::Admin};
use store::{Store, StoreError};

pub use config::Config;
use judge::Judge;

/// Why a validator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port cannot be bound.
    #[error("the admin port cannot be bound")]
    Admin(#[from] io::Error),
    /// Whom to believe cannot be read.
    #[error(transparent)]
    Access(#[from] FileError),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not there.
    #[error(transparent)]
    Topology(#[from] ProvisionError),
    /// PostgreSQL cannot be reached.
    #[error("cannot connect to PostgreSQL")]
    Store(#[from] StoreError),
}

/// A validator whose connections stand.
#[derive(Debug)]
pub struct Validator {
    admin: Admin,
    connection: Connection,
    store: Store,
    judge: Arc<Judge>,
    workers: usize,
}

impl Validator {
    /// Reads whom it may believe, and connects to NATS and PostgreSQL.
    ///
    /// # Errors
    /// When one of these fails, or the streams were not provisioned.
    pub async fn start(config: &Config, catalogue: Arc<Catalogue>) -> Result<Self, StartError> {
        let admin = Admin::bind("validator", &config.admin).await?;
        let access = Access::open(&config.access)?;
        let connection = Connection::open("validator", &config.nats).await?;
        let partitions = connection.partitions().await?;
        let store = Store::open("validator", &config.store).await?;
        let judge = Arc::new(Judge { catalogue, access, partitions, store: store.clone() });
        Ok(Self { admin, connection, store, judge, workers: config.workers })
    }

    /// The address at which whoever watches it asks.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Judges until shutdown is requested; what was taken is judged, published and acknowledged before this returns.
    pub async fn run(self, shutdown: Shutdown) {
        let (probed, store) = (self.connection.clone(), self.store.clone());
        let publishes = move || {
            let probed = probed.clone();
            async move { probed.probe("validator").await }
        };
        // It only reads there: it is ready while it is answered.
        let answers = move || {
            let store = store.clone();
            async move { store.ping().await }
        };
        let _watched = self.admin.check("nats", publishes).check("database", answers).start(&shutdown).await;
        let mut looking = tokio::task::JoinSet::new();
        looking.spawn(metrics::look(self.connection.clone()));
        let mut workers = tokio::task::JoinSet::new();
        let work = || consume::run(self.connection.clone(), Arc::clone(&self.judge), shutdown.clone());
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
        self.store.close().await;
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
