//! Recomputing every total from the reports, in plain SQL, and comparing.
//!
//! Nothing of the fold is used: not its tree, not its arithmetic, not its calendar, not its way of telling which of a
//! unit's reports is the latest. The two agree, or one is wrong. Each report is added by the catalogue it was judged by.
//!
//! What was found of each form's period is kept in the table `reconciliation`.

use domain::{DataSetCode, Period, Timestamp, settle::Position};
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use crate::{Store, StoreError, signed, unsigned};

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
    /// The forms' periods in which there are any.
    pub wrong: Vec<OfPeriod>,
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
    /// Reported, on time, with warnings, sums and contributing counts as they are stored.
    pub stored: String,
    /// The same as they should be.
    pub recomputed: String,
}

/// What is known of the totals' recomputation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// When all totals were last recomputed at once; none where they never were.
    pub all: Option<ReconciledAll>,
    /// When those of a form's period were last, or all; none where nothing ever was.
    pub latest: Option<Timestamp>,
    /// How many totals were wrong when their form's period was last recomputed.
    pub mismatches: u64,
    /// Since when there has been a database in which totals can be.
    pub made_at: Timestamp,
}

/// What was found when all totals were last recomputed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciledAll {
    /// When.
    pub at: Timestamp,
    /// How many totals were compared.
    pub totals: u64,
    /// How many differed.
    pub mismatches: u64,
}

/// A form's period, or a longer one.
pub type OfPeriod = (DataSetCode, Period);

/// What is recomputed: some forms' periods, or all.
const WANTED: &str = r#"
CREATE TEMPORARY TABLE wanted (data_set text COLLATE "C", period text COLLATE "C", PRIMARY KEY (data_set, period)) ON COMMIT DROP"#;

/// The periods that were reported on, with the catalogues that judged.
const USED: &str = "
CREATE TEMPORARY TABLE used ON COMMIT DROP AS
SELECT DISTINCT catalogue_version AS version, data_set, period FROM report WHERE NOT withdrawn";

/// The same of the forms that are wanted.
const USED_OF_WANTED: &str = "
CREATE TEMPORARY TABLE used ON COMMIT DROP AS
SELECT DISTINCT catalogue_version AS version, data_set, period FROM report
WHERE NOT withdrawn AND data_set = ANY (ARRAY(SELECT DISTINCT data_set FROM wanted))";

/// The days on which the tree of each catalogue that reports were judged by changed: where its vintages begin.
const BOUNDARIES: &str = "
CREATE TEMPORARY TABLE boundary ON COMMIT DROP AS
SELECT used.version, days.day
FROM (SELECT DISTINCT version FROM used) AS used
CROSS JOIN LATERAL (
    SELECT '-infinity'::date AS day
    UNION SELECT valid_from FROM org_unit WHERE catalogue_version = used.version
    UNION SELECT valid_to FROM org_unit WHERE catalogue_version = used.version AND valid_to < 'infinity'
) AS days";

/// Those of them on which it changed its shape, and not only names: `latest` begins anew there.
const SHAPES: &str = "
CREATE TEMPORARY TABLE shape ON COMMIT DROP AS
SELECT version, day FROM (
    SELECT coalesce(new.catalogue_version, old.catalogue_version) AS version, coalesce(new.valid_from, old.valid_to) AS day
    FROM org_unit AS new FULL JOIN org_unit AS old
        ON new.catalogue_version = old.catalogue_version AND new.valid_from = old.valid_to AND new.code = old.code
        AND new.level = old.level AND coalesce(new.parent_code, '') = coalesce(old.parent_code, '')
    WHERE new.code IS NULL OR old.code IS NULL
) AS changed WHERE isfinite(day)
UNION SELECT catalogue_version, day FROM recoding";

