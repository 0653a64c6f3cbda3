//! Reading a stream in order and without gaps from a position its reader keeps.
//!
//! The server's consumer is thrown away and made anew after the last message whenever anything is amiss: a gap in its
//! numbering, a missed heartbeat, a lost connection. Nothing is acknowledged: the reader's position is the only truth.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull},
};
use futures_util::StreamExt as _;

use crate::Connection;

/// Why a stream cannot be read at the moment.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream} cannot be read: {message}")]
pub struct ReadError {
    stream: &'static str,
    message: String,
}

impl ReadError {
    pub(crate) fn new(stream: &'static str, error: &dyn std::fmt::Display) -> Self {
        Self { stream, message: error.to_string() }
    }

    pub(crate) fn ended(stream: &'static str) -> Self {
        Self { stream, message: "the delivery ended".to_owned() }
    }
}

pub(crate) struct OrderedReader {
    connection: Connection,
    stream: &'static str,
    filters: Vec<String>,
    /// The position of the last message that was handed out.
    after: u64,
    content: Content,
    delivery: Option<Delivery>,
}

/// What is delivered of each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of it.
    Whole,
    /// Its subject and headers, without the payload.
    Headers,
}

struct Delivery {
    messages: pull::Stream,
    /// The consumer's number of the last message.
    delivered: u64,
}

impl OrderedReader {
    /// A reader of what stands after a position.
    pub(crate) fn new(connection: Connection, stream: &'static str, filter: String, after: u64) -> Self {
        Self::of_many(connection, stream, vec![filter], after)
    }

    /// A reader of what stands after a position on some subjects that have nothing in common.
    pub(crate) fn of_many(connection: Connection, stream: &'static str, filters: Vec<String>, after: u64) -> Self {
        Self { connection, stream, filters, after, content: Content::Whole, delivery: None }
    }

    /// The same, with no more of each message than that.
    pub(crate) fn only(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// The next message and its position. Waits for as long as there is none; may be dropped while it waits.
    pub(crate) async fn next(&mut self) -> (u64, jetstream::Message) {
        const PAUSE: Duration = Duration::from_millis(200);
        let mut told = false;
        loop {
            match self.try_next().await {
                Ok(next) => return next,
                Err(error) => {
                    self.delivery = None;
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(stream = self.stream, after = self.after, %error, "reading a stream broke off; trying to read on from the last position");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next message if it is here already.
    pub(crate) fn next_if_ready(&mut self) -> Option<(u64, jetstream::Message)> {
        use futures_util::FutureExt as _;
        // Without a budget: a long backlog must not look like its end.
        let next = tokio::task::unconstrained(self.try_next()).now_or_never()?;
        next.map_err(|_| self.delivery = None).ok()
    }

    async fn try_next(&mut self) -> Result<(u64, jetstream::Message), ReadError> {
        let broken = |error: &dyn std::fmt::Display| ReadError::new(self.stream, error);
        let delivery = match &mut self.delivery {
            Some(delivery) => delivery,
            none => none.insert(open(&self.connection, self.stream, &self.filters, self.after, self.content).await?),
        };
        let message = match delivery.messages.next().await {
            None => return Err(broken(&"the delivery ended")),
            Some(Err(error)) => return Err(broken(&error)),
            Some(Ok(message)) => message,
        };
        let (position, number) = message
            .info()
            .map(|info| (info.stream_sequence, info.consumer_sequence))
            .map_err(|error| broken(&error))?;
        if number != delivery.delivered + 1 || position <= self.after {
            return Err(broken(&"a message is missing from the delivery"));
        }
        delivery.delivered = number;
        self.after = position;
        Ok((position, message))
    }
}

async fn open(
    connection: &Connection,
    stream: &'static str,
    filters: &[String],
    after: u64,
    content: Content,
) -> Result<Delivery, ReadError> {
    let (filter_subject, filter_subjects) = match filters {
        // With a name it stands in the request's subject, so that permissions can tell what may be read.
        [filter] => (filter.clone(), Vec::new()),
        filters => (String::new(), filters.to_vec()),
    };
    let inbox = connection.client.new_inbox();
    let name = inbox.rsplit('.').next().map(|unique| format!("reader-{unique}"));
    let config = pull::Config {
        name,
        description: Some("Reads in order from a position kept elsewhere".to_owned()),
        filter_subject,
        filter_subjects,
        deliver_policy: if after == 0 {
            DeliverPolicy::All
        } else {
            DeliverPolicy::ByStartSequence { start_sequence: after + 1 }
        },
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        max_deliver: 1,
        headers_only: content == Content::Headers,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: Duration::from_secs(30),
        ..pull::Config::default()
    };
    let broken = |error: &dyn std::fmt::Display| ReadError::new(stream, error);
    // A stream that was restored from an older backup would be waited on for ever, and nobody told.
    let last = last_position(connection, stream).await?;
    if after > last {
        return Err(broken(&format!(
            "it ends at {last}, before position {after} that was read: it is older than its reader"
        )));
    }
    let consumer =
        connection.context.create_consumer_on_stream(config, stream).await.map_err(|error| broken(&error))?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(512)
        .max_bytes_per_batch(4 << 20)
        .expires(Duration::from_secs(10))
        .heartbeat(Duration::from_secs(1))
        .messages()
        .await
        .map_err(|error| broken(&error))?;
    Ok(Delivery { messages, delivered: 0 })
}

/// The position of the last message of a stream.
pub(crate) async fn last_position(connection: &Connection, stream: &'static str) -> Result<u64, ReadError> {
    let found = connection.context.get_stream(stream).await.map_err(|error| ReadError::new(stream, &error))?;
    Ok(found.cached_info().state.last_sequence)
}
