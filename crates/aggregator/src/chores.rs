//! What one aggregator does for all: it has the lease of it.

use std::time::Duration;

use runtime::Shutdown;
use store::{Leases, StoreError};

use crate::{Shared, answered, reconcile, refusals};

/// How often the lease is checked, or tried for.
const CHECK: Duration = Duration::from_secs(2);

/// Does the chores whenever their lease can be had, until shutdown is requested.
pub(crate) async fn run(shared: &Shared, shutdown: &Shutdown) {
    while !shutdown.is_requested() {
        let work = async {
            if let Err(error) = under_lease(shared).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the chores cannot be done; the database is asked again"
                );
            }
            tokio::time::sleep(CHECK).await;
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = work => {}
        }
    }
}

/// Tries for the lease, and works for as long as it holds.
async fn under_lease(shared: &Shared) -> Result<(), StoreError> {
    let mut lease = Leases::open(&shared.store).await?;
    while !answered(lease.take_chores()).await? {
        tokio::time::sleep(CHECK).await;
    }
    tracing::info!("took the chores");
    let lost = async {
        loop {
            tokio::time::sleep(CHECK).await;
            if let Err(error) = answered(lease.check()).await {
                return error;
            }
        }
    };
    tokio::select! {
        error = lost => Err(error),
        () = refusals::keep(shared) => Ok(()),
        () = reconcile::run(shared) => Ok(()),
    }
}
