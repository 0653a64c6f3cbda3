//! What the totals must be: the latest revision of each commune, added up in the plainest way there is.

use std::collections::BTreeMap;

use crate::mix::{CELLS, Kind, Mix};

/// What a unit's reports of a form add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) reported: i64,
    pub(crate) cells: [i64; CELLS],
}

impl Sum {
    const ZERO: Self = Self { reported: 0, cells: [0; CELLS] };
}

/// The sums of a form for each of these units, by their place in [`crate::mix::Tree::above`]. Units without a report have none.
pub(crate) fn sums(mix: &Mix, form: usize, wanted: &[usize]) -> BTreeMap<usize, Sum> {
    let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
    for (commune, standing) in mix.standing[form].iter().enumerate().filter(|(_, standing)| standing.counts > 0) {
        let cells = mix.numbers.of(form, commune, standing.counts, Kind::Counts);
        for above in mix.tree.communes[commune].above.iter().filter(|above| wanted.contains(above)) {
            let sum = sums.entry(*above).or_insert(Sum::ZERO);
            sum.reported += 1;
            for (total, cell) in sum.cells.iter_mut().zip(cells) {
                *total += cell;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::{Order, Purity, tests::small_tree};

    #[test]
    fn the_latest_revision_counts_once_in_every_unit_above() {
        let mut mix = Mix::new(small_tree(), 11);
        mix.begin(1).unwrap();
        let mut latest: BTreeMap<(usize, usize), Order> = BTreeMap::new();
        for _ in 0..300 {
            let order = mix.next(Purity::Mixed).unwrap();
            if order.kind != Kind::Invalid {
                let standing = latest.entry((order.form, order.commune)).or_insert(order);
                *standing = if order.revision > standing.revision { order } else { *standing };
            }
        }
        assert!(latest.values().any(|order| order.revision > 1), "the example has corrections");
        for form in 0..mix.forms.len() {
            let of_form: Vec<&Order> = latest.values().filter(|order| order.form == form).collect();
            let cells = |order: &&Order| mix.numbers.of(form, order.commune, order.revision, Kind::Counts);
            let first: i64 = of_form.iter().map(|order| cells(order)[0]).sum();
            let sums = sums(&mix, form, &[0, 2]);
            assert_eq!(sums.get(&0).map_or(0, |sum| sum.reported), i64::try_from(of_form.len()).unwrap());
            assert_eq!(sums.get(&0).map_or(0, |sum| sum.cells[0]), first);
            let second: Vec<_> =
                of_form.iter().filter(|order| order.commune >= 2).map(|order| cells(order)[39]).collect();
            assert_eq!(sums.get(&2).map(|sum| sum.cells[39]), (!second.is_empty()).then(|| second.iter().sum()));
            assert_eq!(sums.get(&1), None, "not asked for");
        }
    }
}
