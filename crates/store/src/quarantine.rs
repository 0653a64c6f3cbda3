//! The table `quarantine`: messages that could not be read.

use domain::{Timestamp, settle::Position};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{Store, StoreError, signed, unsigned};

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

/// Of the rows of `quarantine`, those that somebody has to look at, until they are closed: a message of reports while none of them has a
/// fate, any other while nobody gave it to be judged again.
pub(crate) const OPEN: &str =
    "(quarantine.closed_at IS NULL AND CASE WHEN starts_with(quarantine.subject, 'reports.submitted.')
    THEN NOT EXISTS (SELECT FROM submission WHERE submission.log_sequence = quarantine.log_sequence)
    ELSE quarantine.retried_at IS NULL END)";

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

/// A message in quarantine.
#[derive(Clone, Debug)]
pub struct Kept {
    /// A number to speak of it by.
    pub id: i64,
    /// The message.
    pub message: Quarantined,
    /// When it was written down.
    pub found_at: Timestamp,
    /// When it was last given to be judged again.
    pub retried_at: Option<Timestamp>,
    /// Who gave it.
    pub retried_by: Option<String>,
    /// Who said that nothing is left to do about it, and when.
    pub closed: Option<(String, Timestamp)>,
    /// How many of its reports have a fate by now.
    pub settled: u64,
}

impl Store {
    /// The messages in quarantine, newest first: those with some ids, or without, those that somebody has to look at: nobody closed them, and
    /// no report of theirs has a fate, or, where it is a verdict that could not be read, nobody gave it to be judged again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine(&self, ids: &[i64], also_settled: bool, most: u32) -> Result<Vec<Kept>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT quarantine.*, settled.settled FROM quarantine CROSS JOIN LATERAL (
                 SELECT count(*) AS settled FROM submission
                 WHERE starts_with(quarantine.subject, 'reports.submitted.') AND submission.log_sequence = quarantine.log_sequence
             ) AS settled
             WHERE CASE WHEN $1 = '{{}}' THEN $2 OR {OPEN} ELSE id = ANY ($1) END ORDER BY id DESC LIMIT $3"
        )))
        .bind(ids)
        .bind(also_settled)
        .bind(i64::from(most))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that nothing is left to do about a message, and about what else was kept of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine_closed(&self, id: i64, by: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE quarantine SET closed_at = $2, closed_by = $3 FROM quarantine AS named
             WHERE named.id = $1 AND (quarantine.id = named.id
                 OR quarantine.log_sequence = named.log_sequence AND quarantine.subject = named.subject)
                 AND quarantine.closed_at IS NULL",
        )
        .bind(id)
        .bind(OffsetDateTime::from(now))
        .bind(by)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Notes that a message was given to be judged again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine_retried(&self, id: i64, by: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE quarantine SET retried_at = $2, retried_by = $3 WHERE id = $1")
            .bind(id)
            .bind(OffsetDateTime::from(now))
            .bind(by)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn read(row: &PgRow) -> Result<Kept, StoreError> {
    Ok(Kept {
        id: row.try_get("id")?,
        message: Quarantined {
            position: Position(unsigned(row.try_get("position")?, "position")?),
            log_sequence: unsigned(row.try_get("log_sequence")?, "log sequence")?,
            subject: row.try_get("subject")?,
            error: row.try_get("error")?,
            payload: row.try_get("payload")?,
        },
        found_at: Timestamp::from(row.try_get::<OffsetDateTime, _>("found_at")?),
        retried_at: row.try_get::<Option<OffsetDateTime>, _>("retried_at")?.map(Timestamp::from),
        retried_by: row.try_get("retried_by")?,
        closed: row
            .try_get::<Option<String>, _>("closed_by")?
            .zip(row.try_get::<Option<OffsetDateTime>, _>("closed_at")?.map(Timestamp::from)),
        settled: unsigned(row.try_get("settled")?, "count")?,
    })
}
