//! Rows in the binary format of `COPY … FROM STDIN` (PostgreSQL documentation, "COPY", "Binary Format").

use domain::Timestamp;
use sqlx::PgConnection;

use crate::StoreError;

/// Microseconds from 1970 to PostgreSQL's own epoch, 2000-01-01T00:00:00Z.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// The number of the type `bigint` in the catalogue of every PostgreSQL.
const INT8_OID: i32 = 20;

/// Rows being written.
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
    columns: i16,
}

/// One row being written; columns in the order of the statement.
pub(crate) struct CopyRow<'a>(&'a mut Vec<u8>);

impl CopyRows {
    pub(crate) fn new(columns: i16) -> Self {
        let mut bytes = Vec::with_capacity(64 * 1024);
        bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        bytes.extend_from_slice(&[0; 8]); // no flags, no header extension
        Self { bytes, columns }
    }

    pub(crate) fn row(&mut self) -> CopyRow<'_> {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        CopyRow(&mut self.bytes)
    }

    /// Sends the rows with a `COPY … FROM STDIN (FORMAT binary)`.
    pub(crate) async fn send(
        mut self,
        connection: &mut PgConnection,
        statement: &'static str,
    ) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut copy = connection.copy_in_raw(statement).await?;
        copy.send(self.bytes).await?;
        copy.finish().await?;
        Ok(())
    }
}

impl CopyRow<'_> {
    fn field(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn length(&mut self, bytes: usize) {
        // A field is bounded far below 2 GiB: the largest are an array of a form's cells and a row of the outbox.
        let length = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
    }

    pub(crate) fn null(&mut self) {
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.field(text.as_bytes());
    }

    pub(crate) fn bytea(&mut self, bytes: &[u8]) {
        self.field(bytes);
    }

    pub(crate) fn uuid(&mut self, id: uuid::Uuid) {
        self.field(id.as_bytes());
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.field(&[u8::from(value)]);
    }

    pub(crate) fn int4(&mut self, number: i32) {
        self.field(&number.to_be_bytes());
    }

    pub(crate) fn int8(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    pub(crate) fn timestamptz(&mut self, instant: Timestamp) {
        self.int8(instant.unix_micros() - EPOCH_2000);
    }

    pub(crate) fn jsonb(&mut self, json: &str) {
        self.length(json.len() + 1);
        self.0.push(1); // the only version there is
        self.0.extend_from_slice(json.as_bytes());
    }

    /// A `bigint[]`; an empty one has no dimensions.
    pub(crate) fn int8_array(&mut self, numbers: impl ExactSizeIterator<Item = Option<i64>> + Clone) {
        let elements = numbers.len();
        if elements == 0 {
            self.length(12);
            for word in [0, 0, INT8_OID] {
                self.0.extend_from_slice(&i32::to_be_bytes(word));
            }
            return;
        }
        let absent = numbers.clone().filter(Option::is_none).count();
        self.length(20 + elements * 4 + (elements - absent) * 8);
        let elements = i32::try_from(elements).unwrap_or(i32::MAX);
        for word in [1, i32::from(absent > 0), INT8_OID, elements, 1] {
            self.0.extend_from_slice(&word.to_be_bytes());
        }
        for number in numbers {
            match number {
                None => self.null(),
                Some(number) => self.int8(number),
            }
        }
    }
}

/// A `bigint[]` as text, for statements that take many arrays of different lengths at once.
pub(crate) fn array_text(numbers: impl Iterator<Item = Option<i64>>) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("{");
    for (place, number) in numbers.enumerate() {
        if place > 0 {
            text.push(',');
        }
        let written = match number {
            None => text.write_str("NULL"),
            Some(number) => write!(text, "{number}"),
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    text.push('}');
    text
}
