//! The sender's version number of a report.

use std::fmt;

/// A report's revision: the highest counts, whatever the order of arrival.
///
/// A sender that numbers its revisions starts at any number and goes up. For one that does not, the collector takes the
/// microsecond at which the report came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

/// A revision that is negative, or so large that no later one could follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 0 to {}", Revision::MOST)]
pub struct RevisionError;

impl Revision {
    /// The largest: the microsecond of a day in 2286. A sender who took the largest number there is could never correct.
    pub const MOST: i64 = 9_999_999_999_999_999;

    /// The revision of that number.
    ///
    /// # Errors
    /// When it is negative or above [`Revision::MOST`].
    pub const fn new(number: i64) -> Result<Self, RevisionError> {
        if number < 0 || number > Self::MOST { Err(RevisionError) } else { Ok(Self(number)) }
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
