//! The table `audit`: chains of what was counted, refused and done by operators, each row with a hash over the one before.
//!
//! A row is written by PostgreSQL, hash and all (`audit_append`), and checked here: the two do not share a mistake. A chain shows
//! whatever was changed in its middle. What was cut from its end, or written anew as a whole, only shows beside an anchor: a
//! [`Head`] that was kept where the database cannot reach it.

use std::{collections::BTreeMap, fmt::Write as _};

use domain::{
    Timestamp,
    settle::{Claim, Position, Settled},
};
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{Store, StoreError, lease::LOCK_CLASS, signed, unsigned};

/// The chain of reports that collectors refused.
pub const REFUSED: &str = "refused";
/// The chain of what operators did.
pub const OPERATED: &str = "operated";

/// Held by whoever adds to a chain that no partition's lock guards.
const CHAINS_LOCK: i32 = -1;

/// The most faults that are listed; the rest is counted.
pub const LISTED: usize = 20;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The last row of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chain.
    pub chain: String,
    /// The row's number; the chain has as many.
    pub number: u64,
    /// Its hash, which stands for all before it.
    pub hash: Hash,
}

/// What an operator did.
#[derive(Clone, Debug)]
pub struct Operated<'a> {
    /// Who.
    pub principal: &'a str,
    /// The command: one word, or two with a blank between.
    pub command: &'a str,
    /// With what, as JSON.
    pub detail: &'a serde_json::Value,
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this one.
    pub until: Option<Timestamp>,
    /// With this as one of its fields: a submission id, a principal, a unit.
    pub field: Vec<String>,
    /// Only of the chains whose names begin so.
    pub chain: String,
    /// The most; the newest are given.
    pub most: u32,
}

/// A line of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The chain.
    pub chain: String,
    /// The row.
    pub number: u64,
    /// When it was written down.
    pub at: Timestamp,
    /// The fields.
    pub fields: Vec<String>,
}

/// What checking the chains found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerification {
    /// Where each chain ends.
    pub heads: Vec<Head>,
    /// How many fates are in the chains.
    pub fates: u64,
    /// What is wrong: of each chain the first, and then where the ledger differs. At most [`LISTED`] each.
    pub faults: Vec<AuditFault>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// Rows are gone from the middle of a chain, or from its beginning.
    Missing {
        /// The chain.
        chain: String,
        /// The first that is not there.
        number: u64,
    },
    /// A row does not have the hash of what it holds and of the one before.
    Changed {
        /// The chain.
        chain: String,
        /// The row.
        number: u64,
    },
    /// The chain ends before a row that was anchored.
    Cut {
        /// The chain.
        chain: String,
        /// Its last row; 0 where there is none at all.
        ends: u64,
        /// The row that was anchored.
        anchored: u64,
    },
    /// A row is another than the one that was anchored: it and others were written anew.
    Replaced {
        /// The chain.
        chain: String,
        /// The row.
        number: u64,
    },
    /// The ledger does not have a fate as the row of the chain has it.
    Ledger {
        /// The chain.
        chain: String,
        /// The row.
        number: u64,
        /// The entry as it was written.
        entry: String,
    },
    /// The ledger has fates that no chain has, or the other way round.
    Fates {
        /// How many the ledger has, without those from before there was a log.
        ledger: u64,
        /// How many the chains have.
        chains: u64,
    },
}

