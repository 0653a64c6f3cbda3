//! Revisions of reports, those that count and those that do not any more: what totals were made of, and what a report was.

use domain::{
    CatalogueVersion, DataSetCode, Period, Timestamp,
    settle::{Accepted, Fate, Position},
};
use sqlx::{Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{Snapshot, Store, StoreError, report, signed, unsigned, violations};

/// By when a revision was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its verdict stands at that position of the log or before it.
    Position(Position),
    /// The collector took it at that instant or before it, and its verdict stands at that position of the log or before it.
    Instant {
        /// The instant.
        at: Timestamp,
        /// The position; the last there can be for all that there is.
        up_to: Position,
    },
}

impl Until {
    /// The highest position and, if it is bound by one, the last instant.
    fn bounds(self) -> (i64, Option<OffsetDateTime>) {
        match self {
            Self::Position(position) => (signed(position.0), None),
            Self::Instant { at, up_to } => (signed(up_to.0), Some(OffsetDateTime::from(at))),
        }
    }
}

/// A revision of a report.
#[derive(Clone, Debug)]
pub struct Revised {
    /// What it says and where it comes from, with the warnings it was given.
    pub accepted: Accepted,
    /// What became of it: accepted or superseded.
    pub fate: Fate,
    /// The position from which it does not count; its own where it never did, none where it counts.
    pub replaced_at: Option<Position>,
}

impl Snapshot {
    /// All revisions that were there by then of a data set's reports for its periods from one to another (none: without end): of
    /// some units, or of all. So many at most, of which nobody knows which: as many as that mean that there are too many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revisions(
        &mut self,
        data_set: &DataSetCode,
        (first, last): (Period, Option<Period>),
        org_units: Option<&[&str]>,
        until: Until,
        limit: usize,
    ) -> Result<Vec<Accepted>, StoreError> {
        let (position, instant) = until.bounds();
        // The names of periods of one kind sort by time. A statement of its own for each case: the planner has to see which of
        // the conditions there are.
        macro_rules! revisions {
            ($of_units:literal) => {
                concat!(
                    revisions!("report", $of_units),
                    " UNION ALL ",
                    revisions!("report_history", $of_units),
                    " LIMIT $6"
                )
            };
            ($table:literal, $of_units:literal) => {
                concat!(
                    "SELECT data_set, period, org_unit, revision, submission_id, digest, withdrawn, cells, catalogue_version,
                         principal, received_at, log_sequence, log_index, position, on_time, warnings, notes
                     FROM ",
                    $table,
                    " WHERE data_set = $1 AND period >= $2 AND ($3::text IS NULL OR period <= $3)
                         AND position <= $4 AND ($5::timestamptz IS NULL OR received_at <= $5)",
                    $of_units
                )
            };
        }
        let statement = match org_units {
            None => sqlx::query(revisions!("")),
            Some(_) => sqlx::query(revisions!(" AND org_unit = ANY($7::text[])")),
        };
        let statement = statement
            .bind(data_set.as_str())
            .bind(first.to_string())
            .bind(last.map(|last| last.to_string()))
            .bind(position)
            .bind(instant)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let statement = match org_units {
            None => statement,
            Some(org_units) => statement.bind(org_units),
        };
        statement.fetch_all(&mut *self.0).await?.iter().map(report::read).collect()
    }

    /// The codes under which a data set was reported for its periods from one to another (none: without end), withdrawn or not:
    /// of some units or of all, sorted, from a code on (included), so many at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reported_by(
        &mut self,
        data_set: &DataSetCode,
        (first, last): (Period, Option<Period>),
        org_units: Option<&[&str]>,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let statement = match org_units {
            None => {
                "SELECT DISTINCT org_unit FROM report
                 WHERE data_set = $1 AND period >= $2 AND ($3::text IS NULL OR period <= $3) AND org_unit >= $4
                 ORDER BY org_unit LIMIT $5"
            }
            Some(_) => {
                "SELECT org_unit FROM unnest($6::text[]) AS wanted (org_unit)
                 WHERE org_unit COLLATE \"C\" >= $4 AND EXISTS (
                     SELECT FROM report WHERE data_set = $1 AND report.org_unit = wanted.org_unit AND period >= $2
                         AND ($3::text IS NULL OR period <= $3)
                 )
                 ORDER BY org_unit COLLATE \"C\" LIMIT $5"
            }
        };
        let statement = sqlx::query_scalar(statement)
            .bind(data_set.as_str())
            .bind(first.to_string())
            .bind(last.map(|last| last.to_string()))
            .bind(from)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let statement = match org_units {
            None => statement,
            Some(org_units) => statement.bind(org_units),
        };
        Ok(statement.fetch_all(&mut *self.0).await?)
    }

    /// The catalogues that a data set's reports for its periods from one to another (none: without end) were judged by.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judged_by(
        &mut self,
        data_set: &DataSetCode,
        (first, last): (Period, Option<Period>),
    ) -> Result<Vec<CatalogueVersion>, StoreError> {
        let versions: Vec<String> = sqlx::query_scalar(
            "SELECT catalogue_version FROM report
             WHERE data_set = $1 AND period >= $2 AND ($3::text IS NULL OR period <= $3)
             UNION SELECT catalogue_version FROM report_history
             WHERE data_set = $1 AND period >= $2 AND ($3::text IS NULL OR period <= $3)",
        )
        .bind(data_set.as_str())
        .bind(first.to_string())
        .bind(last.map(|last| last.to_string()))
        .fetch_all(&mut *self.0)
        .await?;
        Ok(versions.iter().map(|version| CatalogueVersion::new(version)).collect())
    }

    /// A unit's report for a period, the newest revision first, so many at most; and how many more there are. The first counts,
    /// if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn report(
        &mut self,
        data_set: &DataSetCode,
        period: Period,
        org_unit: &str,
        limit: usize,
    ) -> Result<(Vec<Revised>, i64), StoreError> {
        let rows = sqlx::query(
            "SELECT revision.*, count(*) OVER () AS count, submission.fate, submission.violations, submission.violations_omitted
             FROM (
                 SELECT data_set, period, org_unit, revision, submission_id, digest, withdrawn, cells, catalogue_version, principal,
                     received_at, log_sequence, log_index, position, on_time, warnings, notes, NULL AS since
                 FROM report WHERE data_set = $1 AND period = $2 AND org_unit = $3
                 UNION ALL
                 SELECT data_set, period, org_unit, revision, submission_id, digest, withdrawn, cells, catalogue_version, principal,
                     received_at, log_sequence, log_index, position, on_time, warnings, notes, since
                 FROM report_history WHERE data_set = $1 AND period = $2 AND org_unit = $3
             ) AS revision
             JOIN submission USING (log_sequence, log_index)
             ORDER BY revision.since IS NOT NULL, revision.revision DESC, revision.position DESC LIMIT $4",
        )
        .bind(data_set.as_str())
        .bind(period.to_string())
        .bind(org_unit)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.0)
        .await?;
        let count: i64 = rows.first().map(|row| row.try_get("count")).transpose()?.unwrap_or(0);
        let revisions = rows.iter().map(read_revised).collect::<Result<Vec<_>, _>>()?;
        let more = count - i64::try_from(revisions.len()).unwrap_or(i64::MAX);
        Ok((revisions, more))
    }
}

