//! Publishing the events of committed batches, in order.

use std::{sync::Arc, time::Duration};

use domain::{Timestamp, settle::Position};
use messaging::{Outgoing, Partition, Publisher, outbox, subjects};
use runtime::Backoff;
use store::Unpublished;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{Shared, metrics::NUMBERS};

/// Publishes a partition's events while its next batches are counted.
#[derive(Debug)]
pub(crate) struct Relay {
    committed: mpsc::Sender<Committed>,
    publishing: JoinHandle<()>,
}

/// A committed batch's events.
#[derive(Debug)]
struct Committed {
    /// Up to where it counted.
    position: Position,
    /// From when they may have been published by somebody else: when its transaction began.
    at: Timestamp,
    events: Vec<Outgoing>,
}

impl Relay {
    pub(crate) fn start(shared: Arc<Shared>, partition: Partition) -> Self {
        let at_once = shared.limits.unpublished_batches.max(1);
        let (committed, batches) = mpsc::channel(at_once);
        let publishing = tokio::spawn(async move {
            let (told, settled) = mpsc::channel(at_once);
            let totals = publish_totals(&shared, partition, batches, told);
            let fates = publish_fates(&shared, partition, settled);
            // What fails here is in the outbox still, and so is all that follows: it is published after the next start.
            if let Err(error) = tokio::try_join!(totals, fates) {
                tracing::warn!(%partition, error = &*error as &dyn std::error::Error, "events stay in the outbox");
            }
        });
        Self { committed, publishing }
    }

    /// Hands over the events of a batch that was committed just now; waits while too many batches are ahead of it.
    pub(crate) async fn publish(&self, position: Position, at: Timestamp, events: Vec<Outgoing>) {
        if !events.is_empty() {
            // A relay that gave up has left them in the outbox.
            let _ = self.committed.send(Committed { position, at, events }).await;
        }
    }

    /// Waits until no totals that were handed over wait: at most those of one batch are on their way.
    pub(crate) async fn catches_up(&self) {
        // A relay that gave up is noticed elsewhere.
        drop(self.committed.reserve_many(self.committed.max_capacity()).await);
    }

    /// Waits until it gives up: what it has not published by then is in the outbox.
    pub(crate) async fn gives_up(&self) {
        self.committed.closed().await;
    }

