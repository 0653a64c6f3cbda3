//! Rows in the binary format of `COPY … FROM STDIN` (PostgreSQL documentation, "COPY", "Binary Format").
//!
//! What `INSERT … SELECT FROM unnest(…)` would write, but read once and row by row: the server takes no array of arrays apart, and no
//! number is written out for it. It takes two round trips and not one.

use sqlx::{Encode, PgConnection, Postgres, encode::IsNull, postgres::PgArgumentBuffer};

use crate::StoreError;

/// A row being written; columns in the order of the statement.
#[derive(Debug, Default)]
pub(crate) struct Row(PgArgumentBuffer);

impl Row {
    /// The next column. None is null.
    pub(crate) fn put<'q, T: Encode<'q, Postgres>>(&mut self, value: T) -> Result<(), StoreError> {
        let at = self.0.len();
        self.0.extend_from_slice(&NULL);
        if let IsNull::No = value.encode(&mut self.0).map_err(sqlx::Error::Encode)? {
            self.measure(at);
        }
        Ok(())
    }

    /// The next column, a `jsonb`.
    pub(crate) fn put_json(&mut self, json: Option<&str>) {
        let at = self.0.len();
        self.0.extend_from_slice(&NULL);
        if let Some(json) = json {
            self.0.push(1); // the only version there is
            self.0.extend_from_slice(json.as_bytes());
            self.measure(at);
        }
    }

    /// Writes the length of the column that begins at a place and ends here.
    fn measure(&mut self, at: usize) {
        let from = at + NULL.len();
        // Bounded far below 2 GiB: the largest are an array of a form's cells and a report's violations.
        let length = i32::try_from(self.0.len() - from).unwrap_or(i32::MAX);
        self.0[at..from].copy_from_slice(&length.to_be_bytes());
    }
}

/// The length of a column that is null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Before the first row: no flags, and no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Before each row stands how many columns it has; after the last that there is none.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// From so many bytes on rows are sent: not all are kept until the last is written.
const PIECE: usize = 256 * 1024;

/// Copies rows of so many columns each, by a statement `COPY … FROM STDIN (FORMAT binary)`.
pub(crate) async fn copy<T>(
    connection: &mut PgConnection,
    statement: &'static str,
    columns: i16,
    rows: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Row, T) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut copying = connection.copy_in_raw(statement).await?;
    let mut row = Row::default();
    row.0.extend_from_slice(HEADER);
    for item in rows {
        row.0.extend_from_slice(&columns.to_be_bytes());
        write(&mut row, item)?;
        if row.0.len() >= PIECE {
            copying.send(&row.0[..]).await?;
            row.0.clear();
        }
    }
    row.0.extend_from_slice(&END);
    copying.send(&row.0[..]).await?;
    copying.finish().await?;
    Ok(())
}
