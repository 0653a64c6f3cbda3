//! The sender's version number of a report.

use std::fmt;

/// A report's revision: the highest counts, whatever the order of arrival.
///
/// A sender that numbers its revisions starts at any number and goes up. For one that does not, the collector takes the
/// microsecond at which the report came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

/// A revision that is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 0 or more")]
pub struct RevisionError;

impl Revision {
    /// The revision of that number.
    ///
    /// # Errors
    /// When it is negative.
    pub const fn new(number: i64) -> Result<Self, RevisionError> {
        if number < 0 { Err(RevisionError) } else { Ok(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
