//! What is done in one transaction of the spool.

use prost::Message as _;
use proto::pb::{
    collector::v1::{Acknowledgement, Refusal},
    query::v1::GetSubmissionResponse,
    report::v1 as pb,
};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{Held, SpoolError};
use crate::{Limits, Member, Outcome, Progress, Report, SendError, SubmissionId, clock::Millis};

/// The order in which reports were spooled.
pub(crate) type Place = i64;

const SPOOLED: i64 = 0;
const ACKNOWLEDGED: i64 = 1;
const FINISHED: i64 = 2;

/// A report that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) place: Place,
    pub(crate) id: SubmissionId,
    pub(crate) lane: String,
    pub(crate) spooled_at: Millis,
    pub(crate) not_before: Millis,
}

/// An acknowledged report whose fate is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) place: Place,
    pub(crate) id: SubmissionId,
    pub(crate) spooled_at: Millis,
    pub(crate) acknowledged_at: Millis,
    /// How often it was pushed again.
    pub(crate) pushed_again: u32,
}

/// What the collector said to a report.
#[derive(Clone, Debug)]
pub(crate) enum Receipt {
    /// It is kept, and its fate is to be asked for.
    Acknowledged(Acknowledgement),
    /// Nothing more will happen.
    Finished(Outcome),
    /// It is to be sent again, and not before then.
    Postponed(Millis),
}

/// What the spool holds: the count at the start.
pub(super) fn held(connection: &Connection) -> rusqlite::Result<Held> {
    let question = "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(max(finished), 0) FROM report";
    connection.query_row(question, (), |row| {
        Ok(Held { reports: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?), finished: row.get(2)? })
    })
}

