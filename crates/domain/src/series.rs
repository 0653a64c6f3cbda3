//! A unit's reports of one form over time: what a change of one of them does to the totals of its period, and of each
//! longer one it lies in.
//!
//! In a longer period what happened is added up, and of a level or a running count the unit's own latest value counts.
//! So a report that comes in takes the place of an earlier one's values, leaves those of a later one alone, and gives way
//! to the earlier one's again when it is withdrawn ([`Turn`]). [`shares`] says the same of all of them at once.

use crate::{
    Catalogue, CatalogueVersion, Catalogues, Key, LevelIx, Period, UnitIx, Values, Vintage,
    catalogue::{DataSet, TimeAggregation},
    fold::{Entry, Tally},
    settle::{Accepted, SettleError},
};

/// Where a report stands in the catalogue it was judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'c> {
    pub(crate) catalogue: &'c Catalogue,
    pub(crate) data_set: &'c DataSet,
    pub(crate) period: Period,
    /// The tree that reports the period.
    pub(crate) tree: &'c Vintage,
    /// In that tree.
    pub(crate) unit: UnitIx,
}

impl<'c> Place<'c> {
    pub(crate) fn find(catalogues: &'c Catalogues, accepted: &Accepted) -> Result<Self, SettleError> {
        let values = accepted.report.content.values();
        Self::of(catalogues, &accepted.provenance.catalogue, &accepted.report.key, values)
    }

    /// The same, of a report that says `values`.
    pub(crate) fn of(
        catalogues: &'c Catalogues,
        version: &CatalogueVersion,
        key: &Key,
        values: Option<&Values>,
    ) -> Result<Self, SettleError> {
        let catalogue = catalogues.find(version).ok_or_else(|| SettleError::Catalogue(version.clone()))?;
        let data_set = catalogue
            .find_data_set(key.data_set.as_str())
            .ok_or_else(|| SettleError::DataSet(version.clone(), key.data_set.clone()))?;
        let tree = catalogue.vintage(data_set, key.period);
        let unit = tree
            .find(key.org_unit.as_str())
            .ok_or_else(|| SettleError::OrgUnit(version.clone(), key.org_unit.clone(), key.period))?;
        let (given, cells) = (values.map_or(0, |values| values.as_slice().len()), data_set.cells().len());
        if given > cells {
            return Err(SettleError::Cells { version: version.clone(), data_set: key.data_set.clone(), given, cells });
        }
        Ok(Self { catalogue, data_set, period: key.period, tree, unit })
    }

    pub(crate) fn level(&self) -> LevelIx {
        self.tree.unit(self.unit).level
    }

    /// The tree to which a period's totals belong.
    pub(crate) fn vintage(&self, period: Period) -> &'c Vintage {
        if period == self.period || period.kind() == crate::PeriodType::Latest {
            return self.tree; // `latest` has trees of one shape
        }
        self.catalogue.vintage(self.data_set, period)
    }

    /// Where the report enters the totals of a period that it lies in.
    pub(crate) fn entry(&self, period: Period) -> Entry {
        let (unit, is_own) = self.catalogue.counts_at(self.data_set, self.unit, self.period, period);
        Entry { unit, is_own, level: self.level() }
    }

    fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.catalogue, other.catalogue)
    }
}

/// A report with values, as it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filed<'a, 'c> {
    pub(crate) place: Place<'c>,
    pub(crate) values: &'a Values,
    pub(crate) on_time: bool,
    pub(crate) warned: bool,
    /// The longer periods it lies in, by the catalogue it was judged by.
    pub(crate) windows: &'a [Period],
}

impl Filed<'_, '_> {
    pub(crate) fn lies_in(&self, window: Period) -> bool {
        self.windows.contains(&window)
    }
}

/// What is added where, to the totals of one period.
#[derive(Debug, Default)]
pub(crate) struct Differences<'c>(Vec<(Place<'c>, Entry, Tally)>);

