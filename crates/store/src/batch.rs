//! The transaction of a batch of verdicts.

use std::sync::Arc;

use domain::{
    DataSetCode, OrgUnitCode, Period, SubmissionId, Timestamp,
    settle::{Accepted, Changes, Known, Origin, Position, SeriesOf},
};
use sqlx::{PgConnection, PgTransaction};

use crate::{
    Quarantined, Store, StoreError, audit, outbox,
    progress::{self, Fence},
    quarantine, report,
    room::Room,
    submission,
    total::{self, StoredTotal, TotalWrite},
};

/// Why a batch could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The partition does not stand where the batch starts: another aggregator counted on, or a commit whose answer was
    /// lost had come through. What is in the outbox may not be published and goes first; then read on from where it stands.
    #[error("the partition stands at position {}, not at {}", .stands.position.0, .expected.position.0)]
    Moved {
        /// Where it stands.
        stands: Fence,
        /// Where the batch starts.
        expected: Fence,
    },
    /// Somebody else has the partition in a transaction: who changes its totals otherwise than by counting, for minutes it may be, or a
    /// commit whose answer was lost. Nobody waits for them inside of a transaction, where others could count.
    #[error("somebody else has the partition in a transaction")]
    Held,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An open transaction. Dropped without [`Batch::commit`], it leaves no trace.
#[derive(Debug)]
pub struct Batch {
    transaction: PgTransaction<'static>,
    partition: u16,
    room: Arc<Room>,
}

/// Everything a batch writes.
#[derive(Debug)]
pub struct Write<'a> {
    /// Reports, history and ledger.
    pub changes: &'a Changes<'a>,
    /// The totals that moved.
    pub totals: &'a [TotalWrite],
    /// The events about them and about what became of reports, packed; none where there are none.
    pub events: Option<&'a [u8]>,
    /// Messages that could not be read.
    pub quarantined: &'a [Quarantined],
    /// The position the batch reaches.
    pub position: Position,
    /// When this is.
    pub now: Timestamp,
}

impl Store {
    /// Opens the transaction of a batch that starts after a position of a partition.
    ///
    /// # Errors
    /// When the partition stands elsewhere or somebody has it, or the database fails.
    pub async fn begin(&self, partition: u16, after: Fence) -> Result<Batch, BeginError> {
        let mut transaction = self.pool.begin().await.map_err(StoreError::from)?;
        let stands = progress::try_lock(&mut transaction, partition).await?.ok_or(BeginError::Held)?;
        if stands != after {
            return Err(BeginError::Moved { stands, expected: after });
        }
        Ok(Batch { transaction, partition, room: Arc::clone(&self.room) })
    }
}

impl Batch {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// The reports that count of some units' forms: those from a period on, and the last that has values before it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn series(&mut self, series: &[SeriesOf]) -> Result<Vec<Accepted>, StoreError> {
        report::series(self.connection(), series).await
    }

    /// What the ledger has of some submissions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(&mut self, ids: &[SubmissionId]) -> Result<Vec<Known>, StoreError> {
        submission::known(self.connection(), ids).await
    }

    /// Which of some places of the log are settled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settled(&mut self, origins: &[Origin]) -> Result<Vec<Origin>, StoreError> {
        if origins.is_empty() { Ok(Vec::new()) } else { submission::settled(self.connection(), origins).await }
    }

    /// The totals of some units, at every reporting level.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals(
        &mut self,
        units: &[(DataSetCode, Period, OrgUnitCode)],
    ) -> Result<Vec<StoredTotal>, StoreError> {
        total::read(self.connection(), units).await
    }

    /// Writes everything and commits. On an error nothing is written, unless the connection broke in the very moment of
    /// the commit: where the partition stands tells.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn commit(self, write: &Write<'_>) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room);
        let committed = self.write(write).await;
        room.note(&committed);
        committed
    }

    async fn write(mut self, write: &Write<'_>) -> Result<(), StoreError> {
        let Write { changes, totals, events, quarantined, position, now } = write;
        let partition = self.partition;
        let connection = self.connection();
        if !changes.new.is_empty() {
            report::insert(connection, &changes.new).await?;
        }
        if !changes.replacing.is_empty() {
            report::replace(connection, &changes.replacing).await?;
        }
        if !changes.superseded.is_empty() {
            report::keep(connection, &changes.superseded).await?;
        }
        if !changes.ledger.is_empty() {
            submission::insert(connection, &changes.ledger).await?;
            audit::counted(connection, partition, &changes.ledger, *position, *now).await?;
        }
        total::write(connection, totals, *position, *now).await?;
        for message in *quarantined {
            quarantine::insert(connection, message, *now).await?;
        }
        if let Some(events) = events {
            outbox::insert(connection, partition, *position, events).await?;
        }
        progress::advance(connection, partition, *position).await?;
        self.transaction.commit().await?;
        Ok(())
    }
}
