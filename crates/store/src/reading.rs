//! What readers ask: totals of units, what they are made of, and who reported what.

use domain::{
    CatalogueVersion, DataSetCode, LevelCode, OrgUnitCode, Period, Revision, Timestamp, Values, Violations,
    fold::Tally, settle::Position,
};
use sqlx::{PgExecutor, Postgres, Row as _, Transaction, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    Store, StoreError, StoredTotal, report,
    total::{read_level, read_row, read_tally},
    unsigned, violations,
};

/// What is stored about one unit's totals for one period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitTotals {
    /// By reporting level, for a unit with units below it.
    pub levels: Vec<(LevelCode, Tally)>,
    /// How often the totals changed.
    pub version: i64,
    /// When the totals last changed.
    pub changed_at: Option<Timestamp>,
    /// The unit's own report for the very period, withdrawn or not.
    pub own: Option<OwnReport>,
}

/// A report of a unit as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnReport {
    /// The span.
    pub period: Period,
    /// What it says; none where it is withdrawn.
    pub values: Option<Values>,
    /// Whether it has values and came in before the deadline.
    pub on_time: bool,
    /// Whether it has warnings.
    pub warned: bool,
    /// How often the unit's report for the period changed.
    pub version: i64,
    /// When it came in.
    pub received_at: Timestamp,
    /// The catalogue it was judged by.
    pub catalogue: CatalogueVersion,
}

/// Which units' reports are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFilter {
    /// Every unit that was named, whether it has reported or not.
    All,
    /// Reports with warnings.
    WithWarnings,
    /// Reports with words.
    WithNotes,
    /// Reports that came in after the deadline.
    Late,
    /// Units that have not reported, or have withdrawn their report.
    NotReported,
}

impl ReportFilter {
    fn code(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::WithWarnings => "warnings",
            Self::WithNotes => "notes",
            Self::Late => "late",
            Self::NotReported => "missing",
        }
    }
}

/// The revision of a report that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub revision: Revision,
    /// When it came in.
    pub received_at: Timestamp,
    /// Whether it has values and came in before the deadline.
    pub on_time: bool,
    /// What it says; none where it is withdrawn.
    pub values: Option<Values>,
    /// What is odd about it.
    pub warnings: Violations,
}

/// The database as it was at one instant: whatever is read belongs together.
#[derive(Debug)]
pub struct Snapshot(pub(crate) Transaction<'static, Postgres>);

impl Store {
    /// Begins to read. What is committed from the first statement on is not seen.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?))
    }

    /// The same as [`Snapshot::totals`], where nothing else is to be read of the same instant.
    ///
    /// # Errors
    /// When the database fails or the partition was not provisioned.
    pub async fn totals(
        &self,
        partition: u16,
        data_set: &DataSetCode,
        wanted: &[(Period, &str)],
    ) -> Result<(Vec<UnitTotals>, Position), StoreError> {
        read_totals(&self.pool, partition, data_set, wanted).await
    }

    /// The newest of some periods for which a unit has totals, each with the unit that is asked about.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_with_totals(
        &self,
        data_set: &DataSetCode,
        candidates: &[(Period, OrgUnitCode)],
    ) -> Result<Option<Period>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT wanted.period FROM unnest($2::text[], $3::text[]) AS wanted (period, org_unit)
             WHERE EXISTS (
                 SELECT FROM total
                 WHERE total.data_set = $1 AND total.period = wanted.period AND total.org_unit = wanted.org_unit AND reported > 0
             )",
        )
        .bind(data_set.as_str())
        .bind(candidates.iter().map(|(period, _)| period.to_string()).collect::<Vec<_>>())
        .bind(candidates.iter().map(|(_, org_unit)| org_unit.as_str()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let found = found.iter().map(|period| period.parse().map_err(|_| StoreError::Malformed("period")));
        Ok(found.collect::<Result<Vec<Period>, _>>()?.into_iter().max())
    }

    /// What some units report for one of a data set's own periods, by the unit's place in the list, in its order: those that
    /// the filter lets through, so many at most. A unit that never reported has no report.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_reports(
        &self,
        data_set: &DataSetCode,
        period: Period,
        org_units: &[&str],
        filter: ReportFilter,
        limit: usize,
    ) -> Result<Vec<(usize, Option<Standing>)>, StoreError> {
        let rows = sqlx::query(
            "SELECT wanted.place, report.revision, report.received_at, report.on_time, report.withdrawn, report.cells,
                 report.notes, submission.violations, submission.violations_omitted
             FROM unnest($3::text[]) WITH ORDINALITY AS wanted (org_unit, place)
             LEFT JOIN report ON report.data_set = $1 AND report.period = $2 AND report.org_unit = wanted.org_unit
             LEFT JOIN submission ON report.warnings > 0
                 AND submission.log_sequence = report.log_sequence AND submission.log_index = report.log_index
             WHERE CASE $4
                 WHEN 'all' THEN true
                 WHEN 'warnings' THEN NOT report.withdrawn AND report.warnings > 0
                 WHEN 'notes' THEN NOT report.withdrawn AND report.notes IS NOT NULL
                 WHEN 'late' THEN NOT report.withdrawn AND NOT report.on_time
                 ELSE report.withdrawn IS NOT FALSE
             END
             ORDER BY wanted.place LIMIT $5",
        )
        .bind(data_set.as_str())
        .bind(period.to_string())
        .bind(org_units)
        .bind(filter.code())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((read_place(row)?, read_standing(row)?))).collect()
    }
}

