//! Totals counted anew from the reports they are made of: as they stood once, and report by report.
//!
//! The order in which reports came does not matter ([`crate::settle`]): of those that were there, the highest revision of each
//! key counts. So what a total was at a position of the log, or at an instant, follows from the revisions that were there by
//! then, whether they count today or not.

use std::{cmp::Reverse, collections::BTreeMap};

use rustc_hash::FxHashMap;

use crate::{
    CatalogueVersion, Catalogues, DataSetCode, Key, LevelCode, OrgUnitCode, Period, PeriodType, Values, Vintage,
    catalogue::DataSet,
    fold::{Entry, Overflow, Tally, TotalOf, fold},
    judge,
    series::{self, Filed, Place, Share},
    settle::{Accepted, SettleError},
    window,
};

/// Why totals cannot be counted anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecountError {
    /// A report names what is not to be had.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// A total left the range of an `i64`.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// Whether a revision has values and came in before the deadline, by itself: a stored one says whether any revision up to it did.
///
/// # Errors
/// When it names what is not to be had.
pub fn is_on_time(catalogues: &Catalogues, accepted: &Accepted) -> Result<bool, SettleError> {
    let place = Place::find(catalogues, accepted)?;
    let has_values = accepted.report.content.values().is_some();
    let at = accepted.provenance.received_at;
    Ok(has_values && judge::is_on_time(place.catalogue, place.data_set, &accepted.report.key, at))
}

/// The revisions that count of all that are there, in any order: of each key the highest, on time if any of them was. Of a
/// revision and its repetitions the first counts.
#[must_use]
pub fn standing(revisions: impl IntoIterator<Item = Accepted>) -> Vec<Accepted> {
    let mut standing: FxHashMap<Key, Accepted> = FxHashMap::default();
    for mut revision in revisions {
        if let Some(other) = standing.get_mut(&revision.report.key) {
            revision.on_time |= other.on_time;
            other.on_time = revision.on_time;
            let rank = |of: &Accepted| (of.report.revision, Reverse(of.provenance.position));
            if rank(&revision) > rank(other) {
                *other = revision;
            }
        } else {
            standing.insert(revision.report.key.clone(), revision);
        }
    }
    standing.into_values().collect()
}

/// Which unit's totals of which period are meant.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The form.
    pub data_set: &'a DataSetCode,
    /// One of its own periods, or a longer one.
    pub period: Period,
    /// The unit.
    pub org_unit: &'a OrgUnitCode,
}

/// The totals of a unit with units below it, by reporting level, from the reports that count: at least those of `data_set` that
/// [`may_count`] in them, for all of the period.
///
/// # Errors
/// When a report names what is not to be had, or a total leaves the range of an `i64`.
pub fn totals(
    catalogues: &Catalogues,
    of: Of<'_>,
    standing: &[Accepted],
) -> Result<Vec<(LevelCode, Tally)>, RecountError> {
    // One for each catalogue that reports were judged by: their trees differ.
    let mut sheets: Vec<(Place<'_>, FxHashMap<TotalOf, Tally>)> = Vec::new();
    for series in Files::new(catalogues, of, standing)?.series() {
        let series: Vec<_> = series.into_iter().map(|(_, filed)| filed).collect();
        for (place, entry, difference) in series::added(&series, of.period) {
            let vintage = place.vintage(of.period);
            let is_below = vintage.find(of.org_unit.as_str()).is_some_and(|unit| is_in(vintage, entry.unit, unit));
            if !is_below {
                continue;
            }
            let known = sheets.iter().position(|(other, _)| {
                std::ptr::eq(other.catalogue, place.catalogue) && std::ptr::eq(other.vintage(of.period), vintage)
            });
            let known = known.unwrap_or_else(|| {
                sheets.push((place, FxHashMap::default()));
                sheets.len() - 1
            });
            fold(&mut sheets[known].1, place.data_set, vintage, entry, &difference);
        }
    }
    let mut totals: BTreeMap<LevelCode, Tally> = BTreeMap::new();
    for (place, deltas) in sheets {
        let unit = place.vintage(of.period).find(of.org_unit.as_str());
        for ((_, level), tally) in deltas.into_iter().filter(|((of, _), _)| Some(*of) == unit) {
            let level = &place.catalogue.level(level).code;
            totals.entry(level.clone()).or_insert_with(|| Tally::zero(tally.sums.len())).add(&tally)?;
        }
    }
    Ok(totals.into_iter().filter(|(_, tally)| !tally.is_zero()).collect())
}

/// A report, and what it gives to a total.
#[derive(Clone, Debug)]
pub struct Contribution<'a> {
    /// The report.
    pub accepted: &'a Accepted,
    /// The level of the unit that reported.
    pub level: &'a LevelCode,
    /// What it gives.
    pub value: i64,
}

