//! What one aggregator does for all: it has the lease of it.

use std::time::Duration;

use runtime::Shutdown;
use store::{Leases, StoreError};

use crate::{Shared, answered, reconcile, refusals};

/// How often the lease is checked, or tried for.
const CHECK: Duration = Duration::from_secs(2);

/// Does the chores whenever their lease can be had, until shutdown is requested.
pub(crate) async fn run(shared: &Shared, shutdown: &Shutdown) {
    let mut failures = 0_u64;
    while !shutdown.is_requested() {
        let work = async {
            match under_lease(shared, &mut failures).await {
                Ok(()) => {}
                Err(error) if failures == 0 => {
                    failures += 1;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the chores cannot be done; the database is asked again");
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!(error = &error as &dyn std::error::Error, failures, "the chores cannot be done");
                }
            }
            tokio::time::sleep(CHECK).await;
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = work => {}
        }
    }
}

/// Tries for the lease, and works for as long as it holds. Failures are over when the database answers.
async fn under_lease(shared: &Shared, failures: &mut u64) -> Result<(), StoreError> {
    let mut lease = Leases::open(&shared.store).await?;
    while !answered(lease.take_chores()).await? {
        *failures = 0;
        tokio::time::sleep(CHECK).await;
    }
    *failures = 0;
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