/// Each form's period with every longer period it lies in and itself, and the first days of the vintages that report the
/// two.
const SPANS: &str = "
CREATE TEMPORARY TABLE span ON COMMIT DROP AS
WITH own AS (
    SELECT used.version, used.data_set, used.period, data_set.calendar, data_set.period_type, data_set.longer_periods,
        period_last_day(used.period, data_set.calendar) AS day
    FROM used
    JOIN data_set ON data_set.catalogue_version = used.version AND data_set.code = used.data_set
), months AS (
    SELECT own.*, date_trunc('month', day) + CASE WHEN calendar = 'decree09' AND extract(day FROM day) > 14
        THEN interval '1 month' ELSE interval '0' END AS month
    FROM own
), windows AS (
    SELECT version, data_set, period, period AS whole, day, day AS whole_day FROM own
    UNION ALL
    SELECT version, data_set, period, longer.whole, day, period_last_day(longer.whole, calendar)
    FROM months CROSS JOIN LATERAL (VALUES
        ('month', to_char(month, 'YYYYMM'), ARRAY['day', 'week']),
        ('quarter', to_char(month, 'YYYY\"Q\"Q'), ARRAY['day', 'week', 'month']),
        ('half_year', to_char(month, 'YYYY\"S\"') || (extract(month FROM month)::int + 5) / 6, ARRAY['day', 'week', 'month', 'quarter']),
        ('year', to_char(month, 'YYYY'), ARRAY['day', 'week', 'month', 'quarter', 'half_year'])
    ) AS longer (kind, whole, of) WHERE period_type = ANY (longer.of) AND longer.kind = ANY (longer_periods)
    UNION ALL
    SELECT version, data_set, period, 'latest' || coalesce(to_char(nullif(greatest(since, '2000-01-01'), '2000-01-01'), 'YYYYMMDD'), ''), day, day
    FROM own CROSS JOIN LATERAL (SELECT max(shape.day) AS since FROM shape WHERE shape.version = own.version AND shape.day <= own.day) AS latest
    WHERE 'latest' = ANY (longer_periods)
)
SELECT windows.version, windows.data_set, windows.period, windows.whole, windows.period = windows.whole AS is_own,
    (SELECT max(day) FROM boundary WHERE boundary.version = windows.version AND boundary.day <= windows.day) AS from_day,
    (SELECT max(day) FROM boundary WHERE boundary.version = windows.version AND boundary.day <= windows.whole_day) AS to_day
FROM windows";

/// The trees of those vintages.
const TREE: &str = "
CREATE TEMPORARY TABLE tree ON COMMIT DROP AS
SELECT days.version, days.day, org_unit.code, org_unit.parent_code, org_unit.level
FROM (SELECT version, from_day AS day FROM span UNION SELECT version, to_day FROM span) AS days
JOIN org_unit ON org_unit.catalogue_version = days.version AND org_unit.valid_from <= days.day AND days.day < org_unit.valid_to";

/// For each two of them, whether each unit of the first goes on to the second.
const CONTINUED: &str = "
CREATE TEMPORARY TABLE continued ON COMMIT DROP AS
SELECT pair.version, pair.from_day, pair.to_day, tree.code, tree.level, tree.parent_code,
    pair.from_day = pair.to_day OR EXISTS (
        SELECT FROM org_unit
        WHERE org_unit.catalogue_version = pair.version AND org_unit.code = tree.code
          AND org_unit.valid_from <= pair.from_day AND pair.to_day < org_unit.valid_to
    ) OR (
        NOT EXISTS (SELECT FROM recoding WHERE catalogue_version = pair.version AND pair.from_day < day AND day <= pair.to_day)
        AND NOT EXISTS (
            SELECT FROM boundary
            WHERE boundary.version = pair.version AND pair.from_day < boundary.day AND boundary.day <= pair.to_day
              AND NOT EXISTS (
                  SELECT FROM org_unit
                  WHERE org_unit.catalogue_version = pair.version AND org_unit.code = tree.code AND org_unit.level = tree.level
                    AND org_unit.valid_from <= boundary.day AND boundary.day < org_unit.valid_to))
    ) AS goes_on
