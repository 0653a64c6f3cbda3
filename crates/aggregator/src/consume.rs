//! Work on one partition, from taking its lease to giving it up.

use std::{sync::Arc, time::Duration};

use domain::settle::{Judged, Position};
use messaging::{Body, Partition, Verdict, Verdicts};
use runtime::{Backoff, Shutdown};
use store::Quarantined;

use crate::{
    Shared,
    commit::commit,
    publish::{self, Relay},
};

/// Verdicts that are counted in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The position before the first of them.
    pub(crate) after: Position,
    /// The position of the last.
    pub(crate) up_to: Position,
    pub(crate) judged: Vec<Judged>,
    pub(crate) quarantined: Vec<Quarantined>,
}

impl Batch {
    fn add(&mut self, Verdict { position, body }: Verdict) {
        self.up_to = position;
        match body {
            Body::Judged(judged) => self.judged.extend(judged),
            Body::Quarantined { log_sequence, subject, error, payload } => {
                tracing::error!(
                    position = position.0,
                    log_sequence,
                    error,
                    "a message could not be read; it is kept in quarantine"
                );
                self.quarantined.push(Quarantined { position, log_sequence, subject, error, payload: payload.into() });
            }
        }
    }
}

/// Counts a partition's verdicts until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, partition: Partition, stop: Shutdown) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    while !stop.is_requested() {
        match count(&shared, partition, &stop).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%partition, error = &*error as &dyn std::error::Error, "counting broke off; starting over from what is stored");
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                    () = stop.requested() => {}
                }
            }
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Starts from what is stored: publishes what the outbox holds, then counts on from the stored position.
async fn count(shared: &Arc<Shared>, partition: Partition, stop: &Shutdown) -> Result<(), Broken> {
    publish::recover(shared, partition).await?;
    let mut position = shared.store.progress(partition.number()).await?;
    let newest = Verdicts::newest(&shared.connection).await?;
    if position > newest {
        return Err(format!(
            "the database counts up to {}, the log of verdicts ends at {}: it is older than the database",
            position.0, newest.0
        )
        .into());
    }
    let mut verdicts = Verdicts::after(shared.connection.clone(), partition, position);
    let relay = Relay::start(Arc::clone(shared), partition);
    let counted = loop {
        let Some(batch) = gather(&mut verdicts, position, shared.limits.max_batch, stop).await else { break Ok(()) };
        let up_to = batch.up_to;
        match commit(shared, partition, batch).await {
            Ok(events) => {
                position = up_to;
                relay.publish(position, events).await;
                if relay.has_ended() {
                    break Err("events could not be published; they are in the outbox".into());
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    relay.finish().await;
    counted
}

/// What is there to count: waits for the first verdict and takes along what has arrived with it.
async fn gather(verdicts: &mut Verdicts, after: Position, max_batch: usize, stop: &Shutdown) -> Option<Batch> {
    let first = tokio::select! {
        biased;
        () = stop.requested() => return None,
        first = verdicts.next() => first,
    };
    let mut batch = Batch { after, ..Batch::default() };
    batch.add(first);
    let mut messages = 1;
    while batch.judged.len() < max_batch
        && messages < max_batch
        && let Some(next) = verdicts.next_if_ready()
    {
        batch.add(next);
        messages += 1;
    }
    Some(batch)
}
