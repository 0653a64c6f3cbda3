//! The subjects and streams, spelled once.

use domain::{DataSetCode, LevelCode, OrgUnitCode, Period};

use crate::Partition;

/// The log of submitted reports.
pub(crate) const REPORTS: &str = "REPORTS";
/// The log of verdicts.
pub(crate) const VERDICTS: &str = "VERDICTS";
/// The last event of every total.
pub(crate) const TOTALS: &str = "TOTALS";

pub(crate) const REPORTS_SUBJECTS: [&str; 1] = ["reports.submitted.*"];
pub(crate) const VERDICTS_SUBJECTS: [&str; 3] = ["reports.accepted.*", "reports.rejected.*", "reports.quarantined.*"];
pub(crate) const TOTALS_SUBJECTS: [&str; 1] = ["totals.v1.>"];

/// The durable consumer that validators share.
pub(crate) const VALIDATOR: &str = "validator";

/// Where a collector's lane publishes its batches.
#[must_use]
pub fn submitted(shard: u16) -> String {
    format!("reports.submitted.{shard}")
}

pub(crate) fn accepted(partition: Partition) -> String {
    format!("reports.accepted.{partition}")
}

pub(crate) fn rejected(partition: Partition) -> String {
    format!("reports.rejected.{partition}")
}

pub(crate) fn quarantined(partition: Partition) -> String {
    format!("reports.quarantined.{partition}")
}

/// Everything about a partition.
pub(crate) fn verdicts(partition: Partition) -> String {
    format!("reports.*.{partition}")
}

/// Where the totals of a unit are published.
#[must_use]
pub fn totals(level: &LevelCode, org_unit: &OrgUnitCode, data_set: &DataSetCode, period: Period) -> String {
    format!("totals.v1.{level}.{org_unit}.{data_set}.{period}")
}
