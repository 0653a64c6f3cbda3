//! The administrative tree, as it stood on every day.
//!
//! Units come and go and change parents; a code is unique on one day, not over time. The tree is kept as a row of
//! [`Vintage`]s, one between each two days on which something changed, so that a period's end picks a vintage and
//! everything below is a plain array.

use rustc_hash::FxHashMap;
use time::Date;

use crate::OrgUnitCode;

/// A level's place in the catalogue's list of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LevelIx(u8);

impl LevelIx {
    /// The level at that place of the list.
    #[must_use]
    pub const fn new(place: u8) -> Self {
        Self(place)
    }

    /// The place in the list, from 0.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// A unit's place in a [`Vintage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitIx(u32);

impl UnitIx {
    fn new(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The place in the vintage, from 0.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// A unit's row of the catalogue: what it was from one day to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitVersion {
    /// The code in force.
    pub code: OrgUnitCode,
    /// The registry's spelling of the name.
    pub name: String,
    /// The level.
    pub level: LevelIx,
    /// The kind within the level: `xã`, `phường`, `thị trấn` … For people; no rule depends on it.
    pub kind: String,
    /// The unit above; none for the root alone.
    pub parent: Option<OrgUnitCode>,
    /// The first day, none where the beginning is unknown.
    pub valid_from: Option<Date>,
    /// The first day it is no more, none while in force.
    pub valid_to: Option<Date>,
}

/// A unit as it stands in one vintage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgUnit {
    /// The code.
    pub code: OrgUnitCode,
    /// The name.
    pub name: String,
    /// The level.
    pub level: LevelIx,
    /// The kind within the level.
    pub kind: String,
    /// The first day of its row, none where that is not known.
    pub valid_from: Option<Date>,
    /// The unit above.
    pub parent: Option<UnitIx>,
    /// The units directly below, by code.
    pub children: Vec<UnitIx>,
}

impl OrgUnit {
    /// Whether there is nothing below: such a unit's total is its own report.
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }
}

/// What keeps rows from being a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Two rows give one code on one day.
    #[error("org unit {code} is defined twice on {day}")]
    Twice {
        /// The code.
        code: OrgUnitCode,
        /// The first day on which both are valid.
        day: Date,
    },
    /// The parent does not exist on a day the child does.
    #[error("org unit {code} has parent {parent}, which does not exist on {day}")]
    Orphan {
        /// The child.
        code: OrgUnitCode,
        /// The parent that is missing.
        parent: OrgUnitCode,
        /// A day on which it is missing.
        day: Date,
    },
    /// A unit is its own ancestor.
    #[error("org unit {code} is its own ancestor on {day}")]
    Cycle {
        /// A unit on the cycle.
        code: OrgUnitCode,
        /// A day of it.
        day: Date,
    },
    /// There is not exactly one unit without a parent.
    #[error("{count} org units have no parent on {day}; exactly one must")]
    Roots {
        /// How many there are.
        count: usize,
        /// A day of it.
        day: Date,
    },
}

/// The tree over all time.
#[derive(Clone, Debug)]
pub struct OrgTree {
    /// The first day of each vintage but the first, ascending.
    boundaries: Vec<Date>,
    vintages: Vec<Vintage>,
    /// Days on which codes were given anew: the same code before and after means two units.
    recoded: Vec<Date>,
}

impl OrgTree {
    /// Builds the tree from its rows. `recoded` are the days on which codes were given anew, so that the same code before
    /// and after means two units.
    ///
    /// # Errors
    /// When on some day the rows are not one tree.
    pub fn new(rows: &[UnitVersion], recoded: Vec<Date>) -> Result<Self, TreeError> {
        let mut boundaries: Vec<Date> = rows.iter().flat_map(|row| [row.valid_from, row.valid_to]).flatten().collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        let days = std::iter::once(Date::MIN).chain(boundaries.iter().copied());
        let mut vintages = days.map(|day| Vintage::new(rows, day)).collect::<Result<Vec<_>, _>>()?;
        for place in 1..vintages.len() {
            if vintages[place].has_shape_of(&vintages[place - 1]) && !recoded.contains(&vintages[place].since) {
                vintages[place].since = vintages[place - 1].since;
            }
        }
        Ok(Self { boundaries, vintages, recoded })
    }