FROM (SELECT DISTINCT version, from_day, to_day FROM span) AS pair
JOIN tree ON tree.version = pair.version AND tree.day = pair.from_day";

/// Where each unit's reports enter the second tree: at itself, or at the nearest unit above it that goes on, or at the root.
const ENTRIES: &str = "
CREATE TEMPORARY TABLE entry ON COMMIT DROP AS
WITH RECURSIVE walk AS (
    SELECT version, from_day, to_day, code AS unit, level, parent_code IS NULL AS is_root, code AS at, goes_on, parent_code AS next, true AS is_self
    FROM continued
    UNION ALL
    SELECT walk.version, walk.from_day, walk.to_day, walk.unit, walk.level, walk.is_root, above.code, above.goes_on, above.parent_code, false
    FROM walk JOIN continued AS above
        ON above.version = walk.version AND above.from_day = walk.from_day AND above.to_day = walk.to_day AND above.code = walk.next
    WHERE NOT walk.goes_on
)
SELECT walk.version, walk.from_day, walk.to_day, walk.unit, walk.level,
    CASE WHEN walk.goes_on THEN walk.at ELSE root.code END AS at,
    CASE WHEN walk.goes_on THEN walk.is_self ELSE walk.is_root END AS is_self
FROM walk LEFT JOIN tree AS root ON root.version = walk.version AND root.day = walk.to_day AND root.parent_code IS NULL
WHERE walk.goes_on OR walk.next IS NULL";

/// Each unit with each of its ancestors and itself, except where the ancestor has nothing below it: such a unit has no
/// total, its report is its total. The nearest of them is the unit's base.
const CLOSURE: &str = "
CREATE TEMPORARY TABLE closure ON COMMIT DROP AS
WITH RECURSIVE walk AS (
    SELECT version, day, code AS unit, code AS ancestor, parent_code AS next, 0 AS height FROM tree
    UNION ALL
    SELECT walk.version, walk.day, walk.unit, tree.code, tree.parent_code, walk.height + 1
    FROM walk JOIN tree ON tree.version = walk.version AND tree.day = walk.day AND tree.code = walk.next
)
SELECT walk.version, walk.day, walk.unit, walk.ancestor,
    walk.height = min(walk.height) OVER (PARTITION BY walk.version, walk.day, walk.unit) AS is_base
FROM walk JOIN (SELECT DISTINCT version, day, parent_code FROM tree) AS parent
    ON parent.version = walk.version AND parent.day = walk.day AND parent.parent_code = walk.ancestor";

/// Each report in each period that it lies in, and where it enters it. `latest_own` numbers a unit's reports in a longer
/// period from the newest back.
const ENTERED: &str = "
CREATE TEMPORARY TABLE entered ON COMMIT DROP AS
SELECT span.version, span.to_day, report.data_set, span.whole, span.is_own AS is_period, report.period, report.org_unit, entry.at, entry.is_self, entry.level,
    base.ancestor AS base, report.on_time, report.warnings > 0 AS warned, report.cells,
    row_number() OVER (PARTITION BY report.data_set, span.whole, report.org_unit, entry.is_self ORDER BY report.period DESC) AS newest
FROM report
JOIN span ON span.version = report.catalogue_version AND span.data_set = report.data_set AND span.period = report.period
JOIN entry ON entry.version = span.version AND entry.from_day = span.from_day AND entry.to_day = span.to_day AND entry.unit = report.org_unit
LEFT JOIN closure AS base ON base.version = span.version AND base.day = span.to_day AND base.unit = entry.at AND base.is_base
WHERE NOT report.withdrawn";

