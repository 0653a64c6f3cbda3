//! Publishing the events of committed batches, in order.

use std::{sync::Arc, time::Duration};

use domain::settle::Position;
use messaging::{Outgoing, Partition, PublishError, Publisher, outbox, subjects};
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

/// Up to where a batch counted, and its events.
type Committed = (Position, Vec<Outgoing>);

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

    /// Hands over a committed batch's events; waits while too many batches are ahead of it.
    pub(crate) async fn publish(&self, position: Position, events: Vec<Outgoing>) {
        if !events.is_empty() {
            // A relay that gave up has left them in the outbox.
            let _ = self.committed.send((position, events)).await;
        }
    }

    /// Whether it gave up.
    pub(crate) fn has_ended(&self) -> bool {
        self.committed.is_closed()
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
        let mut events = outbox::unpack(&unpublished.events)?;
        let mut there = 0;
        for batch in batches(&events) {
            if !is_there(shared, batch).await? {
                break;
            }
            there += batch.len();
        }
        events.drain(..there);
        tracing::info!(%partition, position = unpublished.position.0, events = events.len(), "publishing events left in the outbox");
        publish_in_order(shared, partition, &events).await?;
        let position = unpublished.position;
        shared.store.published(partition.number(), position..=position, unpublished.part).await?;
    }
    Ok(())
}

/// Whether a batch was published before. Events of one batch are durable together: where the last is, all are.
///
/// Nobody can tell of fates: they are published again, under their ids. Of totals that would be a step back.
async fn is_there(shared: &Shared, batch: &[Outgoing]) -> Result<bool, Broken> {
    let Some(last) = batch.last().filter(|last| subjects::is_of_totals(&last.subject)) else { return Ok(false) };
    let version = last.message_id.rsplit_once('@').and_then(|(_, version)| version.parse::<i64>().ok());
    Ok(shared.connection.last_total_version(&last.subject).await? >= version)
}

/// Events that become durable together: of one stream, and no more than JetStream takes at once.
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
    while let Some((position, mut events)) = committed.recv().await {
        // Totals are packed before fates.
        let fates = events.split_off(events.partition_point(|event| subjects::is_of_totals(&event.subject)));
        publish_in_order(shared, partition, &events).await?;
        // Where nobody takes them any more, he says why.
        drop(told.send((position, fates)).await);
    }
    Ok(())
}

/// For how long fates gather after some were published. Totals are waited for, fates are news: and however small a batch is, JetStream makes
/// and removes files for it.
const GATHER_FATES: Duration = Duration::from_millis(500);

/// Publishes fates, those of the first batch after a pause at once, and takes the batches whose events are all durable out of the outbox.
async fn publish_fates(
    shared: &Shared,
    partition: Partition,
    mut told: mpsc::Receiver<Committed>,
) -> Result<(), Broken> {
    let mut rested_at = Instant::now();
    while let Some((from, mut fates)) = told.recv().await {
        let mut up_to = from;
        while fates.len() < Publisher::BATCH_LIMIT
            && let Ok(Some((position, more))) = timeout_at(rested_at, told.recv()).await
        {
            up_to = position;
            fates.extend(more);
        }
        publish_in_order(shared, partition, &fates).await?;
        shared.store.published(partition.number(), from..=up_to, Unpublished::COUNTED).await?;
        rested_at = Instant::now() + GATHER_FATES;
    }
    Ok(())
}

/// Publishes events until JetStream has them, in order within each stream.
async fn publish_in_order(shared: &Shared, partition: Partition, events: &[Outgoing]) -> Result<(), PublishError> {
    const TRIES: usize = 8;
    if events.is_empty() {
        return Ok(());
    }
    let publisher = Publisher::new(shared.connection.clone());
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let began = Instant::now();
    for batch in batches(events) {
        let mut tries = 1;
        while let Err(error) = publisher.publish_atomically(batch).await {
            if tries == TRIES {
                return Err(error);
            }
            NUMBERS.publish_retries.increment(1);
            tracing::warn!(%partition, %error, tries, "events are not durable yet; trying again");
            tries += 1;
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
    NUMBERS.publish_seconds.record(began.elapsed());
    NUMBERS.events.increment(events.len() as u64);
    Ok(())
}
