//! VERDICTS: what validators publish and the aggregator of a partition reads in order.

use bytes::Bytes;
use domain::settle::{Judged, Origin, Position};
use prost::{DecodeError, Message as _};
use proto::pb::event::v1::{JudgedBatch, JudgedBatches, QuarantinedMessage};

use crate::{
    Connection, Outgoing, Partition, ReadError,
    ordered::{OrderedReader, last_position},
    subjects,
};

/// A message with reports that may count.
#[must_use]
pub fn accepted_message(partition: Partition, judged: &JudgedBatches) -> Outgoing {
    outgoing(subjects::accepted(partition), "a", first(judged), partition, judged)
}

/// A message with reports that may not count.
#[must_use]
pub fn rejected_message(partition: Partition, judged: &JudgedBatches) -> Outgoing {
    outgoing(subjects::rejected(partition), "r", first(judged), partition, judged)
}

fn first(judged: &JudgedBatches) -> u64 {
    judged.batches.first().map_or(0, |batch| batch.log_sequence)
}

/// The message with bytes that are no batch.
#[must_use]
pub fn quarantined_message(partition: Partition, message: &QuarantinedMessage) -> Outgoing {
    outgoing(subjects::quarantined(partition), "q", message.log_sequence, partition, message)
}

fn outgoing(
    subject: String,
    kind: &str,
    log_sequence: u64,
    partition: Partition,
    message: &impl prost::Message,
) -> Outgoing {
    let payload = message.encode_to_vec();
    // The content is part of the id: a verdict by another catalogue, or together with other verdicts, must not be taken for a second
    // copy. The ledger settles which of two verdicts on a report counts.
    let content = u128::from_be_bytes(domain::ContentDigest::of_bytes(&payload).0);
    let message_id = format!("{kind}-{log_sequence}-{partition}-{content:032x}");
    Outgoing { subject, message_id, content_type: None, payload: payload.into() }
}

/// A message of the log of verdicts.
#[derive(Debug)]
pub struct Verdict {
    /// Where it stands.
    pub position: Position,
    /// What it holds.
    pub body: Body,
    /// The reports in it whose way is recorded.
    pub traced: Vec<Traced>,
}

/// A report whose way through the pipeline is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The report.
    pub origin: Origin,
    /// The last step of its trace, as W3C Trace Context writes it.
    pub traceparent: String,
}

/// What a message of the log of verdicts holds.
#[derive(Debug)]
pub enum Body {
    /// Verdicts on reports that were judged together.
    Judged(Vec<Judged>),
    /// Bytes that could not be read as a submitted batch, or as a verdict.
    Quarantined {
        /// Where they stand in the log they were found in.
        log_sequence: u64,
        /// The subject they were published on.
        subject: String,
        /// Why they could not be read.
        error: String,
        /// The bytes, cut to a bound.
        payload: Bytes,
    },
}

/// Reads a partition's verdicts, in order and without gaps.
pub struct Verdicts {
    reader: OrderedReader,
}

impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verdicts")
    }
}

impl Verdicts {
    /// A reader of what stands after a position.
    #[must_use]
    pub fn after(connection: Connection, partition: Partition, position: Position) -> Self {
        Self { reader: OrderedReader::new(connection, subjects::VERDICTS, subjects::verdicts(partition), position.0) }
    }

    /// The next message; waits for as long as there is none. May be dropped while it waits.
    pub async fn next(&mut self) -> Verdict {
        let (position, message) = self.reader.next().await;
        read(position, message.subject.as_str(), &message.payload)
    }

    /// The next message if it is here already.
    pub fn next_if_ready(&mut self) -> Option<Verdict> {
        let (position, message) = self.reader.next_if_ready()?;
        Some(read(position, message.subject.as_str(), &message.payload))
    }

    /// The position of the newest verdict of all partitions.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn newest(connection: &Connection) -> Result<Position, ReadError> {
        last_position(connection, subjects::VERDICTS).await.map(Position)
    }
}

