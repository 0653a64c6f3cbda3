//! The tables `report` and `report_history`.

use std::collections::BTreeMap;

use domain::{
    CatalogueVersion, Content, ContentDigest, Key, Note, Report, Revision, SubmissionId, Timestamp, Values, Violations,
    settle::{Accepted, Origin, Position, Provenance, SeriesOf, Superseded},
};
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use time::OffsetDateTime;

use crate::{
    StoreError,
    array::array_text,
    copy::{Row, copy},
    signed, unsigned,
};

/// What counts of some units' forms at present: the reports from a period on, and the last that has values before it.
pub(crate) async fn series(connection: &mut PgConnection, series: &[SeriesOf]) -> Result<Vec<Accepted>, StoreError> {
    let (mut own, longer): (Vec<_>, Vec<_>) = series.iter().partition(|of| of.to == Some(of.from));
    own.sort_unstable_by_key(|of| (&of.data_set, &of.org_unit, of.from));
    let mut standing = Vec::new();
    if !own.is_empty() {
        let rows = sqlx::query(
            // One by one, by the key: left to choose, the planner reads the whole table for a large batch.
            "SELECT report.* FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (data_set, org_unit, period)
             CROSS JOIN LATERAL (
                 SELECT * FROM report
                 WHERE report.data_set = wanted.data_set AND report.org_unit = wanted.org_unit AND report.period = wanted.period LIMIT 1
             ) AS report",
        )
        .bind(own.iter().map(|of| of.data_set.as_str()).collect::<Vec<_>>())
        .bind(own.iter().map(|of| of.org_unit.as_str()).collect::<Vec<_>>())
        .bind(own.iter().map(|of| of.from.to_string()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            standing.push(read(row)?);
        }
    }
    if !longer.is_empty() {
        let rows = sqlx::query(
            "SELECT report.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS wanted (data_set, org_unit, first, last)
             CROSS JOIN LATERAL (
                 SELECT * FROM report
                 WHERE report.data_set = wanted.data_set AND report.org_unit = wanted.org_unit AND report.period >= wanted.first
                   AND report.period <= coalesce(wanted.last, 'ZZZZ')
                 UNION ALL (
                     SELECT * FROM report
                     WHERE report.data_set = wanted.data_set AND report.org_unit = wanted.org_unit AND report.period < wanted.first
                       AND NOT withdrawn AND wanted.last IS NULL
                     ORDER BY period DESC LIMIT 1)
             ) AS report",
        )
        .bind(longer.iter().map(|of| of.data_set.as_str()).collect::<Vec<_>>())
        .bind(longer.iter().map(|of| of.org_unit.as_str()).collect::<Vec<_>>())
        .bind(longer.iter().map(|of| of.from.to_string()).collect::<Vec<_>>())
        .bind(longer.iter().map(|of| of.to.map(|to| to.to_string())).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for row in &rows {
            standing.push(read(row)?);
        }
    }
    Ok(standing)
}

pub(crate) fn read(row: &PgRow) -> Result<Accepted, StoreError> {
    let malformed = StoreError::Malformed;
    let cells: Vec<Option<i64>> = row.try_get("cells")?;
    let notes = read_notes(row)?;
    let report = Report {
        submission_id: SubmissionId(row.try_get("submission_id")?),
        key: Key {
            data_set: row.try_get::<&str, _>("data_set")?.parse().map_err(|_| malformed("data set code"))?,
            period: row.try_get::<&str, _>("period")?.parse().map_err(|_| malformed("period"))?,
            org_unit: row.try_get::<&str, _>("org_unit")?.parse().map_err(|_| malformed("org unit code"))?,
        },
        revision: Revision::new(row.try_get("revision")?).map_err(|_| malformed("revision"))?,
        content: if row.try_get("withdrawn")? {
            Content::Withdrawn
        } else {
            Content::Values(Values::with_notes(cells, notes))
        },
    };
    let provenance = Provenance {
        origin: Origin {
            sequence: unsigned(row.try_get("log_sequence")?, "log sequence")?,
            index: u32::try_from(row.try_get::<i32, _>("log_index")?).map_err(|_| malformed("log index"))?,
        },
        received_at: Timestamp::from(row.try_get::<OffsetDateTime, _>("received_at")?),
        principal: row.try_get::<&str, _>("principal")?.into(),
        catalogue: CatalogueVersion::new(row.try_get("catalogue_version")?),
        position: Position(unsigned(row.try_get("position")?, "position")?),
    };
    let digest = row.try_get::<&[u8], _>("digest")?.try_into().map(ContentDigest).map_err(|_| malformed("digest"))?;
    // Warnings stay in the ledger, with the submission they were given to; the row says how many there are.
    let warned = u32::try_from(row.try_get::<i32, _>("warnings")?).map_err(|_| malformed("number of warnings"))?;
    Ok(Accepted {
        provenance,
        report,
        digest,
        on_time: row.try_get("on_time")?,
        warnings: Violations::restore(Vec::new(), warned),
    })
}

/// Writes the seventeen columns that `report` and `report_history` share.
fn put(row: &mut Row, accepted: &Accepted) -> Result<(), StoreError> {
    let Accepted { provenance, report, digest, on_time, warnings } = accepted;
    let Provenance { origin, received_at, principal, catalogue, position } = provenance;
    let Report { submission_id, key: Key { data_set, period, org_unit }, revision, content } = report;
    row.put(data_set.as_str())?;
    row.put(period.to_string())?;
    row.put(org_unit.as_str())?;
    row.put(revision.get())?;
    row.put(submission_id.0)?;
    row.put(&digest.0[..])?;
    row.put(matches!(content, Content::Withdrawn))?;
    row.put(cells(content))?;
    row.put(catalogue.as_str())?;
    row.put(&**principal)?;
    row.put(OffsetDateTime::from(*received_at))?;
    row.put(signed(origin.sequence))?;
    row.put(i32::try_from(origin.index).unwrap_or(i32::MAX))?;
    row.put(signed(position.0))?;
    row.put(*on_time)?;
    row.put(warned(warnings))?;
    row.put_json(notes(content).as_deref());
    Ok(())
}

fn cells(content: &Content) -> &[Option<i64>] {
    content.values().map_or(&[][..], |values| values.as_slice())
}

/// How many warnings there are, listed or not.
fn warned(warnings: &Violations) -> i32 {
    let listed = u32::try_from(warnings.list().len()).unwrap_or(u32::MAX);
    i32::try_from(listed.saturating_add(warnings.omitted())).unwrap_or(i32::MAX)
}

/// The words of a report as JSON, by the place of their cell.
fn notes(content: &Content) -> Option<String> {
    let notes = content.values()?.notes();
    let by_place: BTreeMap<usize, &str> = notes.iter().map(|note| (note.cell, &*note.text)).collect();
    (!by_place.is_empty()).then(|| serde_json::json!(by_place).to_string())
}

pub(crate) fn read_notes(row: &PgRow) -> Result<Vec<Note>, StoreError> {
    let Some(Json(notes)) = row.try_get::<Option<Json<BTreeMap<usize, Box<str>>>>, _>("notes")? else {
        return Ok(Vec::new());
    };
    Ok(notes.into_iter().map(|(cell, text)| Note { cell, text }).collect())
}

/// Rows in the order of the key of `report`. A batch has most units of a form: neighbours in it are neighbours in the index then, and
/// the processor has that page at hand still.
fn in_key_order<T>(rows: &[T], key: impl Fn(&T) -> &Key) -> Vec<&T> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|one, other| {
        let (one, other) = (key(one), key(other));
        (&one.data_set, &one.org_unit, one.period).cmp(&(&other.data_set, &other.org_unit, other.period))
    });
    rows
}

