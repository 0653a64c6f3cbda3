//! Pushing reports over gRPC, as several senders do at the same time: for the demonstration and the published figures.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use proto::pb::{
    collector::v1::{
        SubmitStreamRequest, collector_service_client::CollectorServiceClient, submit_stream_response::Outcome,
    },
    report::v1::Report,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::Door;

/// Reports that a sender has under way. More would only wait longer.
const IN_FLIGHT: usize = 512;

/// What came of sending.
#[derive(Debug)]
pub struct Sent {
    /// How many reports were sent.
    pub sent: i64,
    /// How many are durable.
    pub acknowledged: i64,
    /// How many were refused at once.
    pub refused: i64,
    /// Microseconds from sending a report to its acknowledgement.
    pub acknowledgement: Histogram<u64>,
    /// When each report went out, by data set and submission id.
    pub at: Vec<(String, Instant)>,
    /// Those that the collector asks for again.
    again: Vec<Report>,
}

impl Sent {
    fn new() -> anyhow::Result<Self> {
        let (acknowledgement, at, again) = (Histogram::new(3)?, Vec::new(), Vec::new());
        Ok(Self { sent: 0, acknowledged: 0, refused: 0, acknowledgement, at, again })
    }

    /// Adds what came of sending others.
    pub fn merge(&mut self, other: Self) {
        let Self { sent, acknowledged, refused, acknowledgement, at, again } = other;
        self.sent += sent;
        self.acknowledged += acknowledged;
        self.refused += refused;
        // Same precision, and both resize themselves.
        if let Err(error) = self.acknowledgement.add(acknowledgement) {
            tracing::warn!(%error, "latencies could not be merged");
        }
        self.at.extend(at);
        self.again.extend(again);
    }
}

/// Sends reports through several senders, again where the collector asks for it, and waits for all receipts.
///
/// # Errors
/// When the collector goes away, or still refuses after a minute.
pub async fn all(
    collector: &Door,
    reports: Vec<Report>,
    senders: usize,
    progress: ProgressBar,
) -> anyhow::Result<Sent> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let deadline = Instant::now() + PATIENCE;
    let mut all = Sent::new()?;
    all.sent = i64::try_from(reports.len())?;
    let mut due = reports;
    loop {
        let mut parts: Vec<Vec<Report>> = vec![Vec::new(); senders];
        // Neighbours in the list go to different senders: all are busy until the end.
        for (place, report) in due.into_iter().enumerate() {
            parts[place % senders].push(report);
        }
        let mut sending = JoinSet::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            sending.spawn(send(collector.clone(), part, progress.clone()));
        }
        while let Some(sent) = sending.join_next().await {
            all.merge(sent??);
        }
        due = std::mem::take(&mut all.again);
        if due.is_empty() {
            progress.finish();
            return Ok(all);
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the collector still asks for {} reports to be sent again",
            due.len()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn send(collector: Door, reports: Vec<Report>, progress: ProgressBar) -> anyhow::Result<Sent> {
    let mut client = CollectorServiceClient::new(collector.connect().await.context("connecting to the collector")?);
    let window = Arc::new(Semaphore::new(IN_FLIGHT));
    let (outgoing, requests) = mpsc::channel(IN_FLIGHT);
    let (times, mut sent_at) = mpsc::unbounded_channel();
    let mut result = Sent::new()?;
    let mut answered = 0;
    let reports = Arc::new(reports);

    let (open, outgoing_reports) = (Arc::clone(&window), Arc::clone(&reports));
    tokio::spawn(async move {
        for report in &*outgoing_reports {
            let Ok(permit) = open.acquire().await else { return };
            permit.forget(); // given back with the receipt
            let submission = (format!("{} {}", report.data_set, report.submission_id), Instant::now());
            if times.send(submission).is_err()
                || outgoing.send(SubmitStreamRequest { report: Some(report.clone()) }).await.is_err()
            {
                return;
            }
        }
    });
    let mut receipts = client.submit_stream(ReceiverStream::new(requests)).await?.into_inner();
    while let Some(receipt) = receipts.message().await? {
        window.add_permits(1);
        while let Ok(sent) = sent_at.try_recv() {
            result.at.push(sent);
        }
        answered += 1;
        let place = usize::try_from(receipt.index)?;
        match receipt.outcome {
            Some(Outcome::Acknowledgement(_)) => {
                result.acknowledged += 1;
                let (_, sent) = result.at.get(place).context("a receipt came before its report")?;
                result.acknowledgement.record(u64::try_from(sent.elapsed().as_micros())?)?;
            }
            Some(Outcome::Refusal(refusal)) if refusal.retry_after.is_some() => {
                result.again.push(reports.get(place).context("a receipt for no report")?.clone());
                continue;
            }
            _ => result.refused += 1,
        }
        progress.inc(1);
    }
    anyhow::ensure!(answered == reports.len(), "the collector ended the stream early");
    Ok(result)
}
