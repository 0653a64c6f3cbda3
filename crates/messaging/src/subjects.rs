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
/// The last probe of each service.
pub(crate) const PROBES: &str = "PROBES";

/// All streams.
pub(crate) const STREAMS: [&str; 6] = [REPORTS, VERDICTS, TOTALS, FATES, PROBES, AUDIT];

/// What collectors and query services refused, until it is in the audit log.
pub(crate) const AUDIT: &str = "AUDIT";
/// Where collectors tell it.
pub(crate) const AUDIT_COLLECTOR: &str = "audit.collector";
/// Where query services do.
pub(crate) const AUDIT_QUERY: &str = "audit.query";

pub(crate) const REPORTS_SUBJECTS: [&str; 1] = ["reports.submitted.*"];
pub(crate) const VERDICTS_SUBJECTS: [&str; 3] = ["reports.accepted.*", "reports.rejected.*", "reports.quarantined.*"];
pub(crate) const TOTALS_SUBJECTS: [&str; 1] = ["totals.v1.>"];
pub(crate) const FATES_SUBJECTS: [&str; 1] = ["reports.v1.>"];
pub(crate) const PROBES_SUBJECTS: [&str; 1] = ["probes.*"];
pub(crate) const AUDIT_SUBJECTS: [&str; 1] = ["audit.*"];

/// Where operators publish what is to be judged again.
pub(crate) const RETRY: &str = "reports.submitted.retry";

/// Where aggregators tell how far counting is. Of no stream.
pub(crate) const PROGRESS: &str = "progress.counted";

/// The durable consumer that validators share.
pub(crate) const VALIDATOR: &str = "validator";

/// The header that carries a message's seal.
pub(crate) const SEAL_HEADER: &str = "Tonghop-Seal";

/// Where a collector's lane publishes its batches.
#[must_use]
pub fn submitted(shard: u16) -> String {
    format!("reports.submitted.{shard}")
}

/// Where a service tries whether it can publish.
pub(crate) fn probe(service: &str) -> String {
    format!("probes.{service}")
}

/// Below which subject a user hears answers, and nobody else may.
pub(crate) fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
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

/// Where the totals of all units for a data set are published.
#[must_use]
pub fn totals_of_data_set(data_set: &DataSetCode) -> String {
    format!("totals.v1.*.*.{data_set}.*")
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