async fn append(
    connection: &mut PgConnection,
    chain: &str,
    at: Timestamp,
    position: Position,
    entries: &str,
) -> Result<(), StoreError> {
    sqlx::query("SELECT audit_append($1, $2, $3, $4)")
        .bind(chain)
        .bind(OffsetDateTime::from(at))
        .bind(signed(position.0))
        .bind(entries)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds the fates of a batch to its partition's chain. The partition's row is locked: nobody else adds to it.
pub(crate) async fn counted(
    connection: &mut PgConnection,
    partition: u16,
    ledger: &[Settled],
    position: Position,
    now: Timestamp,
) -> Result<(), StoreError> {
    append(connection, &format!("counted.{partition}"), now, position, &lines(ledger)).await
}

/// The fates as lines, in the order of the columns of [`LEDGER`].
fn lines(ledger: &[Settled]) -> String {
    let mut lines = String::with_capacity(ledger.len() * 144);
    for Settled { provenance, claim, digest, fate, violations: _ } in ledger {
        let Claim { submission_id, data_set, period, org_unit, revision } = claim;
        let written = write!(lines, "{}\t{}\t", provenance.origin.sequence, provenance.origin.index)
            .and_then(|()| submission_id.map_or(Ok(()), |id| write!(lines, "{}", id.0)));
        debug_assert!(written.is_ok(), "a String takes everything");
        for text in [&*provenance.principal, org_unit, data_set, period] {
            lines.push('\t');
            push_field(&mut lines, text);
        }
        let written = writeln!(lines, "\t{revision}\t{:032x}\t{}", u128::from_be_bytes(digest.0), fate.code());
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    lines
}

/// What separates fields and lines does not occur in what senders say, unless somebody got past the collector.
fn push_field(line: &mut String, text: &str) {
    line.extend(text.chars().map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c }));
}

/// A line of some fields.
#[must_use]
pub fn line(fields: &[&str]) -> String {
    let mut line = String::new();
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            line.push('\t');
        }
        push_field(&mut line, field);
    }
    line.push('\n');
    line
}

/// The entries that the ledger does not have as [`lines`] wrote them, the first [`LISTED`].
const LEDGER: &str = r"
WITH entry AS (
    SELECT chain, number, line, CASE WHEN line ~ E'^\\d{1,18}\t\\d{1,9}\t' THEN string_to_array(line, E'\t') END AS field
    FROM audit CROSS JOIN LATERAL string_to_table(entries, E'\n') AS line WHERE starts_with(chain, 'counted.') AND line <> ''
)
SELECT chain, number, line FROM entry
LEFT JOIN submission ON log_sequence = field[1]::bigint AND log_index = field[2]::int
WHERE line IS DISTINCT FROM concat_ws(E'\t', log_sequence, log_index, coalesce(submission_id::text, ''), translate(principal, E'\t\n', '  '),
    translate(org_unit, E'\t\n', '  '), translate(data_set, E'\t\n', '  '), translate(period, E'\t\n', '  '), revision, encode(digest, 'hex'), fate)
ORDER BY chain, number LIMIT $1";

/// The chains and their last rows. There are few chains and many rows: each chain is looked up by itself.
const HEADS: &str = "
WITH RECURSIVE chains AS (
    (SELECT chain FROM audit ORDER BY chain LIMIT 1)
    UNION ALL
    SELECT (SELECT audit.chain FROM audit WHERE audit.chain > chains.chain ORDER BY audit.chain LIMIT 1) FROM chains WHERE chains.chain IS NOT NULL
)
SELECT head.chain, head.number, head.hash FROM chains
CROSS JOIN LATERAL (SELECT * FROM audit WHERE audit.chain = chains.chain ORDER BY number DESC LIMIT 1) AS head ORDER BY head.chain";

fn read_hash(row: &PgRow) -> Result<Hash, StoreError> {
    row.try_get::<&[u8], _>("hash")?.try_into().map_err(|_| StoreError::Malformed("hash"))
}

fn read_head(row: &PgRow) -> Result<Head, StoreError> {
    Ok(Head {
        chain: row.try_get("chain")?,
        number: unsigned(row.try_get("number")?, "number")?,
        hash: read_hash(row)?,
    })
}

impl Store {
    /// Writes down what an operator is about to do.
    ///
    /// # Errors
    /// When the database fails: then it must not be done.
    pub async fn audit_operated(&self, operated: &Operated<'_>, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        operated_in(&mut transaction, operated, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How far the log of refusals is in its chain.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refusals_position(&self) -> Result<Position, StoreError> {
        let mut connection = self.pool.acquire().await?;
        refusals_position(&mut connection).await
    }