/// The tables, within a transaction.
pub(crate) struct Rows<'a> {
    connection: &'a Connection,
    held: &'a mut Held,
    limits: Limits,
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection, held: &'a mut Held, limits: Limits) -> Self {
        Self { connection, held, limits }
    }

    /// Takes a report in. One that is there already under this id is there once.
    pub(crate) fn add(&mut self, report: Report, now: Millis) -> Result<SubmissionId, SendError> {
        let (id, report) = report.identified()?;
        self.add_identified(id, &report, now)?.map(|_| id).ok_or(SendError::OtherContent(id))
    }

    /// The place of the report, new or old; none where its id belongs to a report of other content.
    fn add_identified(
        &mut self,
        id: SubmissionId,
        report: &pb::Report,
        now: Millis,
    ) -> Result<Option<Place>, SendError> {
        let body = report.encode_to_vec();
        let there = self.connection.prepare_cached("SELECT place, body = ?2 FROM report WHERE id = ?1");
        let there = there
            .map_err(SpoolError::from)?
            .query_row(params![id.bytes(), body], |row| Ok((row.get::<_, Place>(0)?, row.get::<_, bool>(1)?)));
        if let Some((place, is_same)) = there.optional().map_err(SpoolError::from)? {
            return Ok(is_same.then_some(place));
        }
        self.held.reports += 1;
        self.held.bytes += body.len() as u64;
        if self.held.reports > self.limits.reports || self.held.bytes > self.limits.bytes {
            return Err(SendError::Full(self.limits));
        }
        let insert = "INSERT INTO report (id, lane, body, spooled_at) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.connection.prepare_cached(insert).map_err(SpoolError::from)?;
        insert.execute(params![id.bytes(), report.org_unit, body, now.0]).map_err(SpoolError::from)?;
        Ok(Some(self.connection.last_insert_rowid()))
    }

    /// Takes in those reports of a batch that are not there yet, by their numbers in it.
    pub(crate) fn add_batch(&mut self, batch: &str, reports: Vec<(u32, Report)>, now: Millis) -> Result<(), SendError> {
        let too_many = |limits: Limits| SendError::TooLarge(limits);
        if reports.len() as u64 > self.limits.reports {
            return Err(too_many(self.limits));
        }
        let mut bytes = 0;
        for (number, report) in reports {
            if self.has_member(batch, number)? {
                continue;
            }
            let (id, report) = report.identified()?;
            bytes += report.encoded_len() as u64;
            if bytes > self.limits.bytes {
                return Err(too_many(self.limits));
            }
            let place = self.add_identified(id, &report, now)?;
            let insert = "INSERT INTO member (batch, number, id, report) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = self.connection.prepare_cached(insert).map_err(SpoolError::from)?;
            insert.execute(params![batch, number, id.bytes(), place]).map_err(SpoolError::from)?;
        }
        Ok(())
    }

    fn has_member(&self, batch: &str, number: u32) -> Result<bool, SpoolError> {
        let question = "SELECT 1 FROM member WHERE batch = ?1 AND number = ?2";
        Ok(self.connection.prepare_cached(question)?.exists(params![batch, number])?)
    }

    /// How far each report of a batch has come, by its number.
    pub(crate) fn batch(&self, batch: &str) -> Result<Vec<Member>, SpoolError> {
        let question = "SELECT number, member.id AS member_id, report.* FROM member LEFT JOIN report ON place = report \
                        WHERE batch = ?1 ORDER BY number";
        let mut question = self.connection.prepare_cached(question)?;
        let mut rows = question.query([batch])?;
        let mut members = Vec::new();
        while let Some(row) = rows.next()? {
            let place: Option<Place> = row.get("place")?;
            members.push(Member {
                number: row.get("number")?,
                id: read_id(&row.get::<_, Vec<u8>>("member_id")?)?,
                progress: place.map(|_| progress(row)).transpose()?,
            });
        }
        Ok(members)
    }

    /// How many reports of a batch are not finished.
    pub(crate) fn unfinished(&self, batch: &str) -> Result<u64, SpoolError> {
        let question = "SELECT count(*) FROM member JOIN report ON place = report WHERE batch = ?1 AND state <> ?2";
        let mut question = self.connection.prepare_cached(question)?;
        Ok(unsigned(question.query_row(params![batch, FINISHED], |row| row.get(0))?))
    }

    /// The names of all batches.
    pub(crate) fn batches(&self) -> Result<Vec<String>, SpoolError> {
        let mut question = self.connection.prepare_cached("SELECT DISTINCT batch FROM member ORDER BY batch")?;
        let names = question.query_map((), |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Forgets a batch, and those of its reports that are finished and in no other.
    pub(crate) fn forget_batch(&mut self, batch: &str) -> Result<(), SpoolError> {
        let places = {
            let question = "SELECT report FROM member WHERE batch = ?1 AND report IS NOT NULL";
            let mut question = self.connection.prepare_cached(question)?;
            question.query_map([batch], |row| row.get(0))?.collect::<Result<Vec<Place>, _>>()?
        };
        self.connection.prepare_cached("DELETE FROM member WHERE batch = ?1")?.execute([batch])?;
        for place in places {
            self.remove("place = ?1 AND place NOT IN (SELECT report FROM member WHERE report = ?1)", place)?;
        }
        Ok(())
    }

    /// Forgets a finished report, also where a batch has it; whether there was one.
    pub(crate) fn forget(&mut self, id: SubmissionId) -> Result<bool, SpoolError> {
        let question = "SELECT place FROM report WHERE id = ?1 AND state = ?2";
        let mut question = self.connection.prepare_cached(question)?;
        let place: Option<Place> = question.query_row(params![id.bytes(), FINISHED], |row| row.get(0)).optional()?;
        let Some(place) = place else { return Ok(false) };
        self.connection.prepare_cached("DELETE FROM member WHERE report = ?1")?.execute([place])?;
        self.remove("place = ?1", place)?;
        Ok(true)
    }

    /// Forgets what was finished before then; of a batch only when all of it was.
    pub(crate) fn sweep(&mut self, before: Millis) -> Result<(), SpoolError> {
        let old = "place IN (SELECT place FROM report AS old WHERE state = 2 AND finished_at < ?1 AND NOT EXISTS ( \
                   SELECT 1 FROM member JOIN member AS other USING (batch) JOIN report AS its ON its.place = other.report \
                   WHERE member.report = old.place AND (its.state <> 2 OR its.finished_at >= ?1)))";
        let members = format!("DELETE FROM member WHERE report IN (SELECT place FROM report WHERE {old})");
        self.connection.prepare_cached(&members)?.execute([before.0])?;
        self.remove(old, before.0)
    }

    /// Deletes the finished reports of which this holds, and counts them.
    fn remove(&mut self, which: &str, parameter: i64) -> Result<(), SpoolError> {
        let statement = format!("DELETE FROM report WHERE state = 2 AND {which} RETURNING length(body)");
        let mut statement = self.connection.prepare_cached(&statement)?;
        for bytes in statement.query_map([parameter], |row| row.get::<_, i64>(0))? {
            self.held.reports -= 1;
            self.held.bytes -= unsigned(bytes?);
        }
        Ok(())
    }

    /// Reports that are to be sent, in order, after that place; at most so many.
    pub(crate) fn waiting(&self, after: Place, most: u32) -> Result<Vec<Waiting>, SpoolError> {
        let question = "SELECT place, id, lane, spooled_at, not_before FROM report \
                        WHERE state = ?1 AND place > ?2 ORDER BY place LIMIT ?3";
        let mut question = self.connection.prepare_cached(question)?;
        let mut rows = question.query(params![SPOOLED, after, most])?;
        let mut waiting = Vec::new();
        while let Some(row) = rows.next()? {
            waiting.push(Waiting {
                place: row.get(0)?,
                id: read_id(&row.get::<_, Vec<u8>>(1)?)?,
                lane: row.get(2)?,
                spooled_at: Millis(row.get(3)?),
                not_before: Millis(row.get(4)?),
            });
        }
        Ok(waiting)
    }

    /// All acknowledged reports without a fate, in order.
    pub(crate) fn known(&self) -> Result<Vec<Known>, SpoolError> {
        let question = "SELECT place, id, spooled_at, acknowledged_at, pushed_again FROM report WHERE state = ?1 \
                        ORDER BY place";
        let mut question = self.connection.prepare_cached(question)?;
        let mut rows = question.query([ACKNOWLEDGED])?;
        let mut known = Vec::new();
        while let Some(row) = rows.next()? {
            known.push(Known {
                place: row.get(0)?,
                id: read_id(&row.get::<_, Vec<u8>>(1)?)?,
                spooled_at: Millis(row.get(2)?),
                acknowledged_at: Millis(row.get(3)?),
                pushed_again: row.get(4)?,
            });
        }
        Ok(known)
    }

    /// The reports at these places as they are to be sent, marked as sent.
    ///
    /// One that was acknowledged before keeps the revision it was given then: with a new one it would replace a correction
    /// that came after it.
    pub(crate) fn take(&mut self, places: &[Place], now: Millis) -> Result<Vec<(Place, pb::Report)>, SpoolError> {
        let mark = "UPDATE report SET sent_at = ?2 WHERE place = ?1 AND sent_at IS NULL";
        let mut mark = self.connection.prepare_cached(mark)?;
        let question = "SELECT body, acknowledgement FROM report WHERE place = ?1 AND state = 0";
        let mut question = self.connection.prepare_cached(question)?;
        let mut taken = Vec::with_capacity(places.len());
        for place in places {
            let found = question
                .query_row([place], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?)))
                .optional()?;
            let Some((body, acknowledgement)) = found else { continue };
            let mut report: pb::Report = decode(&body, "a report")?;
            if let Some(bytes) = acknowledgement {
                let Acknowledgement { revision, .. } = decode(&bytes, "an acknowledgement")?;
                report.revision = Some(revision);
            }
            mark.execute(params![place, now.0])?;
            taken.push((*place, report));
        }
        Ok(taken)
    }

    /// Notes what the collector said, or what became of reports otherwise; gives back what is to be asked for.
    pub(crate) fn note(&mut self, receipts: &[(Place, Receipt)], now: Millis) -> Result<Vec<Known>, SpoolError> {
        let mut known = Vec::new();
        for (place, receipt) in receipts {
            match receipt {
                Receipt::Postponed(until) => {
                    let update = "UPDATE report SET not_before = ?2 WHERE place = ?1";
                    self.connection.prepare_cached(update)?.execute(params![place, until.0])?;
                }
                Receipt::Acknowledged(acknowledgement) => {
                    let update = "UPDATE report SET state = ?2, acknowledged_at = ?3, acknowledgement = ?4 \
                                  WHERE place = ?1 AND state <> 2 RETURNING id, spooled_at, pushed_again";
                    let mut update = self.connection.prepare_cached(update)?;
                    let parameters = params![place, ACKNOWLEDGED, now.0, acknowledgement.encode_to_vec()];
                    let mut rows = update.query(parameters)?;
                    while let Some(row) = rows.next()? {
                        known.push(Known {
                            place: *place,
                            id: read_id(&row.get::<_, Vec<u8>>(0)?)?,
                            spooled_at: Millis(row.get(1)?),
                            acknowledged_at: now,
                            pushed_again: row.get(2)?,
                        });
                    }
                }
                Receipt::Finished(outcome) => self.finish(*place, outcome, now)?,
            }
        }
        Ok(known)
    }

    fn finish(&mut self, place: Place, outcome: &Outcome, now: Millis) -> Result<(), SpoolError> {
        let (kind, told) = written(outcome);
        let update = "UPDATE report SET state = :finished_state, finished = :finished, finished_at = :now, \
                      outcome_kind = :kind, outcome = :outcome WHERE place = :place AND state <> :finished_state";
        let changed = self.connection.prepare_cached(update)?.execute(named_params! {
            ":place": place, ":finished_state": FINISHED, ":finished": self.held.finished + 1, ":now": now.0,
            ":kind": kind, ":outcome": told,
        })?;
        self.held.finished += i64::from(changed > 0);
        Ok(())
    }

    /// Gives reports up; those that are not finished by now have an outcome that says so.
    pub(crate) fn give_up(
        &mut self,
        places: &[Place],
        now: Millis,
    ) -> Result<Vec<(SubmissionId, Outcome)>, SpoolError> {
        let mut given_up = Vec::new();
        for place in places {
            let question = "SELECT id, sent_at, acknowledgement FROM report WHERE place = ?1 AND state <> 2";
            let mut question = self.connection.prepare_cached(question)?;
            let found = question.query_row([place], |row| {
                let sent: Option<i64> = row.get(1)?;
                Ok((row.get::<_, Vec<u8>>(0)?, sent.is_some(), row.get::<_, Option<Vec<u8>>>(2)?))
            });
            let Some((id, sent, bytes)) = found.optional()? else { continue };
            let acknowledgement = bytes.map(|bytes| decode(&bytes, "an acknowledgement")).transpose()?;
            let outcome = Outcome::GivenUp { sent, acknowledgement };
            self.finish(*place, &outcome, now)?;
            given_up.push((read_id(&id)?, outcome));
        }
        Ok(given_up)
    }

    /// Ends with their acknowledgement those reports whose fate nobody can be asked for.
    pub(crate) fn finish_known(&mut self, now: Millis) -> Result<(), SpoolError> {
        let places = self.known()?.into_iter().map(|known| known.place).collect::<Vec<_>>();
        for place in places {
            let bytes: Vec<u8> = self
                .connection
                .prepare_cached("SELECT acknowledgement FROM report WHERE place = ?1")?
                .query_row([place], |row| row.get(0))?;
            let acknowledgement = decode(&bytes, "an acknowledgement")?;
            self.finish(place, &Outcome::Acknowledged(acknowledgement), now)?;
        }
        Ok(())
    }

    /// Takes up again those reports that ended with their acknowledgement: now somebody can be asked for their fate.
    pub(crate) fn ask_for_finished(&mut self) -> Result<(), SpoolError> {
        let update = "UPDATE report SET state = ?1, acknowledged_at = coalesce(acknowledged_at, finished_at), \
                      acknowledgement = outcome, finished = NULL, finished_at = NULL, outcome_kind = NULL, \
                      outcome = NULL WHERE state = ?2 AND outcome_kind = ?3";
        self.connection.prepare_cached(update)?.execute([ACKNOWLEDGED, FINISHED, ONLY_ACKNOWLEDGED])?;
        Ok(())
    }

    /// Spools acknowledged reports again that nobody knows; gives back those that are to be sent.
    pub(crate) fn push_again(&mut self, places: &[Place]) -> Result<Vec<Waiting>, SpoolError> {
        let update = "UPDATE report SET state = ?2, not_before = 0, pushed_again = pushed_again + 1 \
                      WHERE place = ?1 AND state = ?3 RETURNING id, lane, spooled_at";
        let mut update = self.connection.prepare_cached(update)?;
        let mut waiting = Vec::new();
        for place in places {
            let mut rows = update.query(params![place, SPOOLED, ACKNOWLEDGED])?;
            while let Some(row) = rows.next()? {
                waiting.push(Waiting {
                    place: *place,
                    id: read_id(&row.get::<_, Vec<u8>>(0)?)?,
                    lane: row.get(1)?,
                    spooled_at: Millis(row.get(2)?),
                    not_before: Millis::default(),
                });
            }
        }
        Ok(waiting)
    }

    /// How far a report has come.
    pub(crate) fn progress(&self, id: SubmissionId) -> Result<Option<Progress>, SpoolError> {
        let mut question = self.connection.prepare_cached("SELECT * FROM report WHERE id = ?1")?;
        let mut rows = question.query([id.bytes()])?;
        rows.next()?.map(progress).transpose()
    }

    /// The report that was finished next after that number, and its number.
    pub(crate) fn next_finished(&self, after: i64) -> Result<Option<(i64, SubmissionId, Outcome)>, SpoolError> {
        let question = "SELECT finished, id, outcome_kind, outcome FROM report WHERE finished > ?1 \
                        ORDER BY finished LIMIT 1";
        let mut question = self.connection.prepare_cached(question)?;
        let mut rows = question.query([after])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some((row.get(0)?, read_id(&row.get::<_, Vec<u8>>(1)?)?, outcome(row)?)))
    }

    /// How many reports are not finished.
    pub(crate) fn pending(&self) -> Result<u64, SpoolError> {
        let mut question = self.connection.prepare_cached("SELECT count(*) FROM report WHERE state < ?1")?;
        Ok(unsigned(question.query_row([FINISHED], |row| row.get(0))?))
    }
}

