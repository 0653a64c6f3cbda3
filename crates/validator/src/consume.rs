//! One worker: batches in, verdicts out, acknowledged.

use std::{sync::Arc, time::Duration};

use messaging::{Connection, Outgoing, Publisher, Submitted, SubmittedBatches};
use runtime::{Backoff, Shutdown};
use tokio::time::Instant;

use crate::{judge::Judge, metrics::NUMBERS};

/// The most batches whose verdicts are published together.
const TOGETHER: usize = 16;

pub(crate) async fn run(connection: Connection, judge: Arc<Judge>, shutdown: Shutdown) {
    let publisher = Publisher::new(connection.clone());
    let mut backoff = backoff();
    while !shutdown.is_requested() {
        let joined = tokio::select! {
            biased;
            () = shutdown.requested() => return,
            joined = SubmittedBatches::join(&connection, TOGETHER) => joined,
        };
        match joined {
            Ok(mut batches) => {
                backoff.reset();
                judge_until_broken(&mut batches, &publisher, &judge, &shutdown).await;
            }
            Err(error) => {
                tracing::warn!(%error, "submitted batches cannot be had; trying again");
                pause(&mut backoff, &shutdown).await;
            }
        }
    }
}

/// Judges batch after batch until the delivery breaks off or shutdown is requested.
async fn judge_until_broken(batches: &mut SubmittedBatches, publisher: &Publisher, judge: &Judge, shutdown: &Shutdown) {
    loop {
        let first = tokio::select! {
            biased;
            () = shutdown.requested() => return give_back(batches).await,
            next = batches.next() => next,
        };
        let mut taken = Vec::with_capacity(TOGETHER);
        let mut broken = None;
        match first {
            Ok(batch) => taken.push(judge.opened(batch)),
            Err(error) => broken = Some(error),
        }
        while taken.len() < TOGETHER && broken.is_none() {
            match batches.next_if_ready() {
                None => break,
                Some(Ok(batch)) => taken.push(judge.opened(batch)),
                Some(Err(error)) => broken = Some(error),
            }
        }
        if !taken.is_empty()
            && let Some(messages) = judged(judge, &taken, shutdown).await
        {
            publish(publisher, messages, &taken, shutdown).await;
        }
        if let Some(error) = broken {
            tracing::info!(%error, "the delivery of submitted batches broke off; joining again");
            return;
        }
    }
}

/// Gives back what was delivered and not looked at: others would get it only when the time for its acknowledgement is up.
async fn give_back(batches: &mut SubmittedBatches) {
    while let Some(Ok(batch)) = batches.next_if_ready() {
        batch.give_back().await;
    }
}

/// The messages with the verdicts on some batches. Waits for as long as PostgreSQL does not say what it must be asked: no verdict
/// is guessed. None where shutdown was requested first: the batches come again to another validator.
async fn judged(judge: &Judge, taken: &[Submitted], shutdown: &Shutdown) -> Option<Vec<Outgoing>> {
    let mut backoff = backoff();
    let began = Instant::now();
    loop {
        match judge.verdicts(taken).await {
            Ok(messages) => {
                for batch in taken.iter().filter_map(|submitted| submitted.batch.as_ref().ok()) {
                    NUMBERS.batch_reports.record(batch.reports.len() as f64);
                }
                NUMBERS.judge_seconds.record(began.elapsed());
                return Some(messages);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                NUMBERS.retries.increment(1);
                tracing::warn!(error, batches = taken.len(), "what is stored cannot be had; judging waits for it");
            }
        }
        if shutdown.is_requested() {
            return None;
        }
        pause(&mut backoff, shutdown).await;
    }
}

/// Publishes until JetStream has the verdicts, then acknowledges. At shutdown one more try is made: unacknowledged batches
/// come again to another validator.
async fn publish(publisher: &Publisher, mut messages: Vec<Outgoing>, taken: &[Submitted], shutdown: &Shutdown) {
    let mut backoff = backoff();
    let began = Instant::now();
    let mut failures = 0_u64;
    while let Err(error) = publisher.publish_together(&mut messages).await {
        NUMBERS.retries.increment(1);
        failures += 1;
        if failures == 1 {
            tracing::warn!(%error, batches = taken.len(), "verdicts are not durable yet; trying again");
        } else {
            tracing::debug!(%error, failures, "verdicts are not durable yet; trying again");
        }
        if shutdown.is_requested() {
            return;
        }
        pause(&mut backoff, shutdown).await;
    }
    for batch in taken {
        batch.acknowledge().await;
    }
    NUMBERS.publish_seconds.record(began.elapsed());
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2))
}

async fn pause(backoff: &mut Backoff, shutdown: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(backoff.next_delay()) => {}
        () = shutdown.requested() => {}
    }
}