/// What is added together first: reports of a form's period and of one level that enter the same tree at units with one base.
const SHEETS: &str = "
CREATE TEMPORARY TABLE sheet ON COMMIT DROP AS
SELECT row_number() OVER () AS sheet, named.* FROM (
    SELECT DISTINCT version, to_day, data_set, whole, is_period, base, level FROM entered WHERE base IS NOT NULL
) AS named";

/// What the reports of a sheet come to, cell by cell: in a longer period what happened is added, and of the rest each unit's
/// newest value counts, if the unit is still there. What is not added over units stays where it is reported.
const SHEET_CELLS: &str = "
CREATE TEMPORARY TABLE sheet_cell ON COMMIT DROP AS
WITH form AS (
    SELECT catalogue_version AS version, data_set,
        array_agg(additive ORDER BY place) AS additive, array_agg(time_aggregation ORDER BY place) AS over_time
    FROM cell GROUP BY catalogue_version, data_set
), given AS NOT MATERIALIZED (
    SELECT sheet.sheet, sheet.is_period, entered.data_set, entered.whole, entered.org_unit, entered.period, entered.is_self,
        entered.is_self AND entered.at = entered.base AS is_own, cell.place, cell.value, cell.additive, cell.over_time
    FROM entered JOIN sheet USING (version, to_day, data_set, whole, is_period, base, level) JOIN form USING (version, data_set)
    CROSS JOIN LATERAL unnest(entered.cells, form.additive, form.over_time) WITH ORDINALITY AS cell (value, additive, over_time, place)
    WHERE cell.value IS NOT NULL
), newest AS (
    SELECT DISTINCT ON (data_set, whole, org_unit, place) sheet, place, value, additive, is_own
    FROM given WHERE NOT is_period AND over_time = 'last' AND is_self
    ORDER BY data_set, whole, org_unit, place, period DESC
)
SELECT sheet, place, additive, sum(value) AS sum, count(*) AS contributing
FROM (
    SELECT sheet, place, value, additive, is_own FROM given WHERE is_period OR over_time = 'sum'
    UNION ALL
    SELECT sheet, place, value, additive, is_own FROM newest
) AS counted
WHERE additive OR is_own
GROUP BY sheet, place, additive";

const RECOMPUTED: &str = "
CREATE TEMPORARY TABLE recomputed ON COMMIT DROP AS
WITH counts AS (
    SELECT entered.data_set, entered.whole, closure.ancestor, entered.level, count(*) AS reported,
        count(*) FILTER (WHERE is_period AND on_time) AS on_time, count(*) FILTER (WHERE is_period AND warned) AS warned
    FROM entered JOIN closure ON closure.version = entered.version AND closure.day = entered.to_day AND closure.unit = entered.at
    WHERE is_period OR (is_self AND newest = 1)
    GROUP BY entered.data_set, entered.whole, closure.ancestor, entered.level
), cells AS (
    SELECT sheet.data_set, sheet.whole, closure.ancestor, sheet.level, sheet_cell.place,
        sum(sheet_cell.sum) AS sum, sum(sheet_cell.contributing) AS contributing
    FROM sheet_cell JOIN sheet USING (sheet)
    JOIN closure ON closure.version = sheet.version AND closure.day = sheet.to_day AND closure.unit = sheet.base
    WHERE sheet_cell.additive OR closure.ancestor = sheet.base
    GROUP BY sheet.data_set, sheet.whole, closure.ancestor, sheet.level, sheet_cell.place
), places AS (
    SELECT data_set, max(place) AS places FROM cell GROUP BY data_set
), names AS (
    SELECT data_set, whole, ancestor, level FROM counts UNION SELECT data_set, whole, ancestor, level FROM cells
)
SELECT names.data_set, names.whole AS period, names.ancestor AS org_unit, names.level,
    coalesce(counts.reported, 0) AS reported, coalesce(counts.on_time, 0) AS on_time, coalesce(counts.warned, 0) AS warned,
    array_agg(coalesce(cells.sum, 0) ORDER BY place.place) AS sums,
    array_agg(coalesce(cells.contributing, 0)::bigint ORDER BY place.place) AS contributing
