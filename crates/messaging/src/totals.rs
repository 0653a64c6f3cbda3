//! TOTALS: events about totals, for anybody who may listen.
//!
//! An event carries the absolute totals of a unit, never a difference, so that a reader who misses one is right again with
//! the next.

use bytes::Bytes;
use domain::{LevelCode, OrgUnitCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Connection, Exact, ReadError,
    cloud_event::{CloudEvent, EventData},
    ordered::{Content, OrderedReader, last_position},
    subjects,
};

/// The event.
pub type TotalsEvent = CloudEvent<TotalsData>;

/// The totals of one unit for one data set and period.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotalsData {
    /// The unit's code.
    pub org_unit: String,
    /// The unit's level.
    pub level: String,
    /// The data set.
    pub data_set: String,
    /// The period.
    pub period: String,
    /// Grows by one with each event of the subject.
    pub version: i64,
    /// The version before it; 0 where there was none.
    pub previous_version: i64,
    /// Grows when totals were put right or restored, and not only counted on. Versions go on all the same.
    #[serde(default)]
    pub epoch: u64,
    /// Every verdict up to this position of the log is counted.
    pub log_position: u64,
    /// The catalogue that names the cells and counts the expected units.
    pub catalogue_version: String,
    /// What moved the totals since the version before.
    pub cause: Cause,
    /// One for each level that reports at or below the unit.
    pub levels: Vec<LevelTotals>,
}

/// The reports that moved a unit's totals from one version to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// How many there are.
    pub reports: usize,
    /// The first [`Cause::LIMIT`] of them, in the order in which they were counted.
    pub listed: Vec<CausingReport>,
}

impl Cause {
    /// How many reports are listed: a national total moves by thousands at once, and each of them would be listed in ten or
    /// more events. They are there to begin looking with; who all of them were, the query service tells.
    pub const LIMIT: usize = 3;
}

/// A report that moved a total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CausingReport {
    /// The unit that reported.
    pub org_unit: String,
    /// The period reported on: the totals' own, or one that lies in it.
    pub period: String,
    /// The sender's version number.
    pub revision: Exact,
    /// The sender's name for the submission.
    pub submission_id: String,
    /// Where it stands in the log of submitted reports, as acknowledged: the message.
    pub log_sequence: u64,
    /// The place in that message.
    pub log_index: u32,
}

/// The totals over the reports of one level.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelTotals {
    /// The reporting level.
    pub level: String,
    /// How many of its units have reported.
    pub reported: i64,
    /// How many are expected to.
    pub expected: u32,
    /// How many of the reports were on time; 0 of a longer period, which has no deadline.
    pub on_time: i64,
    /// How many of the reports have warnings; 0 of a longer period.
    pub warned: i64,
    /// The cells that at least one unit gave a value for.
    pub cells: Vec<CellTotal>,
}

/// The total of one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellTotal {
    /// The data element.
    pub data_element: String,
    /// The option, where the data element is disaggregated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// The sum, an integer scaled by ten to the power of `decimals`.
    pub sum: Exact,
    /// The decimals of `sum`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decimals: u8,
    /// How many units gave a value.
    pub contributing: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if takes a reference")]
fn is_zero(decimals: &u8) -> bool {
    *decimals == 0
}

impl EventData for TotalsData {
    const KIND: &str = "vn.tonghop.totals.v1";
    const SCHEMA: &str = "urn:tonghop:schema:totals.v1#/$defs/data";
}

impl TotalsEvent {
    /// Wraps totals for a subject, at a time in RFC 3339.
    #[must_use]
    pub fn of(subject: String, time: String, data: TotalsData) -> Self {
        let mark = data.version.to_string();
        Self::new(subject, &mark, time, data)
    }
}

/// Follows the events about totals from now on.
pub struct TotalsFeed {
    reader: OrderedReader,
}

impl std::fmt::Debug for TotalsFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotalsFeed")
    }
}

impl TotalsFeed {
    /// A feed of the events that are published after this call.
    ///
    /// # Errors
    /// When the stream was not provisioned or JetStream does not answer.
    pub async fn from_now(connection: Connection) -> Result<Self, ReadError> {
        Self::of(connection, vec![subjects::TOTALS_SUBJECTS[0].to_owned()]).await
    }

    /// A feed of the events about one unit's totals that are published after this call.
    ///
    /// # Errors
    /// When the stream was not provisioned or JetStream does not answer.
    pub async fn of_unit_from_now(
        connection: Connection,
        level: &LevelCode,
        org_unit: &OrgUnitCode,
    ) -> Result<Self, ReadError> {
        Self::of_units_from_now(connection, [(level, org_unit)]).await
    }

