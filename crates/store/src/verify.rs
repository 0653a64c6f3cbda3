//! Recomputing every total from the reports, in plain SQL, and comparing.
//!
//! Nothing of the fold is used: not its tree, not its arithmetic, not its calendar. The two agree, or one is wrong.

use domain::settle::Position;
use sqlx::Row as _;

use crate::{Store, StoreError, unsigned};

/// The most differences that are listed; the rest is counted.
pub const LISTED: i64 = 20;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// How many totals were compared.
    pub totals_checked: u64,
    /// How many differ.
    pub mismatches: u64,
    /// The first of them.
    pub listed: Vec<Mismatch>,
    /// How many reports were added up.
    pub reports: u64,
    /// Every verdict up to this position may be counted.
    pub position: Position,
}

/// A total that is not what the reports add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The form.
    pub data_set: String,
    /// The span.
    pub period: String,
    /// The unit.
    pub org_unit: String,
    /// The level whose reports are added.
    pub level: String,
    /// Reported, sums and contributing counts as they are stored.
    pub stored: String,
    /// The same as they should be.
    pub recomputed: String,
}

/// What the current catalogue says about the forms that were reported, and the last day of each period.
const SHEETS: &str = "
CREATE TEMPORARY TABLE sheet ON COMMIT DROP AS
SELECT DISTINCT data_set.code AS data_set, used.period, period_last_day(used.period, data_set.calendar) AS day,
    (SELECT array_agg(cell.additive ORDER BY cell.place) FROM cell
     WHERE cell.catalogue_version = catalogue.version AND cell.data_set = data_set.code) AS additive
FROM (SELECT data_set, period FROM report UNION SELECT data_set, period FROM total) AS used
JOIN data_set ON data_set.code = used.data_set
JOIN catalogue_version AS catalogue ON catalogue.version = data_set.catalogue_version AND catalogue.is_current";

/// The tree on each of those days.
const TREE: &str = "
CREATE TEMPORARY TABLE tree ON COMMIT DROP AS
SELECT days.day, org_unit.code, org_unit.parent_code, org_unit.level
FROM (SELECT DISTINCT day FROM sheet) AS days
JOIN org_unit ON org_unit.valid_from <= days.day AND days.day < org_unit.valid_to
JOIN catalogue_version AS catalogue ON catalogue.version = org_unit.catalogue_version AND catalogue.is_current";

/// Each unit with each of its ancestors and itself, except where the ancestor has nothing below it: such a unit has no
/// total, its report is its total.
const CLOSURE: &str = "
CREATE TEMPORARY TABLE closure ON COMMIT DROP AS
WITH RECURSIVE walk AS (
    SELECT day, code AS unit, level, code AS ancestor, parent_code AS next, true AS own FROM tree
    UNION ALL
    SELECT walk.day, walk.unit, walk.level, tree.code, tree.parent_code, false
    FROM walk JOIN tree ON tree.day = walk.day AND tree.code = walk.next
)
SELECT walk.day, walk.unit, walk.level, walk.ancestor, walk.own
FROM walk JOIN (SELECT DISTINCT day, parent_code FROM tree) AS parent ON parent.day = walk.day AND parent.parent_code = walk.ancestor";

const RECOMPUTED: &str = "
CREATE TEMPORARY TABLE recomputed ON COMMIT DROP AS
WITH cells AS (
    SELECT report.data_set, report.period, closure.ancestor AS org_unit, closure.level, given.place,
        count(*) AS reported,
        coalesce(sum(given.value) FILTER (WHERE given.additive OR closure.own), 0) AS sum,
        count(given.value) FILTER (WHERE given.additive OR closure.own) AS contributing
    FROM report
    JOIN sheet ON sheet.data_set = report.data_set AND sheet.period = report.period
    JOIN closure ON closure.day = sheet.day AND closure.unit = report.org_unit
    CROSS JOIN LATERAL unnest(report.cells, sheet.additive) WITH ORDINALITY AS given (value, additive, place)
    WHERE NOT report.withdrawn
    GROUP BY report.data_set, report.period, closure.ancestor, closure.level, given.place
)
SELECT data_set, period, org_unit, level, max(reported) AS reported,
    array_agg(sum ORDER BY place) AS sums, array_agg(contributing ORDER BY place) AS contributing
