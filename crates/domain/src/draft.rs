//! A report as somebody claims it: words and numbers, nothing looked up yet.
//!
//! The wire's types are turned into a [`Draft`] without judging; [`crate::judge`] turns a draft into a
//! [`Report`](crate::Report) or says everything that is wrong with it.

/// A claimed report; borrows its texts from the message it came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft<'a> {
    /// The submission id, as text.
    pub submission_id: &'a str,
    /// The org unit's code.
    pub org_unit: &'a str,
    /// The data set's code.
    pub data_set: &'a str,
    /// The period's name.
    pub period: &'a str,
    /// The revision.
    pub revision: i64,
    /// Whether the report withdraws what was reported before.
    pub withdrawn: bool,
    /// The cells that are given by name.
    pub values: Vec<DraftValue<'a>>,
    /// The cells that are given by their place, where any are.
    pub dense: Option<Dense<'a>>,
}

/// Values packed in the order of the data set's cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dense<'a> {
    /// By which cells they are packed: a [`Layout`](crate::Layout), or the version of the catalogue in use.
    pub catalogue_version: &'a str,
    /// One bit for each cell, the first in the lowest bit of the first byte: set where the cell is given.
    pub present: &'a [u8],
    /// The values of the cells that are given, in order: scaled by their data elements' decimals, flags as 1 or 0, days as
    /// 20220601.
    pub values: &'a [i64],
}

/// One cell of a claimed report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DraftValue<'a> {
    /// The data element's code.
    pub element: &'a str,
    /// The option's code, empty without disaggregation.
    pub option: &'a str,
    /// What is given for it.
    pub given: Given<'a>,
}

/// A value as it is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given<'a> {
    /// Nothing: the cell is named without a value.
    Nothing,
    /// A whole number.
    Integer(i64),
    /// A number with decimals, written with a point: `92.3`.
    Decimal(&'a str),
    /// Yes or no.
    Flag(bool),
    /// A day: `2022-06-01`.
    Date(&'a str),
    /// Words.
    Text(&'a str),
}
