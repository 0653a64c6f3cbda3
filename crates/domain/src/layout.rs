//! What tells the cells of a form from those it had before, or will have.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::{
    DataSetCode,
    catalogue::{Cell, ValueType},
};

/// The cells of a form and their order, so far as they decide what a value packed in that order means: two catalogues with
/// the same layout of a form pack its reports alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout(u64);

impl Layout {
    /// The layout of a form, and those it had before each of its cells: with none, with the first, with the first two.
    pub(crate) fn all(data_set: &DataSetCode, cells: &[Cell]) -> (Self, Vec<Self>) {
        let mut so_far = Sha256::new_with_prefix(data_set.as_str());
        let before = cells.iter().map(|cell| {
            let before = Self::of(&so_far);
            // Codes have no brackets, spaces or ends of lines.
            so_far.update(format!("\n{cell} {}", packing(cell.element.value_type)));
            before
        });
        let before = before.collect();
        (Self::of(&so_far), before)
    }

    fn of(so_far: &Sha256) -> Self {
        let digest = so_far.clone().finalize();
        Self(digest[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads a layout as it is written: 16 hexadecimal digits, in small letters.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| is_one).map(Self)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How a value is packed: whether it may be negative is a rule about it, and not a part of it.
fn packing(value_type: ValueType) -> String {
    match value_type {
        ValueType::Count | ValueType::Signed => "0".to_owned(),
        ValueType::Decimal(places) => places.to_string(),
        ValueType::Flag => "flag".to_owned(),
        ValueType::Date => "date".to_owned(),
        ValueType::Text => "text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{DataSet, DataSetParts, SpaceAggregation},
        form,
    };

    fn data_set(cells: &[(&str, ValueType)]) -> DataSet {
        form::form(cells.iter().map(|(code, kind)| form::cell(code, *kind, SpaceAggregation::Sum)).collect())
    }

    #[test]
    fn a_layout_is_told_by_what_packing_depends_on_and_by_nothing_else() {
        let [a, b] = [("a", ValueType::Count), ("b", ValueType::Decimal(1))];
        let first = data_set(&[a, b]);
        for other in [
            data_set(&[b, a]),
            data_set(&[a]),
            data_set(&[a, ("c", ValueType::Decimal(1))]),
            data_set(&[a, ("b", ValueType::Decimal(2))]),
            data_set(&[("a", ValueType::Flag), b]),
            DataSet::new(DataSetParts { code: "other".parse().unwrap(), ..first.parts().clone() }).unwrap(),
        ] {
            assert_ne!(first.layout(), other.layout(), "{:?}", other.cells());
        }
        let mut renamed = data_set(&[("a", ValueType::Signed), b]).parts().clone();
        renamed.cells[0].element.name_vi = "Số hồ sơ".to_owned();
        assert_eq!(first.layout(), DataSet::new(renamed).unwrap().layout());
    }

    #[test]
    fn the_layout_from_before_a_form_grew_is_known() {
        let [a, b, c] = [("a", ValueType::Count), ("b", ValueType::Flag), ("c", ValueType::Date)];
        let (before, after) = (data_set(&[a, b]), data_set(&[a, b, c]));
        assert_eq!(after.cells_of(before.layout()), Some(2));
        assert_eq!(after.cells_of(after.layout()), Some(3));
        assert_eq!(before.cells_of(after.layout()), None, "cells that are to come are not known");
    }

    /// It is kept by senders: what it is for some cells may not change.
    #[test]
    fn it_is_written_in_one_way() {
        let layout = data_set(&[("a", ValueType::Count)]).layout();
        // printf 'form\na 0' | sha256sum
        assert_eq!(layout.to_string(), "dd2c806480c4d5d9");
        assert_eq!(Layout::read(&layout.to_string()), Some(layout));
        for text in
            ["", "+23456789abcdef0", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "de06-2022.1-0011"]
        {
            assert_eq!(Layout::read(text), None, "{text}");
        }
    }
}