fn progress(row: &Row<'_>) -> Result<Progress, SpoolError> {
    let state: i64 = row.get("state")?;
    Ok(match state {
        SPOOLED => Progress::Spooled { sent: row.get::<_, Option<i64>>("sent_at")?.is_some() },
        ACKNOWLEDGED => {
            let bytes: Vec<u8> = row.get("acknowledgement")?;
            Progress::Acknowledged(decode(&bytes, "an acknowledgement")?)
        }
        _ => Progress::Finished(outcome(row)?),
    })
}

const REFUSED: i64 = 1;
const ONLY_ACKNOWLEDGED: i64 = 2;
const TOLD: i64 = 3;
const GIVEN_UP: i64 = 4;
const GIVEN_UP_UNSENT: i64 = 5;
const GIVEN_UP_ACKNOWLEDGED: i64 = 6;

/// An outcome as a row has it: its kind, and the message that tells it.
fn written(outcome: &Outcome) -> (i64, Vec<u8>) {
    match outcome {
        Outcome::Accepted(answer)
        | Outcome::Rejected(answer)
        | Outcome::Duplicate(answer)
        | Outcome::Superseded(answer) => (TOLD, answer.encode_to_vec()),
        Outcome::Refused(refusal) => (REFUSED, refusal.encode_to_vec()),
        Outcome::Acknowledged(acknowledgement) => (ONLY_ACKNOWLEDGED, acknowledgement.encode_to_vec()),
        Outcome::GivenUp { sent: _, acknowledgement: Some(acknowledgement) } => {
            (GIVEN_UP_ACKNOWLEDGED, acknowledgement.encode_to_vec())
        }
        Outcome::GivenUp { sent: true, acknowledgement: None } => (GIVEN_UP, Vec::new()),
        Outcome::GivenUp { sent: false, acknowledgement: None } => (GIVEN_UP_UNSENT, Vec::new()),
    }
}

