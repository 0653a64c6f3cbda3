//! Arrays within arrays: PostgreSQL has none of different lengths, so they are sent as text.
//!
//! Rows are written with `INSERT … SELECT FROM unnest(…)` and not with `COPY`: that is one round trip and not two for each table, which
//! small batches feel. For large ones `COPY` would be some 15 % cheaper to the server.

/// A `bigint[]` as text, for statements that take many arrays of different lengths at once.
pub(crate) fn array_text(numbers: impl Iterator<Item = Option<i64>>) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("{");
    for (place, number) in numbers.enumerate() {
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
