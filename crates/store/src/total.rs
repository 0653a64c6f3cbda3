//! The table `total`.

use domain::{DataSetCode, LevelCode, OrgUnitCode, Period, Timestamp, fold::Tally, settle::Position};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{StoreError, array::array_text, signed};

/// A total as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTotal {
    /// The form.
    pub data_set: DataSetCode,
    /// The span.
    pub period: Period,
    /// The unit.
    pub org_unit: OrgUnitCode,
    /// The level whose reports are added.
    pub level: LevelCode,
    /// The sums and counts.
    pub tally: Tally,
    /// When it last changed, in versions of the unit's totals.
    pub version: i64,
}

/// A total to write.
#[derive(Clone, Debug)]
pub struct TotalWrite {
    /// The total, with its new tally and version.
    pub total: StoredTotal,
    /// Whether there is no row yet.
    pub is_new: bool,
}

/// Reads the totals of some units.
pub(crate) async fn read(
    connection: &mut PgConnection,
    units: &[(DataSetCode, Period, OrgUnitCode)],
) -> Result<Vec<StoredTotal>, StoreError> {
    let rows = sqlx::query(
        "SELECT total.* FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (data_set, period, org_unit)
         JOIN total USING (data_set, period, org_unit)",
    )
    .bind(units.iter().map(|(data_set, _, _)| data_set.as_str()).collect::<Vec<_>>())
    .bind(units.iter().map(|(_, period, _)| period.to_string()).collect::<Vec<_>>())
    .bind(units.iter().map(|(_, _, org_unit)| org_unit.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_row).collect()
}

pub(crate) fn read_row(row: &PgRow) -> Result<StoredTotal, StoreError> {
    let text = |column| row.try_get::<&str, _>(column);
    Ok(StoredTotal {
        data_set: text("data_set")?.parse().map_err(|_| StoreError::Malformed("data set code"))?,
        period: text("period")?.parse().map_err(|_| StoreError::Malformed("period"))?,
        org_unit: text("org_unit")?.parse().map_err(|_| StoreError::Malformed("org unit code"))?,
        level: read_level(text("level")?)?,
        tally: read_tally(row)?,
        version: row.try_get("version")?,
    })
}

pub(crate) fn read_level(text: &str) -> Result<LevelCode, StoreError> {
    text.parse().map_err(|_| StoreError::Malformed("level code"))
}

pub(crate) fn read_tally(row: &PgRow) -> Result<Tally, StoreError> {
    Ok(Tally {
        reported: row.try_get("reported")?,
        on_time: row.try_get("on_time")?,
        warned: row.try_get("warned")?,
        sums: row.try_get("sums")?,
        contributing: row.try_get("contributing")?,
    })
}

pub(crate) async fn write(
    connection: &mut PgConnection,
    writes: &[TotalWrite],
    position: Position,
    changed_at: Timestamp,
) -> Result<(), StoreError> {
    let (new, changed): (Vec<&TotalWrite>, Vec<&TotalWrite>) = writes.iter().partition(|write| write.is_new);
    macro_rules! column {
        ($totals:ident, $total:ident => $value:expr) => {
            $totals.iter().map(|TotalWrite { total: $total, .. }| $value).collect::<Vec<_>>()
        };
    }
    if !new.is_empty() {
        sqlx::query(
            "INSERT INTO total (data_set, period, org_unit, level, reported, sums, contributing, version, on_time, warned, position, changed_at)
             SELECT data_set, period, org_unit, level, reported, sums::bigint[], contributing::bigint[], version, on_time, warned, $9, $10
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $11::bigint[], $12::bigint[])
                 AS new (data_set, period, org_unit, level, reported, sums, contributing, version, on_time, warned)",
        )
        .bind(column!(new, total => total.data_set.as_str()))
        .bind(column!(new, total => total.period.to_string()))
        .bind(column!(new, total => total.org_unit.as_str()))
        .bind(column!(new, total => total.level.as_str()))
        .bind(column!(new, total => total.tally.reported))
        .bind(column!(new, total => array_text(total.tally.sums.iter().copied().map(Some))))
        .bind(column!(new, total => array_text(total.tally.contributing.iter().copied().map(Some))))
        .bind(column!(new, total => total.version))
        .bind(signed(position.0))
        .bind(OffsetDateTime::from(changed_at))
        .bind(column!(new, total => total.tally.on_time))
        .bind(column!(new, total => total.tally.warned))
        .execute(&mut *connection)
        .await?;
    }
    if !changed.is_empty() {
        sqlx::query(
            "UPDATE total SET reported = new.reported, sums = new.sums::bigint[], contributing = new.contributing::bigint[],
                 version = new.version, on_time = new.on_time, warned = new.warned, position = $9, changed_at = $10
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $11::bigint[], $12::bigint[])
                 AS new (data_set, period, org_unit, level, reported, sums, contributing, version, on_time, warned)
             WHERE total.data_set = new.data_set AND total.period = new.period AND total.org_unit = new.org_unit AND total.level = new.level",
        )
        .bind(column!(changed, total => total.data_set.as_str()))
        .bind(column!(changed, total => total.period.to_string()))
        .bind(column!(changed, total => total.org_unit.as_str()))
        .bind(column!(changed, total => total.level.as_str()))
        .bind(column!(changed, total => total.tally.reported))
        .bind(column!(changed, total => array_text(total.tally.sums.iter().copied().map(Some))))
        .bind(column!(changed, total => array_text(total.tally.contributing.iter().copied().map(Some))))
        .bind(column!(changed, total => total.version))
        .bind(signed(position.0))
        .bind(OffsetDateTime::from(changed_at))
        .bind(column!(changed, total => total.tally.on_time))
        .bind(column!(changed, total => total.tally.warned))
        .execute(connection)
        .await?;
    }
    Ok(())
}
