//! The aggregator's numbers; `deploy/prometheus/METRICS.md` says what each means.

use std::{convert::Infallible, sync::Arc, sync::LazyLock, time::Duration};

use domain::{
    Timestamp,
    settle::{Fate, Position, Settled},
};
use messaging::Partitions;
use metrics::{Counter, Gauge, Histogram};
use runtime::metrics::seconds_since;
use store::State;
use time::OffsetDateTime;

use crate::{Shared, overdue};

/// Handles of what is counted all the time.
pub(crate) struct Numbers {
    accepted: Counter,
    rejected: Counter,
    duplicate: Counter,
    superseded: Counter,
    freshness_seconds: Histogram,
    totals: Counter,
    pub(crate) batch_reports: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) failures: Counter,
    pub(crate) events: Counter,
    pub(crate) publish_seconds: Histogram,
    pub(crate) publish_retries: Counter,
    pub(crate) leases: Gauge,
    pub(crate) unreadable: Counter,
    partitions: Gauge,
    blind: Gauge,
    behind_seconds: Gauge,
    outbox: Gauge,
    outbox_seconds: Gauge,
    quarantined: Gauge,
    mismatches: Gauge,
    audit_broken: Gauge,
    database_bytes: Gauge,
    archived_seconds: Gauge,
    archive_failures: Gauge,
    replication_seconds: Gauge,
}

pub(crate) static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| Numbers {
    accepted: metrics::counter!("tonghop_fates_total", "fate" => "ACCEPTED"),
    rejected: metrics::counter!("tonghop_fates_total", "fate" => "REJECTED"),
    duplicate: metrics::counter!("tonghop_fates_total", "fate" => "DUPLICATE"),
    superseded: metrics::counter!("tonghop_fates_total", "fate" => "SUPERSEDED"),
    freshness_seconds: metrics::histogram!("tonghop_freshness_seconds"),
    totals: metrics::counter!("tonghop_aggregator_totals_total"),
    batch_reports: metrics::histogram!("tonghop_aggregator_batch_reports"),
    commit_seconds: metrics::histogram!("tonghop_aggregator_commit_seconds"),
    failures: metrics::counter!("tonghop_aggregator_failures_total"),
    events: metrics::counter!("tonghop_aggregator_events_total"),
    publish_seconds: metrics::histogram!("tonghop_aggregator_publish_seconds"),
    publish_retries: metrics::counter!("tonghop_aggregator_publish_retries_total"),
    leases: metrics::gauge!("tonghop_aggregator_leases"),
    unreadable: metrics::counter!("tonghop_aggregator_quarantined_total"),
    partitions: metrics::gauge!("tonghop_partitions"),
    blind: metrics::gauge!("tonghop_blind", "service" => "aggregator"),
    behind_seconds: metrics::gauge!("tonghop_aggregator_behind_seconds"),
    outbox: metrics::gauge!("tonghop_outbox_batches"),
    outbox_seconds: metrics::gauge!("tonghop_outbox_oldest_seconds"),
    quarantined: metrics::gauge!("tonghop_quarantined_messages"),
    mismatches: metrics::gauge!("tonghop_totals_mismatch"),
    audit_broken: metrics::gauge!("tonghop_audit_chain_broken"),
    database_bytes: metrics::gauge!("tonghop_database_bytes"),
    archived_seconds: metrics::gauge!("tonghop_database_archived_seconds"),
    archive_failures: metrics::gauge!("tonghop_database_archive_failures"),
    replication_seconds: metrics::gauge!("tonghop_database_replication_lag_seconds"),
});

