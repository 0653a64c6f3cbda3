//! The table `submission`: the ledger of fates.

use domain::{
    ContentDigest, Revision, SubmissionId, Timestamp, Violations,
    settle::{Claim, Fate, Known, Origin, Settled},
};
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use crate::{Store, StoreError, copy::copy, signed, unsigned, violations};

/// What the ledger has of some submissions. At most one row for each: a sender may have repeated a submission a million times.
pub(crate) async fn known(connection: &mut PgConnection, ids: &[SubmissionId]) -> Result<Vec<Known>, StoreError> {
    let rows = sqlx::query(
        "SELECT wanted.id, said.digest FROM unnest($1::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (
             SELECT digest FROM submission WHERE submission_id = wanted.id AND fate <> 'REJECTED' LIMIT 1
         ) AS said",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let known = rows.iter().map(|row| {
        let digest = row.try_get::<&[u8], _>("digest")?.try_into().map_err(|_| StoreError::Malformed("digest"))?;
        Ok(Known { submission_id: SubmissionId(row.try_get("id")?), digest: ContentDigest(digest) })
    });
    known.collect()
}

/// Which of some places of the log are settled.
pub(crate) async fn settled(connection: &mut PgConnection, origins: &[Origin]) -> Result<Vec<Origin>, StoreError> {
    let rows = sqlx::query(
        // One by one, by the key: left to choose, the planner reads the whole ledger for a large batch.
        "SELECT wanted.log_sequence, wanted.log_index
         FROM unnest($1::bigint[], $2::int[]) AS wanted (log_sequence, log_index)
         CROSS JOIN LATERAL (
             SELECT FROM submission
             WHERE submission.log_sequence = wanted.log_sequence AND submission.log_index = wanted.log_index LIMIT 1
         ) AS settled",
    )
    .bind(origins.iter().map(|origin| signed(origin.sequence)).collect::<Vec<_>>())
    .bind(origins.iter().map(|origin| i32::try_from(origin.index).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| origin(row.try_get("log_sequence")?, row.try_get("log_index")?)).collect()
}

fn origin(sequence: i64, index: i32) -> Result<Origin, StoreError> {
    let index = u32::try_from(index).map_err(|_| StoreError::Malformed("log index"))?;
    Ok(Origin { sequence: unsigned(sequence, "log sequence")?, index })
}

pub(crate) async fn insert(connection: &mut PgConnection, ledger: &[Settled]) -> Result<(), StoreError> {
    let statement =
        "COPY submission (log_sequence, log_index, submission_id, data_set, period, org_unit, revision, fate, digest, principal,
             received_at, position, violations, violations_omitted)
         FROM STDIN (FORMAT binary)";
    copy(connection, statement, 14, ledger, |row, Settled { provenance, claim, digest, fate, violations }| {
        let Claim { submission_id, data_set, period, org_unit, revision } = claim;
        row.put(signed(provenance.origin.sequence))?;
        row.put(i32::try_from(provenance.origin.index).unwrap_or(i32::MAX))?;
        row.put(submission_id.map(|id| id.0))?;
        row.put(data_set.as_str())?;
        row.put(period.as_str())?;
        row.put(org_unit.as_str())?;
        row.put(*revision)?;
        row.put(fate.code())?;
        row.put(&digest.0[..])?;
        row.put(&*provenance.principal)?;
        row.put(OffsetDateTime::from(provenance.received_at))?;
        row.put(signed(provenance.position.0))?;
        row.put_json(violations::to_json(violations).as_deref());
        row.put(i32::try_from(violations.omitted()).unwrap_or(i32::MAX))
    })
    .await
}

/// A submission and its fate.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What it was about.
    pub claim: Claim,
    /// Who sent it.
    pub principal: String,
    /// What became of it.
    pub fate: Fate,
    /// Why it was rejected, or what is odd about it.
    pub violations: Violations,
    /// When the collector took it.
    pub received_at: Timestamp,
    /// Where it stands in the log of submitted reports.
    pub origin: Origin,
    /// How many more times it came in.
    pub repeated: i64,
    /// The revision that counts for its key at present.
    pub current_revision: Option<Revision>,
    /// Whether that is this submission's.
    pub counts: bool,
}

