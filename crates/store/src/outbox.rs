//! The table `outbox`: events that are to be published.

use std::ops::RangeInclusive;

use domain::settle::Position;
use sqlx::{PgConnection, Row as _};

use crate::{Store, StoreError, signed, unsigned};

/// The events of one batch that are not known to be published.
#[derive(Clone, Debug)]
pub struct Unpublished {
    /// The position the batch reached.
    pub position: Position,
    /// [`Unpublished::COUNTED`] for the events of the batch; what a replay corrected there follows with higher numbers.
    pub part: i32,
    /// The events, packed.
    pub events: Vec<u8>,
}

impl Unpublished {
    /// The part of what was counted.
    pub const COUNTED: i32 = 0;
}

pub(crate) async fn insert(
    connection: &mut PgConnection,
    partition: u16,
    position: Position,
    events: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outbox (partition, position, events) VALUES ($1, $2, $3)")
        .bind(i32::from(partition))
        .bind(signed(position.0))
        .bind(events)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds events behind all that wait at a position.
pub(crate) async fn append(
    connection: &mut PgConnection,
    partition: u16,
    position: Position,
    events: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO outbox (partition, position, part, events)
         SELECT $1, $2, coalesce(max(part), 0) + 1, $3 FROM outbox WHERE partition = $1 AND position = $2",
    )
    .bind(i32::from(partition))
    .bind(signed(position.0))
    .bind(events)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The oldest row of a partition's outbox.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unpublished(&self, partition: u16) -> Result<Option<Unpublished>, StoreError> {
        let row = sqlx::query(
            "SELECT position, part, events FROM outbox WHERE partition = $1 ORDER BY position, part LIMIT 1",
        )
        .bind(i32::from(partition))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let position = unsigned(row.try_get("position")?, "position").map(Position)?;
            Ok(Unpublished { position, part: row.try_get("part")?, events: row.try_get("events")? })
        })
        .transpose()
    }

    /// Takes the rows of one `part` and some positions out of the outbox: their events are durable elsewhere. Does not wait for the disk: a
    /// row that is there again after a crash is published again as far as it is not there, under the same ids; and everything that is
    /// committed later waits for this too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn published(
        &self,
        partition: u16,
        positions: RangeInclusive<Position>,
        part: i32,
    ) -> Result<(), StoreError> {
        // One statement, its own transaction: the setting holds until its end.
        sqlx::query(
            "WITH without_waiting AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting)
             DELETE FROM outbox USING without_waiting
             WHERE partition = $1 AND position BETWEEN $2 AND $3 AND part = $4 AND without_waiting.setting = 'off'",
        )
        .bind(i32::from(partition))
        .bind(signed(positions.start().0))
        .bind(signed(positions.end().0))
        .bind(part)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many batches' events wait to be published, over all partitions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox_length(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&self.pool).await?)
    }
}