/// Adds reports for keys that have none.
pub(crate) async fn insert(connection: &mut PgConnection, reports: &[Accepted]) -> Result<(), StoreError> {
    let statement =
        "COPY report (data_set, period, org_unit, revision, submission_id, digest, withdrawn, cells, catalogue_version,
             principal, received_at, log_sequence, log_index, position, on_time, warnings, notes, version)
         FROM STDIN (FORMAT binary)";
    copy(connection, statement, 18, in_key_order(reports, |accepted| &accepted.report.key), |row, accepted| {
        put(row, accepted)?;
        row.put(1_i64)
    })
    .await
}

/// Puts reports in the place of those that count for their keys.
pub(crate) async fn replace(connection: &mut PgConnection, reports: &[Accepted]) -> Result<(), StoreError> {
    let reports = in_key_order(reports, |accepted| &accepted.report.key);
    macro_rules! column {
        ($accepted:ident => $value:expr) => {
            reports.iter().map(|$accepted| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "UPDATE report SET revision = new.revision, submission_id = new.submission_id, digest = new.digest, withdrawn = new.withdrawn,
             cells = new.cells::bigint[], catalogue_version = new.catalogue_version, principal = new.principal,
             received_at = new.received_at, log_sequence = new.log_sequence, log_index = new.log_index, position = new.position,
             on_time = new.on_time, warnings = new.warnings, notes = new.notes::jsonb, version = report.version + 1
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::uuid[], $6::bytea[], $7::boolean[], $8::text[], $9::text[],
                 $10::text[], $11::timestamptz[], $12::bigint[], $13::int[], $14::bigint[], $15::boolean[], $16::int[], $17::text[])
             AS new (data_set, period, org_unit, revision, submission_id, digest, withdrawn, cells, catalogue_version,
                 principal, received_at, log_sequence, log_index, position, on_time, warnings, notes)
         WHERE report.data_set = new.data_set AND report.period = new.period AND report.org_unit = new.org_unit",
    )
    .bind(column!(a => a.report.key.data_set.as_str()))
    .bind(column!(a => a.report.key.period.to_string()))
    .bind(column!(a => a.report.key.org_unit.as_str()))
    .bind(column!(a => a.report.revision.get()))
    .bind(column!(a => a.report.submission_id.0))
    .bind(column!(a => a.digest.0.to_vec()))
    .bind(column!(a => matches!(a.report.content, Content::Withdrawn)))
    .bind(column!(a => array_text(cells(&a.report.content))))
    .bind(column!(a => a.provenance.catalogue.as_str()))
    .bind(column!(a => &*a.provenance.principal))
    .bind(column!(a => OffsetDateTime::from(a.provenance.received_at)))
    .bind(column!(a => signed(a.provenance.origin.sequence)))
    .bind(column!(a => i32::try_from(a.provenance.origin.index).unwrap_or(i32::MAX)))
    .bind(column!(a => signed(a.provenance.position.0)))
    .bind(column!(a => a.on_time))
    .bind(column!(a => warned(&a.warnings)))
    .bind(column!(a => notes(&a.report.content)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps revisions that count no longer. Their version is 0: it numbers what counts.
pub(crate) async fn keep(connection: &mut PgConnection, superseded: &[Superseded]) -> Result<(), StoreError> {
    let statement =
        "COPY report_history (data_set, period, org_unit, revision, submission_id, digest, withdrawn, cells, catalogue_version,
             principal, received_at, log_sequence, log_index, position, on_time, warnings, notes, version, since)
         FROM STDIN (FORMAT binary)";
    let superseded = in_key_order(superseded, |superseded| &superseded.accepted.report.key);
    copy(connection, statement, 19, superseded, |row, Superseded { accepted, since }| {
        put(row, accepted)?;
        row.put(0_i64)?;
        row.put(signed(since.0))
    })
    .await
}
