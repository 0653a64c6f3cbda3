//! The table `partition_progress`: the fence, and the position every answer names.

use domain::settle::Position;
use sqlx::PgConnection;

use crate::{Store, StoreError, signed, unsigned};

/// Locks a partition's row for the rest of the transaction and gives its position.
pub(crate) async fn lock(connection: &mut PgConnection, partition: u16) -> Result<Position, StoreError> {
    let position: i64 = sqlx::query_scalar("SELECT position FROM partition_progress WHERE partition = $1 FOR UPDATE")
        .bind(i32::from(partition))
        .fetch_one(connection)
        .await?;
    unsigned(position, "position").map(Position)
}

pub(crate) async fn advance(
    connection: &mut PgConnection,
    partition: u16,
    position: Position,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE partition_progress SET position = $2 WHERE partition = $1")
        .bind(i32::from(partition))
        .bind(signed(position.0))
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Makes a row for each partition that has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn provision_partitions(&self, partitions: u16) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO partition_progress SELECT partition, 0 FROM generate_series(0, $1 - 1) AS partition ON CONFLICT DO NOTHING")
            .bind(i32::from(partitions))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// How far a partition is counted.
    ///
    /// # Errors
    /// When the database fails or the partition was not provisioned.
    pub async fn progress(&self, partition: u16) -> Result<Position, StoreError> {
        let position: i64 = sqlx::query_scalar("SELECT position FROM partition_progress WHERE partition = $1")
            .bind(i32::from(partition))
            .fetch_one(&self.pool)
            .await?;
        unsigned(position, "position").map(Position)
    }
}
