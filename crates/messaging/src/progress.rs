//! How far counting is, for those who take reports: told with each transaction, kept by nobody. Who does not hear it waits for the
//! next.

use async_nats::Subscriber;
use domain::Timestamp;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::{Connection, Partition, ReadError, subjects};

/// What an aggregator counted in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// The number of the partition.
    pub partition: u16,
    /// How many reports.
    pub counted: u64,
    /// When a collector had taken half of them, in microseconds since 1970: a few that are judged again after years do not count for
    /// much.
    pub received_at_micros: i64,
}

impl Progress {
    /// What was counted of a partition; nothing without a report.
    pub fn of(partition: Partition, received_at: impl Iterator<Item = Timestamp>) -> Option<Self> {
        let mut received_at: Vec<i64> = received_at.map(Timestamp::unix_micros).collect();
        let (counted, middle) = (received_at.len() as u64, received_at.len() / 2);
        if received_at.is_empty() {
            return None;
        }
        let (_, received_at_micros, _) = received_at.select_nth_unstable(middle);
        Some(Self { partition: partition.number(), counted, received_at_micros: *received_at_micros })
    }
}

/// What aggregators tell, from now on.
pub struct ProgressFeed(Subscriber);

impl std::fmt::Debug for ProgressFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProgressFeed")
    }
}

impl ProgressFeed {
    /// The next that is told. None when the connection is closed; may be dropped while it waits.
    pub async fn next(&mut self) -> Option<Progress> {
        loop {
            let message = self.0.next().await?;
            match serde_json::from_slice(&message.payload) {
                Ok(progress) => return Some(progress),
                Err(error) => tracing::debug!(%error, "what an aggregator tells is not understood"),
            }
        }
    }
}

impl Connection {
    /// Tells whoever listens. Does not wait: where messages queue up already, this one is left out.
    pub fn tell(&self, progress: Progress) {
        // Numbers always have a JSON form.
        let Ok(payload) = serde_json::to_vec(&progress) else { return };
        let told = self.client.publish(subjects::PROGRESS, payload.into()).now_or_never();
        if !matches!(told, Some(Ok(()))) {
            tracing::debug!("how far counting is was not told");
        }
    }

    /// Listens to what aggregators tell.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn progress(&self) -> Result<ProgressFeed, ReadError> {
        let heard = self.client.subscribe(subjects::PROGRESS).await;
        heard.map(ProgressFeed).map_err(|error| ReadError::new(subjects::PROGRESS, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Partitions;

    #[test]
    fn a_transaction_is_as_far_as_half_of_the_reports_in_it() {
        let partition = Partitions::new(8).and_then(|partitions| partitions.all().nth(5)).unwrap();
        let of = |micros: &[i64]| Progress::of(partition, micros.iter().copied().map(Timestamp::from_unix_micros));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[-900, 9, 8]), Some(Progress { partition: 5, counted: 3, received_at_micros: 8 }));
        assert_eq!(of(&[7]), Some(Progress { partition: 5, counted: 1, received_at_micros: 7 }));
    }
}
