//! Days as the files write them, `2025-07-01`, and spans of them.

use time::{Date, format_description::BorrowedFormatItem, macros::format_description};

use crate::fault::{Faults, Place};

const FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// The day a text names.
pub(crate) fn read((place, column): (Place<'_>, &str), text: &str, faults: &mut Faults) -> Option<Date> {
    let day = Date::parse(text, FORMAT).ok();
    if day.is_none() {
        faults.add(place, format!("{column} `{text}` must be a day written as 2025-07-01"));
    }
    day
}

/// The first day of a span and the first day after it, each none where its text is. `whose` is what lasts so long.
pub(crate) fn read_span(
    place: Place<'_>,
    valid_from: Option<&str>,
    valid_to: Option<&str>,
    whose: &str,
    faults: &mut Faults,
) -> (Option<Date>, Option<Date>) {
    let from = valid_from.and_then(|text| read((place, "valid_from"), text, faults));
    let to = valid_to.and_then(|text| read((place, "valid_to"), text, faults));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        let what = format!("valid_to {to} must be after valid_from {from}: it is the first day {whose} is no more");
        faults.add(place, what);
    }
    (from, to)
}
