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
    /// The cells that are given.
    pub values: Vec<DraftValue<'a>>,
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
