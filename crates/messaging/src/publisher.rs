//! Publishing: one message with its acknowledgement, or many that become durable together.

use std::time::Duration;

use async_nats::{HeaderMap, Request, client::RequestErrorKind, connection::State, header::NATS_MESSAGE_ID};
use bytes::Bytes;
use futures_util::future::join_all;

use crate::{Connection, subjects};

/// From this many messages on an atomic batch costs JetStream less than one message after the other: it makes a directory of files for each
/// batch and removes it again.
const WORTH_A_BATCH: usize = 16;

/// The header names of atomic batch publishing (NATS ADR-50).
mod batch_headers {
    pub(super) const ID: &str = "Nats-Batch-Id";
    pub(super) const SEQUENCE: &str = "Nats-Batch-Sequence";
    pub(super) const COMMIT: &str = "Nats-Batch-Commit";
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub subject: String,
    /// Under which id JetStream drops a second copy; the same for every try.
    pub message_id: String,
    /// The header `content-type`; none for what only we read.
    pub content_type: Option<&'static str>,
    /// What.
    pub payload: Bytes,
}

impl Outgoing {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = self.content_type {
            headers.insert("content-type", content_type);
        }
        headers
    }
}

/// Where a message stands, now that it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The sequence number in the stream; that of the first copy where this was a second one.
    pub sequence: u64,
}

/// Why a message is not known to be durable. It may be: the same message id makes another try harmless.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// JetStream did not answer in time, or the client is closed.
    #[error("JetStream did not answer within {0:?}")]
    Unanswered(Duration),
    /// The connection was lost before JetStream answered.
    #[error("the connection to NATS was lost before JetStream answered")]
    Lost,
    /// There is no connection: nothing was sent.
    #[error("there is no connection to NATS")]
    Away,
    /// No stream takes the subject, or it has no leader at the moment.
    #[error("no stream answers for {0}")]
    NoStream(String),
    /// JetStream refused; `full` where a stream or the store is at its limit.
    #[error("JetStream refused: {description} (error {code})")]
    Refused {
        /// JetStream's error code.
        code: u64,
        /// Its description.
        description: String,
    },
    /// The message is larger than the server takes.
    #[error("the message has {bytes} bytes, the server takes {limit}")]
    TooLarge {
        /// The message's size.
        bytes: usize,
        /// The server's limit.
        limit: usize,
    },
    /// The answer was not one of JetStream's.
    #[error("JetStream's answer could not be read: {0}")]
    Unreadable(String),
}

impl PublishError {
    /// Whether a stream or the store is at its limit: trying again at once is of no use.
    #[must_use]
    pub fn is_full(&self) -> bool {
        // 10047 insufficient storage, 10077 a stream's limit (messages or bytes), 10023 insufficient resources.
        matches!(self, Self::Refused { code: 10_023 | 10_047 | 10_077, .. })
    }

    /// Whether a batch was refused because one of its message ids is known already.
    fn is_duplicate_in_batch(&self) -> bool {
        matches!(self, Self::Refused { code: 10_201, .. })
    }
}

/// Publishes with acknowledgement.
#[derive(Clone, Debug)]
pub struct Publisher {
    connection: Connection,
}

/// By which ids JetStream knows a batch again.
#[derive(Clone, Copy)]
enum Ids {
    /// Each message's own.
    Each,
    /// One for all of it, made of the last message's and how many there are. A message that came through by itself, or in another batch,
    /// does not stand for it.
    Batch,
}

/// JetStream's answer: an acknowledgement or an error.
#[derive(serde::Deserialize)]
struct Answer {
    error: Option<ApiError>,
    #[serde(default)]
    seq: u64,
}