fn read_revised(row: &PgRow) -> Result<Revised, StoreError> {
    let mut accepted = report::read(row)?;
    accepted.warnings = violations::from_json(row.try_get("violations")?, row.try_get("violations_omitted")?)?;
    let fate = Fate::from_code(row.try_get("fate")?).ok_or(StoreError::Malformed("fate"))?;
    let since: Option<i64> = row.try_get("since")?;
    let replaced_at = since.map(|since| unsigned(since, "position").map(Position)).transpose()?;
    Ok(Revised { accepted, fate, replaced_at })
}

impl Store {
    /// The place of the first of some spans, each of a data set's periods from one to another (excluded; none: without end), for
    /// which a revision with values was there by then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_reported_by_then(
        &self,
        data_set: &DataSetCode,
        spans: &[(Period, Option<Period>)],
        until: Until,
    ) -> Result<Option<usize>, StoreError> {
        let (position, instant) = until.bounds();
        let place: Option<i64> = sqlx::query_scalar(
            "SELECT wanted.place FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS wanted (first, next, place)
             WHERE EXISTS (
                 SELECT FROM report
                 WHERE data_set = $1 AND period >= wanted.first AND (wanted.next IS NULL OR period < wanted.next)
                     AND NOT withdrawn AND position <= $4 AND ($5::timestamptz IS NULL OR received_at <= $5)
             ) OR EXISTS (
                 SELECT FROM report_history
                 WHERE data_set = $1 AND period >= wanted.first AND (wanted.next IS NULL OR period < wanted.next)
                     AND NOT withdrawn AND position <= $4 AND ($5::timestamptz IS NULL OR received_at <= $5)
                     -- At an instant what came later counts no less; at a position it has taken its place.
                     AND ($5::timestamptz IS NOT NULL OR since > $4)
             )
             ORDER BY wanted.place LIMIT 1",
        )
        .bind(data_set.as_str())
        .bind(spans.iter().map(|(first, _)| first.to_string()).collect::<Vec<_>>())
        .bind(spans.iter().map(|(_, next)| next.map(|next| next.to_string())).collect::<Vec<_>>())
        .bind(position)
        .bind(instant)
        .fetch_optional(&self.pool)
        .await?;
        place.map(|place| usize::try_from(place - 1).map_err(|_| StoreError::Malformed("place"))).transpose()
    }
}
