//! What collectors refused goes into the audit log.

use std::time::Duration;

use domain::Timestamp;
use messaging::audit::RefusalLog;
use runtime::Backoff;

use crate::Shared;

/// Writes down refusals, for ever. May be dropped while it waits.
pub(crate) async fn keep(shared: &Shared) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    loop {
        let Err(error) = keep_from_stored(shared, &mut backoff).await;
        tracing::warn!(error = &error as &dyn std::error::Error, "refusals are not in the audit log yet; trying again");
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn keep_from_stored(
    shared: &Shared,
    backoff: &mut Backoff,
) -> Result<std::convert::Infallible, store::StoreError> {
    let position = shared.store.refusals_position().await?;
    let mut log = RefusalLog::after(shared.connection.clone(), position);
    loop {
        let (position, lines) = log.next().await;
        shared.store.audit_refused(&lines, position, Timestamp::from(shared.clock.now())).await?;
        backoff.reset();
    }
}
