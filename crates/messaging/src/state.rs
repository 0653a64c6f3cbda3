//! How the streams and their readers stand: for those who watch the pipeline.

use async_nats::jetstream::{
    consumer::pull,
    stream::{RawMessageErrorKind, Stream},
};
use domain::{Timestamp, settle::Position};

use crate::{Connection, Partition, ReadError, subjects};

/// What a stream holds, and may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Its name.
    pub name: &'static str,
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// The most bytes it may hold.
    pub max_bytes: u64,
    /// The position of the last message.
    pub last: u64,
}

/// How far the validators are with REPORTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judging {
    /// Messages that no validator has yet.
    pub waiting: u64,
    /// Messages that one has, and whose verdicts are not known to be durable.
    pub in_hand: u64,
    /// How many of those were delivered before.
    pub redelivered: u64,
    /// When the oldest of all these came in; none where all is judged.
    pub oldest: Option<Timestamp>,
}

impl Connection {
    /// What each of our streams holds.
    ///
    /// # Errors
    /// When one was not provisioned or JetStream does not answer.
    pub async fn streams(&self) -> Result<Vec<StreamState>, ReadError> {
        let mut states = Vec::with_capacity(subjects::STREAMS.len());
        for name in subjects::STREAMS {
            let stream = self.context.get_stream(name).await.map_err(|error| ReadError::new(name, &error))?;
            let info = stream.cached_info();
            states.push(StreamState {
                name,
                messages: info.state.messages,
                bytes: info.state.bytes,
                max_bytes: u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX),
                last: info.state.last_sequence,
            });
        }
        Ok(states)
    }

    /// How far the validators are.
    ///
    /// # Errors
    /// When their consumer was not provisioned or JetStream does not answer.
    pub async fn judging(&self) -> Result<Judging, ReadError> {
        let consumer = self
            .context
            .get_consumer_from_stream::<pull::Config, _, _>(subjects::VALIDATOR, subjects::REPORTS)
            .await
            .map_err(|error| ReadError::new(subjects::REPORTS, &error))?;
        let info = consumer.cached_info();
        let (waiting, in_hand) = (info.num_pending, info.num_ack_pending as u64);
        let oldest = if waiting + in_hand == 0 {
            None
        } else {
            let next = info.ack_floor.stream_sequence + 1;
            self.first_since(subjects::REPORTS, subjects::REPORTS_SUBJECTS[0], next).await?
        };
        Ok(Judging { waiting, in_hand, redelivered: info.num_redelivered as u64, oldest })
    }

    /// When the oldest verdict of a partition after a position came in; none where there is none.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn verdict_after(
        &self,
        partition: Partition,
        position: Position,
    ) -> Result<Option<Timestamp>, ReadError> {
        self.first_since(subjects::VERDICTS, &subjects::verdicts(partition), position.0 + 1).await
    }

    /// When the first message of a subject at or after a position came in.
    async fn first_since(
        &self,
        stream: &'static str,
        subject: &str,
        position: u64,
    ) -> Result<Option<Timestamp>, ReadError> {
        let of: Stream<()> =
            self.context.get_stream_no_info(stream).await.map_err(|error| ReadError::new(stream, &error))?;
        match of.get_first_raw_message_by_subject(subject, position).await {
            Ok(message) => Ok(Some(Timestamp::from(message.time))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(ReadError::new(stream, &error)),
        }
    }
}
