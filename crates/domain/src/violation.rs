//! What is wrong with a report, said so that a program can act on it and a clerk can mend it.

use std::fmt;

/// A sentence in the two languages of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// In Vietnamese.
    pub vi: String,
    /// In English.
    pub en: String,
}

/// Whether a violation stops the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The report is rejected.
    Error,
    /// The report counts, and the warning is kept with it.
    Warning,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a report is refused or rejected. The code is stable: the same in the gRPC status, the event, the database,
        /// the metric label and the log.
        ///
        #[doc = include_str!("../REASONS.md")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The reason with a code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// The request holds no report.
    ReportMissing = "REPORT_MISSING",
    /// The submission id is not a UUID.
    SubmissionIdMalformed = "SUBMISSION_ID_MALFORMED",
    /// The submission id was used before, for a report of other content.
    SubmissionIdReused = "SUBMISSION_ID_REUSED",
    /// The data set's code is not known.
    DataSetUnknown = "DATA_SET_UNKNOWN",
    /// The period is not one.
    PeriodMalformed = "PERIOD_MALFORMED",
    /// The data set is reported for periods of another type.
    PeriodTypeWrong = "PERIOD_TYPE_WRONG",
    /// The report came in before the period began.
    PeriodNotStarted = "PERIOD_NOT_STARTED",
    /// The report came in after the period was closed.
    PeriodClosed = "PERIOD_CLOSED",
    /// No org unit has the code on the period's last day.
    OrgUnitUnknown = "ORG_UNIT_UNKNOWN",
    /// Units of this level do not report the data set.
    LevelNotReporting = "LEVEL_NOT_REPORTING",
    /// Whoever sent the report may not report for the unit.
    NotGranted = "NOT_GRANTED",
    /// The revision is negative or too large.
    RevisionOutOfRange = "REVISION_OUT_OF_RANGE",
    /// A report of the same revision and other content counts already.
    RevisionConflict = "REVISION_CONFLICT",
    /// Neither values nor a withdrawal.
    ValuesMissing = "VALUES_MISSING",
    /// More values than the data set has cells.
    ValuesTooMany = "VALUES_TOO_MANY",
    /// Dense values are packed by a catalogue that is not known.
    CatalogueUnknown = "CATALOGUE_UNKNOWN",
    /// Dense values and the bitmap of the cells they are for do not fit each other, or the form.
    DenseMalformed = "DENSE_MALFORMED",
    /// A withdrawal with values.
    WithdrawalWithValues = "WITHDRAWAL_WITH_VALUES",
    /// The data set has no such cell.
    CellUnknown = "CELL_UNKNOWN",
    /// The cell occurs twice in the report.
    CellRepeated = "CELL_REPEATED",
    /// Units of this level do not fill the cell.
    CellNotForLevel = "CELL_NOT_FOR_LEVEL",
    /// The value is of another type than the data element.
    ValueTypeWrong = "VALUE_TYPE_WRONG",
    /// The number is negative where it may not be, has too many decimals, or is too large; the day is long ago or to come.
    ValueOutOfRange = "VALUE_OUT_OF_RANGE",
    /// The words are more than 4,000 characters.
    TextTooLong = "TEXT_TOO_LONG",
    /// The words have control characters in them.
    TextMalformed = "TEXT_MALFORMED",
    /// The words hold what looks like a citizen's ID number, a telephone number or an e-mail address.
    TextPersonalData = "TEXT_PERSONAL_DATA",
    /// A validation rule does not hold.
    RuleBroken = "RULE_BROKEN",
    /// The value is unlike the unit's own earlier ones. Only ever a warning.
    Outlier = "OUTLIER",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Why.
    pub reason: Reason,
    /// Whether it stops the report.
    pub severity: Severity,
    /// The field of the report, as a path: `period`, `values[3]`, `dense.values[3]`. For a rule its name, for an outlier its cell's:
    /// `svc_online[s03]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: Message,
}

/// What is wrong with one report: up to [`Violations::LIMIT`] violations, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    list: Vec<Violation>,
    omitted: u32,
}

impl Violations {
    /// How many are listed; the rest is counted.
    pub const LIMIT: usize = 100;

    /// Adds an error.
    pub(crate) fn error(
        &mut self,
        reason: Reason,
        field: impl Into<String>,
        vi: impl Into<String>,
        en: impl Into<String>,
    ) {
        let message = Message { vi: vi.into(), en: en.into() };
        self.push(Violation { reason, severity: Severity::Error, field: field.into(), message });
    }

    /// Adds a violation, or counts it once the list is full. Where there is an error, one is listed: the first takes the
    /// place of the last warning of a full list.
    pub fn push(&mut self, violation: Violation) {
        if self.list.len() < Self::LIMIT {
            self.list.push(violation);
            return;
        }
        self.omitted = self.omitted.saturating_add(1);
        if violation.severity == Severity::Error
            && !self.has_error()
            && let Some(last) = self.list.last_mut()
        {
            *last = violation;
        }
    }

    /// The violations.
    #[must_use]
    pub fn list(&self) -> &[Violation] {
        &self.list
    }

    /// How many were left out of the list.
    #[must_use]
    pub fn omitted(&self) -> u32 {
        self.omitted
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them stops the report.
    #[must_use]
    pub fn has_error(&self) -> bool {
        self.list.iter().any(|violation| violation.severity == Severity::Error)
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self { list: vec![violation], omitted: 0 }
    }
}

impl Violations {
    /// The violations as they were kept elsewhere.
    #[must_use]
    pub fn restore(list: Vec<Violation>, omitted: u32) -> Self {
        Self { list, omitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }

    #[test]
    fn a_thousand_violations_are_cut_and_counted() {
        let mut violations = Violations::default();
        for place in 0..1000 {
            violations.error(Reason::CellUnknown, format!("values[{place}]"), "", "");
        }
        assert_eq!((violations.list().len(), violations.omitted()), (100, 900));
    }

    #[test]
    fn warnings_past_the_limit_stop_nothing_and_hide_no_error() {
        let of = |severity| Violation {
            reason: Reason::RuleBroken,
            severity,
            field: String::new(),
            message: Message { vi: String::new(), en: String::new() },
        };
        let mut violations = Violations::default();
        for _ in 0..150 {
            violations.push(of(Severity::Warning));
        }
        assert!(!violations.has_error());
        violations.push(of(Severity::Error));
        violations.push(of(Severity::Error));
        assert!(violations.has_error());
        assert_eq!((violations.list().len(), violations.omitted()), (100, 52));
        assert_eq!(violations.list().iter().filter(|violation| violation.severity == Severity::Error).count(), 1);
    }
}
