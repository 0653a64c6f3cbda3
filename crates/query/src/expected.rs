//! How many units of each level are expected to report at and below every unit.
//!
//! Counted once for all, since the catalogue does not change while the process lives: asked of the nation it would be a
//! walk over eleven thousand units.

use domain::{
    Catalogue, UnitIx, Vintage,
    catalogue::{DataSet, LevelSet},
};

use crate::question::Question;

/// The counts of every data set, vintage and unit; 20 bytes each with five levels.
#[derive(Debug)]
pub(crate) struct Expected {
    levels: usize,
    vintages: usize,
    /// In the order of the catalogue's data sets.
    forms: Vec<Form>,
}

/// The counts of one data set.
#[derive(Debug)]
struct Form {
    /// Which of the tables is each cell's: some cells are for a part of the levels only.
    of_cell: Vec<usize>,
    /// For each distinct set of levels, that of the data set first, one for each vintage; in it the levels of a unit
    /// together.
    tables: Vec<Vec<u32>>,
}

impl Expected {
    pub(crate) fn count(catalogue: &Catalogue) -> Self {
        Self {
            levels: catalogue.levels().len(),
            vintages: catalogue.tree().vintages().len(),
            forms: catalogue.data_sets().iter().map(|data_set| Form::count(catalogue, data_set)).collect(),
        }
    }

    /// How many units are expected to report, for each level of the catalogue.
    pub(crate) fn of(&self, question: Question) -> &[u32] {
        self.table(question, 0)
    }

    /// How many units are expected to fill the cell at a place, for each level of the catalogue.
    pub(crate) fn of_cell(&self, question: Question, cell: usize) -> &[u32] {
        self.table(question, self.forms[question.data_set].of_cell[cell])
    }

    fn table(&self, question: Question, set: usize) -> &[u32] {
        let table = &self.forms[question.data_set].tables[set * self.vintages + question.vintage];
        &table[question.unit.get() * self.levels..][..self.levels]
    }
}

impl Form {
    fn count(catalogue: &Catalogue, data_set: &DataSet) -> Self {
        let mut sets: Vec<LevelSet> = vec![data_set.levels()];
        let of_cell = data_set.cells().iter().map(|cell| {
            sets.iter().position(|levels| *levels == cell.levels).unwrap_or_else(|| {
                sets.push(cell.levels);
                sets.len() - 1
            })
        });
        let of_cell: Vec<usize> = of_cell.collect();
        let tables = (0..sets.len()).flat_map(|set| {
            // A cell stands for all with its levels; without one it is for all levels of the data set.
            let cell = of_cell.iter().position(|of| *of == set).map(|place| &data_set.cells()[place]);
            catalogue.tree().vintages().iter().map(move |vintage| {
                count(catalogue, vintage, |unit| match cell {
                    Some(cell) if set > 0 => catalogue.fills(cell, vintage, unit),
                    _ => catalogue.reports(data_set, vintage, unit),
                })
            })
        });
        Self { tables: tables.collect(), of_cell }
    }
}

/// Counts each unit that is expected at itself and at every unit above it.
fn count(catalogue: &Catalogue, vintage: &Vintage, is_expected: impl Fn(UnitIx) -> bool) -> Vec<u32> {
    let levels = catalogue.levels().len();
    let mut table = vec![0; vintage.units().count() * levels];
    for (expected, unit) in vintage.units().filter(|(ix, _)| is_expected(*ix)) {
        for above in vintage.with_ancestors(expected) {
            table[above.get() * levels + unit.level.get()] += 1;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{question::Asked, tiny};
    use domain::LevelIx;

    #[test]
    fn the_counts_are_those_of_the_catalogue_for_every_unit() {
        let catalogue = tiny::catalogue();
        let expected = Expected::count(&catalogue);
        for (data_set, form) in catalogue.data_sets().iter().enumerate() {
            for (vintage, tree) in catalogue.tree().vintages().iter().enumerate() {
                for (unit, _) in tree.units() {
                    let question = Question { data_set, period: tiny::period(), vintage, unit };
                    let counted: Vec<_> = (0..)
                        .map(LevelIx::new)
                        .zip(expected.of(question).iter().copied())
                        .filter(|(_, count)| *count > 0)
                        .collect();
                    assert_eq!(counted, catalogue.expected(form, tree, unit));
                }
            }
        }
    }

    #[test]
    fn an_island_district_without_communes_is_expected_as_a_district() {
        let catalogue = tiny::catalogue();
        let expected = Expected::count(&catalogue);
        let of = |org_unit| expected.of(Question::read(&catalogue, tiny::asked(org_unit)).unwrap());
        // National, province, district, commune.
        assert_eq!(of("VN"), [0, 0, 1, 4]);
        assert_eq!(of("01"), [0, 0, 1, 2]);
        assert_eq!(of("012"), [0, 0, 1, 0], "the island");
        assert_eq!(of("02"), [0, 0, 0, 2]);
        assert_eq!(of("00001"), [0, 0, 0, 1]);
    }

    #[test]
    fn a_cell_of_some_levels_is_expected_of_those_alone() {
        let catalogue = tiny::catalogue();
        let expected = Expected::count(&catalogue);
        let asked = |org_unit| Asked { org_unit, data_set: "services", period: "202211" };
        let of = |org_unit, cell| {
            let question = Question::read(&catalogue, asked(org_unit)).unwrap();
            (expected.of(question).to_vec(), expected.of_cell(question, cell).to_vec())
        };
        assert_eq!(of("VN", tiny::RECEIVED_S01), (vec![0, 2, 1, 4], vec![0, 0, 1, 4]), "communes, and the island");
        assert_eq!(of("01", tiny::PLAN), (vec![0, 1, 1, 2], vec![0, 1, 0, 0]), "the province alone");
    }
}