impl Snapshot {
    /// Where the log stands: how far the partition of a data set is counted.
    ///
    /// # Errors
    /// When the database fails or the partition was not provisioned.
    pub async fn position(&mut self, partition: u16) -> Result<Position, StoreError> {
        let position: Option<i64> = sqlx::query_scalar("SELECT position FROM partition_progress WHERE partition = $1")
            .bind(i32::from(partition))
            .fetch_optional(&mut *self.0)
            .await?;
        let position = position.ok_or(StoreError::Malformed("partition: run `tonghop provision`"))?;
        Ok(Position(unsigned(position, "position")?))
    }

    /// The totals of some units for a period each, in the order asked for, and the position up to which the partition they are
    /// in is counted.
    ///
    /// # Errors
    /// When the database fails or the partition was not provisioned.
    pub async fn totals(
        &mut self,
        partition: u16,
        data_set: &DataSetCode,
        wanted: &[(Period, &str)],
    ) -> Result<(Vec<UnitTotals>, Position), StoreError> {
        read_totals(&mut *self.0, partition, data_set, wanted).await
    }

    /// The totals of some units for some of a data set's own periods, by unit in the order asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn series(
        &mut self,
        data_set: &DataSetCode,
        periods: &[Period],
        org_units: &[&str],
    ) -> Result<Vec<Vec<StoredTotal>>, StoreError> {
        if org_units.is_empty() {
            return Ok(vec![Vec::new(); org_units.len()]);
        }
        let rows = sqlx::query(
            "SELECT wanted.place, total.* FROM unnest($3::text[]) WITH ORDINALITY AS wanted (org_unit, place)
             CROSS JOIN unnest($2::text[]) AS own (period)
             JOIN total ON total.data_set = $1 AND total.period = own.period AND total.org_unit = wanted.org_unit",
        )
        .bind(data_set.as_str())
        .bind(periods.iter().map(Period::to_string).collect::<Vec<_>>())
        .bind(org_units)
        .fetch_all(&mut *self.0)
        .await?;
        by_place(org_units.len(), &rows, read_row)
    }

    /// The own reports of some units for a data set's periods from one to another (none: without end), by unit in the order
    /// asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn own_reports(
        &mut self,
        data_set: &DataSetCode,
        first: Period,
        last: Option<Period>,
        org_units: &[&str],
    ) -> Result<Vec<Vec<OwnReport>>, StoreError> {
        if org_units.is_empty() {
            return Ok(vec![Vec::new(); org_units.len()]);
        }
        // The names of periods of one kind sort by time.
        let rows = sqlx::query(
            "SELECT wanted.place, report.period, report.withdrawn, report.cells, report.notes, report.on_time,
                 report.warnings, report.version, report.received_at, report.catalogue_version
             FROM unnest($4::text[]) WITH ORDINALITY AS wanted (org_unit, place)
             JOIN report ON report.data_set = $1 AND report.org_unit = wanted.org_unit AND report.period >= $2
                 AND ($3::text IS NULL OR report.period <= $3)",
        )
        .bind(data_set.as_str())
        .bind(first.to_string())
        .bind(last.map(|last| last.to_string()))
        .bind(org_units)
        .fetch_all(&mut *self.0)
        .await?;
        by_place(org_units.len(), &rows, |row| {
            Ok(OwnReport {
                period: row.try_get::<&str, _>("period")?.parse().map_err(|_| StoreError::Malformed("period"))?,
                values: read_values(row)?,
                on_time: row.try_get("on_time")?,
                warned: row.try_get::<i32, _>("warnings")? > 0,
                version: row.try_get("version")?,
                received_at: read_instant(row, "received_at")?,
                catalogue: CatalogueVersion::new(row.try_get("catalogue_version")?),
            })
        })
    }

    /// Ends reading and gives the connection back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }
}

