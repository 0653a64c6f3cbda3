//! How the database stands: whether it takes writes, what waits in it, how far its copies are. For those who watch.

use std::time::Duration;

use domain::{DataSetCode, LevelCode, OrgUnitCode, Period, settle::Position};
use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

use crate::{Store, StoreError, lease::LOCK_CLASS, quarantine::OPEN, unsigned};

/// How the database stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// How far each partition is counted, and who works on it.
    pub partitions: Vec<PartitionState>,
    /// Batches whose events wait to be published.
    pub outbox: u64,
    /// The oldest of them: the partition and the position the batch reached.
    pub oldest_unpublished: Option<(u16, Position)>,
    /// Messages in quarantine that somebody has to look at.
    pub quarantined: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// How long ago a segment of the log was last archived; none where nothing is, or never was.
    pub archived: Option<Duration>,
    /// How often archiving failed since the server's statistics were reset.
    pub archive_failures: u64,
    /// By how much the slowest copy is behind; none where there is no copy, or we may not know.
    pub replication_lag: Option<Duration>,
}

/// How far a partition is counted, and who works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The partition.
    pub partition: u16,
    /// Every verdict up to this position is counted.
    pub position: Position,
    /// The process of the database that holds its lease, and the address it is held from; none where nobody works on it.
    pub held_by: Option<Holder>,
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process id of the connection, in the database.
    pub pid: i32,
    /// Where the connection comes from; none where we may not know.
    pub address: Option<String>,
}

impl Store {
    /// Writes a row that only its own successor replaces: a database that answers may be a copy that takes no writes.
    ///
    /// # Errors
    /// When the row is not written, or what was committed last found no room on the disk.
    pub async fn probe(&self, service: &str) -> Result<(), StoreError> {
        if self.room.is_gone() {
            return Err(StoreError::NoRoom);
        }
        sqlx::query(
            "INSERT INTO probe (service, at) VALUES ($1, now()) ON CONFLICT (service) DO UPDATE SET at = excluded.at",
        )
        .bind(service)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many units of a level at and below a unit have reported.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reported(
        &self,
        data_set: &DataSetCode,
        period: Period,
        org_unit: &OrgUnitCode,
        level: &LevelCode,
    ) -> Result<u64, StoreError> {
        let reported: Option<i64> = sqlx::query_scalar(
            "SELECT reported FROM total WHERE data_set = $1 AND period = $2 AND org_unit = $3 AND level = $4",
        )
        .bind(data_set.as_str())
        .bind(period.to_string())
        .bind(org_unit.as_str())
        .bind(level.as_str())
        .fetch_optional(&self.pool)
        .await?;
        reported.map_or(Ok(0), |reported| unsigned(reported, "count"))
    }

    /// How everything stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state(&self) -> Result<State, StoreError> {
        let partitions = sqlx::query(
            "SELECT p.partition, p.position, l.pid, host(a.client_addr) AS address
             FROM partition_progress p
             LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.classid::bigint = $1 AND l.objid::bigint = p.partition
             LEFT JOIN pg_stat_activity a ON a.pid = l.pid
             ORDER BY p.partition",
        )
        .bind(i64::from(LOCK_CLASS))
        .fetch_all(&self.pool)
        .await?;
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT (SELECT count(*) FROM outbox) AS outbox,
                (SELECT count(DISTINCT (subject, log_sequence)) FROM quarantine WHERE {OPEN}) AS quarantined,
                pg_database_size(current_database()) AS bytes,
                CASE WHEN current_setting('archive_mode') <> 'off' THEN
                    -- A crash makes PostgreSQL forget what it has archived, but not that it does.
                    extract(epoch FROM now() - coalesce(archiver.last_archived_time, archiver.stats_reset))::float8
                END AS archived,
                archiver.failed_count AS archive_failures,
                (SELECT extract(epoch FROM max(replay_lag))::float8 FROM pg_stat_replication) AS replication_lag
             FROM pg_stat_archiver archiver"
        )))
        .fetch_one(&self.pool)
        .await?;
        let oldest = sqlx::query("SELECT partition, position FROM outbox ORDER BY position LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        let seconds = |name: &str| -> Result<Option<Duration>, StoreError> {
            let seconds: Option<f64> = row.try_get(name)?;
            Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
        };
        Ok(State {
            partitions: partitions.iter().map(partition).collect::<Result<_, _>>()?,
            outbox: unsigned(row.try_get("outbox")?, "count")?,
            oldest_unpublished: oldest
                .map(|row| {
                    Ok::<_, StoreError>((
                        partition_of(&row)?,
                        unsigned(row.try_get("position")?, "position").map(Position)?,
                    ))
                })
                .transpose()?,
            quarantined: unsigned(row.try_get("quarantined")?, "count")?,
            bytes: unsigned(row.try_get("bytes")?, "size")?,
            archived: seconds("archived")?,
            archive_failures: unsigned(row.try_get("archive_failures")?, "count")?,
            replication_lag: seconds("replication_lag")?,
        })
    }
}

fn partition(row: &PgRow) -> Result<PartitionState, StoreError> {
    let pid: Option<i32> = row.try_get("pid")?;
    let address = row.try_get("address")?;
    Ok(PartitionState {
        partition: partition_of(row)?,
        position: unsigned(row.try_get("position")?, "position").map(Position)?,
        held_by: pid.map(|pid| Holder { pid, address }),
    })
}

fn partition_of(row: &PgRow) -> Result<u16, StoreError> {
    let partition: i32 = row.try_get("partition")?;
    u16::try_from(partition).map_err(|_| StoreError::Malformed("partition"))
}