/// What the reports that count give to one cell of a unit's totals, by unit and period. Of a unit that has nothing below it by
/// the catalogue in use, what its own give: they are its totals.
///
/// # Errors
/// When a report names what is not to be had.
pub fn contributions<'a>(
    catalogues: &'a Catalogues,
    of: Of<'_>,
    cell: usize,
    standing: &'a [Accepted],
) -> Result<Vec<Contribution<'a>>, SettleError> {
    let files = Files::new(catalogues, of, standing)?;
    let current = catalogues.current();
    let is_leaf = current.find_data_set(of.data_set.as_str()).is_some_and(|data_set| {
        let vintage = current.vintage(data_set, of.period);
        vintage.find(of.org_unit.as_str()).is_some_and(|unit| vintage.unit(unit).is_leaf())
    });
    let mut contributions = Vec::new();
    for reports in files.series() {
        let (accepted, filed): (Vec<_>, Vec<_>) = reports.into_iter().unzip();
        for Share { at, place, entry, values, .. } in series::shares(&filed, of.period) {
            let value = values.into_iter().find(|(given, _)| *given == cell);
            if let Some((_, value)) = value.filter(|_| enters(of, place, entry, cell, is_leaf)) {
                let level = &place.catalogue.level(place.level()).code;
                contributions.push(Contribution { accepted: accepted[at], level, value });
            }
        }
    }
    Ok(contributions)
}

/// A report of a unit that has nothing below it, as it counts.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The span.
    pub period: Period,
    /// What it says; none where it is withdrawn.
    pub values: Option<&'a Values>,
    /// Whether it has values and came in before the deadline.
    pub on_time: bool,
    /// Whether it has warnings.
    pub warned: bool,
    /// The catalogue it was judged by.
    pub catalogue: &'a CatalogueVersion,
}

impl Own<'_> {
    fn place<'c>(&self, catalogues: &'c Catalogues, of: Of<'_>) -> Result<Place<'c>, SettleError> {
        let (data_set, org_unit) = (of.data_set.clone(), of.org_unit.clone());
        Place::of(catalogues, self.catalogue, &Key { data_set, period: self.period, org_unit }, self.values)
    }
}

/// Whether a report under the code of the unit that is meant is one of those that its total is made of: whether by the catalogue it
/// was judged by it lies in the period, and is the unit's that has the code at the period's end.
///
/// # Errors
/// When it names what is not to be had.
pub fn is_own(catalogues: &Catalogues, of: Of<'_>, report: Own<'_>) -> Result<bool, SettleError> {
    let place = report.place(catalogues, of)?;
    let lies_in = || place.catalogue.windows(place.data_set, place.period).contains(&of.period);
    if place.period != of.period && !lies_in() {
        return Ok(false);
    }
    let (unit, entry) = (place.vintage(of.period).find(of.org_unit.as_str()), place.entry(of.period));
    Ok(entry.is_own && unit == Some(entry.unit))
}

