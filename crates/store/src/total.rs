//! The table `total`.

use domain::{DataSetCode, LevelCode, OrgUnitCode, Period, Timestamp, fold::Tally, settle::Position};
use sqlx::{
    PgConnection, Postgres, Row as _,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use time::OffsetDateTime;

use crate::{StoreError, array::Chained, signed};

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
    let (new, changed): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.is_new);
    if !new.is_empty() {
        let insert = sqlx::query(
            "INSERT INTO total (data_set, period, org_unit, level, reported, on_time, warned, version, sums, contributing, position, changed_at)
             SELECT data_set, period, org_unit, level, reported, on_time, warned, version,
                 ($11::bigint[])[first:last], ($12::bigint[])[first:last], $13, $14
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[],
                     $10::int[])
                 AS new (data_set, period, org_unit, level, reported, on_time, warned, version, first, last)",
        );
        bind(insert, &new, position, changed_at).execute(&mut *connection).await?;
    }
    if !changed.is_empty() {
        let update = sqlx::query(
            "UPDATE total SET reported = new.reported, on_time = new.on_time, warned = new.warned, version = new.version,
                 sums = ($11::bigint[])[new.first:new.last], contributing = ($12::bigint[])[new.first:new.last],
                 position = $13, changed_at = $14
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[],
                     $10::int[])
                 AS new (data_set, period, org_unit, level, reported, on_time, warned, version, first, last)
             WHERE total.data_set = new.data_set AND total.period = new.period AND total.org_unit = new.org_unit AND total.level = new.level",
        );
        bind(update, &changed, position, changed_at).execute(connection).await?;
    }
    Ok(())
}

/// The columns of some totals, as arrays: `$1` to `$14`.
fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    writes: &[&'q TotalWrite],
    position: Position,
    changed_at: Timestamp,
) -> Query<'q, Postgres, PgArguments> {
    macro_rules! column {
        ($total:ident => $value:expr) => {
            writes.iter().map(|TotalWrite { total: $total, .. }| $value).collect::<Vec<_>>()
        };
    }
    // A tally has as many counts as sums.
    let Chained { numbers: sums, first, last } = Chained::of(writes.iter().map(|write| &*write.total.tally.sums));
    let Chained { numbers: contributing, .. } =
        Chained::of(writes.iter().map(|write| &*write.total.tally.contributing));
    query
        .bind(column!(total => total.data_set.as_str()))
        .bind(column!(total => total.period.to_string()))
        .bind(column!(total => total.org_unit.as_str()))
        .bind(column!(total => total.level.as_str()))
        .bind(column!(total => total.tally.reported))
        .bind(column!(total => total.tally.on_time))
        .bind(column!(total => total.tally.warned))
        .bind(column!(total => total.version))
        .bind(first)
        .bind(last)
        .bind(sums)
        .bind(contributing)
        .bind(signed(position.0))
        .bind(OffsetDateTime::from(changed_at))
}
