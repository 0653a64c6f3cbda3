//! The form in which the events of a transaction wait in the database until they are published: all in one row.

use bytes::Bytes;

use crate::{Outgoing, cloud_event::CONTENT_TYPE};

/// Packs the events of a transaction.
#[must_use]
pub fn pack(events: &[Outgoing]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(events.iter().flat_map(parts).map(|part| 4 + part.len()).sum());
    for event in events {
        for part in parts(event) {
            packed.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            packed.extend_from_slice(part);
        }
    }
    lz4_flex::compress_prepend_size(&packed)
}

fn parts(event: &Outgoing) -> [&[u8]; 3] {
    let Outgoing { subject, message_id, content_type: _, payload } = event;
    [subject.as_bytes(), message_id.as_bytes(), payload]
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
    let mut events = Vec::new();
    loop {
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).map_err(|_| DamagedOutbox);
        let ((subject, _), (message_id, _), (payload, last)) = (part()?, part()?, part()?);
        let (subject, message_id) = (text(subject)?, text(message_id)?);
        events.push(Outgoing { subject, message_id, content_type: Some(CONTENT_TYPE), payload });
        if last {
            return Ok(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outbox_gives_back_what_was_packed() {
        let event = |n: usize| Outgoing {
            subject: format!("totals.v1.province.{n}.identity.202211"),
            message_id: format!("{n}@1"),
            content_type: Some(CONTENT_TYPE),
            payload: Bytes::from("x".repeat(n)),
        };
        let events: Vec<_> = (0..300).map(event).collect();
        let packed = pack(&events);
        let unpacked = unpack(&packed).unwrap();
        assert_eq!(format!("{unpacked:?}"), format!("{events:?}"));
        assert_eq!(unpack(&packed[..packed.len() - 1]).unwrap_err(), DamagedOutbox);
    }
}