    /// The tree as it stood on a day.
    #[must_use]
    pub fn on(&self, day: Date) -> &Vintage {
        &self.vintages[self.place_on(day)]
    }

    /// The unit of a later (or the same) day's tree at which a unit of an earlier day's counts, and whether it is that
    /// very unit.
    ///
    /// A unit goes on as long as its row does; from one row to the next as long as its code is there at its level, unless
    /// codes were given anew in between. Where it does not, the nearest unit above it that does stands for it; the root
    /// always goes on.
    #[must_use]
    pub fn continued(&self, unit: UnitIx, from: Date, to: Date) -> (UnitIx, bool) {
        let (old, new) = (self.on(from), self.on(to));
        if std::ptr::eq(old, new) {
            return (unit, true);
        }
        let between = |day: &Date| from < *day && *day <= to;
        let recoded = self.recoded.iter().any(between);
        let (first, last) = (self.place_on(from), self.place_on(to));
        let goes_on = |ix: UnitIx| {
            let OrgUnit { code, level, valid_from, .. } = old.unit(ix);
            let on =
                |vintage: &Vintage| vintage.find(code.as_str()).filter(|found| vintage.unit(*found).level == *level);
            let throughout = || !recoded && self.vintages[first..=last].iter().all(|vintage| on(vintage).is_some());
            on(new).filter(|found| new.unit(*found).valid_from == *valid_from || throughout())
        };
        match old.with_ancestors(unit).find_map(|above| goes_on(above).map(|found| (above, found))) {
            Some((above, found)) => (found, above == unit),
            None => (new.root, unit == old.root),
        }
    }

    /// Whether a code means the same unit on both days: codes were not given anew in between, or it goes on all the same, as the
    /// root does and every unit whose row does.
    #[must_use]
    pub fn is_named_alike(&self, code: &OrgUnitCode, one: Date, other: Date) -> bool {
        let (earlier, later) = (one.min(other), one.max(other));
        if !self.recoded.iter().any(|day| earlier < *day && *day <= later) {
            return true;
        }
        let (old, new) = (self.on(earlier), self.on(later));
        match (old.find(code.as_str()), new.find(code.as_str())) {
            (Some(before), Some(after)) => {
                (before == old.root && after == new.root) || old.unit(before).valid_from == new.unit(after).valid_from
            }
            _ => false,
        }
    }

    /// The trees in force from a day to another and not on the last, the oldest first, each with a day on which it was in force.
    pub fn vintages_within(&self, first: Date, last: Date) -> impl Iterator<Item = (Date, &Vintage)> {
        let (from, to) = (self.place_on(first), self.place_on(last));
        (from..to).map(move |place| {
            let began = place.checked_sub(1).map_or(first, |before| self.boundaries[before]);
            (began.max(first), &self.vintages[place])
        })
    }

    fn place_on(&self, day: Date) -> usize {
        self.boundaries.partition_point(|boundary| *boundary <= day)
    }

    /// The first days of all vintages but the first, the oldest first.
    #[must_use]
    pub fn changed_on(&self) -> &[Date] {
        &self.boundaries
    }

    /// The days on which codes were given anew.
    #[must_use]
    pub fn recoded(&self) -> &[Date] {
        &self.recoded
    }

    /// All vintages, oldest first.
    #[must_use]
    pub fn vintages(&self) -> &[Vintage] {
        &self.vintages
    }
}

/// The tree between two changes.
#[derive(Clone, Debug)]
pub struct Vintage {
    since: Date,
    units: Vec<OrgUnit>,
    by_code: FxHashMap<OrgUnitCode, UnitIx>,
    root: UnitIx,
}