/// What [`Snapshot::totals`] gives: one statement, so that all of it is of one instant.
async fn read_totals(
    connection: impl PgExecutor<'_>,
    partition: u16,
    data_set: &DataSetCode,
    wanted: &[(Period, &str)],
) -> Result<(Vec<UnitTotals>, Position), StoreError> {
    let rows = sqlx::query(
        "SELECT wanted.place, progress.position AS up_to, total.level, total.reported, total.on_time, total.warned, total.sums, total.contributing,
             total.version, total.changed_at, report.withdrawn, report.cells, report.notes, report.on_time AS own_on_time,
             report.warnings AS own_warnings, report.version AS own_version, report.received_at, report.catalogue_version
         FROM partition_progress AS progress
         LEFT JOIN unnest($3::text[], $4::text[]) WITH ORDINALITY AS wanted (period, org_unit, place) ON true
         LEFT JOIN total ON total.data_set = $2 AND total.period = wanted.period AND total.org_unit = wanted.org_unit
         LEFT JOIN report ON report.data_set = $2 AND report.period = wanted.period AND report.org_unit = wanted.org_unit
         WHERE progress.partition = $1",
    )
    .bind(i32::from(partition))
    .bind(data_set.as_str())
    .bind(wanted.iter().map(|(period, _)| period.to_string()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, org_unit)| *org_unit).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;

    let mut units = vec![UnitTotals::default(); wanted.len()];
    let mut up_to = None;
    for row in &rows {
        up_to = Some(Position(unsigned(row.try_get("up_to")?, "position")?));
        // Asked about no unit, the position is answered all the same.
        if row.try_get::<Option<i64>, _>("place")?.is_none() {
            continue;
        }
        let place = read_place(row)?;
        let (unit, (period, _)) = (&mut units[place], wanted[place]);
        if let Some(level) = row.try_get::<Option<&str>, _>("level")? {
            unit.levels.push((read_level(level)?, read_tally(row)?));
            unit.version = unit.version.max(row.try_get("version")?);
            unit.changed_at = unit.changed_at.max(Some(read_instant(row, "changed_at")?));
        }
        if row.try_get::<Option<bool>, _>("withdrawn")?.is_some() {
            unit.own = Some(OwnReport {
                period,
                values: read_values(row)?,
                on_time: row.try_get("own_on_time")?,
                warned: row.try_get::<i32, _>("own_warnings")? > 0,
                version: row.try_get("own_version")?,
                received_at: read_instant(row, "received_at")?,
                catalogue: CatalogueVersion::new(row.try_get("catalogue_version")?),
            });
        }
    }
    Ok((units, up_to.ok_or(StoreError::Malformed("partition: run `tonghop provision`"))?))
}

/// Rows by the place of what they belong to.
fn by_place<T>(
    places: usize,
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> Result<T, StoreError>,
) -> Result<Vec<Vec<T>>, StoreError> {
    let mut sorted: Vec<Vec<T>> = std::iter::repeat_with(Vec::new).take(places).collect();
    for row in rows {
        sorted[read_place(row)?].push(read(row)?);
    }
    Ok(sorted)
}

/// PostgreSQL counts places from 1.
fn read_place(row: &PgRow) -> Result<usize, StoreError> {
    usize::try_from(row.try_get::<i64, _>("place")? - 1).map_err(|_| StoreError::Malformed("place"))
}

fn read_instant(row: &PgRow, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from(row.try_get::<OffsetDateTime, _>(column)?))
}

/// What a report says; none where it is withdrawn.
fn read_values(row: &PgRow) -> Result<Option<Values>, StoreError> {
    if row.try_get("withdrawn")? {
        return Ok(None);
    }
    Ok(Some(Values::with_notes(row.try_get("cells")?, report::read_notes(row)?)))
}

fn read_standing(row: &PgRow) -> Result<Option<Standing>, StoreError> {
    let Some(revision) = row.try_get::<Option<i64>, _>("revision")? else { return Ok(None) };
    let omitted = row.try_get::<Option<i32>, _>("violations_omitted")?.unwrap_or(0);
    Ok(Some(Standing {
        revision: Revision::new(revision).map_err(|_| StoreError::Malformed("revision"))?,
        received_at: read_instant(row, "received_at")?,
        on_time: row.try_get("on_time")?,
        values: read_values(row)?,
        warnings: violations::from_json(row.try_get("violations")?, omitted)?,
    }))
}
