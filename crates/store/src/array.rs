//! Arrays within arrays: PostgreSQL has none of different lengths.

/// A `bigint[]` as text, for a statement that takes many arrays of different lengths, some with nulls, at once.
pub(crate) fn array_text(numbers: &[Option<i64>]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 + 8 * numbers.len());
    text.push('{');
    for (place, number) in numbers.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        let written = match number {
            None => text.write_str("NULL"),
            Some(number) => write!(text, "{number}"),
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    text.push('}');
    text
}

/// Arrays without nulls, one behind the other, for a statement that takes each as `(numbers)[first:last]`: the server finds it at once,
/// because all numbers are of one size.
#[derive(Debug, Default)]
pub(crate) struct Chained {
    pub(crate) numbers: Vec<i64>,
    /// Where each begins, counted from 1.
    pub(crate) first: Vec<i32>,
    /// Where each ends.
    pub(crate) last: Vec<i32>,
}

impl Chained {
    pub(crate) fn of<'a>(arrays: impl Iterator<Item = &'a [i64]>) -> Self {
        let mut chained = Self::default();
        // Bounded far below: a statement has some thousands of arrays, and a form a thousand cells.
        let place = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
        for array in arrays {
            chained.first.push(place(chained.numbers.len() + 1));
            chained.numbers.extend_from_slice(array);
            chained.last.push(place(chained.numbers.len()));
        }
        chained
    }
}