impl<'c> Differences<'c> {
    /// The tally that goes in where a report does.
    fn at_entry(&mut self, place: Place<'c>, entry: Entry) -> &mut Tally {
        let found = self.0.iter().position(|(other, at, _)| *at == entry && place.is_same(other));
        let found = found.unwrap_or_else(|| {
            self.0.push((place, entry, Tally::zero(place.data_set.cells().len())));
            self.0.len() - 1
        });
        &mut self.0[found].2
    }
}

impl<'c> IntoIterator for Differences<'c> {
    type Item = (Place<'c>, Entry, Tally);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What one of a unit's reports gives to the totals of a period.
#[derive(Debug)]
pub(crate) struct Share<'c> {
    /// The report's place in the series.
    pub(crate) at: usize,
    pub(crate) place: Place<'c>,
    pub(crate) entry: Entry,
    /// Whether it is the report by which the unit is one that has reported.
    is_reported: bool,
    /// The cells that count, each with its value.
    pub(crate) values: Vec<(usize, i64)>,
}

/// What a unit's reports give to the totals of a period. `series` is all of them, the oldest first; the shares are in that order.
/// One of the form's own periods has all that its report says. A longer one has what happened where each report enters; of a
/// level or a running count the latest value of the unit that is there at its end; and counts that unit once.
///
/// The sum of what [`Turn::within`] says of one report after the other, in one walk.
pub(crate) fn shares<'c>(series: &[Filed<'_, 'c>], period: Period) -> Vec<Share<'c>> {
    let mut shares = Vec::new();
    // Of which cells the latest value is found.
    let (mut found, mut has_reported) = (Vec::new(), false);
    for (at, filed) in series.iter().enumerate().rev() {
        let is_its_own = filed.place.period == period;
        if !is_its_own && !filed.lies_in(period) {
            continue;
        }
        let entry = filed.place.entry(period);
        let cells = filed.place.data_set.cells();
        found.resize(cells.len().max(found.len()), false);
        let mut values = Vec::new();
        for (cell, value) in filed.values.as_slice().iter().enumerate() {
            let Some(value) = *value else { continue };
            let counts = is_its_own
                || match cells[cell].element.time_aggregation {
                    TimeAggregation::Sum => true,
                    TimeAggregation::Last => entry.is_own && !std::mem::replace(&mut found[cell], true),
                    TimeAggregation::None => false,
                };
            if counts {
                values.push((cell, value));
            }
        }
        let is_reported = entry.is_own && !std::mem::replace(&mut has_reported, true);
        shares.push(Share { at, place: filed.place, entry, is_reported, values });
    }
    shares.reverse();
    shares
}

/// What a unit's reports add to the totals of a period where nothing of theirs is in them yet: the sum of their [`shares`].
pub(crate) fn added<'c>(series: &[Filed<'_, 'c>], period: Period) -> Differences<'c> {
    let mut differences = Differences::default();
    for Share { at, place, entry, is_reported, values } in shares(series, period) {
        let tally = differences.at_entry(place, entry);
        tally.reported += i64::from(is_reported);
        if place.period == period {
            tally.on_time += i64::from(series[at].on_time);
            tally.warned += i64::from(series[at].warned);
        }
        for (cell, value) in values {
            tally.count(cell, value, 1);
        }
    }
    differences
}

/// A report in a longer period it lies in, with where it enters its totals.
#[derive(Clone, Copy, Debug)]
struct Entered<'a, 'c> {
    filed: Filed<'a, 'c>,
    entry: Entry,
}

/// A unit's report for one period as it counted and as it counts, between its reports for other periods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a, 'c> {
    pub(crate) period: Period,
    pub(crate) before: Option<Filed<'a, 'c>>,
    pub(crate) after: Option<Filed<'a, 'c>>,
    /// For earlier periods, the newest first.
    pub(crate) earlier: &'a [Filed<'a, 'c>],
    /// For later periods.
    pub(crate) later: &'a [Filed<'a, 'c>],
}

