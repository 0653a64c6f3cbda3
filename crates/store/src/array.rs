//! Arrays within arrays: PostgreSQL has none of different lengths, so they are sent as text.
//!
//! Rows are written with `INSERT … SELECT FROM unnest(…)` and not with `COPY`: sqlx leaves Nagle's algorithm on (TCP_NODELAY is not
//! set), and the end of a `COPY` is a small packet of its own that waits 40 ms for the server's delayed acknowledgement of the
//! one before it. Five tables a batch made that 200 ms; without it `COPY` would be some 15 % cheaper. A statement of tens of kilobytes,
//! written in several pieces, still meets that wait.

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
