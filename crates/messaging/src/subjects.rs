//! The subjects and streams, spelled once.

use domain::{DataSetCode, LevelCode, OrgUnitCode, Period, settle::Fate};

use crate::Partition;

/// The log of submitted reports.
pub(crate) const REPORTS: &str = "REPORTS";
/// The log of verdicts.
pub(crate) const VERDICTS: &str = "VERDICTS";
/// The last event of every total.
pub(crate) const TOTALS: &str = "TOTALS";
/// What became of the reports of the last weeks.
pub(crate) const FATES: &str = "FATES";

pub(crate) const REPORTS_SUBJECTS: [&str; 1] = ["reports.submitted.*"];
pub(crate) const VERDICTS_SUBJECTS: [&str; 3] = ["reports.accepted.*", "reports.rejected.*", "reports.quarantined.*"];
pub(crate) const TOTALS_SUBJECTS: [&str; 1] = ["totals.v1.>"];
pub(crate) const FATES_SUBJECTS: [&str; 1] = ["reports.v1.>"];

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

/// Where the fates of reports are published: of a province, a ministry or the nation itself, for a data set; none where a
/// report names what there is not.
#[must_use]
pub fn fates(province: Option<&OrgUnitCode>, data_set: Option<&DataSetCode>, fate: Fate) -> String {
    let province = province.map_or(UNKNOWN, OrgUnitCode::as_str);
    let data_set = data_set.map_or(UNKNOWN, DataSetCode::as_str);
    format!("reports.v1.{province}.{data_set}.{}", fate.code().to_ascii_lowercase())
}

/// Stands in a subject for what there is not.
pub const UNKNOWN: &str = "_";

/// Whether a subject is one of TOTALS.
#[must_use]
pub fn is_of_totals(subject: &str) -> bool {
    subject.starts_with("totals.")
}

/// Everything about a unit's totals.
pub(crate) fn totals_of(level: &LevelCode, org_unit: &OrgUnitCode) -> String {
    format!("totals.v1.{level}.{org_unit}.>")
}

/// Everything about the fates of a province's reports.
pub(crate) fn fates_of(province: &OrgUnitCode) -> String {
    format!("reports.v1.{province}.>")
}
