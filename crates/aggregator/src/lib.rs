#![doc = include_str!("../README.md")]

mod cause;
mod chores;
mod commit;
mod config;
mod consume;
mod event;
mod fates;
mod fold;
mod metrics;
mod overdue;
mod publish;
mod reconcile;
mod refusals;
pub mod replay;
mod steps;
mod told;

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use catalogue::Versions;
use domain::Catalogue;
use messaging::{ConnectError, Connection, Partition, Partitions, ProvisionError};
use runtime::{Clock, DrainOverrun, Process, Shutdown, admin::Admin};
use store::{Leases, Store, StoreError};
use tokio::{sync::Semaphore, task::JoinSet};

pub use config::{Config, Limits};
use metrics::NUMBERS;
use reconcile::Known;

/// Why an aggregator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port cannot be bound.
    #[error("the admin port cannot be bound")]
    Admin(#[from] io::Error),
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
    admin: Admin,
    shared: Arc<Shared>,
}

/// What the partitions of one aggregator have in common.
#[derive(Debug)]
struct Shared {
    connection: Connection,
    partitions: Partitions,
    store: Store,
    versions: Versions,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// As many batches are in a transaction at a time.
    transactions: Semaphore,
    /// How many totals are known to be wrong.
    mismatches: Known,
    /// How much of the audit log was not as it was written when this aggregator last looked.
    audit_faults: Known,
}

impl Aggregator {
    /// Connects to NATS and PostgreSQL.
    ///
    /// # Errors
    /// When either cannot be reached, or was not provisioned.
    pub async fn start(config: &Config, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let admin = Admin::bind("aggregator", &config.admin).await?;
        let connection = Connection::open("aggregator", &config.nats).await?;
        let partitions = connection.partitions().await?;
        let store = Store::open("aggregator", &config.store).await?;
        let limits = config.limits.clone();
        let transactions = Semaphore::new(limits.transactions);
        Ok(Self {
            admin,
            shared: Arc::new(Shared {
                connection,
                partitions,
                store,
                versions: Versions::new(catalogue),
                clock,
                limits,
                transactions,
                mismatches: Known::default(),
                audit_faults: Known::default(),
            }),
        })
    }

    /// The address at which whoever watches it asks.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Counts until shutdown is requested; batches in a transaction are committed and their events published first.
    ///
    /// # Errors
    /// When that took longer than allowed. Nothing is lost: it is done after the next start.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), DrainOverrun> {
        let deadline = self.shared.limits.drain_timeout;
        let Self { admin, shared } = self;
        let _watched = watched(admin, &shared).start(&shutdown).await;
        let mut looking = JoinSet::new();
        looking.spawn(metrics::look(Arc::clone(&shared), shared.partitions));
        let work = async {
            tokio::join!(
                hold_leases(&shared, &shutdown),
                Box::pin(chores::run(&shared, &shutdown)),
                reconcile::follow(&shared, &shutdown)
            )
        };
        shutdown.drain(deadline, work).await?;
        shared.store.close().await;
        shared.connection.clone().close().await;
        Ok(())
    }
}

/// It is ready while it can publish and write.
fn watched(admin: Admin, shared: &Shared) -> Admin {
    let (connection, store) = (shared.connection.clone(), shared.store.clone());
    let publishes = move || {
        let connection = connection.clone();
        async move { connection.probe("aggregator").await }
    };
    let writes = move || {
        let store = store.clone();
        async move { store.probe("aggregator").await }
    };
    admin.check("nats", publishes).check("database", writes)
}

/// Within what time the database must answer for the leases; one that does not is taken to have let go of them.
const LEASES_ANSWER: Duration = Duration::from_secs(10);

/// What the database says of leases, if it says it in time.
async fn answered<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(LEASES_ANSWER, answer).await.unwrap_or(Err(StoreError::Unanswered(LEASES_ANSWER)))
}

/// Works on the partitions whose leases can be had. When the leases are lost, everything stops and starts over.
async fn hold_leases(shared: &Arc<Shared>, shutdown: &Shutdown) {
    const AGAIN: Duration = Duration::from_secs(1);
    while !shutdown.is_requested() {
        match Leases::open(&shared.store).await {
            Ok(leases) => work_under(leases, shared, shutdown).await,
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

async fn work_under(mut leases: Leases, shared: &Arc<Shared>, shutdown: &Shutdown) {
    // Ends with the leases as well as with the process.
    let stop = shutdown.child();
    let mut working: JoinSet<()> = JoinSet::new();
    let mut wanted: BTreeSet<Partition> = shared.partitions.all().collect();
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
        match answered(take(&mut leases, &mut wanted)).await {
            Ok(taken) => {
                for partition in taken {
                    working.spawn(consume::run(Arc::clone(shared), partition, stop.clone()));
                }
                NUMBERS.leases.set(working.len() as f64);
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
    NUMBERS.leases.set(0.0);
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
