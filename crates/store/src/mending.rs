//! The transaction that changes totals otherwise than by counting: a replay that puts them right, or what follows a restore.
//!
//! It locks the partitions, so that nobody counts meanwhile, and begins a new epoch of them, so that whoever counts starts over
//! and publishes what this leaves in the outbox before anything else.

use domain::{DataSetCode, OrgUnitCode, Period, Timestamp};
use sqlx::{PgConnection, PgTransaction, Row as _, postgres::PgRow};

use crate::{
    Fence, Store, StoreError, TotalWrite,
    audit::{self, Operated},
    outbox, progress,
    total::{self, StoredTotal},
    verify::{self, OfPeriod},
};

/// An open transaction. Dropped without [`Mending::commit`], it leaves no trace.
#[derive(Debug)]
pub struct Mending {
    transaction: PgTransaction<'static>,
    partitions: Vec<(u16, Fence)>,
    /// The epoch that begins.
    epoch: u64,
}

impl Store {
    /// Opens the transaction, and waits until nobody counts what belongs to some partitions. Their new epoch is above another as well.
    ///
    /// # Errors
    /// When the database fails, or counting does not come to a pause.
    pub async fn mend(&self, partitions: impl IntoIterator<Item = u16>, above: u64) -> Result<Mending, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut locked = Vec::new();
        for partition in partitions {
            locked.push((partition, progress::lock(&mut transaction, partition).await?));
        }
        let epoch = locked.iter().map(|(_, fence)| fence.epoch).fold(above, u64::max) + 1;
        Ok(Mending { transaction, partitions: locked, epoch })
    }

    /// The forms' periods that there are totals of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn periods_with_totals(&self) -> Result<Vec<OfPeriod>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT data_set, period FROM total").fetch_all(&self.pool).await?;
        rows.iter().map(|row| verify::of_period(row.try_get("data_set")?, row.try_get("period")?)).collect()
    }
}

impl Mending {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Where a partition stands, and the epoch that begins.
    #[must_use]
    pub fn fence(&self, partition: u16) -> Fence {
        let locked = self.partitions.iter().find(|(number, _)| *number == partition);
        locked.map_or_else(Fence::default, |(_, fence)| Fence { epoch: self.epoch, ..*fence })
    }

    /// The totals of some forms' periods that are wrong, as they should be; their versions are 0. May be asked once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn corrected(&mut self, periods: &[OfPeriod]) -> Result<Vec<StoredTotal>, StoreError> {
        verify::recompute(self.connection(), Some(periods)).await?;
        let rows = sqlx::query("SELECT *, 0::bigint AS version FROM difference").fetch_all(self.connection()).await?;
        rows.iter().map(total::read_row).collect()
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

    /// All totals of a form's period.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals_of(&mut self, (data_set, period): &OfPeriod) -> Result<Vec<StoredTotal>, StoreError> {
        let rows = sqlx::query("SELECT * FROM total WHERE data_set = $1 AND period = $2")
            .bind(data_set.as_str())
            .bind(period.to_string())
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(|row: &PgRow| total::read_row(row)).collect()
    }

    /// Writes totals of a partition, and the events about them behind those that wait to be published.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(
        &mut self,
        partition: u16,
        totals: &[TotalWrite],
        events: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let position = self.fence(partition).position;
        total::write(self.connection(), totals, position, now).await?;
        match events {
            None => Ok(()),
            Some(events) => outbox::append(self.connection(), partition, position, events).await,
        }
    }

    /// Writes down who did it, and commits.
    ///
    /// # Errors
    /// When the database fails; nothing is done then.
    pub async fn commit(mut self, operated: &Operated<'_>, now: Timestamp) -> Result<(), StoreError> {
        for (partition, _) in std::mem::take(&mut self.partitions) {
            let epoch = self.epoch;
            progress::begin_epoch(self.connection(), partition, epoch).await?;
        }
        audit::operated_in(self.connection(), operated, now).await?;
        self.transaction.commit().await?;
        Ok(())
    }
}