FROM names JOIN places USING (data_set) CROSS JOIN LATERAL generate_series(1, places.places) AS place (place)
LEFT JOIN counts USING (data_set, whole, ancestor, level)
LEFT JOIN cells ON cells.data_set = names.data_set AND cells.whole = names.whole AND cells.ancestor = names.ancestor
    AND cells.level = names.level AND cells.place = place.place
GROUP BY names.data_set, names.whole, names.ancestor, names.level, counts.reported, counts.on_time, counts.warned";

/// A total from which every report was withdrawn is kept as zeros, and nothing is recomputed for it: both say nothing. A
/// total that was written before its form got more cells lacks them: they are zeros that nobody contributed to.
const DIFFERENCES: &str = "
CREATE TEMPORARY TABLE difference ON COMMIT DROP AS
WITH places AS (
    SELECT data_set, max(place) AS places FROM cell GROUP BY data_set
), stored AS (
    SELECT total.data_set, total.period, total.org_unit, total.level, total.reported, total.on_time, total.warned,
        total.sums || missing.zeros AS sums, total.contributing || missing.zeros AS contributing
    FROM total JOIN wanted USING (data_set, period) LEFT JOIN places USING (data_set)
    CROSS JOIN LATERAL (
        SELECT array_fill(0::bigint, ARRAY[greatest(0, coalesce(places.places, 0) - cardinality(total.sums))]) AS zeros
    ) AS missing
)
SELECT data_set, period, org_unit, level,
    concat_ws(' ', stored.reported, stored.on_time, stored.warned, stored.sums::text, stored.contributing::text) AS stored,
    concat_ws(' ', recomputed.reported, recomputed.on_time, recomputed.warned, recomputed.sums::text, recomputed.contributing::text) AS recomputed,
    coalesce(recomputed.reported, 0) AS reported, coalesce(recomputed.on_time, 0) AS on_time, coalesce(recomputed.warned, 0) AS warned,
    coalesce(recomputed.sums::bigint[], array_fill(0::bigint, ARRAY[cardinality(stored.sums)])) AS sums,
    coalesce(recomputed.contributing, array_fill(0::bigint, ARRAY[cardinality(stored.sums)])) AS contributing
FROM stored FULL JOIN recomputed USING (data_set, period, org_unit, level)
WHERE (stored.reported, stored.on_time, stored.warned, stored.sums::numeric[], stored.contributing)
    IS DISTINCT FROM (recomputed.reported, recomputed.on_time, recomputed.warned, recomputed.sums, recomputed.contributing)
  AND NOT (recomputed.reported IS NULL AND 0 = ALL (ARRAY[stored.reported, stored.on_time, stored.warned] || stored.sums || stored.contributing))
  AND NOT (stored.reported IS NULL AND 0 = ALL (ARRAY[recomputed.reported, recomputed.on_time, recomputed.warned] || recomputed.contributing))";

/// Keeps what was found of each form's period that was looked at.
const KEPT: &str = "
INSERT INTO reconciliation (data_set, period, checked_at, totals, mismatches, position)
SELECT wanted.data_set, wanted.period, $1, coalesce(stored.totals, 0), coalesce(wrong.mismatches, 0), $2 FROM wanted
LEFT JOIN (SELECT data_set, period, count(*) AS totals FROM total JOIN wanted USING (data_set, period) GROUP BY data_set, period) AS stored USING (data_set, period)
LEFT JOIN (SELECT data_set, period, count(*) AS mismatches FROM difference GROUP BY data_set, period) AS wrong USING (data_set, period)
ON CONFLICT (data_set, period) DO UPDATE
SET checked_at = excluded.checked_at, totals = excluded.totals, mismatches = excluded.mismatches, position = excluded.position";

