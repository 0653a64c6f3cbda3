#![doc = include_str!("../README.md")]

mod cause;
mod commit;
mod config;
mod consume;
mod event;
mod fates;
mod fold;
mod publish;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use catalogue::Versions;
use domain::Catalogue;
use messaging::{ConnectError, Connection, Partition, Partitions, ProvisionError};
use runtime::{Clock, DrainOverrun, Process, Shutdown};
use store::{Leases, Store, StoreError};
use tokio::{sync::Semaphore, task::JoinSet};

pub use config::{Config, Limits};

/// Why an aggregator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not there.
    #[error(transparent)]
    Topology(#[from] ProvisionError),
    /// PostgreSQL cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An aggregator whose connections stand.
#[derive(Debug)]
pub struct Aggregator {
    shared: Arc<Shared>,
    partitions: Partitions,
}

/// What the partitions of one aggregator have in common.
#[derive(Debug)]
struct Shared {
    connection: Connection,
    store: Store,
    versions: Versions,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// As many batches are in a transaction at a time.
    transactions: Semaphore,
}

impl Aggregator {
    /// Connects to NATS and PostgreSQL.
    ///
    /// # Errors
    /// When either cannot be reached, or was not provisioned.
    pub async fn start(config: &Config, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let connection = Connection::open("aggregator", &config.nats).await?;
        let partitions = connection.partitions().await?;
        let store = Store::connect("aggregator", &config.store).await?;
        let limits = config.limits.clone();
        let transactions = Semaphore::new(limits.transactions);
        Ok(Self {
            shared: Arc::new(Shared {
                connection,
                store,
                versions: Versions::new(catalogue),
                clock,
                limits,
                transactions,
            }),
            partitions,
        })
    }

    /// Counts until shutdown is requested; batches in a transaction are committed and their events published first.
    ///
    /// # Errors
    /// When that took longer than allowed. Nothing is lost: it is done after the next start.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), DrainOverrun> {
        let deadline = self.shared.limits.drain_timeout;
        let Self { shared, partitions } = self;
        shutdown.drain(deadline, hold_leases(&shared, partitions, &shutdown)).await?;
        shared.store.close().await;
        shared.connection.clone().close().await;
        Ok(())
    }
}

/// Within what time the database must answer for the leases; one that does not is taken to have let go of them.
const LEASES_ANSWER: Duration = Duration::from_secs(10);

/// Works on the partitions whose leases can be had. When the leases are lost, everything stops and starts over.
async fn hold_leases(shared: &Arc<Shared>, partitions: Partitions, shutdown: &Shutdown) {
    const AGAIN: Duration = Duration::from_secs(1);
    while !shutdown.is_requested() {
        match Leases::open(&shared.store).await {
            Ok(leases) => work_under(leases, shared, partitions, shutdown).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "leases cannot be had; trying again")
            }
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn work_under(mut leases: Leases, shared: &Arc<Shared>, partitions: Partitions, shutdown: &Shutdown) {
    // Ends with the leases as well as with the process.
    let stop = shutdown.child();
    let mut working: JoinSet<()> = JoinSet::new();
    let mut wanted: BTreeSet<Partition> = partitions.all().collect();
    let mut tick = tokio::time::interval(shared.limits.lease_check);
    loop {
        tokio::select! {
            // First: work that ends because it was asked to is no news.
            biased;
            () = shutdown.requested() => break,
            Some(ended) = working.join_next(), if !working.is_empty() => {
                // Its lease is held by nobody who works: give all back and start over.
                tracing::error!(?ended, "work on a partition ended by itself");
                break;
            }
            _ = tick.tick() => {}
        }
        let taken = tokio::time::timeout(LEASES_ANSWER, take(&mut leases, &mut wanted)).await;
        match taken.unwrap_or(Err(StoreError::Unanswered(LEASES_ANSWER))) {
            Ok(taken) => {
                for partition in taken {
                    working.spawn(consume::run(Arc::clone(shared), partition, stop.clone()));
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the leases are lost; other aggregators may go on"
                );
                break;
            }
        }
    }
    stop.request();
    while let Some(ended) = working.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "work on a partition ended abnormally");
        }
    }
    // Where the connection is gone, so are the leases.
    drop(tokio::time::timeout(LEASES_ANSWER, leases.release()).await);
}

/// Makes sure that the leases hold, and takes those that are free. What was taken is no longer wanted.
async fn take(leases: &mut Leases, wanted: &mut BTreeSet<Partition>) -> Result<Vec<Partition>, StoreError> {
    leases.check().await?;
    let mut taken = Vec::new();
    for partition in wanted.iter().copied() {
        if leases.take(partition.number()).await? {
            taken.push(partition);
        }
    }
    wanted.retain(|partition| !taken.contains(partition));
    if !taken.is_empty() {
        tracing::info!(partitions = taken.len(), "took leases");
    }
    Ok(taken)
}

/// Runs an aggregator as a process of its own.
///
/// # Errors
/// When it cannot start or the drain is cut off.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let loaded = catalogue::load(&config.catalogue)?;
    tracing::info!(version = %loaded.catalogue.version(), "loaded the catalogue");
    let aggregator = Aggregator::start(&config, Arc::new(loaded.catalogue), process.clock).await?;
    tracing::info!("counting reports");
    Ok(aggregator.run(process.shutdown).await?)
}
