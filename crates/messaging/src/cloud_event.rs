//! The envelope of everything that is published for others: CloudEvents 1.0 in structured JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Outgoing;

/// The header `content-type` of every event.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// What a kind of event says of itself in the envelope.
pub trait EventData: Serialize {
    /// The CloudEvents type.
    const KIND: &str;
    /// The name of the JSON Schema of the whole event; `proto/asyncapi/schemas` holds it.
    const SCHEMA: &str;
}

/// An event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudEvent<D> {
    /// `1.0`.
    pub specversion: Cow<'static, str>,
    /// Unique with `source`. The same event has the same id, however often it is published.
    pub id: String,
    /// `/tonghop/aggregator`.
    pub source: Cow<'static, str>,
    /// The kind of event.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The NATS subject.
    pub subject: String,
    /// When what it tells was written down, RFC 3339.
    pub time: String,
    /// `application/json`.
    pub datacontenttype: Cow<'static, str>,
    /// The name of the JSON Schema that `data` adheres to.
    pub dataschema: Cow<'static, str>,
    /// The step of a report's trace that made it, as W3C Trace Context writes it; only where that report's way is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What it tells.
    pub data: D,
}

impl<D: EventData> CloudEvent<D> {
    /// Wraps data for a subject. `mark` tells this event from others of its subject.
    pub(crate) fn new(subject: String, mark: &str, time: String, data: D) -> Self {
        Self {
            specversion: "1.0".into(),
            id: format!("{subject}@{mark}"),
            source: "/tonghop/aggregator".into(),
            kind: D::KIND.into(),
            subject,
            time,
            datacontenttype: "application/json".into(),
            dataschema: D::SCHEMA.into(),
            traceparent: None,
            data,
        }
    }

    /// The message to publish.
    ///
    /// # Errors
    /// Never in practice: every part of an event has a JSON form.
    pub fn message(&self) -> Result<Outgoing, serde_json::Error> {
        // As large as a form of forty cells makes it: growing by doubling would copy it six times.
        let mut payload = Vec::with_capacity(4 << 10);
        serde_json::to_writer(&mut payload, self)?;
        Ok(Outgoing {
            subject: self.subject.clone(),
            message_id: self.id.clone(),
            content_type: Some(CONTENT_TYPE),
            payload: payload.into(),
        })
    }
}
