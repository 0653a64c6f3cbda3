//! Whether JetStream takes messages: asked by publishing one.

use bytes::Bytes;

use crate::{Connection, Outgoing, PublishError, Publisher, subjects};

impl Connection {
    /// Publishes a message that only its own successor replaces, and waits until it is durable: a server that answers pings
    /// may have a full disk or no leader.
    ///
    /// # Errors
    /// When it is not known to be durable.
    pub async fn probe(&self, service: &str) -> Result<(), PublishError> {
        let message = Outgoing {
            subject: subjects::probe(service),
            // Never the same: an id that is known would be answered without being written.
            message_id: self.client.new_inbox(),
            content_type: None,
            payload: Bytes::new(),
        };
        Publisher::new(self.clone()).publish(&message).await.map(drop)
    }
}
