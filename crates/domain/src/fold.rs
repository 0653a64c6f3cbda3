//! The fold: commune → (district) → province → national is one addition.
//!
//! A report changes from `old` to `new` (old is nothing for a first revision, new is nothing for a withdrawal). The
//! difference is added to the unit's own total and to each of its ancestors, for the report's own period and for each of
//! the longer ones it lies in. [`Tally`] is what is added: a commutative group, so the order of reports does not matter and
//! whatever was added can be taken away again.

use rustc_hash::FxHashMap;

use crate::{
    Vintage,
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
    /// How many reports gave each cell a value: a sum of none is absent, not zero. In a longer period, where a cell's latest
    /// value counts, how many units did.
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
        let counts = [self.reported, self.on_time, self.warned];
        counts.iter().chain(&self.sums).chain(&self.contributing).all(|number| *number == 0)
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

    /// Counts one value of a cell, or takes it away with a `sign` of −1.
    pub(crate) fn count(&mut self, cell: usize, value: i64, sign: i64) {
        // A batch holds thousands of values of at most CELL_LIMIT: their sum fits. The stored total is checked in `add`.
        self.sums[cell] += sign * value;
        self.contributing[cell] += sign;
    }

    /// Adds a difference that a batch makes; its numbers are those of [`Tally::count`].
    fn shift(&mut self, other: &Self, is_added: impl Fn(usize) -> bool) {
        self.reported += other.reported;
        self.on_time += other.on_time;
        self.warned += other.warned;
        for (cell, (sum, count)) in other.sums.iter().zip(&other.contributing).enumerate() {
            if (*sum, *count) != (0, 0) && is_added(cell) {
                self.sums[cell] += sum;
                self.contributing[cell] += count;
            }
        }
    }
}

/// Where a unit's numbers go into a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The unit at which they enter; from there they go up to the root.
    pub unit: UnitIx,
    /// Whether that is the reporting unit itself. Cells that are kept and not added count there alone.
    pub is_own: bool,
    /// The level of the unit that reported.
    pub level: LevelIx,
}

/// Names a total within one data set and period: a unit, and the level whose reports are added.
pub type TotalOf = (UnitIx, LevelIx);

/// Adds the difference that a unit's reports make to the total of the unit at which it enters and to those of all units
/// above it. Units with nothing below them have no total of their own: their report is their total.
pub fn fold(
    deltas: &mut FxHashMap<TotalOf, Tally>,
    data_set: &DataSet,
    vintage: &Vintage,
    entry: Entry,
    difference: &Tally,
) {
    let cells = data_set.cells();
    for above in vintage.with_ancestors(entry.unit).filter(|ix| !vintage.unit(*ix).is_leaf()) {
        let delta = deltas.entry((above, entry.level)).or_insert_with(|| Tally::zero(cells.len()));
        let is_own = entry.is_own && above == entry.unit;
        delta.shift(difference, |cell| is_own || cells[cell].element.space_aggregation.is_additive());
    }
}
