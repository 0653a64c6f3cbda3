//! A report that has been read: everything in it exists and is of the right type.

use std::fmt;

use crate::{DataSetCode, OrgUnitCode, Period, Revision};

/// The UUID under which a sender keeps a submission, and sends it again until its fate is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionId(pub uuid::Uuid);

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a report is about. At any instant one report counts for a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The form.
    pub data_set: DataSetCode,
    /// The span.
    pub period: Period,
    /// The unit that reports.
    pub org_unit: OrgUnitCode,
}

/// The values of a report, in the order of its data set's cells; absent is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    numbers: Vec<Option<i64>>,
    notes: Vec<Note>,
}

/// The words given for a cell that takes words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The cell's place.
    pub cell: usize,
    /// The words.
    pub text: Box<str>,
}

impl Values {
    /// Numbers and words; where there are words, the cell's number is 0.
    #[must_use]
    pub fn with_notes(numbers: Vec<Option<i64>>, notes: Vec<Note>) -> Self {
        Self { numbers, notes }
    }

    /// The value of the cell at a place, scaled by its data element's decimals.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<i64> {
        self.numbers.get(place).copied().flatten()
    }

    /// All numbers, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Option<i64>] {
        &self.numbers
    }

    /// The words, by cell.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

impl From<Vec<Option<i64>>> for Values {
    fn from(numbers: Vec<Option<i64>>) -> Self {
        Self { numbers, notes: Vec::new() }
    }
}

/// What a revision of a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These numbers.
    Values(Values),
    /// That nothing is reported any more.
    Withdrawn,
}

impl Content {
    /// The numbers, unless withdrawn.
    #[must_use]
    pub fn values(&self) -> Option<&Values> {
        match self {
            Self::Values(values) => Some(values),
            Self::Withdrawn => None,
        }
    }
}

/// One org unit's report for one data set and period, at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The sender's name for the submission.
    pub submission_id: SubmissionId,
    /// What it is about.
    pub key: Key,
    /// Which version of it.
    pub revision: Revision,
    /// What it says.
    pub content: Content,
}