impl Vintage {
    fn new(rows: &[UnitVersion], day: Date) -> Result<Self, TreeError> {
        let in_force = |row: &&UnitVersion| {
            row.valid_from.is_none_or(|from| from <= day) && row.valid_to.is_none_or(|to| day < to)
        };
        let mut rows: Vec<&UnitVersion> = rows.iter().filter(in_force).collect();
        rows.sort_by(|a, b| a.code.cmp(&b.code));

        let mut by_code = FxHashMap::default();
        for (place, row) in rows.iter().enumerate() {
            if by_code.insert(row.code.clone(), UnitIx::new(place)).is_some() {
                return Err(TreeError::Twice { code: row.code.clone(), day });
            }
        }
        let mut units = Vec::with_capacity(rows.len());
        for row in &rows {
            let parent = match &row.parent {
                None => None,
                Some(parent) => Some(*by_code.get(parent).ok_or_else(|| TreeError::Orphan {
                    code: row.code.clone(),
                    parent: parent.clone(),
                    day,
                })?),
            };
            units.push(OrgUnit {
                code: row.code.clone(),
                name: row.name.clone(),
                level: row.level,
                kind: row.kind.clone(),
                valid_from: row.valid_from,
                parent,
                children: Vec::new(),
            });
        }
        for place in 0..units.len() {
            if let Some(parent) = units[place].parent {
                units[parent.get()].children.push(UnitIx::new(place));
            }
        }
        let roots: Vec<usize> = (0..units.len()).filter(|place| units[*place].parent.is_none()).collect();
        let [root] = roots[..] else { return Err(TreeError::Roots { count: roots.len(), day }) };
        let vintage = Self { since: day, units, by_code, root: UnitIx::new(root) };
        vintage.refuse_cycles(day)?;
        Ok(vintage)
    }

    /// One root and every unit reached from it means there is no cycle: a unit on a cycle hangs from nothing.
    fn refuse_cycles(&self, day: Date) -> Result<(), TreeError> {
        let mut reached = vec![false; self.units.len()];
        let mut next = vec![self.root];
        while let Some(unit) = next.pop() {
            reached[unit.get()] = true;
            next.extend(&self.units[unit.get()].children);
        }
        match reached.iter().position(|reached| !reached) {
            None => Ok(()),
            Some(place) => Err(TreeError::Cycle { code: self.units[place].code.clone(), day }),
        }
    }

    /// Whether both have the same units at the same places; names and kinds may differ.
    fn has_shape_of(&self, other: &Self) -> bool {
        let shape = |vintage: &Self| -> Vec<(OrgUnitCode, LevelIx, Option<UnitIx>)> {
            vintage.units.iter().map(|unit| (unit.code.clone(), unit.level, unit.parent)).collect()
        };
        self.units.len() == other.units.len() && shape(self) == shape(other)
    }

    /// Since when the tree has had this shape; the first day there is where that is not known.
    #[must_use]
    pub fn since(&self) -> Date {
        self.since
    }

    /// The unit with a code.
    #[must_use]
    pub fn find(&self, code: &str) -> Option<UnitIx> {
        self.by_code.get(code).copied()
    }

    /// The unit at a place.
    #[must_use]
    pub fn unit(&self, ix: UnitIx) -> &OrgUnit {
        &self.units[ix.get()]
    }

    /// The unit that has no parent.
    #[must_use]
    pub fn root(&self) -> UnitIx {
        self.root
    }

    /// All units, by code.
    pub fn units(&self) -> impl Iterator<Item = (UnitIx, &OrgUnit)> {
        self.units.iter().enumerate().map(|(place, unit)| (UnitIx::new(place), unit))
    }

    /// The unit itself, then the one above it, and so on to the root.
    pub fn with_ancestors(&self, ix: UnitIx) -> impl Iterator<Item = UnitIx> {
        std::iter::successors(Some(ix), |ix| self.unit(*ix).parent)
    }

