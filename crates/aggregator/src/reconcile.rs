//! Totals are recomputed from the reports all the time, one form's period after the other, and all of them every day, together
//! with the chains of the audit log. What is found of totals is in the database; how many are wrong is a number that every
//! aggregator knows.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::Timestamp;
use runtime::{Backoff, Shutdown};
use store::{StoreError, verify::Mismatch};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::Shared;

/// A number for the metrics, as it is known at present.
#[derive(Debug, Default)]
pub(crate) struct Known(AtomicU64);

impl Known {
    /// The number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

/// How often the number is read: another aggregator may have found something.
const READ_EVERY: Duration = Duration::from_secs(10);

/// Keeps the number up to date until shutdown is requested.
pub(crate) async fn follow(shared: &Shared, shutdown: &Shutdown) {
    let every = READ_EVERY.min(shared.limits.reconcile_every);
    while !shutdown.is_requested() {
        match shared.store.mismatches().await {
            Ok(mismatches) => shared.mismatches.set(mismatches),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "how many totals are wrong cannot be read");
            }
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Recomputes, for ever. May be dropped at any time.
pub(crate) async fn run(shared: &Shared) {
    let every = shared.limits.reconcile_every;
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    tokio::time::sleep(every).await;
    loop {
        let begun = Instant::now();
        match next(shared).await {
            Ok(()) => {
                backoff.reset();
                tokio::time::sleep(every.max(begun.elapsed() * 9)).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "totals cannot be recomputed; trying again");
                tokio::time::sleep(backoff.next_delay().max(begun.elapsed() * 9)).await;
            }
        }
    }
}

/// Recomputes everything when it is time for it, else what was not recomputed for the longest time.
async fn next(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let all_since = OffsetDateTime::from(shared.store.reconciled_at().await?);
    let mut only = match now - all_since < shared.limits.reconcile_all_every {
        false => None,
        true => match shared.store.next_to_reconcile().await? {
            Some(only) => Some(only),
            None => return Ok(()),
        },
    };
    // Before the totals: when everything was looked at last is noted with them, and until it is, somebody is told that it was not.
    // Totals are compared all the same, one form's period after the other.
    if only.is_none()
        && let Err(error) = check_audit_log(shared).await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "the audit log cannot be recomputed; trying again");
        only = shared.store.next_to_reconcile().await?;
        if only.is_none() {
            return Ok(());
        }
    }
    let found = shared.store.reconcile(only.as_ref(), Timestamp::from(now)).await?;
    for Mismatch { data_set, period, org_unit, level, stored, recomputed } in &found.listed {
        tracing::error!(
            data_set,
            period,
            org_unit,
            reporting_level = level,
            stored,
            recomputed,
            "a total is not what its reports add up to; `tonghop replay` puts it right"
        );
    }
    let (totals, mismatches) = (found.totals_checked, found.mismatches);
    let of = only.as_ref().map_or_else(|| "everything".to_owned(), |(data_set, period)| format!("{data_set} {period}"));
    tracing::debug!(of, totals, mismatches, "recomputed totals");
    Ok(())
}

/// Recomputes the chains of the audit log. What was cut from their ends only shows beside anchors, which are not here.
async fn check_audit_log(shared: &Shared) -> Result<(), StoreError> {
    let found = shared.store.audit_verify(&[]).await?;
    for fault in &found.faults {
        tracing::error!(?fault, "the audit log is not as it was written; `tonghop audit verify` says more");
    }
    shared.audit_faults.set(u64::try_from(found.faults.len()).unwrap_or(u64::MAX));
    tracing::debug!(fates = found.fates, faults = found.faults.len(), "recomputed the audit log");
    Ok(())
}
