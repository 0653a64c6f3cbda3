//! Events about what became of reports.

use std::collections::BTreeMap;

use domain::{
    Catalogue, Catalogues, DataSetCode, OrgUnitCode, Period, Severity, Violation,
    catalogue::DataSet,
    judge,
    settle::{Fate, Position, Settled},
};
use messaging::{
    Exact, Outgoing,
    fates::{self, FatesData, ReportFate, VIOLATIONS_LISTED, ViolationOf},
    subjects,
};

use crate::event::{EventError, rfc3339};

/// Province and data set, none where there is none of the name that a report gives, and the fate's code.
type Subject<'c> = (Option<&'c OrgUnitCode>, Option<&'c DataSetCode>, &'static str);

/// The events of a batch: one for each province, data set and fate, unless that would be too large.
pub(crate) fn events(
    catalogues: &Catalogues,
    ledger: &[Settled],
    position: Position,
    time: &str,
) -> Result<Vec<Outgoing>, EventError> {
    let mut together: BTreeMap<Subject<'_>, (Fate, Vec<ReportFate>)> = BTreeMap::new();
    for settled in ledger {
        let catalogue = catalogues.find(&settled.provenance.catalogue).unwrap_or_else(|| catalogues.current());
        let data_set = catalogue.find_data_set(&settled.claim.data_set);
        let province = province(catalogue, data_set, settled);
        let of = (province, data_set.map(DataSet::code), settled.fate.code());
        together.entry(of).or_insert_with(|| (settled.fate, Vec::new())).1.push(report(settled)?);
    }
    let mut events = Vec::with_capacity(together.len());
    for ((province, data_set, code), (fate, reports)) in together {
        let data = FatesData {
            province: province.map_or(subjects::UNKNOWN, OrgUnitCode::as_str).to_owned(),
            data_set: data_set.map_or(subjects::UNKNOWN, DataSetCode::as_str).to_owned(),
            fate: code.to_owned(),
            log_position: position.0,
            reports,
        };
        events.extend(fates::messages(&subjects::fates(province, data_set, fate), time, data)?);
    }
    Ok(events)
}

/// The unit directly below the nation that the reporting unit is or belongs to, in the tree that reports the period; where
/// there is no such period, in that of the day on which the report came in.
fn province<'c>(catalogue: &'c Catalogue, data_set: Option<&DataSet>, settled: &Settled) -> Option<&'c OrgUnitCode> {
    let period = settled.claim.period.parse::<Period>().ok();
    let vintage = match data_set.zip(period) {
        Some((data_set, period)) => catalogue.vintage(data_set, period),
        None => catalogue.tree().on(judge::day_of(catalogue, settled.provenance.received_at)),
    };
    let unit = vintage.find(&settled.claim.org_unit)?;
    // From the root down: the nation's own reports are its own.
    let path: Vec<_> = vintage.with_ancestors(unit).collect();
    let top = path.len().checked_sub(2).map_or(unit, |below_root| path[below_root]);
    Some(&vintage.unit(top).code)
}

fn report(settled: &Settled) -> Result<ReportFate, EventError> {
    let Settled { provenance, claim, digest: _, fate: _, violations } = settled;
    let listed = violations.list().iter().take(VIOLATIONS_LISTED).map(violation).collect::<Vec<_>>();
    let more = violations.list().len() - listed.len();
    Ok(ReportFate {
        org_unit: claim.org_unit.clone(),
        data_set: claim.data_set.clone(),
        period: claim.period.clone(),
        revision: Exact(claim.revision),
        submission_id: claim.submission_id.map(|id| id.to_string()),
        received_at: rfc3339(provenance.received_at)?,
        catalogue_version: provenance.catalogue.to_string(),
        log_sequence: provenance.origin.sequence,
        log_index: provenance.origin.index,
        violations: listed,
        violations_omitted: u64::try_from(more).unwrap_or(u64::MAX).saturating_add(violations.omitted().into()),
    })
}

fn violation(Violation { reason, severity, field, message }: &Violation) -> ViolationOf {
    ViolationOf {
        reason: reason.code().to_owned(),
        severity: match severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
        }
        .to_owned(),
        field: field.clone(),
        message_vi: message.vi.clone(),
        message_en: message.en.clone(),
    }
}