#[derive(serde::Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Publisher {
    /// The most messages JetStream takes in one atomic batch.
    pub const BATCH_LIMIT: usize = 1_000;

    /// A publisher on a connection.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The largest message the server takes, in bytes, headers included.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.connection.client.max_payload()
    }

    /// Publishes one message. When this returns, the message is durable.
    ///
    /// # Errors
    /// When it is not known to be; trying again with the same message id is harmless.
    pub async fn publish(&self, message: &Outgoing) -> Result<Published, PublishError> {
        let mut headers = message.headers();
        headers.insert(NATS_MESSAGE_ID, message.message_id.as_str());
        self.request(message, headers).await
    }

    /// As [`Self::publish`], with the seal by which whoever reads the message knows who published it.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_sealed(&self, message: &Outgoing, seal: &str) -> Result<Published, PublishError> {
        let mut headers = message.headers();
        headers.insert(NATS_MESSAGE_ID, message.message_id.as_str());
        headers.insert(subjects::SEAL_HEADER, seal);
        self.request(message, headers).await
    }

    /// Publishes messages of one stream. Few go out side by side, each under its id; more become durable together or none does: one
    /// wait for the disk instead of one a message. More than [`Self::BATCH_LIMIT`] go out in several such batches, in order. A batch has an
    /// id of its own: one that JetStream knows came through before, as a whole, and is not taken again.
    ///
    /// While the connection is away nothing is sent: it would wait here and go out with the next connection, however late that is.
    ///
    /// # Errors
    /// When they are not all known to be durable; of few any may be, of more earlier batches.
    pub async fn publish_all(&self, messages: &[Outgoing]) -> Result<(), PublishError> {
        for batch in messages.chunks(Self::BATCH_LIMIT) {
            if self.connection.client.connection_state() != State::Connected {
                return Err(PublishError::Away);
            }
            if batch.len() < WORTH_A_BATCH {
                self.publish_side_by_side(batch).await.into_iter().try_for_each(|published| published.map(drop))?;
                continue;
            }
            match self.publish_batch(batch, Ids::Batch).await {
                Err(error) if error.is_duplicate_in_batch() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Publishes messages of one stream, in as few batches as possible; those whose message id JetStream knows already are
    /// dropped by it. Those that are known to be durable go from the list.
    ///
    /// # Errors
    /// When some are not known to be durable; trying again with what is left is harmless.
    pub async fn publish_together(&self, messages: &mut Vec<Outgoing>) -> Result<(), PublishError> {
        while messages.len() >= WORTH_A_BATCH {
            let batch = &messages[..messages.len().min(Self::BATCH_LIMIT)];
            match self.publish_batch(batch, Ids::Each).await {
                // A known id refuses the whole batch: some of it came through before. One by one then; this is rare.
                Err(error) if error.is_duplicate_in_batch() => {
                    for message in batch {
                        self.publish(message).await?;
                    }
                }
                other => other?,
            }
            messages.drain(..batch.len());
        }
        let mut published = self.publish_side_by_side(messages).await.into_iter();
        let mut failed = Ok(());
        messages.retain(|_| match published.next() {
            Some(Err(error)) => {
                failed = Err(error);
                true
            }
            _ => false,
        });
        failed
    }

    /// Sends messages one after the other, and then waits for all answers, of which there is one for each.
    async fn publish_side_by_side(&self, messages: &[Outgoing]) -> Vec<Result<Published, PublishError>> {
        join_all(messages.iter().map(|message| self.publish(message))).await
    }

    async fn publish_batch(&self, batch: &[Outgoing], ids: Ids) -> Result<(), PublishError> {
        let [first @ .., last] = batch else { return Ok(()) };
        let id = self.connection.client.new_inbox();
        let headers = |place: usize, message: &Outgoing| {
            let mut headers = message.headers();
            headers.insert(batch_headers::ID, id.rsplit('.').next().unwrap_or(&id));
            headers.insert(batch_headers::SEQUENCE, (place + 1).to_string());
            match ids {
                Ids::Each => headers.insert(NATS_MESSAGE_ID, message.message_id.as_str()),
                Ids::Batch if place == first.len() => {
                    headers.insert(NATS_MESSAGE_ID, format!("{}+{}", message.message_id, batch.len()));
                }
                Ids::Batch => {}
            }
            headers
        };
        for (place, message) in first.iter().enumerate() {
            self.check_size(message)?;
            let published = self.connection.client.publish_with_headers(
                message.subject.clone(),
                headers(place, message),
                message.payload.clone(),
            );
            // The channel to the connection is full while the connection is away: that wait has a bound too.
            match tokio::time::timeout(self.connection.answer_within, published).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(PublishError::Unreadable(error.to_string())),
                Err(_) => return Err(PublishError::Unanswered(self.connection.answer_within)),
            }
        }
        let mut headers = headers(first.len(), last);
        headers.insert(batch_headers::COMMIT, "1");
        self.request(last, headers).await.map(|_| ())
    }

    pub(crate) async fn request(&self, message: &Outgoing, headers: HeaderMap) -> Result<Published, PublishError> {
        self.check_size(message)?;
        let within = self.connection.answer_within;
        let request = Request::new().headers(headers).payload(message.payload.clone()).timeout(Some(within));
        // From before it is sent: an answer that went down with the connection does not come with the next.
        let lost = self.connection.lost();
        let sent = self.connection.client.send_request(message.subject.clone(), request);
        // The client's own time-out starts once the request is sent; while the connection is away it may not be.
        let answered = tokio::select! {
            biased;
            answered = tokio::time::timeout(within * 2, sent) => answered,
            () = lost => return Err(PublishError::Lost),
        };
        let answer = match answered {
            Err(_) => return Err(PublishError::Unanswered(within * 2)),
            Ok(Err(error)) => {
                return Err(match error.kind() {
                    RequestErrorKind::NoResponders => PublishError::NoStream(message.subject.clone()),
                    RequestErrorKind::MaxPayloadExceeded => self.too_large(message),
                    _ => PublishError::Unanswered(within),
                });
            }
            Ok(Ok(answer)) => answer,
        };
        let answer: Answer =
            serde_json::from_slice(&answer.payload).map_err(|error| PublishError::Unreadable(error.to_string()))?;
        match answer.error {
            None => Ok(Published { sequence: answer.seq }),
            Some(ApiError { err_code, description }) => Err(PublishError::Refused { code: err_code, description }),
        }
    }

    fn check_size(&self, message: &Outgoing) -> Result<(), PublishError> {
        if message.payload.len() < self.max_payload() { Ok(()) } else { Err(self.too_large(message)) }
    }

    fn too_large(&self, message: &Outgoing) -> PublishError {
        PublishError::TooLarge { bytes: message.payload.len(), limit: self.max_payload() }
    }
}