/// Counts what a batch that was committed settled.
pub(crate) fn settled(ledger: &[Settled], totals: usize, now: Timestamp) {
    let now = now.unix_micros();
    for Settled { provenance, fate, violations, .. } in ledger {
        let fates = match fate {
            Fate::Accepted => &NUMBERS.accepted,
            Fate::Rejected => &NUMBERS.rejected,
            Fate::Duplicate => &NUMBERS.duplicate,
            Fate::Superseded => &NUMBERS.superseded,
        };
        fates.increment(1);
        if let (Fate::Rejected, Some(first)) = (fate, violations.list().first()) {
            metrics::counter!("tonghop_rejections_total", "reason" => first.reason.code()).increment(1);
        }
        let waited = now.saturating_sub(provenance.received_at.unix_micros());
        NUMBERS.freshness_seconds.record(Duration::from_micros(u64::try_from(waited).unwrap_or_default()));
    }
    NUMBERS.totals.increment(totals as u64);
}

/// Looks again and again how the database and the streams stand, and how far all aggregators together are behind.
pub(crate) async fn look(shared: Arc<Shared>, partitions: Partitions) -> Infallible {
    const EVERY: Duration = Duration::from_secs(10);
    loop {
        let looked = look_once(&shared, partitions).await;
        if let Err(error) = &looked {
            tracing::warn!(error = &**error as &dyn std::error::Error, "how the pipeline stands cannot be had");
        }
        NUMBERS.blind.set(f64::from(u8::from(looked.is_err())));
        tokio::time::sleep(EVERY).await;
    }
}

async fn look_once(shared: &Shared, partitions: Partitions) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    NUMBERS.mismatches.set(shared.mismatches.get() as f64);
    NUMBERS.audit_broken.set(f64::from(u8::from(shared.audit_faults.get() > 0)));
    let reconciled = shared.store.reconciled_at().await?.unix_micros();
    let reconciled = Duration::from_micros(u64::try_from(reconciled).unwrap_or_default()).as_secs_f64();
    metrics::gauge!("tonghop_reconciled_timestamp_seconds").set(reconciled);
    let streams = shared.connection.streams().await?;
    for stream in &streams {
        metrics::gauge!("tonghop_stream_messages", "stream" => stream.name).set(stream.messages as f64);
        metrics::gauge!("tonghop_stream_bytes", "stream" => stream.name).set(stream.bytes as f64);
        metrics::gauge!("tonghop_stream_max_bytes", "stream" => stream.name).set(stream.max_bytes as f64);
    }

    let State { partitions: counted, outbox, oldest_unpublished, quarantined, bytes, .. } = &state(shared).await?;
    NUMBERS.partitions.set(f64::from(partitions.count()));
    NUMBERS.outbox.set(*outbox as f64);
    NUMBERS.quarantined.set(*quarantined as f64);
    NUMBERS.database_bytes.set(*bytes as f64);

    let mut oldest = None;
    for (partition, counted) in partitions.all().zip(counted) {
        let uncounted = shared.connection.verdict_after(partition, counted.position).await?;
        oldest = [oldest, uncounted].into_iter().flatten().min();
    }
    NUMBERS.behind_seconds.set(oldest.map_or(0.0, age));
    // A batch's events have waited since its last verdict came in, and a moment less.
    let mut unpublished = None;
    if let Some((number, position)) = oldest_unpublished
        && let Some(partition) = partitions.all().find(|partition| partition.number() == *number)
    {
        let before = Position(position.0.saturating_sub(1));
        unpublished = shared.connection.verdict_after(partition, before).await?;
    }
    NUMBERS.outbox_seconds.set(unpublished.map_or(0.0, age));
    Ok(overdue::look(shared, Timestamp::from(shared.clock.now())).await?)
}

async fn state(shared: &Shared) -> Result<State, store::StoreError> {
    let state = shared.store.state().await?;
    let seconds = |waited: Option<Duration>| waited.map_or(0.0, |waited| waited.as_secs_f64());
    NUMBERS.archived_seconds.set(seconds(state.archived));
    NUMBERS.archive_failures.set(state.archive_failures as f64);
    NUMBERS.replication_seconds.set(seconds(state.replication_lag));
    Ok(state)
}

fn age(since: Timestamp) -> f64 {
    seconds_since(OffsetDateTime::from(since))
}
