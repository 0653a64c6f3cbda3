//! The table `partition_progress`: the fence, and the position every answer names.

use domain::settle::Position;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use crate::{Store, StoreError, signed, unsigned};

/// What must not have changed since it was read, for a batch to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// How far the partition is counted.
    pub position: Position,
    /// Grows each time totals are changed by anything else than counting.
    pub epoch: u64,
}

/// Locks a partition's row for the rest of the transaction and gives what it says; waits for whoever has it.
pub(crate) async fn lock(connection: &mut PgConnection, partition: u16) -> Result<Fence, StoreError> {
    let row = sqlx::query("SELECT position, epoch FROM partition_progress WHERE partition = $1 FOR UPDATE");
    read(&row.bind(i32::from(partition)).fetch_one(connection).await?)
}

/// As [`lock`]; none where somebody has it.
pub(crate) async fn try_lock(connection: &mut PgConnection, partition: u16) -> Result<Option<Fence>, StoreError> {
    // PostgreSQL documentation, "PostgreSQL Error Codes": lock_not_available.
    const HELD: &str = "55P03";
    let row = sqlx::query("SELECT position, epoch FROM partition_progress WHERE partition = $1 FOR UPDATE NOWAIT");
    match row.bind(i32::from(partition)).fetch_one(connection).await {
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == HELD) => Ok(None),
        row => read(&row?).map(Some),
    }
}

fn read(row: &PgRow) -> Result<Fence, StoreError> {
    let position = unsigned(row.try_get("position")?, "position").map(Position)?;
    Ok(Fence { position, epoch: unsigned(row.try_get("epoch")?, "epoch")? })
}

/// All partitions'.
pub(crate) async fn read_all(connection: &mut PgConnection) -> Result<Vec<(u16, Fence)>, StoreError> {
    let rows = sqlx::query("SELECT partition, position, epoch FROM partition_progress").fetch_all(connection).await?;
    let fences = rows.iter().map(|row| {
        let partition = u16::try_from(row.try_get::<i32, _>("partition")?);
        Ok((partition.map_err(|_| StoreError::Malformed("partition"))?, read(row)?))
    });
    fences.collect()
}

/// Begins a new epoch of a partition.
pub(crate) async fn begin_epoch(connection: &mut PgConnection, partition: u16, epoch: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE partition_progress SET epoch = $2 WHERE partition = $1")
        .bind(i32::from(partition))
        .bind(signed(epoch))
        .execute(connection)
        .await?;
    Ok(())
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

    /// How far a partition is counted, and in which epoch.
    ///
    /// # Errors
    /// When the database fails or the partition was not provisioned.
    pub async fn fence(&self, partition: u16) -> Result<Fence, StoreError> {
        let row = sqlx::query("SELECT position, epoch FROM partition_progress WHERE partition = $1");
        read(&row.bind(i32::from(partition)).fetch_one(&self.pool).await?)
    }

    /// How far a partition is counted.
    ///
    /// # Errors
    /// When the database fails or the partition was not provisioned.
    pub async fn progress(&self, partition: u16) -> Result<Position, StoreError> {
        Ok(self.fence(partition).await?.position)
    }
}
