//! Leases: which aggregator works on which partition.
//!
//! A lease is a session lock of PostgreSQL on a connection of its own. It ends with the connection, so a killed aggregator's
//! partitions are free at once. It keeps two from doing the same work; that nothing is counted twice rests on
//! `partition_progress`, not on this.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::{Store, StoreError};

/// The first of the two numbers of our session locks: "tong" in ASCII.
pub(crate) const LOCK_CLASS: i32 = 0x746f_6e67;

/// The second, where it is no partition.
const CHORES: i32 = -2;
pub(crate) const PROVISIONING: i32 = -3;

/// Within what time the database must let us in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// For how long the holder of leases may say nothing, as PostgreSQL has it; it looks every second or two. One that is frozen would keep
/// them otherwise: its machine goes on answering for it.
const SILENT: &str = "15s";

/// The leases of one aggregator.
#[derive(Debug)]
pub struct Leases {
    connection: PgConnection,
}

impl Leases {
    /// Opens the connection that will hold the leases.
    ///
    /// # Errors
    /// When the database does not let us in, or not in time.
    pub async fn open(store: &Store) -> Result<Self, StoreError> {
        let options = store.options.clone().options([("idle_session_timeout", SILENT)]);
        let connected = tokio::time::timeout(CONNECT_WITHIN, options.connect()).await;
        Ok(Self { connection: connected.map_err(|_| StoreError::Unanswered(CONNECT_WITHIN))?? })
    }

    /// Takes the lease of a partition; false where another aggregator has it.
    ///
    /// # Errors
    /// When the connection is gone, and all leases with it.
    pub async fn take(&mut self, partition: u16) -> Result<bool, StoreError> {
        let taken =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)").bind(LOCK_CLASS).bind(i32::from(partition));
        Ok(taken.fetch_one(&mut self.connection).await?)
    }

    /// Takes the lease of what one aggregator does for all; false where another has it.
    ///
    /// # Errors
    /// When the connection is gone, and all leases with it.
    pub async fn take_chores(&mut self) -> Result<bool, StoreError> {
        let taken = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)").bind(LOCK_CLASS).bind(CHORES);
        Ok(taken.fetch_one(&mut self.connection).await?)
    }

    /// Makes sure that the leases still hold.
    ///
    /// # Errors
    /// When the connection is gone, and all leases with it.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.ping().await?)
    }

    /// Gives all leases back.
    pub async fn release(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the connection with the leases was gone already");
        }
    }
}