    /// Waits until everything that was handed over is published.
    pub(crate) async fn finish(self) {
        drop(self.committed);
        if let Err(error) = self.publishing.await {
            tracing::error!(%error, "publishing ended abnormally; events stay in the outbox");
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Publishes what an earlier holder of the partition committed and may not have published.
pub(crate) async fn recover(shared: &Shared, partition: Partition) -> Result<(), Broken> {
    while let Some(unpublished) = shared.store.unpublished(partition.number()).await? {
        let at = shared.clock.now().into();
        let events = left(shared, &outbox::unpack(&unpublished.events)?).await?;
        tracing::info!(%partition, position = unpublished.position.0, events = events.len(), "publishing events left in the outbox");
        publish_in_order(shared, partition, at, &events).await?;
        let position = unpublished.position;
        shared.store.published(partition.number(), position..=position, unpublished.part).await?;
    }
    Ok(())
}

/// Up to so many events each is asked for: more than go out one by one, whatever version of this program it was that published.
const FEW: usize = 64;

/// Those of some events that were not published before. Of few any may be there; more become durable together: where the last is, all are.
///
/// Nobody can tell of fates: they are published again, under their ids. Of totals that would be a step back.
async fn left(shared: &Shared, events: &[Outgoing]) -> Result<Vec<Outgoing>, Broken> {
    let mut left = Vec::new();
    for batch in batches(events) {
        let together = if batch.len() > FEW { batch.len() } else { 1 };
        for events in batch.chunks(together) {
            if !is_there(shared, events.last()).await? {
                left.extend_from_slice(events);
            }
        }
    }
    Ok(left)
}

async fn is_there(shared: &Shared, event: Option<&Outgoing>) -> Result<bool, Broken> {
    let Some(event) = event.filter(|event| subjects::is_of_totals(&event.subject)) else { return Ok(false) };
    let version = event.message_id.rsplit_once('@').and_then(|(_, version)| version.parse::<i64>().ok());
    Ok(shared.connection.last_total_version(&event.subject).await? >= version)
}

/// Events that are published at once: of one stream, and no more than JetStream takes together.
fn batches(events: &[Outgoing]) -> impl Iterator<Item = &[Outgoing]> {
    let of_totals = |event: &Outgoing| subjects::is_of_totals(&event.subject);
    let of_one_stream = events.chunk_by(move |one, next| of_totals(one) == of_totals(next));
    of_one_stream.flat_map(|events| events.chunks(Publisher::BATCH_LIMIT))
}

/// Publishes the totals of one batch after the other, and passes on its fates.
async fn publish_totals(
    shared: &Shared,
    partition: Partition,
    mut committed: mpsc::Receiver<Committed>,
    told: mpsc::Sender<Committed>,
) -> Result<(), Broken> {
    while let Some(Committed { position, at, mut events }) = committed.recv().await {
        // Totals are packed before fates.
        let fates = events.split_off(events.partition_point(|event| subjects::is_of_totals(&event.subject)));
        publish_in_order(shared, partition, at, &events).await?;
        // Where nobody takes them any more, he says why.
        drop(told.send(Committed { position, at, events: fates }).await);
    }
    Ok(())
}

/// For how long fates gather after some were published. Totals are waited for, fates are news: and each message waits for the disk, or has
/// JetStream make and remove files for its batch.
const GATHER_FATES: Duration = Duration::from_millis(500);

/// Publishes fates, those of the first batch after a pause at once, and takes the batches whose events are all durable out of the outbox.
async fn publish_fates(
    shared: &Shared,
    partition: Partition,
    mut told: mpsc::Receiver<Committed>,
) -> Result<(), Broken> {
    let mut rested_at = Instant::now();
    while let Some(Committed { position: from, at, events: mut fates }) = told.recv().await {
        let mut up_to = from;
        while fates.len() < Publisher::BATCH_LIMIT
            && let Ok(Some(Committed { position, at: _, events: more })) = timeout_at(rested_at, told.recv()).await
        {
            up_to = position;
            fates.extend(more);
        }
        publish_in_order(shared, partition, at, &fates).await?;
        shared.store.published(partition.number(), from..=up_to, Unpublished::COUNTED).await?;
        rested_at = Instant::now() + GATHER_FATES;
    }
    Ok(())
}

/// So long after its transaction began a batch is not published any more: somebody else may have taken the partition over meanwhile, published
/// it and counted on, and once JetStream has forgotten its id, after two minutes, totals would go back to what they were. What is in
/// the outbox is looked at again before it is published ([`recover`]).
const FRESH: Duration = Duration::from_secs(60);

/// Up to this age events are published without a look at what is there.
const YOUNG: Duration = Duration::from_secs(5);

/// Publishes events until JetStream has them, in order within each stream. They are known not to be published `at` a time.
async fn publish_in_order(
    shared: &Shared,
    partition: Partition,
    at: Timestamp,
    events: &[Outgoing],
) -> Result<(), Broken> {
    if events.is_empty() {
        return Ok(());
    }
    let publisher = Publisher::new(shared.connection.clone());
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let began = Instant::now();
    for batch in batches(events) {
        let mut failures = 0_u64;
        loop {
            let now = shared.clock.now().into();
            if !is_within(FRESH, at, now) {
                return Err(format!("events were not durable within {} s", FRESH.as_secs()).into());
            }
            let tried: Result<(), Broken> = async {
                // A server that was started again has forgotten the ids of events that others have taken the place of, and what has
                // waited behind an outage may be published by somebody else.
                if failures == 0 && is_within(YOUNG, at, now) {
                    publisher.publish_all(batch).await?;
                } else {
                    publisher.publish_all(&left(shared, batch).await?).await?;
                }
                Ok(())
            }
            .await;
            let Err(error) = tried else { break };
            NUMBERS.publish_retries.increment(1);
            failures += 1;
            if failures == 1 {
                tracing::warn!(%partition, %error, "events are not durable yet; trying again");
            } else {
                tracing::debug!(%partition, %error, failures, "events are not durable yet; trying again");
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
    NUMBERS.publish_seconds.record(began.elapsed());
    NUMBERS.events.increment(events.len() as u64);
    Ok(())
}

fn is_within(age: Duration, at: Timestamp, now: Timestamp) -> bool {
    now.unix_micros().saturating_sub(at.unix_micros()) < i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_published_while_its_ids_are_remembered() {
        let fresh_after = |seconds: i64| {
            let second = |seconds: i64| Timestamp::from_unix_micros(seconds * 1_000_000);
            is_within(FRESH, second(1_000), second(1_000 + seconds))
        };
        assert!(fresh_after(0) && fresh_after(59));
        assert!(!fresh_after(60) && !fresh_after(100_000));
        assert!(fresh_after(-5), "a clock that was put back");
    }
}