FROM cells GROUP BY data_set, period, org_unit, level";

/// A total from which every report was withdrawn is kept as zeros, and nothing is recomputed for it: both say nothing. A
/// total that was written before its form got more cells lacks them: they are zeros that nobody contributed to.
const COMPARED: &str = "
WITH stored AS (
    SELECT total.data_set, total.period, total.org_unit, total.level, total.reported,
        total.sums || missing.zeros AS sums, total.contributing || missing.zeros AS contributing
    FROM total LEFT JOIN sheet ON sheet.data_set = total.data_set AND sheet.period = total.period
    CROSS JOIN LATERAL (
        SELECT array_fill(0::bigint, ARRAY[greatest(0, coalesce(cardinality(sheet.additive), 0) - cardinality(total.sums))]) AS zeros
    ) AS missing
)
SELECT data_set, period, org_unit, level,
    concat_ws(' ', stored.reported, stored.sums::text, stored.contributing::text) AS stored,
    concat_ws(' ', recomputed.reported, recomputed.sums::text, recomputed.contributing::text) AS recomputed,
    count(*) OVER () AS mismatches
FROM stored FULL JOIN recomputed USING (data_set, period, org_unit, level)
WHERE (stored.reported, stored.sums::numeric[], stored.contributing) IS DISTINCT FROM (recomputed.reported, recomputed.sums, recomputed.contributing)
  AND NOT (recomputed.reported IS NULL AND stored.reported = 0 AND 0 = ALL (stored.sums) AND 0 = ALL (stored.contributing))
ORDER BY data_set, period, org_unit, level LIMIT $1";

impl Store {
    /// Recomputes every total from the reports that count, and compares, in one snapshot of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        let mut transaction = self.pool.begin().await?;
        for statement in [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            // A year of the nation takes longer than any other statement of ours, and compiling it longer than running it.
            "SET LOCAL statement_timeout = '30min'",
            "SET LOCAL jit = off",
            "SET LOCAL work_mem = '128MB'",
            SHEETS,
            "ANALYZE sheet",
            TREE,
            "ANALYZE tree",
            CLOSURE,
            "ANALYZE closure",
            RECOMPUTED,
            "ANALYZE recomputed",
        ] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        let counts = sqlx::query(
            "SELECT (SELECT count(*) FROM total FULL JOIN recomputed USING (data_set, period, org_unit, level)) AS totals,
                 (SELECT count(*) FROM report WHERE NOT withdrawn) AS reports,
                 (SELECT coalesce(max(position), 0) FROM partition_progress) AS position",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let rows = sqlx::query(COMPARED).bind(LISTED).fetch_all(&mut *transaction).await?;
        transaction.rollback().await?;

        let mismatches = rows.first().map_or(Ok(0), |row| row.try_get("mismatches"))?;
        let listed = rows.iter().map(|row| {
            Ok(Mismatch {
                data_set: row.try_get("data_set")?,
                period: row.try_get("period")?,
                org_unit: row.try_get("org_unit")?,
                level: row.try_get("level")?,
                stored: row.try_get("stored")?,
                recomputed: row.try_get("recomputed")?,
            })
        });
        Ok(Verification {
            totals_checked: unsigned(counts.try_get("totals")?, "count")?,
            mismatches: unsigned(mismatches, "count")?,
            listed: listed.collect::<Result<_, StoreError>>()?,
            reports: unsigned(counts.try_get("reports")?, "count")?,
            position: Position(unsigned(counts.try_get("position")?, "position")?),
        })
    }
}