/// How many acknowledged reports have each fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FateCounts {
    /// Counted.
    pub accepted: i64,
    /// Refused with reasons.
    pub rejected: i64,
    /// Said again.
    pub duplicate: i64,
    /// Came after a higher revision.
    pub superseded: i64,
}

impl FateCounts {
    /// All of them.
    #[must_use]
    pub fn settled(&self) -> i64 {
        self.accepted + self.rejected + self.duplicate + self.superseded
    }
}

impl Store {
    /// What became of a submission; none while it is on its way. Where it came in several times, the last entry that is no mere repetition
    /// speaks for it: of the entries of `asked_by`, if there are any, else of those that were not rejected. Anybody may send something
    /// under an id that is not theirs, and be rejected; that is not to speak for what the id's owner sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn submission(&self, id: SubmissionId, asked_by: &str) -> Result<Option<Submission>, StoreError> {
        let row = sqlx::query(
            "SELECT submission.*, chosen.repeated, report.revision AS current_revision,
                 report.submission_id = submission.submission_id AS counts
             FROM (
                 SELECT log_sequence, log_index, count(*) OVER () - 1 AS repeated FROM (
                     SELECT log_sequence, log_index, principal, fate FROM submission WHERE submission_id = $1 AND fate <> 'REJECTED'
                     UNION ALL
                     SELECT log_sequence, log_index, principal, fate FROM submission WHERE submission_id = $1 AND fate = 'REJECTED'
                 ) AS entry
                 ORDER BY principal <> $2, fate = 'DUPLICATE', principal <> $2 AND fate = 'REJECTED', log_sequence DESC, log_index DESC
                 LIMIT 1
             ) AS chosen JOIN submission USING (log_sequence, log_index)
             LEFT JOIN report USING (data_set, period, org_unit)",
        )
        .bind(id.0)
        .bind(asked_by)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let fate = Fate::from_code(row.try_get("fate")?).ok_or(StoreError::Malformed("fate"))?;
        let current_revision = row.try_get::<Option<i64>, _>("current_revision")?.map(Revision::new).transpose();
        Ok(Some(Submission {
            claim: Claim {
                submission_id: Some(id),
                data_set: row.try_get("data_set")?,
                period: row.try_get("period")?,
                org_unit: row.try_get("org_unit")?,
                revision: row.try_get("revision")?,
            },
            principal: row.try_get("principal")?,
            fate,
            violations: violations::from_json(row.try_get("violations")?, row.try_get("violations_omitted")?)?,
            received_at: Timestamp::from(row.try_get::<OffsetDateTime, _>("received_at")?),
            origin: origin(row.try_get("log_sequence")?, row.try_get("log_index")?)?,
            repeated: row.try_get("repeated")?,
            current_revision: current_revision.map_err(|_| StoreError::Malformed("revision"))?,
            counts: fate == Fate::Accepted && row.try_get::<Option<bool>, _>("counts")?.unwrap_or(false),
        }))
    }

    /// The last message of the log of submitted reports of which a report is settled; 0 where none is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settled_up_to(&self) -> Result<u64, StoreError> {
        let last = sqlx::query_scalar("SELECT coalesce(max(log_sequence), 0) FROM submission");
        unsigned(last.fetch_one(&self.pool).await?, "log sequence")
    }

    /// How many acknowledged reports have each fate.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fate_counts(&self) -> Result<FateCounts, StoreError> {
        let rows =
            sqlx::query("SELECT fate, count(*) AS count FROM submission GROUP BY fate").fetch_all(&self.pool).await?;
        let mut counts = FateCounts::default();
        for row in rows {
            let fate = Fate::from_code(row.try_get("fate")?).ok_or(StoreError::Malformed("fate"))?;
            let count = match fate {
                Fate::Accepted => &mut counts.accepted,
                Fate::Rejected => &mut counts.rejected,
                Fate::Duplicate => &mut counts.duplicate,
                Fate::Superseded => &mut counts.superseded,
            };
            *count = row.try_get("count")?;
        }
        Ok(counts)
    }
}
