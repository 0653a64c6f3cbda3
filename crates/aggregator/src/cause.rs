//! Which reports moved which totals.

use domain::{
    UnitIx,
    settle::{Settled, Sheet},
};
use messaging::{
    Exact,
    totals::{Cause, CausingReport},
};
use rustc_hash::FxHashMap;

/// How many reports moved a unit's totals, and the first of them.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    reports: usize,
    /// The places in the ledger of the first of them.
    listed: [usize; Cause::LIMIT],
    newest: usize,
}

/// What moved the totals of one sheet, by unit.
#[derive(Debug)]
pub(crate) struct Causes<'a> {
    ledger: &'a [Settled],
    moved: FxHashMap<UnitIx, Moved>,
}

impl<'a> Causes<'a> {
    /// Counts the reports for each unit that has totals.
    pub(crate) fn of(sheet: &Sheet<'_>, ledger: &'a [Settled]) -> Self {
        let mut moved: FxHashMap<UnitIx, Moved> = FxHashMap::default();
        for cause in &sheet.causes {
            for unit in cause.units(sheet.vintage).filter(|ix| !sheet.vintage.unit(*ix).is_leaf()) {
                let moved = moved.entry(unit).or_default();
                // What one report adds in several ways stands together.
                if moved.reports > 0 && moved.newest == cause.place {
                    continue;
                }
                if let Some(listed) = moved.listed.get_mut(moved.reports) {
                    *listed = cause.place;
                }
                moved.reports += 1;
                moved.newest = cause.place;
            }
        }
        Self { ledger, moved }
    }

    /// What moved the totals of a unit.
    pub(crate) fn of_unit(&self, unit: UnitIx) -> Cause {
        let Some(moved) = self.moved.get(&unit) else { return Cause::default() };
        let listed = moved.listed.iter().take(moved.reports).filter_map(|place| self.ledger.get(*place));
        Cause { reports: moved.reports, listed: listed.map(report).collect() }
    }
}

fn report(Settled { provenance, claim, .. }: &Settled) -> CausingReport {
    CausingReport {
        org_unit: claim.org_unit.clone(),
        period: claim.period.clone(),
        revision: Exact(claim.revision),
        // What counts was readable.
        submission_id: claim.submission_id.map(|id| id.to_string()).unwrap_or_default(),
        log_sequence: provenance.origin.sequence,
        log_index: provenance.origin.index,
    }
}
