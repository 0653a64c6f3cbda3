//! How many units of each level are expected to report at and below every unit.
//!
//! Counted once for all, since the catalogue does not change while the process lives: asked of the nation it would be a
//! walk over eleven thousand units.

use domain::{Catalogue, Vintage, catalogue::DataSet};

use crate::question::Question;

/// The counts of every data set, vintage and unit; 20 bytes each with five levels.
#[derive(Debug)]
pub(crate) struct Expected {
    levels: usize,
    vintages: usize,
    /// One for each data set and vintage, the vintages of a data set together; in it the levels of a unit together.
    tables: Vec<Vec<u32>>,
}

impl Expected {
    pub(crate) fn count(catalogue: &Catalogue) -> Self {
        let vintages = catalogue.tree().vintages();
        let of_data_set = |data_set| vintages.iter().map(move |vintage| count(catalogue, data_set, vintage));
        Self {
            levels: catalogue.levels().len(),
            vintages: vintages.len(),
            tables: catalogue.data_sets().iter().flat_map(of_data_set).collect(),
        }
    }

    /// How many units are expected, for each level of the catalogue.
    pub(crate) fn of(&self, question: Question) -> &[u32] {
        let table = &self.tables[question.data_set * self.vintages + question.vintage];
        &table[question.unit.get() * self.levels..][..self.levels]
    }
}

/// Counts each unit that reports at itself and at every unit above it.
fn count(catalogue: &Catalogue, data_set: &DataSet, vintage: &Vintage) -> Vec<u32> {
    let levels = catalogue.levels().len();
    let mut table = vec![0; vintage.units().count() * levels];
    for (reporting, unit) in vintage.units().filter(|(ix, _)| catalogue.reports(data_set, vintage, *ix)) {
        for above in vintage.with_ancestors(reporting) {
            table[above.get() * levels + unit.level.get()] += 1;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;
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
}
