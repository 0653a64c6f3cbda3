//! Work on one partition, from taking its lease to giving it up.

use std::{sync::Arc, time::Duration};

use domain::settle::{Judged, Position};
use messaging::{Body, Partition, Traced, Verdict, Verdicts};
use runtime::{Backoff, Shutdown};
use store::{Fence, Quarantined};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Shared,
    commit::commit,
    metrics::NUMBERS,
    publish::{self, Relay},
    told,
};

/// Verdicts that are counted in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Where the partition stood before the first of them.
    pub(crate) after: Fence,
    /// The position of the last.
    pub(crate) up_to: Position,
    /// What stands in REPORTS after that message is not settled yet, as far as it is of this partition.
    pub(crate) settled_up_to: u64,
    pub(crate) judged: Vec<Judged>,
    pub(crate) quarantined: Vec<Quarantined>,
    pub(crate) traced: Vec<Traced>,
}

impl Batch {
    fn add(&mut self, Verdict { position, body, traced }: Verdict) {
        self.traced.extend(traced);
        self.up_to = position;
        match body {
            Body::Judged(judged) => self.judged.extend(judged),
            Body::Quarantined { log_sequence, subject, error, payload } => {
                NUMBERS.unreadable.increment(1);
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
        match count(&shared, partition, &mut backoff, &stop).await {
            Ok(()) => return,
            Err(error) => {
                NUMBERS.failures.increment(1);
                tracing::warn!(%partition, error = &*error as &dyn std::error::Error, "counting broke off; starting over from what is stored");
                tokio::select! {
                    () = sleep(backoff.next_delay()) => {}
                    () = stop.requested() => {}
                }
            }
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Starts from what is stored: publishes what the outbox holds, then counts on from the stored position.
async fn count(
    shared: &Arc<Shared>,
    partition: Partition,
    backoff: &mut Backoff,
    stop: &Shutdown,
) -> Result<(), Broken> {
    let mut fence = shared.store.fence(partition.number()).await?;
    told::is_behind(shared, partition, fence).await?;
    publish::recover(shared, partition).await?;
    let newest = Verdicts::newest(&shared.connection).await?;
    if fence.position > newest {
        return Err(format!(
            "the database counts up to {}, the log of verdicts ends at {}: it is older than the database",
            fence.position.0, newest.0
        )
        .into());
    }
    // After the fence: whoever settles more from here on moves it.
    let mut settled_up_to = shared.store.settled_up_to().await?;
    let mut verdicts = Verdicts::after(shared.connection.clone(), partition, fence.position);
    let relay = Relay::start(Arc::clone(shared), partition);
    let mut rests_until = None;
    let counted = loop {
        let gathered = tokio::select! {
            biased;
            // Also while there is nothing to count: what was counted last would stay in the outbox until something is.
            () = relay.gives_up() => break Err("events could not be published; they are in the outbox".into()),
            gathered = gather(shared, partition, &mut verdicts, fence, rested(rests_until, &relay), stop) => gathered,
        };
        let (batch, turn) = match gathered {
            Gathered::Batch(batch, turn) => (Batch { settled_up_to, ..batch }, turn),
            Gathered::Stopped => break Ok(()),
            Gathered::NewEpoch => break Err("totals were put right meanwhile".into()),
        };
        let (up_to, reports, began) = (batch.up_to, batch.judged.len(), Instant::now());
        let last = batch.judged.iter().map(|judged| judged.provenance().origin.sequence).max();
        // Before: of a process that is frozen while it commits, the answer may be old when it is read.
        let known_at = shared.clock.now().into();
        let committed = commit(shared, partition, batch).await;
        drop(turn);
        let rest = rest(reports, shared.limits.max_batch, began.elapsed());
        rests_until = rest.map(|rest| Instant::now() + rest);
        match committed {
            Ok(events) => {
                backoff.reset();
                fence.position = up_to;
                settled_up_to = settled_up_to.max(last.unwrap_or_default());
                relay.publish(fence.position, known_at, events).await;
            }
            Err(error) => break Err(error.into()),
        }
    };
    relay.finish().await;
    counted
}

/// For how long verdicts gather after a transaction. One of few reports costs nearly as much as one of hundreds: without a rest,
/// a steady trickle keeps database and log busy with small transactions, and everything waits longer for them. A large one, or the
/// largest there may be, needs none, and after a pause nobody waits.
fn rest(reports: usize, max_batch: usize, took: Duration) -> Option<Duration> {
    const LARGE: usize = 1_000;
    const TIMES: u32 = 3;
    const MOST: Duration = Duration::from_millis(100);
    (reports < LARGE.min(max_batch)).then(|| (took * TIMES).min(MOST))
}

/// Waits for the end of a rest. It goes on while events about totals wait to be published: what would be counted meanwhile would wait
/// behind them, and move the same totals once more for it.
async fn rested(until: Option<Instant>, relay: &Relay) {
    let Some(until) = until else { return };
    // The timer counts whole milliseconds, also for a moment that has come already.
    if until > Instant::now() {
        sleep_until(until).await;
    }
    relay.catches_up().await;
}

/// How often an idle partition is looked at for totals that were changed by somebody who does not count.
const IDLE: Duration = Duration::from_secs(2);

/// What there is to do.
enum Gathered<'a> {
    /// A batch, whose turn it is.
    Batch(Batch, SemaphorePermit<'a>),
    /// Shutdown was requested.
    Stopped,
    /// Totals were changed by somebody who does not count: there are events to publish first.
    NewEpoch,
}

/// What is there to count: waits for the first verdict, until the partition has rested and then for its turn among the partitions, and
/// takes along all that has arrived meanwhile. So batches grow with the load, and totals are written the less often for it.
async fn gather<'a>(
    shared: &'a Shared,
    partition: Partition,
    verdicts: &mut Verdicts,
    after: Fence,
    rested: impl Future<Output = ()>,
    stop: &Shutdown,
) -> Gathered<'a> {
    let max_batch = shared.limits.max_batch;
    // Waited for as a whole: making a consumer may take longer than one look.
    let mut next = Box::pin(verdicts.next());
    let first = loop {
        tokio::select! {
            biased;
            () = stop.requested() => return Gathered::Stopped,
            first = &mut next => break first,
            () = sleep(IDLE) => {
                // A database that does not answer is noticed with the next batch.
                if shared.store.fence(partition.number()).await.is_ok_and(|fence| fence != after) {
                    return Gathered::NewEpoch;
                }
            }
        }
    };
    drop(next);
    let turn = async {
        rested.await;
        shared.transactions.acquire().await
    };
    let turn = tokio::select! {
        biased;
        () = stop.requested() => return Gathered::Stopped,
        turn = turn => turn,
    };
    // Never closed: there is always a turn.
    let Ok(turn) = turn else { return Gathered::Stopped };
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
    Gathered::Batch(batch, turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_transactions_rest_and_large_ones_do_not() {
        let rests = |reports, took| rest(reports, 10_000, Duration::from_millis(took)).map(|rest| rest.as_millis());
        assert_eq!((rests(1, 2), rests(999, 20), rests(999, 2_000)), (Some(6), Some(60), Some(100)));
        assert_eq!((rests(1_000, 20), rests(5_000, 2_000)), (None, None));
        assert_eq!(rest(500, 500, Duration::from_millis(20)), None, "there may be more of them");
    }
}
