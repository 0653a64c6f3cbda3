//! A sender as it should be: it keeps a report until it is acknowledged, and sends it again under the same id until then.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client::Channel;
use proto::pb::{
    collector::v1::{
        Acknowledgement, SubmitStreamRequest, collector_service_client::CollectorServiceClient,
        submit_stream_response::Outcome,
    },
    report::v1::Report,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::PATIENCE;

/// A sender at work.
#[derive(Debug)]
pub struct Sending {
    allowed: watch::Sender<usize>,
    acknowledged: watch::Receiver<usize>,
    sent: Arc<AtomicUsize>,
    sending: JoinHandle<(BTreeMap<usize, Acknowledgement>, Vec<Status>)>,
}

/// What a sender has done when everything is acknowledged.
#[derive(Debug)]
pub struct Sent {
    /// The acknowledgement of each report, by its place.
    pub acknowledged: BTreeMap<usize, Acknowledgement>,
    /// How often a report was put on a stream: more than were acknowledged where a stream broke.
    pub deliveries: usize,
    /// How the streams ended that did not end well.
    pub broken: Vec<Status>,
}

impl Sending {
    pub(crate) fn start(reports: Arc<[Report]>, channels: watch::Receiver<Channel>) -> Self {
        let (allowed, may) = watch::channel(0);
        let (count, acknowledged) = watch::channel(0);
        let sent = Arc::new(AtomicUsize::new(0));
        let sending = tokio::spawn(send(reports, channels, may, Arc::clone(&sent), count));
        Self { allowed, acknowledged, sent, sending }
    }

    /// Lets it send that many more reports.
    pub fn allow(&self, more: usize) {
        self.allowed.send_modify(|allowed| *allowed += more);
    }

    /// Waits until that many are acknowledged.
    pub async fn acknowledged(&self, count: usize) {
        let mut acknowledged = self.acknowledged.clone();
        let waited = tokio::time::timeout(PATIENCE, acknowledged.wait_for(|now| *now >= count)).await;
        assert!(matches!(waited, Ok(Ok(_))), "only {} of {count} are acknowledged", *self.acknowledged.borrow());
    }

    /// How many are acknowledged.
    #[must_use]
    pub fn acknowledged_now(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// How many are put on a stream and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let acknowledged = *self.acknowledged.borrow();
        self.sent.load(Ordering::SeqCst).saturating_sub(acknowledged)
    }

    /// Sends the rest and waits until everything is acknowledged.
    pub async fn finish(self) -> Sent {
        self.allowed.send_replace(usize::MAX);
        let (acknowledged, broken) =
            tokio::time::timeout(2 * PATIENCE, self.sending).await.expect("all is sent").unwrap();
        Sent { acknowledged, deliveries: self.sent.load(Ordering::SeqCst), broken }
    }
}

async fn send(
    reports: Arc<[Report]>,
    channels: watch::Receiver<Channel>,
    may: watch::Receiver<usize>,
    sent: Arc<AtomicUsize>,
    count: watch::Sender<usize>,
) -> (BTreeMap<usize, Acknowledgement>, Vec<Status>) {
    let mut acknowledged = BTreeMap::new();
    let mut broken = Vec::new();
    while acknowledged.len() < reports.len() {
        let places: Arc<[usize]> = (0..reports.len()).filter(|place| !acknowledged.contains_key(place)).collect();
        let (sendable, sent, may, order) = (Arc::clone(&reports), Arc::clone(&sent), may.clone(), Arc::clone(&places));
        let requests = tokio_stream::iter(0..order.len()).then(move |index| {
            let (place, mut may) = (order[index], may.clone());
            let (reports, sent) = (Arc::clone(&sendable), Arc::clone(&sent));
            async move {
                // A test that is over lets everything go.
                let _ = may.wait_for(|allowed| *allowed > place).await;
                sent.fetch_add(1, Ordering::SeqCst);
                SubmitStreamRequest { report: Some(reports[place].clone()) }
            }
        });
        let mut client = CollectorServiceClient::new(channels.borrow().clone());
        let ended = async {
            let mut receipts = client.submit_stream(requests).await?.into_inner();
            let mut answered = 0;
            while let Some(receipt) = receipts.message().await? {
                answered += 1;
                let place = places[usize::try_from(receipt.index).unwrap()];
                match receipt.outcome.unwrap() {
                    Outcome::Acknowledgement(acknowledgement) => {
                        assert!(acknowledged.insert(place, acknowledgement).is_none(), "one receipt a report");
                        count.send_replace(acknowledged.len());
                    }
                    Outcome::Refusal(refusal) => {
                        let passing = [Code::Unavailable, Code::ResourceExhausted].contains(&Code::from(refusal.code));
                        assert!(passing && refusal.retry_after.is_some(), "{refusal:?}");
                    }
                }
            }
            assert_eq!(answered, places.len(), "a stream that ends well has a receipt for each report");
            Ok::<_, Status>(())
        };
        if let Err(status) = ended.await {
            broken.push(status);
        }
        if acknowledged.len() < reports.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    (acknowledged, broken)
}