impl<'a, 'c> Turn<'a, 'c> {
    /// The longer periods whose totals it may move.
    pub(crate) fn windows(&self) -> Vec<Period> {
        let mut windows: Vec<Period> = Vec::new();
        for window in [self.before, self.after].into_iter().flatten().flat_map(|filed| filed.windows) {
            if !windows.contains(window) {
                windows.push(*window);
            }
        }
        windows
    }

    /// What it adds to the totals of its own period.
    pub(crate) fn own(&self) -> Differences<'c> {
        let mut differences = Differences::default();
        for (filed, sign) in [(self.before, -1), (self.after, 1)] {
            let Some(filed) = filed else { continue };
            let tally = differences.at_entry(filed.place, filed.place.entry(self.period));
            tally.reported += sign;
            tally.on_time += sign * i64::from(filed.on_time);
            tally.warned += sign * i64::from(filed.warned);
            for (cell, value) in filed.values.as_slice().iter().enumerate() {
                if let Some(value) = value {
                    tally.count(cell, *value, sign);
                }
            }
        }
        differences
    }

    /// What it adds to the totals of a longer period.
    pub(crate) fn within(&self, window: Period) -> Differences<'c> {
        let mut differences = Differences::default();
        // Where each enters is looked up once, and not for every cell.
        let inside =
            |filed: Filed<'a, 'c>| filed.lies_in(window).then(|| Entered { filed, entry: filed.place.entry(window) });
        let (before, after) = (self.before.and_then(inside), self.after.and_then(inside));
        for (entered, sign) in [(before, -1), (after, 1)] {
            let Some(Entered { filed, entry }) = entered else { continue };
            let cells = filed.place.data_set.cells().iter().zip(filed.values.as_slice()).enumerate();
            let given = cells.filter_map(|(at, (cell, value))| value.map(|value| (at, cell, value)));
            let mut summed = given
                .filter(|(_, cell, _)| cell.element.time_aggregation == TimeAggregation::Sum)
                .map(|(at, _, value)| (at, value))
                .peekable();
            if summed.peek().is_some() {
                let tally = differences.at_entry(filed.place, entry);
                summed.for_each(|(at, value)| tally.count(at, value, sign));
            }
        }

        // The latest value is one of a unit that is there when the window ends.
        let remains = |entered: &Entered<'a, 'c>| entered.entry.is_own;
        let (before, after) = (before.filter(remains), after.filter(remains));
        // Not only up to the first outside: another catalogue may have begun the longer period elsewhere.
        let all_inside =
            |filed: &[Filed<'a, 'c>]| -> Vec<_> { filed.iter().copied().filter_map(inside).filter(remains).collect() };
        let (earlier, later) = (all_inside(self.earlier), all_inside(self.later));
        if later.is_empty() {
            let last = earlier.first().copied();
            let (was, is) = (before.or(last), after.or(last));
            if let Some(was) = was {
                differences.at_entry(was.filed.place, was.entry).reported -= 1;
            }
            if let Some(is) = is {
                differences.at_entry(is.filed.place, is.entry).reported += 1;
            }
        }
        if before.is_none() && after.is_none() {
            return differences;
        }
        // Catalogues may differ in how many cells they know: all of them count.
        let all = before.iter().chain(&after).chain(&earlier).chain(&later);
        let Some(data_set) = all.map(|entered| entered.filed.place.data_set).max_by_key(|form| form.cells().len())
        else {
            return differences;
        };
        for (cell, _) in data_set
            .cells()
            .iter()
            .enumerate()
            .filter(|(_, cell)| cell.element.time_aggregation == TimeAggregation::Last)
        {
            let value = |entered: &Entered<'a, 'c>| entered.filed.values.get(cell).map(|value| (*entered, value));
            if later.iter().any(|entered| value(entered).is_some()) {
                continue;
            }
            let last = || earlier.iter().find_map(value);
            let was = before.as_ref().and_then(value).or_else(last);
            let is = after.as_ref().and_then(value).or_else(last);
            for (counted, sign) in [(was, -1), (is, 1)] {
                if let Some((Entered { filed, entry }, value)) = counted {
                    differences.at_entry(filed.place, entry).count(cell, value, sign);
                }
            }
        }
        differences
    }
}
