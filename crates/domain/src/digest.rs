//! Telling two contents apart.

use sha2::{Digest as _, Sha256};

use crate::{Content, Key, catalogue::DataSet};

/// The first 16 bytes of a SHA-256 over what a report says, whatever its revision or submission id.
///
/// Cells go in by name, so that the digest of a report does not change when the catalogue's next version gives its data
/// set more cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentDigest(pub [u8; 16]);

impl ContentDigest {
    /// The digest of a report's content.
    #[must_use]
    pub fn of(data_set: &DataSet, key: &Key, content: &Content) -> Self {
        let mut text = Vec::with_capacity(2048);
        let mut field = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            text.push(0); // no field holds a zero byte: codes are ASCII words, numbers are digits
        };
        field(key.data_set.as_str().as_bytes());
        field(key.period.to_string().as_bytes());
        field(key.org_unit.as_str().as_bytes());
        match content {
            Content::Withdrawn => field(b"withdrawn"),
            Content::Values(values) => {
                for (cell, value) in data_set.cells().iter().zip(values.as_slice()) {
                    if let Some(value) = value {
                        field(cell.element.code.as_str().as_bytes());
                        field(cell.option.as_ref().map_or("", |option| option.code.as_str()).as_bytes());
                        field(value.to_string().as_bytes());
                    }
                }
                for note in values.notes() {
                    field(note.cell.to_string().as_bytes());
                    field(note.text.as_bytes()); // without control characters
                }
            }
        }
        Self::of_bytes(&text)
    }

    /// The digest of bytes that could not be read as a report.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Self(digest)
    }
}