fn outcome(row: &Row<'_>) -> Result<Outcome, SpoolError> {
    const WHAT: &str = "an outcome";
    let (kind, bytes): (i64, Vec<u8>) = (row.get("outcome_kind")?, row.get("outcome")?);
    let given_up = |sent, acknowledgement| Some(Outcome::GivenUp { sent, acknowledgement });
    let outcome = match kind {
        REFUSED => Some(Outcome::Refused(Box::new(decode::<Refusal>(&bytes, WHAT)?))),
        ONLY_ACKNOWLEDGED => Some(Outcome::Acknowledged(decode(&bytes, WHAT)?)),
        TOLD => Outcome::of(decode::<GetSubmissionResponse>(&bytes, WHAT)?),
        GIVEN_UP => given_up(true, None),
        GIVEN_UP_UNSENT => given_up(false, None),
        GIVEN_UP_ACKNOWLEDGED => given_up(true, Some(decode(&bytes, WHAT)?)),
        _ => None,
    };
    outcome.ok_or(SpoolError::Damaged(WHAT))
}

fn decode<M: prost::Message + Default>(bytes: &[u8], what: &'static str) -> Result<M, SpoolError> {
    M::decode(bytes).map_err(|_| SpoolError::Damaged(what))
}

fn read_id(bytes: &[u8]) -> Result<SubmissionId, SpoolError> {
    SubmissionId::of_bytes(bytes).ok_or(SpoolError::Damaged("an id"))
}

/// A count or a length, which is never below zero.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
