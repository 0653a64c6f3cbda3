//! The fold: commune → (district) → province → national is one addition.
//!
//! A report changes from `old` to `new` (old is nothing for a first revision, new is nothing for a withdrawal). The
//! difference is added to the unit's own total and to each of its ancestors. [`Tally`] is what is added: a commutative
//! group, so the order of reports does not matter and whatever was added can be taken away again.

use rustc_hash::FxHashMap;

use crate::{
    Values, Vintage,
    catalogue::DataSet,
    tree::{LevelIx, UnitIx},
};

/// What some reports add up to, or the difference between two such sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many units' reports are in it.
    pub reported: i64,
    /// How many of them were on time.
    pub on_time: i64,
    /// How many of them have warnings.
    pub warned: i64,
    /// The sum of each cell, in the order of the data set's cells; a flag counts one for yes.
    pub sums: Vec<i64>,
    /// How many reports gave each cell a value: a sum of none is absent, not zero.
    pub contributing: Vec<i64>,
}

/// A total left the range of an `i64`. Reports within [`crate::CELL_LIMIT`] cannot bring that about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a total overflowed")]
pub struct Overflow;

impl Tally {
    /// The tally of no reports, for that many cells.
    #[must_use]
    pub fn zero(cells: usize) -> Self {
        Self { reported: 0, on_time: 0, warned: 0, sums: vec![0; cells], contributing: vec![0; cells] }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        [self.reported, self.on_time, self.warned]
            .iter()
            .chain(&self.sums)
            .chain(&self.contributing)
            .all(|number| *number == 0)
    }

    /// Adds another tally, cell by cell.
    ///
    /// # Errors
    /// When a sum leaves the range of an `i64`; the tally is then of no use.
    pub fn add(&mut self, other: &Self) -> Result<(), Overflow> {
        let plus = |a: &mut i64, b: i64| a.checked_add(b).map(|sum| *a = sum).ok_or(Overflow);
        plus(&mut self.reported, other.reported)?;
        plus(&mut self.on_time, other.on_time)?;
        plus(&mut self.warned, other.warned)?;
        // A form may have got cells at its end since one of the two was written down.
        let cells = self.sums.len().max(other.sums.len());
        self.sums.resize(cells, 0);
        self.contributing.resize(cells, 0);
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            plus(sum, *more)?;
        }
        for (count, more) in self.contributing.iter_mut().zip(&other.contributing) {
            plus(count, *more)?;
        }
        Ok(())
    }

    /// Adds one report's values, or takes them away with a `sign` of −1; `above`: as they count for the units above,
    /// that is without the cells that are kept but not added.
    fn count(&mut self, data_set: &DataSet, values: &Values, sign: i64, above: bool) {
        self.reported += sign;
        for (place, value) in values.as_slice().iter().enumerate() {
            let Some(value) = value else { continue };
            if above && !data_set.cells()[place].element.space_aggregation.is_additive() {
                continue;
            }
            // A batch holds thousands of values of at most CELL_LIMIT: their sum fits. The stored total is checked in `add`.
            self.sums[place] += sign * value;
            self.contributing[place] += sign;
        }
    }
}

/// The change of one report: what it said before and what it says now.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What counted until now.
    pub old: Option<&'a Values>,
    /// What counts from now on.
    pub new: Option<&'a Values>,
}

/// Names a total within one data set and period: a unit, and the level whose reports are added.
pub type TotalOf = (UnitIx, LevelIx);

/// Adds a unit's change to its own total and to those of all units above it. Units with nothing below them have no
/// total of their own: their report is their total.
pub fn fold(
    deltas: &mut FxHashMap<TotalOf, Tally>,
    data_set: &DataSet,
    vintage: &Vintage,
    unit: UnitIx,
    change: Change<'_>,
) {
    let level = vintage.unit(unit).level;
    for above in vintage.with_ancestors(unit).filter(|ix| !vintage.unit(*ix).is_leaf()) {
        let delta = deltas.entry((above, level)).or_insert_with(|| Tally::zero(data_set.cells().len()));
        if let Some(old) = change.old {
            delta.count(data_set, old, -1, above != unit);
        }
        if let Some(new) = change.new {
            delta.count(data_set, new, 1, above != unit);
        }
    }
}