/// Recomputes the totals of some forms' periods, or all, into the temporary table `recomputed`, and what differs from those
/// that are stored into `difference`. Both go with the transaction.
pub(crate) async fn recompute(connection: &mut PgConnection, only: Option<&[OfPeriod]>) -> Result<(), StoreError> {
    for statement in [
        // A year of the nation takes longer than any other statement of ours, and compiling it longer than running it.
        "SET LOCAL statement_timeout = '30min'",
        "SET LOCAL jit = off",
        "SET LOCAL work_mem = '128MB'",
        WANTED,
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    if let Some(only) = only {
        sqlx::query("INSERT INTO wanted SELECT DISTINCT * FROM unnest($1::text[], $2::text[])")
            .bind(only.iter().map(|(data_set, _)| data_set.as_str()).collect::<Vec<_>>())
            .bind(only.iter().map(|(_, period)| period.to_string()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    let (used, limit) = match only {
        None => (USED, "INSERT INTO wanted SELECT data_set, whole FROM span UNION SELECT data_set, period FROM total"),
        Some(_) => (USED_OF_WANTED, "DELETE FROM span WHERE (data_set, whole) NOT IN (TABLE wanted)"),
    };
    for statement in [
        used,
        BOUNDARIES,
        SHAPES,
        SPANS,
        limit,
        "ANALYZE span",
        TREE,
        "ANALYZE tree",
        CONTINUED,
        "ANALYZE continued",
        ENTRIES,
        "ANALYZE entry",
        CLOSURE,
        "ANALYZE closure",
        ENTERED,
        "ANALYZE entered",
        SHEETS,
        "ANALYZE sheet",
        SHEET_CELLS,
        "ANALYZE sheet_cell",
        RECOMPUTED,
        "ANALYZE recomputed",
        DIFFERENCES,
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What [`recompute`] found.
async fn found(connection: &mut PgConnection) -> Result<Verification, StoreError> {
    let counts = sqlx::query(
        "SELECT (SELECT count(*) FROM (SELECT total.* FROM total JOIN wanted USING (data_set, period)) AS stored
                 FULL JOIN recomputed USING (data_set, period, org_unit, level)) AS totals,
             (SELECT count(*) FROM difference) AS mismatches,
             (SELECT count(DISTINCT (data_set, period, org_unit)) FROM entered) AS reports,
             (SELECT coalesce(max(position), 0) FROM partition_progress) AS position",
    )
    .fetch_one(&mut *connection)
    .await?;
    let rows = sqlx::query("SELECT * FROM difference ORDER BY data_set, period, org_unit, level LIMIT $1")
        .bind(LISTED)
        .fetch_all(&mut *connection)
        .await?;
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
    let listed = listed.collect::<Result<_, StoreError>>()?;
    let periods = sqlx::query("SELECT DISTINCT data_set, period FROM difference").fetch_all(connection).await?;
    let wrong = periods.iter().map(|row| of_period(row.try_get("data_set")?, row.try_get("period")?));
    Ok(Verification {
        totals_checked: unsigned(counts.try_get("totals")?, "count")?,
        mismatches: unsigned(counts.try_get("mismatches")?, "count")?,
        listed,
        wrong: wrong.collect::<Result<_, StoreError>>()?,
        reports: unsigned(counts.try_get("reports")?, "count")?,
        position: Position(unsigned(counts.try_get("position")?, "position")?),
    })
}

pub(crate) fn of_period(data_set: &str, period: &str) -> Result<OfPeriod, StoreError> {
    let data_set = data_set.parse().map_err(|_| StoreError::Malformed("data set code"))?;
    Ok((data_set, period.parse().map_err(|_| StoreError::Malformed("period"))?))
}

const ONE_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";

impl Store {
    /// Recomputes every total from the reports that count, and compares, in one snapshot of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(ONE_SNAPSHOT).execute(&mut *transaction).await?;
        recompute(&mut transaction, None).await?;
        let found = found(&mut transaction).await;
        transaction.rollback().await?;
        found
    }

    /// The same of a form's period, or of all, and keeps what was found.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reconcile(&self, only: Option<&OfPeriod>, now: Timestamp) -> Result<Verification, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(ONE_SNAPSHOT).execute(&mut *transaction).await?;
        // One at a time, and before there is a snapshot: what another keeps meanwhile could not be changed by this one in the end.
        sqlx::query("LOCK TABLE reconciliation IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
        recompute(&mut transaction, only.map(std::slice::from_ref)).await?;
        let found = found(&mut transaction).await?;
        let (at, position) = (OffsetDateTime::from(now), signed(found.position.0));
        if only.is_none() {
            // Also what is not there any more.
            sqlx::query("DELETE FROM reconciliation").execute(&mut *transaction).await?;
            sqlx::query("INSERT INTO reconciliation (data_set, period, checked_at, totals, mismatches, position) VALUES ('*', '*', $1, $2, $3, $4)")
                .bind(at)
                .bind(signed(found.totals_checked))
                .bind(signed(found.mismatches))
                .bind(position)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(KEPT).bind(at).bind(position).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// How many totals were not what their reports add up to when their form's period was last recomputed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mismatches(&self) -> Result<u64, StoreError> {
        let sum =
            sqlx::query_scalar("SELECT coalesce(sum(mismatches), 0)::bigint FROM reconciliation WHERE data_set <> '*'");
        unsigned(sum.fetch_one(&self.pool).await?, "count")
    }

    /// When everything was last recomputed at once; where it never was, since when there has been a database in which totals can be.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reconciled_at(&self) -> Result<Timestamp, StoreError> {
        let at = sqlx::query_scalar(
            "SELECT coalesce(
                 (SELECT checked_at FROM reconciliation WHERE data_set = '*'), (SELECT min(installed_on) FROM _sqlx_migrations)
             )",
        );
        let at: OffsetDateTime = at.fetch_one(&self.pool).await?;
        Ok(at.into())
    }

    /// What is known of the totals' recomputation, for those who watch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reconciliation(&self) -> Result<Reconciliation, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT max(checked_at) FROM reconciliation) AS latest,
                 (SELECT coalesce(sum(mismatches), 0)::bigint FROM reconciliation WHERE data_set <> '*') AS mismatches,
                 (SELECT min(installed_on) FROM _sqlx_migrations) AS made_at",
        )
        .fetch_one(&self.pool)
        .await?;
        let all = sqlx::query("SELECT checked_at, totals, mismatches FROM reconciliation WHERE data_set = '*'")
            .fetch_optional(&self.pool)
            .await?;
        let all = all.map(|row| {
            Ok::<_, StoreError>(ReconciledAll {
                at: row.try_get::<OffsetDateTime, _>("checked_at")?.into(),
                totals: unsigned(row.try_get("totals")?, "count")?,
                mismatches: unsigned(row.try_get("mismatches")?, "count")?,
            })
        });
        Ok(Reconciliation {
            all: all.transpose()?,
            latest: row.try_get::<Option<OffsetDateTime>, _>("latest")?.map(Timestamp::from),
            mismatches: unsigned(row.try_get("mismatches")?, "count")?,
            made_at: row.try_get::<OffsetDateTime, _>("made_at")?.into(),
        })
    }

    /// The form's period that was not recomputed for the longest time; none where there are no totals.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_to_reconcile(&self) -> Result<Option<OfPeriod>, StoreError> {
        let row = sqlx::query(
            "SELECT data_set, period FROM (SELECT DISTINCT data_set, period FROM total) AS there
             LEFT JOIN reconciliation USING (data_set, period) ORDER BY checked_at NULLS FIRST, data_set, period LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| of_period(row.try_get("data_set")?, row.try_get("period")?)).transpose()
    }
}