/// The totals of a unit with nothing below it, by reporting level: what those of its reports that [are its own](is_own) for the
/// period give, the oldest first. Cells that are kept and not added are among them.
///
/// # Errors
/// When a report names what is not to be had, or a total leaves the range of an `i64`.
pub fn own_totals(
    catalogues: &Catalogues,
    of: Of<'_>,
    reports: &[Own<'_>],
) -> Result<Vec<(LevelCode, Tally)>, RecountError> {
    let mut places = Vec::with_capacity(reports.len());
    for report in reports {
        let place = report.place(catalogues, of)?;
        places.push((place, place.catalogue.windows(place.data_set, place.period)));
    }
    let filed = reports.iter().zip(&places).filter_map(|(report, (place, windows))| {
        let Own { on_time, warned, .. } = *report;
        Some(Filed { place: *place, values: report.values?, on_time, warned, windows })
    });
    let mut totals: BTreeMap<LevelCode, Tally> = BTreeMap::new();
    for (place, entry, tally) in series::added(&filed.collect::<Vec<_>>(), of.period) {
        let level = &place.catalogue.level(entry.level).code;
        totals.entry(level.clone()).or_insert_with(|| Tally::zero(tally.sums.len())).add(&tally)?;
    }
    Ok(totals.into_iter().collect())
}

/// Whether a cell of a report gets into the totals of the unit that is meant.
fn enters(of: Of<'_>, place: Place<'_>, entry: Entry, cell: usize, is_leaf: bool) -> bool {
    let vintage = place.vintage(of.period);
    let Some(unit) = vintage.find(of.org_unit.as_str()) else { return false };
    let is_own = entry.is_own && entry.unit == unit;
    if is_leaf {
        return is_own;
    }
    let is_added = || place.data_set.cells()[cell].element.space_aggregation.is_additive();
    !vintage.unit(unit).is_leaf() && (is_own || (is_added() && is_in(vintage, entry.unit, unit)))
}

/// Whether a unit is another or below it.
fn is_in(vintage: &Vintage, unit: crate::UnitIx, above: crate::UnitIx) -> bool {
    vintage.with_ancestors(unit).any(|ix| ix == above)
}

/// Reports that count, by unit.
struct Files<'a> {
    by_unit: BTreeMap<&'a OrgUnitCode, BTreeMap<Period, &'a Accepted>>,
    catalogues: &'a Catalogues,
    windows: FxHashMap<(&'a str, Period), Vec<Period>>,
}

impl<'a> Files<'a> {
    fn new(catalogues: &'a Catalogues, of: Of<'_>, standing: &'a [Accepted]) -> Result<Self, SettleError> {
        let mut files = Self { by_unit: BTreeMap::new(), catalogues, windows: FxHashMap::default() };
        for accepted in standing.iter().filter(|accepted| accepted.report.content.values().is_some()) {
            let Key { data_set, period, org_unit } = &accepted.report.key;
            if data_set != of.data_set {
                continue;
            }
            let place = Place::find(catalogues, accepted)?;
            let name = (place.catalogue.version().as_str(), *period);
            files.windows.entry(name).or_insert_with(|| place.catalogue.windows(place.data_set, *period));
            files.by_unit.entry(org_unit).or_default().insert(*period, accepted);
        }
        Ok(files)
    }

    /// Each unit's reports, the oldest first.
    fn series(&self) -> impl Iterator<Item = Vec<(&'a Accepted, Filed<'_, 'a>)>> {
        self.by_unit.values().map(|reports| {
            let filed = reports.values().filter_map(|accepted| {
                // Found before.
                let place = Place::find(self.catalogues, accepted).ok()?;
                let windows = self.windows.get(&(place.catalogue.version().as_str(), place.period))?;
                let warned = !accepted.warnings.is_empty() || accepted.warnings.omitted() > 0;
                let values = accepted.report.content.values()?;
                Some((*accepted, Filed { place, values, on_time: accepted.on_time, warned, windows }))
            });
            filed.collect()
        })
    }
}

/// The first and the last of a data set's own periods that a period is made of; the last is none where that has no end.
#[must_use]
pub fn span(data_set: &DataSet, period: Period) -> Option<(Period, Option<Period>)> {
    if !window::is_window(data_set, period) {
        return Some((period, Some(period)));
    }
    let days = period.span(data_set.calendar());
    let own = |day| Period::containing_or_first(data_set.period_type(), data_set.calendar(), day);
    let last = (period.kind() != PeriodType::Latest).then(|| own(days.last)).flatten();
    Some((own(days.first)?, last))
}

/// The codes of the units whose reports may count in a unit's totals, sorted, by one of the catalogues; none where that is every
/// unit's. A code may have been another unit's in a part of a longer period: [`totals`] and [`contributions`] tell them apart.
#[must_use]
pub fn may_count(catalogue: &crate::Catalogue, of: Of<'_>) -> Option<Vec<OrgUnitCode>> {
    let Some(data_set) = catalogue.find_data_set(of.data_set.as_str()) else { return Some(Vec::new()) };
    let at_end = catalogue.vintage(data_set, of.period);
    let Some(unit) = at_end.find(of.org_unit.as_str()) else { return Some(Vec::new()) };
    if unit == at_end.root() {
        return None;
    }
    let mut codes: Vec<_> = at_end.subtree(unit).map(|unit| at_end.unit(unit).code.clone()).collect();
    // Units of earlier trees that are gone when a longer period ends count at one above them that remains.
    let days = of.period.span(data_set.calendar());
    if window::is_window(data_set, of.period) && of.period.kind() != PeriodType::Latest {
        let earlier = catalogue.tree().vintages_within(days.first, days.last);
        for (day, vintage) in earlier {
            for (then, _) in vintage.units() {
                let (entry, _) = catalogue.tree().continued(then, day, days.last);
                if is_in(at_end, entry, unit) {
                    codes.push(vintage.unit(then).code.clone());
                }
            }
        }
        codes.sort_unstable();
        codes.dedup();
    } else {
        codes.sort_unstable();
    }
    Some(codes)
}