    /// The unit and all units below it, parents before children.
    pub fn subtree(&self, ix: UnitIx) -> impl Iterator<Item = UnitIx> {
        let mut next = vec![ix];
        std::iter::from_fn(move || {
            let ix = next.pop()?;
            next.extend(self.unit(ix).children.iter().rev());
            Some(ix)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    fn row(code: &str, parent: &str, level: u8, from: Option<Date>, to: Option<Date>) -> UnitVersion {
        UnitVersion {
            code: code.parse().unwrap(),
            name: code.to_owned(),
            level: LevelIx::new(level),
            kind: String::new(),
            parent: (!parent.is_empty()).then(|| parent.parse().unwrap()),
            valid_from: from,
            valid_to: to,
        }
    }

    #[test]
    fn a_code_means_another_unit_after_a_reform() {
        let reform = date!(2025 - 07 - 01);
        let tree = OrgTree::new(
            &[
                row("VN", "", 0, None, None),
                row("15", "VN", 1, None, Some(reform)),
                row("10", "VN", 1, None, Some(reform)),
                row("15", "VN", 1, Some(reform), None),
                row("00001", "10", 2, None, Some(reform)),
                row("00001", "15", 2, Some(reform), None),
            ],
            vec![reform],
        )
        .unwrap();
        let parent_of = |day| {
            let vintage = tree.on(day);
            let unit = vintage.unit(vintage.find("00001").unwrap());
            vintage.unit(unit.parent.unwrap()).code.as_str().to_owned()
        };
        assert_eq!(parent_of(date!(2025 - 06 - 30)), "10");
        assert_eq!(parent_of(reform), "15");
        assert_eq!(tree.on(reform).find("10"), None);
        let vintage = tree.on(reform);
        let path: Vec<_> = vintage
            .with_ancestors(vintage.find("00001").unwrap())
            .map(|ix| vintage.unit(ix).code.to_string())
            .collect();
        assert_eq!(path, ["00001", "15", "VN"]);
        assert_eq!(vintage.subtree(vintage.root()).count(), 3);
    }

    #[test]
    fn a_unit_goes_on_under_its_code_until_codes_are_given_anew() {
        let (merger, reform) = (date!(2023 - 04 - 10), date!(2025 - 07 - 01));
        let renamed = UnitVersion { name: "renamed".to_owned(), ..row("02", "01", 2, Some(merger), Some(reform)) };
        let tree = OrgTree::new(
            &[
                row("VN", "", 0, None, None),
                row("BCA", "VN", 1, None, None),
                row("01", "VN", 1, None, Some(reform)),
                row("01", "VN", 1, Some(reform), None),
                row("02", "01", 2, None, Some(merger)),
                renamed,
                row("03", "01", 2, None, Some(merger)),
                row("02", "01", 2, Some(reform), None),
            ],
            vec![reform],
        )
        .unwrap();
        let (first, second, third) = (date!(2022 - 01 - 01), merger, reform);
        let of = |code: &str, from, to| {
            let (ix, same) = tree.continued(tree.on(from).find(code).unwrap(), from, to);
            (tree.on(to).unit(ix).code.to_string(), same)
        };
        assert_eq!(of("02", first, second), ("02".to_owned(), true), "under another name");
        assert_eq!(of("03", first, second), ("01".to_owned(), false), "merged");
        assert_eq!(of("02", second, third), ("VN".to_owned(), false), "the code is another unit's");
        assert_eq!(of("01", first, third), ("VN".to_owned(), false));
        assert_eq!(of("VN", first, third), ("VN".to_owned(), true));
        assert_eq!(of("BCA", first, third), ("BCA".to_owned(), true), "its row goes on over the day");
        assert_eq!(tree.on(first).since(), Date::MIN);
        assert_eq!(tree.on(second).since(), merger);
        assert_eq!(tree.on(third).since(), reform);
    }

    #[test]
    fn a_new_name_does_not_change_the_shape() {
        let day = date!(2026 - 01 - 01);
        let renamed = UnitVersion { name: "new".to_owned(), ..row("01", "VN", 1, Some(day), None) };
        let tree =
            OrgTree::new(&[row("VN", "", 0, None, None), row("01", "VN", 1, None, Some(day)), renamed], Vec::new());
        assert_eq!(tree.unwrap().on(day).since(), Date::MIN);
    }

    #[test]
    fn rows_that_are_no_tree_are_refused() {
        let root = || row("VN", "", 0, None, None);
        let refused = |rows: &[UnitVersion]| OrgTree::new(rows, Vec::new()).unwrap_err();
        assert!(matches!(
            refused(&[root(), row("1", "VN", 1, None, None), row("1", "VN", 1, None, None)]),
            TreeError::Twice { .. }
        ));
        assert!(matches!(refused(&[root(), row("1", "9", 1, None, None)]), TreeError::Orphan { .. }));
        assert!(matches!(
            refused(&[root(), row("1", "2", 1, None, None), row("2", "1", 1, None, None)]),
            TreeError::Cycle { .. }
        ));
        assert!(matches!(refused(&[root(), row("1", "", 1, None, None)]), TreeError::Roots { count: 2, .. }));
        // A parent that ends before its child leaves the child an orphan for the days between.
        let end = date!(2025 - 01 - 01);
        assert!(matches!(
            refused(&[root(), row("1", "VN", 1, None, Some(end)), row("2", "1", 2, None, None)]),
            TreeError::Orphan { .. }
        ));
    }
}
