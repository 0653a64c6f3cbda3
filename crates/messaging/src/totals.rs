//! TOTALS: events about totals, for anybody who may listen.
//!
//! An event is a CloudEvent 1.0 in structured JSON. It carries the absolute totals of a unit, never a difference, so that
//! a reader who misses one is right again with the next.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Connection, Outgoing, ReadError,
    ordered::{OrderedReader, last_position},
    subjects,
};

/// The CloudEvent around the totals.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotalsEvent {
    /// `1.0`.
    pub specversion: String,
    /// Unique with `source`: the subject and the version.
    pub id: String,
    /// `/tonghop/aggregator`.
    pub source: String,
    /// `vn.tonghop.totals.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The NATS subject.
    pub subject: String,
    /// When the change was written down, RFC 3339.
    pub time: String,
    /// `application/json`.
    pub datacontenttype: String,
    /// The totals.
    pub data: TotalsData,
}

/// The totals of one unit for one data set and period.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotalsData {
    /// The unit's code.
    pub org_unit: String,
    /// The unit's level.
    pub level: String,
    /// The data set.
    pub data_set: String,
    /// The period.
    pub period: String,
    /// Grows by one with each event of the subject.
    pub version: i64,
    /// Every verdict up to this position of the log is counted.
    pub log_position: u64,
    /// The catalogue that names the cells and counts the expected units.
    pub catalogue_version: String,
    /// One for each level that reports at or below the unit.
    pub levels: Vec<LevelTotals>,
}

/// The totals over the reports of one level.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelTotals {
    /// The reporting level.
    pub level: String,
    /// How many of its units have reported.
    pub reported: i64,
    /// How many are expected to.
    pub expected: u32,
    /// How many of the reports were on time; 0 of a longer period, which has no deadline.
    pub on_time: i64,
    /// How many of the reports have warnings; 0 of a longer period.
    pub warned: i64,
    /// The cells that at least one unit gave a value for.
    pub cells: Vec<CellTotal>,
}

/// The total of one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellTotal {
    /// The data element.
    pub data_element: String,
    /// The option, where the data element is disaggregated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// The sum, an integer scaled by ten to the power of `decimals`.
    pub sum: i64,
    /// The decimals of `sum`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decimals: u8,
    /// How many units gave a value.
    pub contributing: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if takes a reference")]
fn is_zero(decimals: &u8) -> bool {
    *decimals == 0
}

impl TotalsEvent {
    /// The event's CloudEvents type.
    pub const KIND: &str = "vn.tonghop.totals.v1";

    /// Wraps totals for a subject, at a time in RFC 3339.
    #[must_use]
    pub fn new(subject: String, time: String, data: TotalsData) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{subject}@{}", data.version),
            source: "/tonghop/aggregator".to_owned(),
            kind: Self::KIND.to_owned(),
            subject,
            time,
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }

    /// The message to publish.
    ///
    /// # Errors
    /// Never in practice: every part of an event has a JSON form.
    pub fn message(&self) -> Result<Outgoing, serde_json::Error> {
        Ok(Outgoing {
            subject: self.subject.clone(),
            message_id: self.id.clone(),
            payload: serde_json::to_vec(self)?.into(),
        })
    }
}

/// Packs messages for the outbox: one row holds all events of a transaction.
#[must_use]
pub fn pack(messages: &[Outgoing]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(messages.iter().map(|message| message.payload.len() + 96).sum());
    for Outgoing { subject, message_id, payload } in messages {
        for part in [subject.as_bytes(), message_id.as_bytes(), payload.as_ref()] {
            packed.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            packed.extend_from_slice(part);
        }
    }
    lz4_flex::compress_prepend_size(&packed)
}

/// A row of the outbox that is not what [`pack`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the outbox is damaged")]
pub struct DamagedOutbox;

/// Unpacks what [`pack`] made.
///
/// # Errors
/// When the bytes are something else.
pub fn unpack(packed: &[u8]) -> Result<Vec<Outgoing>, DamagedOutbox> {
    let packed = Bytes::from(lz4_flex::decompress_size_prepended(packed).map_err(|_| DamagedOutbox)?);
    let mut at = 0;
    let mut part = || {
        let length = packed
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
            .ok_or(DamagedOutbox)? as usize;
        let range = at + 4..at + 4 + length;
        at = range.end;
        if at <= packed.len() { Ok((packed.slice(range), at == packed.len())) } else { Err(DamagedOutbox) }
    };
    let mut messages = Vec::new();
    loop {
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).map_err(|_| DamagedOutbox);
        let ((subject, _), (message_id, _), (payload, last)) = (part()?, part()?, part()?);
        messages.push(Outgoing { subject: text(subject)?, message_id: text(message_id)?, payload });
        if last {
            return Ok(messages);
        }
    }
}

/// Follows the events about totals from now on.
pub struct TotalsFeed {
    reader: OrderedReader,
}

impl std::fmt::Debug for TotalsFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotalsFeed")
    }
}

impl TotalsFeed {
    /// A feed of the events that are published after this call.
    ///
    /// # Errors
    /// When the stream was not provisioned or JetStream does not answer.
    pub async fn from_now(connection: Connection) -> Result<Self, ReadError> {
        let after = last_position(&connection, subjects::TOTALS).await?;
        let filter = subjects::TOTALS_SUBJECTS[0].to_owned();
        Ok(Self { reader: OrderedReader::new(connection, subjects::TOTALS, filter, after) })
    }

    /// The next event's subject and payload; waits for as long as there is none. May be dropped while it waits.
    pub async fn next(&mut self) -> (String, Bytes) {
        let (_, message) = self.reader.next().await;
        (message.subject.to_string(), message.message.payload)
    }
}

/// What is read of an event that an older or newer program may have written.
#[derive(Deserialize)]
struct Versioned {
    data: VersionedData,
}

#[derive(Deserialize)]
struct VersionedData {
    version: i64,
}

impl Connection {
    /// The version of the last event of a subject of TOTALS, none where there is none.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn last_total_version(&self, subject: &str) -> Result<Option<i64>, ReadError> {
        let broken = |error: &dyn std::fmt::Display| ReadError::new(subjects::TOTALS, error);
        let stream = self.context.get_stream_no_info(subjects::TOTALS).await.map_err(|error| broken(&error))?;
        match stream.direct_get_last_for_subject(subject).await {
            Ok(message) => {
                let event: Versioned = serde_json::from_slice(&message.payload).map_err(|error| broken(&error))?;
                Ok(Some(event.data.version))
            }
            Err(error) if error.kind() == async_nats::jetstream::stream::DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outbox_gives_back_what_was_packed() {
        let message = |n: usize| Outgoing {
            subject: format!("totals.v1.province.{n}.identity.202211"),
            message_id: format!("{n}@1"),
            payload: Bytes::from("x".repeat(n)),
        };
        let messages: Vec<_> = (0..300).map(message).collect();
        let packed = pack(&messages);
        let unpacked = unpack(&packed).unwrap();
        assert_eq!(format!("{unpacked:?}"), format!("{messages:?}"));
        assert_eq!(unpack(&packed[..packed.len() - 1]).unwrap_err(), DamagedOutbox);
    }
}
