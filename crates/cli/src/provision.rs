//! Making everything the services use: streams, consumers, schema, partitions, catalogue.

use catalogue::Loaded;
use domain::Timestamp;
use messaging::{Connection, ProvisionError, Provisioned, Topology};
use runtime::Clock;
use store::{Store, StoreError};

/// Why provisioning failed. What was made until then stays; doing it again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The streams are not as wanted.
    #[error(transparent)]
    Streams(#[from] ProvisionError),
    /// The database could not be brought up to date.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The streams.
    pub streams: Provisioned,
    /// The catalogue's version.
    pub catalogue_version: String,
    /// Whether this catalogue was new to the database.
    pub catalogue_is_new: bool,
}

/// Makes everything the services use, or finds it as wanted. Safe to do at any time, by several at once.
///
/// # Errors
/// When something exists and differs from what is wanted, or a server does not do what it is asked.
pub async fn provision(
    connection: &Connection,
    store: &Store,
    topology: &Topology,
    loaded: &Loaded,
    clock: &dyn Clock,
) -> Result<Done, Error> {
    let now = Timestamp::from(clock.now());
    let streams = messaging::provision(connection, topology, now.unix_micros().unsigned_abs()).await?;
    store.migrate().await?;
    store.provision_partitions(topology.partitions).await?;
    let catalogue_is_new = store.provision_catalogue(&loaded.catalogue, &loaded.org_units, now).await?;
    Ok(Done { streams, catalogue_version: loaded.catalogue.version().to_string(), catalogue_is_new })
}
