//! Reports as columns, for statements with arrays.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::mix::{CELLS, Kind, Mix, Order, Purity};

/// Reports that count, a row each, no unit's report on a form twice.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) data_sets: Vec<String>,
    pub(crate) periods: Vec<String>,
    pub(crate) org_units: Vec<String>,
    pub(crate) revisions: Vec<i64>,
    pub(crate) ids: Vec<Uuid>,
    /// The numbers as PostgreSQL writes an array.
    pub(crate) cells: Vec<String>,
    /// Form and commune by their places in the mix.
    pub(crate) forms: Vec<i32>,
    pub(crate) communes: Vec<i32>,
    pub(crate) numbers: Vec<[i64; CELLS]>,
}

impl Rows {
    /// The next of the mix.
    ///
    /// # Errors
    /// When all months are reported.
    pub(crate) fn next(mix: &mut Mix, count: usize) -> anyhow::Result<Self> {
        // In the order of their key, as the pipeline writes them: neighbours in a batch are neighbours in the index.
        let mut latest: BTreeMap<(usize, usize), Order> = BTreeMap::new();
        while latest.len() < count {
            let order = mix.next(Purity::Mixed)?;
            if order.kind == Kind::Counts {
                latest.insert((order.form, order.commune), order);
            }
        }
        let mut rows = Self::default();
        for order in latest.into_values() {
            let form = &mix.forms[order.form];
            let numbers = mix.numbers.of(order.form, order.commune, order.revision, order.kind);
            rows.data_sets.push(form.data_set.to_owned());
            rows.periods.push(form.period.clone());
            rows.org_units.push(mix.tree.communes[order.commune].code.clone());
            rows.revisions.push(i64::from(order.revision));
            rows.ids.push(order.id);
            rows.cells.push(array(&numbers));
            rows.forms.push(i32::try_from(order.form)?);
            rows.communes.push(i32::try_from(order.commune)?);
            rows.numbers.push(numbers);
        }
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Numbers as PostgreSQL writes an array.
pub(crate) fn array(numbers: &[i64]) -> String {
    let mut text = String::with_capacity(numbers.len() * 7 + 2);
    for number in numbers {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&number.to_string());
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::tests::small_tree;

    #[test]
    fn a_batch_has_no_report_twice_and_of_each_the_latest() {
        let mut mix = Mix::new(small_tree(), 2);
        mix.begin(5).unwrap();
        let rows = Rows::next(&mut mix, 60).unwrap();
        let keys: std::collections::BTreeSet<_> = rows.forms.iter().zip(&rows.communes).collect();
        assert_eq!((keys.len(), rows.len()), (60, 60));
        for place in 0..60 {
            let (form, commune) = (rows.forms[place], rows.communes[place]);
            let standing = mix.standing[usize::try_from(form).unwrap()][usize::try_from(commune).unwrap()];
            assert_eq!(rows.revisions[place], i64::from(standing.counts));
        }
        assert_eq!(array(&[1, -2, 30]), "{1,-2,30}");
    }
}
