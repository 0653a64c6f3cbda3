#![doc = include_str!("../README.md")]

pub mod access;
mod calendar;
pub mod catalogue;
mod code;
mod digest;
pub mod draft;
pub mod fold;
#[cfg(test)]
mod form;
pub mod group;
pub mod indicator;
pub mod judge;
mod layout;
pub mod number;
pub mod outlier;
mod period;
pub mod recount;
mod report;
mod revision;
pub mod rule;
mod series;
pub mod settle;
pub mod target;
mod timestamp;
mod tree;
mod violation;
pub mod window;
pub mod words;

pub use calendar::Calendar;
pub use catalogue::{Catalogue, CatalogueVersion, Catalogues};
pub use code::{CodeError, DataElementCode, DataSetCode, IndicatorCode, LevelCode, OptionCode, OrgUnitCode};
pub use digest::ContentDigest;
pub use layout::Layout;
pub use period::{DateSpan, Period, PeriodError, PeriodType};
pub use report::{Content, Key, Note, Report, SubmissionId, Values};
pub use revision::{Revision, RevisionError};
pub use timestamp::Timestamp;
pub use tree::{LevelIx, OrgTree, OrgUnit, TreeError, UnitIx, UnitVersion, Vintage};
pub use violation::{Message, Reason, Severity, Violation, Violations};

/// The largest magnitude a reported number may have, after scaling by the data element's declared decimals: a trillion.
///
/// Nine million such numbers fit in an `i64` total: every commune of Vietnam, every day of two years. A number too large is
/// an error at the report, so that a total cannot wrap.
pub const CELL_LIMIT: i64 = 1_000_000_000_000;

const _: () = assert!(CELL_LIMIT as i128 * 9_000_000 < i64::MAX as i128, "totals of nine million values fit in an i64");
