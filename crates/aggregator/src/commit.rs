//! The transaction of a batch: read what is stored, fold, write.

use std::{sync::Arc, time::Duration};

use catalogue::VersionError;
use domain::{
    Timestamp,
    settle::{self, Accepted, Judged, Provenance},
};
use messaging::{Outgoing, Partition, outbox, progress::Progress};
use store::{BeginError, Fence, StoreError, Write};
use tokio::{task::JoinError, time::Instant};

use crate::{
    Shared,
    consume::Batch,
    event::{self, EventError},
    fates,
    fold::{self, FoldError},
    metrics::{self, NUMBERS},
    steps::Steps,
};

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// Somebody else moved the partition. Their events may be in the outbox, and go before ours: start over.
    #[error("the partition stands at position {}, which is not where it was left", .0.position.0)]
    Moved(Fence),
    /// Somebody else has the partition in a transaction, after which it is not where it was left.
    #[error("somebody else has the partition in a transaction")]
    Held,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A catalogue that reports were judged by is not to be had.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The batch does not fit the catalogue or what is stored.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// An event could not be written.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The transaction's task did not come to an end.
    #[error("the transaction ended abnormally")]
    Ended(#[from] JoinError),
}

impl From<BeginError> for CommitError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Moved { stands, expected: _ } => Self::Moved(stands),
            BeginError::Held => Self::Held,
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

/// Counts a batch, and gives the events to publish. They are in the outbox then.
pub(crate) async fn commit(
    shared: &Arc<Shared>,
    partition: Partition,
    batch: Batch,
) -> Result<Vec<Outgoing>, CommitError> {
    // A database that hangs would be waited on for ever; the server ends a statement long before.
    let within = Duration::from_secs(180);
    let began = Instant::now();
    // On its own to the end, also when nobody waits for it any more: a connection that is left in the middle of a `COPY` would be
    // taken for a good one.
    let committing = tokio::spawn(commit_now(Arc::clone(shared), partition, batch));
    let committed = match tokio::time::timeout(within, committing).await {
        Err(_) => return Err(StoreError::Unanswered(within).into()),
        Ok(committed) => committed?,
    };
    NUMBERS.commit_seconds.record(began.elapsed());
    let (events, progress) = committed?;
    if let Some(progress) = progress {
        NUMBERS.batch_reports.record(progress.counted as f64);
        shared.connection.tell(progress);
    }
    Ok(events)
}

async fn commit_now(
    shared: Arc<Shared>,
    partition: Partition,
    batch: Batch,
) -> Result<(Vec<Outgoing>, Option<Progress>), CommitError> {
    let Batch { after, up_to, settled_up_to, judged, quarantined, traced } = batch;
    let steps = Steps::begin(&traced);
    let reports = judged.len();
    let mut transaction = shared.store.begin(partition.number(), after).await?;

    know_catalogues(&shared, judged.iter().map(Judged::provenance)).await?;
    let needed = settle::needed(&shared.versions.known(), judged.iter().filter_map(accepted));
    let ids: Vec<_> = judged.iter().filter_map(Judged::submission_id).collect();
    // What was judged twice comes late, after others that are settled.
    let late = judged.iter().map(|judged| judged.provenance().origin).filter(|origin| origin.sequence <= settled_up_to);
    let late: Vec<_> = late.collect();
    let mut standing = transaction.series(&needed).await?;
    know_catalogues(&shared, standing.iter().map(|stored| &stored.provenance)).await?;
    let mut catalogues = shared.versions.known();
    let further = settle::needed_further(&catalogues, &needed, &standing).map_err(FoldError::from)?;
    if !further.is_empty() {
        standing.extend(transaction.series(&further).await?);
        know_catalogues(&shared, standing.iter().map(|stored| &stored.provenance)).await?;
        catalogues = shared.versions.known();
    }
    let known = transaction.known(&ids).await?;
    let settled = transaction.settled(&late).await?;
    let changes = fold::settle(&catalogues, standing, known, settled, judged)?;

    let units = fold::units(&changes);
    let stored = transaction.totals(&units).await?;
    let moved = fold::add(&catalogues, &changes, stored)?;
    let now = Timestamp::from(shared.clock.now());
    let time = event::rfc3339(now)?;
    let mut events = event::events(&moved, Fence { position: up_to, ..after }, &time, &steps)?;
    events.extend(fates::events(&catalogues, &changes.ledger, up_to, &time)?);
    let packed = (!events.is_empty()).then(|| outbox::pack(&events));
    let writes: Vec<_> = moved.into_iter().flat_map(|unit| unit.writes).collect();

    let write = Write {
        changes: &changes,
        totals: &writes,
        events: packed.as_deref(),
        quarantined: &quarantined,
        position: up_to,
        now,
    };
    transaction.commit(&write).await?;
    steps.committed(up_to);
    metrics::settled(&changes.ledger, writes.len(), now);
    tracing::debug!(%partition, reports, totals = writes.len(), up_to = up_to.0, "counted a batch");
    // What was settled before and is judged once more is not counted again.
    let settled = changes.ledger.iter().map(|settled| settled.provenance.received_at);
    Ok((events, Progress::of(partition, settled)))
}

/// Makes sure that every catalogue by which reports were judged is known. One that is not to be had stops the partition: it
/// may be provisioned yet.
async fn know_catalogues(shared: &Shared, judged: impl Iterator<Item = &Provenance>) -> Result<(), CommitError> {
    for version in shared.versions.missing(judged.map(|provenance| &provenance.catalogue)) {
        shared.versions.add(&version, shared.store.catalogue_files(&version).await?)?;
        tracing::info!(%version, "loaded an earlier catalogue");
    }
    Ok(())
}

fn accepted(judged: &Judged) -> Option<&Accepted> {
    match judged {
        Judged::Accepted(accepted) => Some(accepted),
        Judged::Rejected(_) => None,
    }
}
