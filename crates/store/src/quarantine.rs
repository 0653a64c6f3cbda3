//! The table `quarantine`: messages that could not be read.

use domain::{Timestamp, settle::Position};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{StoreError, signed};

/// A message that could not be read.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Its position in the log of verdicts.
    pub position: Position,
    /// Where it stood in the log it was found in.
    pub log_sequence: u64,
    /// The subject it was published on.
    pub subject: String,
    /// Why it could not be read.
    pub error: String,
    /// Its bytes, cut to a bound.
    pub payload: Vec<u8>,
}

pub(crate) async fn insert(
    connection: &mut PgConnection,
    message: &Quarantined,
    found_at: Timestamp,
) -> Result<(), StoreError> {
    let Quarantined { position, log_sequence, subject, error, payload } = message;
    sqlx::query(
        "INSERT INTO quarantine (position, log_sequence, subject, error, payload, found_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (position) DO NOTHING",
    )
    .bind(signed(position.0))
    .bind(signed(*log_sequence))
    .bind(subject)
    .bind(error.replace('\0', ""))
    .bind(payload)
    .bind(OffsetDateTime::from(found_at))
    .execute(connection)
    .await?;
    Ok(())
}
