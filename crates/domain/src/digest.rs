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
        let mut text = Text(Vec::with_capacity(2048));
        text.field(key.data_set.as_str());
        text.field(&key.period.to_string());
        text.field(key.org_unit.as_str());
        match content {
            Content::Withdrawn => text.field("withdrawn"),
            Content::Values(values) => {
                for (cell, value) in data_set.cells().iter().zip(values.as_slice()) {
                    if let Some(value) = value {
                        text.field(cell.element.code.as_str());
                        text.field(cell.option.as_ref().map_or("", |option| option.code.as_str()));
                        text.number(*value);
                    }
                }
                for note in values.notes() {
                    text.field(&note.cell.to_string());
                    text.field(&note.text);
                }
            }
        }
        Self::of_bytes(&text.0)
    }

    /// The digest of bytes that could not be read as a report.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Self(digest)
    }
}

/// What is digested: fields that end in a zero byte. None holds one: codes are ASCII words, numbers are digits, and words are
/// free of it.
struct Text(Vec<u8>);

impl Text {
    fn field(&mut self, field: &str) {
        self.0.extend_from_slice(field.as_bytes());
        self.0.push(0);
    }

    /// A number's digits, without the detour over a text of its own: a report has dozens.
    fn number(&mut self, number: i64) {
        if number < 0 {
            self.0.push(b'-');
        }
        let begin = self.0.len();
        let mut rest = number.unsigned_abs();
        loop {
            self.0.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0[begin..].reverse();
        self.0.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digested_as_they_are_written() {
        for number in [0, 7, 10, -1, 1_205_627, i64::MAX, i64::MIN] {
            let mut text = Text(Vec::new());
            text.number(number);
            assert_eq!(text.0, format!("{number}\0").as_bytes());
        }
    }
}