    /// Adds refusals to their chain, up to a position of their log. What is in it already is not added again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_refused(&self, lines: &str, up_to: Position, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        if refusals_position(&mut transaction).await? < up_to {
            append(&mut transaction, REFUSED, now, up_to, lines).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Where each chain ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_heads(&self) -> Result<Vec<Head>, StoreError> {
        sqlx::query(HEADS).fetch_all(&self.pool).await?.iter().map(read_head).collect()
    }

    /// The newest entries that match, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_entries(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT chain, number, at, line FROM audit CROSS JOIN LATERAL string_to_table(entries, E'\\n') WITH ORDINALITY AS lines (line, place)
             WHERE ($1::timestamptz IS NULL OR at >= $1) AND ($2::timestamptz IS NULL OR at < $2) AND starts_with(chain, $3)
               AND NOT EXISTS (SELECT FROM unnest($4) AS field WHERE strpos(entries, field) = 0)
               AND line <> '' AND string_to_array(line, E'\\t') @> $4
             ORDER BY at DESC, chain, number DESC, place DESC LIMIT $5",
        )
        .bind(filter.from.map(OffsetDateTime::from))
        .bind(filter.until.map(OffsetDateTime::from))
        .bind(&filter.chain)
        .bind(&filter.field)
        .bind(i64::from(filter.most))
        .fetch_all(&self.pool)
        .await?;
        let entry = |row: &PgRow| {
            Ok(AuditEntry {
                chain: row.try_get("chain")?,
                number: unsigned(row.try_get("number")?, "number")?,
                at: Timestamp::from(row.try_get::<OffsetDateTime, _>("at")?),
                fields: row.try_get::<&str, _>("line")?.split('\t').map(str::to_owned).collect(),
            })
        };
        rows.iter().map(entry).collect()
    }

    /// Recomputes every chain, compares it with what was anchored of it, and the ledger with both, in one snapshot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_verify(&self, anchors: &[Head]) -> Result<AuditVerification, StoreError> {
        const AT_A_TIME: i64 = 32;
        let mut transaction = self.pool.begin().await?;
        for statement in
            ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "SET LOCAL statement_timeout = '30min'"]
        {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        let mut anchored: BTreeMap<(&str, u64), Hash> = BTreeMap::new();
        for Head { chain, number, hash } in anchors {
            anchored.insert((chain, *number), *hash);
        }
        let mut chains = Chains::default();
        loop {
            let Head { chain, number, .. } = chains.heads.last().cloned().unwrap_or_else(Chains::before_all);
            let rows = sqlx::query(
                "SELECT *, (extract(epoch FROM at) * 1000000)::bigint AS micros FROM audit
                 WHERE (chain, number) > ($1, $2) ORDER BY chain, number LIMIT $3",
            )
            .bind(chain)
            .bind(signed(number))
            .bind(AT_A_TIME)
            .fetch_all(&mut *transaction)
            .await?;
            for row in &rows {
                let Head { chain, number, hash } = read_head(row)?;
                let (micros, position): (i64, i64) = (row.try_get("micros")?, row.try_get("position")?);
                let stated = format!("{chain}\t{number}\t{micros}\t{position}\n{}", row.try_get::<&str, _>("entries")?);
                let anchored = anchored.get(&(chain.as_str(), number)).copied();
                chains.add(Head { chain, number, hash }, &stated, anchored);
            }
            if rows.is_empty() {
                break;
            }
        }
        let (heads, mut faults) = chains.end(anchors);

        let most = i64::try_from(LISTED).unwrap_or(i64::MAX);
        let ledger = sqlx::query(LEDGER).bind(most).fetch_all(&mut *transaction).await?;
        for row in ledger {
            faults.push(AuditFault::Ledger {
                chain: row.try_get("chain")?,
                number: unsigned(row.try_get("number")?, "number")?,
                entry: row.try_get("line")?,
            });
        }
        let fates = sqlx::query(
            "SELECT (SELECT coalesce(sum(length(entries) - length(replace(entries, E'\\n', ''))), 0)::bigint
                     FROM audit WHERE starts_with(chain, 'counted.')) AS chains,
                 (SELECT count(*) FROM submission) - coalesce((
                     SELECT (split_part(entries, E'\\t', 3)::jsonb->>'fates_before')::bigint FROM audit
                     WHERE chain = 'operated' AND number = 1 AND starts_with(entries, E'migration\\tbegin\\t')), 0) AS ledger",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let (chains, ledger) = (fates.try_get("chains")?, fates.try_get::<i64, _>("ledger")?);
        if chains != ledger {
            let [ledger, chains] = [ledger, chains].map(|count| u64::try_from(count).unwrap_or(0));
            faults.push(AuditFault::Fates { ledger, chains });
        }
        transaction.rollback().await?;
        Ok(AuditVerification { heads, fates: unsigned(chains, "count")?, faults })
    }
}

