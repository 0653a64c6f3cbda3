//! The calendars by which data sets cut their periods.

use std::{fmt, str::FromStr};

/// How a data set's periods lie on the days of the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// The usual one: a month runs from its first day to its last.
    Gregorian,
    /// Decree 09/2019/NĐ-CP, article 12: a month runs from the 15th of the month before to the 14th, quarters,
    /// half-years and years likewise (a year from 15 December to 14 December). Days and weeks are as usual.
    Decree09,
}

impl Calendar {
    /// The name used in catalogue files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gregorian => "gregorian",
            Self::Decree09 => "decree09",
        }
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A calendar's name that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no calendar; `gregorian` and `decree09` are")]
pub struct UnknownCalendar(String);

impl FromStr for Calendar {
    type Err = UnknownCalendar;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "gregorian" => Ok(Self::Gregorian),
            "decree09" => Ok(Self::Decree09),
            other => Err(UnknownCalendar(other.to_owned())),
        }
    }
}