    /// A feed of the events about some units' totals that are published after this call. For more than one the user must be
    /// allowed to make any consumer on TOTALS: who may read of some units only asks for each.
    ///
    /// # Errors
    /// When the stream was not provisioned or JetStream does not answer.
    pub async fn of_units_from_now<'a>(
        connection: Connection,
        units: impl IntoIterator<Item = (&'a LevelCode, &'a OrgUnitCode)>,
    ) -> Result<Self, ReadError> {
        let filters = units.into_iter().map(|(level, org_unit)| subjects::totals_of(level, org_unit));
        Self::of(connection, filters.collect()).await
    }

    /// A feed of the subjects of the events that are published after this call, without their payloads: for whom it is enough
    /// to hear which totals moved.
    ///
    /// # Errors
    /// When the stream was not provisioned or JetStream does not answer.
    pub async fn subjects_from_now(connection: Connection) -> Result<Self, ReadError> {
        let Self { reader } = Self::from_now(connection).await?;
        Ok(Self { reader: reader.only(Content::Headers) })
    }

    async fn of(connection: Connection, filters: Vec<String>) -> Result<Self, ReadError> {
        let after = last_position(&connection, subjects::TOTALS).await?;
        Ok(Self { reader: OrderedReader::of_many(connection, subjects::TOTALS, filters, after) })
    }

    /// The next event's subject and its payload, where the feed has payloads; waits for as long as there is none. May be dropped while it waits.
    pub async fn next(&mut self) -> (String, Bytes) {
        let (_, message) = self.reader.next().await;
        (message.subject.to_string(), message.message.payload)
    }
}

/// An event, as far as it is read.
#[derive(Deserialize)]
struct Of<D> {
    data: D,
}

/// What is read of an event about a unit's totals that an older or newer program may have written.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    /// The data set.
    pub data_set: String,
    /// The period.
    pub period: String,
    /// The unit's code.
    pub org_unit: String,
    /// The version.
    pub version: i64,
    /// The epoch; 0 of an event from before there were any.
    #[serde(default)]
    pub epoch: u64,
    /// Up to where it was counted.
    pub log_position: u64,
    /// The levels whose reports were added.
    pub levels: Vec<ToldLevel>,
}

/// A level whose reports were added.
#[derive(Clone, Debug, Deserialize)]
pub struct ToldLevel {
    /// The level.
    pub level: String,
}

impl Connection {
    /// The version of the last event of a subject of TOTALS, none where there is none.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn last_total_version(&self, subject: &str) -> Result<Option<i64>, ReadError> {
        Ok(self.last_told(subject).await?.map(|told| told.version))
    }

    /// The last event of a subject of TOTALS, or of all that a wildcard stands for; none where there is none.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn last_told(&self, subject: &str) -> Result<Option<Told>, ReadError> {
        self.last(subject).await
    }

    /// The totals of the last event of a subject of TOTALS that this version of the program published; none where there is none.
    ///
    /// # Errors
    /// When JetStream does not answer, or another version published it.
    pub async fn last_totals(&self, subject: &str) -> Result<Option<TotalsData>, ReadError> {
        self.last(subject).await
    }

    async fn last<D: DeserializeOwned>(&self, subject: &str) -> Result<Option<D>, ReadError> {
        let broken = |error: &dyn std::fmt::Display| ReadError::new(subjects::TOTALS, error);
        let stream = self.context.get_stream_no_info(subjects::TOTALS).await.map_err(|error| broken(&error))?;
        match stream.direct_get_last_for_subject(subject).await {
            Ok(message) => {
                let event: Of<D> = serde_json::from_slice(&message.payload).map_err(|error| broken(&error))?;
                Ok(Some(event.data))
            }
            Err(error) if error.kind() == async_nats::jetstream::stream::DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(&error)),
        }
    }

    /// The last event of every subject of TOTALS.
    ///
    /// # Errors
    /// When JetStream does not answer, or something else than an event is there.
    pub async fn all_told(&self) -> Result<Vec<Told>, ReadError> {
        let broken = |error: &dyn std::fmt::Display| ReadError::new(subjects::TOTALS, error);
        let stream = self.context.get_stream(subjects::TOTALS).await.map_err(|error| broken(&error))?;
        let state = &stream.cached_info().state;
        let mut all = Vec::new();
        if state.messages == 0 {
            return Ok(all);
        }
        let mut reader = OrderedReader::new(self.clone(), subjects::TOTALS, subjects::TOTALS_SUBJECTS[0].to_owned(), 0);
        loop {
            let (position, message) = reader.next().await;
            let event: Of<Told> = serde_json::from_slice(&message.payload).map_err(|error| broken(&error))?;
            all.push(event.data);
            if position >= state.last_sequence {
                return Ok(all);
            }
        }
    }
}