pub(crate) async fn operated_in(
    connection: &mut PgConnection,
    Operated { principal, command, detail }: &Operated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    lock(connection).await?;
    append(connection, OPERATED, now, Position(0), &line(&[principal, command, &detail.to_string()])).await
}

async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(LOCK_CLASS).bind(CHAINS_LOCK).execute(connection).await?;
    Ok(())
}

async fn refusals_position(connection: &mut PgConnection) -> Result<Position, StoreError> {
    let position = sqlx::query_scalar("SELECT position FROM audit WHERE chain = $1 ORDER BY number DESC LIMIT 1");
    let position: Option<i64> = position.bind(REFUSED).fetch_optional(connection).await?;
    unsigned(position.unwrap_or(0), "position").map(Position)
}

/// The hash of a row, over the one before it, which is empty for the first, and over what the row states.
#[must_use]
pub fn link(before: &[u8], stated: &str) -> Hash {
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(stated);
    sha.finalize().into()
}

/// Chains as they are read, row by row in order.
#[derive(Debug, Default)]
pub struct Chains {
    heads: Vec<Head>,
    faults: Vec<AuditFault>,
    /// Whether the last chain has a fault: its first is enough.
    broken: bool,
}

impl Chains {
    fn before_all() -> Head {
        Head { chain: String::new(), number: 0, hash: [0; 32] }
    }

    /// The next row, with what its hash is over beside the hash before, and the hash that was anchored of it.
    pub fn add(&mut self, row: Head, stated: &str, anchored: Option<Hash>) {
        let before = self.heads.pop_if(|head| head.chain == row.chain);
        if before.is_none() {
            self.broken = false;
        }
        if !self.broken {
            let (number, hash) = before.as_ref().map_or((0, &[][..]), |before| (before.number, &before.hash[..]));
            let chain = row.chain.clone();
            let fault = if row.number != number + 1 {
                Some(AuditFault::Missing { chain, number: number + 1 })
            } else if link(hash, stated) != row.hash {
                Some(AuditFault::Changed { chain, number: row.number })
            } else if anchored.is_some_and(|anchored| anchored != row.hash) {
                Some(AuditFault::Replaced { chain, number: row.number })
            } else {
                None
            };
            self.broken = fault.is_some();
            self.faults.extend(fault);
        }
        self.heads.push(row);
    }

    /// Where the chains end and what is wrong with them, also beside the farthest that was anchored of each.
    #[must_use]
    pub fn end(mut self, anchors: &[Head]) -> (Vec<Head>, Vec<AuditFault>) {
        let mut farthest: BTreeMap<&str, u64> = BTreeMap::new();
        for Head { chain, number, .. } in anchors {
            let farthest = farthest.entry(chain).or_default();
            *farthest = (*farthest).max(*number);
        }
        for (chain, anchored) in farthest {
            let ends = self.heads.iter().find(|head| head.chain == chain).map_or(0, |head| head.number);
            if ends < anchored {
                self.faults.push(AuditFault::Cut { chain: chain.to_owned(), ends, anchored });
            }
        }
        (self.heads, self.faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_fields_does_not_stand_in_them() {
        assert_eq!(line(&["a\tb", "", "c\nd"]), "a b\t\tc d\n");
    }
}
