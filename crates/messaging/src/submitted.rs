//! Validators' side of REPORTS: batches to judge, each for one of the competing validators.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind, consumer::pull};
use bytes::Bytes;
use domain::settle::Position;
use futures_util::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use proto::pb::event::v1::SubmittedBatch;

use crate::{Connection, ReadError, retry, subjects};

/// The stream of batches this validator gets.
pub struct SubmittedBatches {
    messages: pull::Stream,
}

impl std::fmt::Debug for SubmittedBatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubmittedBatches")
    }
}

/// A batch to judge. It comes again, here or elsewhere, unless it is acknowledged.
pub struct Submitted {
    message: jetstream::Message,
    /// Where it stands in REPORTS; of one that is judged again, where the one stands that it is a copy of.
    pub sequence: u64,
    /// The subject it was published on.
    pub subject: String,
    /// The seal it carries.
    pub seal: Option<String>,
    /// The batch, or why it is none.
    pub batch: Result<SubmittedBatch, String>,
}

impl std::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitted").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Submitted {
    /// The bytes.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// Gives the batch back without having judged it. It comes again in a second, when who gives it back is gone: whoever asks at
    /// this moment gets it, and that may be the same.
    pub async fn give_back(&self) {
        if let Err(error) = self.message.ack_with(AckKind::Nak(Some(Duration::from_secs(1)))).await {
            tracing::debug!(%error, sequence = self.sequence, "a batch could not be given back; it will come again later");
        }
    }

    /// Says that the batch is done with: its verdicts are durable.
    pub async fn acknowledge(&self) {
        // A lost acknowledgement brings the batch again, and the ledger passes over verdicts that it has.
        if let Err(error) = self.message.ack().await {
            tracing::debug!(%error, sequence = self.sequence, "a batch could not be acknowledged; it will come again");
        }
    }
}

impl SubmittedBatches {
    /// Joins the validators.
    ///
    /// # Errors
    /// When the consumer was not provisioned or JetStream does not answer.
    pub async fn join(connection: &Connection, at_once: usize) -> Result<Self, ReadError> {
        let consumer = connection
            .context
            .get_consumer_from_stream::<pull::Config, _, _>(subjects::VALIDATOR, subjects::REPORTS)
            .await
            .map_err(|error| ReadError::new(subjects::REPORTS, &error))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(at_once)
            .max_bytes_per_batch(8 << 20)
            .expires(Duration::from_secs(10))
            .heartbeat(Duration::from_secs(2))
            .messages()
            .await
            .map_err(|error| ReadError::new(subjects::REPORTS, &error))?;
        Ok(Self { messages })
    }

    /// The next batch; waits for as long as there is none. May be dropped while it waits.
    ///
    /// # Errors
    /// When the delivery broke off; join again.
    pub async fn next(&mut self) -> Result<Submitted, ReadError> {
        match self.messages.next().await {
            None => Err(ReadError::ended(subjects::REPORTS)),
            Some(message) => read(message.map_err(|error| ReadError::new(subjects::REPORTS, &error))?),
        }
    }

    /// The next batch if it is here already.
    pub fn next_if_ready(&mut self) -> Option<Result<Submitted, ReadError>> {
        tokio::task::unconstrained(self.next()).now_or_never()
    }
}

fn read(message: jetstream::Message) -> Result<Submitted, ReadError> {
    let sequence = message.info().map_err(|error| ReadError::new(subjects::REPORTS, &error))?.stream_sequence;
    let headers = message.headers.as_ref();
    let sequence = retry::place(&message.subject, headers, Position(sequence)).0;
    let batch = SubmittedBatch::decode(message.payload.as_ref()).map_err(|error| error.to_string());
    let seal = headers.and_then(|headers| headers.get(subjects::SEAL_HEADER)).map(ToString::to_string);
    Ok(Submitted { sequence, subject: message.subject.to_string(), seal, batch, message })
}
