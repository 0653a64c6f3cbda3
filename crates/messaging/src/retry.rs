//! Messages of the logs that are to be judged or counted again: a copy is published, and says whose place it takes.

use std::time::Duration;

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID, jetstream::stream::RawMessageErrorKind};
use domain::settle::Position;

use crate::{Connection, Outgoing, PublishError, Publisher, ReadError, ordered::OrderedReader, subjects};

/// The header that names the message of REPORTS a copy was made of.
pub(crate) const RETRY_OF: &str = "Tonghop-Retry-Of";

/// Why a message is not judged again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// The log has let go of it.
    #[error("message {0} is not in the log any more")]
    Gone(u64),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The copy is not known to be kept.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Connection {
    /// Has a message in quarantine judged again if it is one of REPORTS, or counted again if it is a verdict. Its reports keep
    /// their places in the log, so that each gets its one fate however often this is done.
    ///
    /// # Errors
    /// When the log does not have it any more, or JetStream does not answer.
    pub async fn retry(&self, subject: &str, sequence: u64) -> Result<(), RetryError> {
        let is_submitted = subject.starts_with("reports.submitted.");
        let name = if is_submitted { subjects::REPORTS } else { subjects::VERDICTS };
        let broken = |error: &dyn std::fmt::Display| ReadError::new(name, error);
        let stream = self.context.get_stream_no_info(name).await.map_err(|error| broken(&error))?;
        let message = stream.get_raw_message(sequence).await.map_err(|error| match error.kind() {
            RawMessageErrorKind::NoMessageFound => RetryError::Gone(sequence),
            _ => broken(&error).into(),
        })?;
        let subject = if is_submitted { subjects::RETRY.to_owned() } else { message.subject.to_string() };
        self.publish_copy(subject, sequence, &message.headers, message.payload).await
    }

    /// Has every message of REPORTS judged again from a sequence number on, and says how many that were. For when the verdicts were
    /// lost that a restored database has not counted.
    ///
    /// # Errors
    /// When JetStream does not answer; it may be done again.
    pub async fn retry_all(&self, from: u64) -> Result<u64, RetryError> {
        const WITHIN: Duration = Duration::from_secs(30);
        let broken = |error: &dyn std::fmt::Display| ReadError::new(subjects::REPORTS, error);
        let stream = self.context.get_stream(subjects::REPORTS).await.map_err(|error| broken(&error))?;
        let state = &stream.cached_info().state;
        let (mut reader, mut judged) = (None, 0);
        let mut position = from.max(state.first_sequence).saturating_sub(1);
        while state.messages > 0 && position < state.last_sequence {
            let reader = reader.get_or_insert_with(|| {
                OrderedReader::new(self.clone(), subjects::REPORTS, subjects::REPORTS_SUBJECTS[0].to_owned(), position)
            });
            let (next, message) =
                tokio::time::timeout(WITHIN, reader.next()).await.map_err(|_| broken(&"it does not answer"))?;
            position = next;
            // What was judged again before stands there once more, under its own number.
            if message.subject.as_str() != subjects::RETRY {
                let headers = message.headers.clone().unwrap_or_default();
                self.publish_copy(subjects::RETRY.to_owned(), next, &headers, message.payload.clone()).await?;
                judged += 1;
            }
        }
        Ok(judged)
    }

    async fn publish_copy(
        &self,
        subject: String,
        sequence: u64,
        original: &HeaderMap,
        payload: bytes::Bytes,
    ) -> Result<(), RetryError> {
        let mut headers = HeaderMap::new();
        // What whoever wrote the message put there; what the server made of it is of the original alone.
        for (name, values) in original.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-")) {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
        let message_id = format!("retry-{sequence}-{}", uuid::Uuid::now_v7());
        headers.insert(RETRY_OF, sequence.to_string());
        headers.insert(NATS_MESSAGE_ID, message_id.as_str());
        let message = Outgoing { subject, message_id, content_type: None, payload };
        Publisher::new(self.clone()).request(&message, headers).await?;
        Ok(())
    }
}

/// The place in REPORTS that a message is judged at: its own, or that of the one it is a copy of.
pub(crate) fn place(subject: &str, headers: Option<&HeaderMap>, own: Position) -> Position {
    // Only operators may publish there.
    let of = headers.filter(|_| subject == subjects::RETRY).and_then(|headers| headers.get(RETRY_OF));
    of.and_then(|of| of.as_str().parse().ok()).map_or(own, Position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_published_takes_the_place_of_another() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_OF, "7");
        assert_eq!(place(subjects::RETRY, Some(&headers), Position(9)), Position(7));
        assert_eq!(place("reports.submitted.0", Some(&headers), Position(9)), Position(9));
        headers.insert(RETRY_OF, "x");
        assert_eq!(place(subjects::RETRY, Some(&headers), Position(9)), Position(9));
        assert_eq!(place(subjects::RETRY, None, Position(9)), Position(9));
    }
}