fn read(position: u64, subject: &str, payload: &Bytes) -> Verdict {
    let position = Position(position);
    let unreadable = |error: String| Body::Quarantined {
        log_sequence: position.0,
        subject: subject.to_owned(),
        error,
        payload: payload.clone(),
    };
    let mut traced = Vec::new();
    let body = if subject.starts_with("reports.quarantined.") {
        match QuarantinedMessage::decode(payload.as_ref()) {
            Ok(QuarantinedMessage { log_sequence, subject, error, payload, payload_length: _ }) => {
                Body::Quarantined { log_sequence, subject, error, payload: payload.into() }
            }
            Err(error) => unreadable(error.to_string()),
        }
    } else {
        match batches(payload) {
            Ok(batches) => {
                let steps = batches.iter().flat_map(traced_of).collect();
                match proto::event::decode(batches, position) {
                    Ok(judged) => {
                        traced = steps;
                        Body::Judged(judged)
                    }
                    Err(error) => unreadable(error.to_string()),
                }
            }
            Err(error) => unreadable(error.to_string()),
        }
    };
    Verdict { position, body, traced }
}

/// What was judged together, or the one batch that is a message by itself. The two differ in the kind of their first field, so neither can
/// be taken for the other.
fn batches(payload: &Bytes) -> Result<Vec<JudgedBatch>, DecodeError> {
    JudgedBatches::decode(payload.as_ref())
        .map(|judged| judged.batches)
        .or_else(|error| JudgedBatch::decode(payload.as_ref()).map(|batch| vec![batch]).map_err(|_| error))
}

fn traced_of(batch: &JudgedBatch) -> impl Iterator<Item = Traced> {
    let traced = batch.accepted.iter().filter(|report| !report.traceparent.is_empty());
    let origin = |index| Origin { sequence: batch.log_sequence, index };
    traced.map(move |report| Traced { origin: origin(report.log_index), traceparent: report.traceparent.clone() })
}

#[cfg(test)]
mod tests {
    use proto::pb::event::v1::RejectedReport;

    use super::*;
    use crate::Partitions;

    #[test]
    fn batches_are_read_together_and_alone() {
        let report = |log_index| RejectedReport { log_index, digest: vec![9; 16], ..RejectedReport::default() };
        let batch = |log_sequence, reports: std::ops::Range<u32>| JudgedBatch {
            log_sequence,
            catalogue_version: "2022.1-0011".to_owned(),
            accepted: Vec::new(),
            rejected: reports.map(report).collect(),
        };
        let partition = Partitions::new(32).unwrap().of("identity");
        let origins = |message: &Outgoing| match read(99, &message.subject, &message.payload).body {
            Body::Judged(judged) => judged
                .iter()
                .map(Judged::provenance)
                .map(|of| (of.origin.sequence, of.origin.index))
                .collect::<Vec<_>>(),
            Body::Quarantined { error, .. } => panic!("{error}"),
        };
        let judged = JudgedBatches { batches: vec![batch(7, 0..2), batch(8, 1..2)] };
        let together = rejected_message(partition, &judged);
        assert_eq!(origins(&together), [(7, 0), (7, 1), (8, 1)]);
        // What a validator of before has written and nobody has counted yet.
        let alone = Outgoing { payload: batch(7, 0..2).encode_to_vec().into(), ..together.clone() };
        assert_eq!(origins(&alone), [(7, 0), (7, 1)]);
        // An aggregator of before does not take what was judged together for a batch of nothing: it is quarantined there.
        assert!(JudgedBatch::decode(together.payload.as_ref()).is_err());

        let other = JudgedBatches { batches: judged.batches[..1].to_vec() };
        assert_ne!(rejected_message(partition, &other).message_id, together.message_id);
        let cut = Outgoing { payload: together.payload.slice(..together.payload.len() - 1), ..together };
        assert!(matches!(read(99, &cut.subject, &cut.payload).body, Body::Quarantined { .. }));
    }
}
