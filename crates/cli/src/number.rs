//! Numbers and instants as people read them.

use domain::{
    Timestamp,
    number::{PLAIN, VIETNAMESE},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description, macros::offset};

/// A number scaled by ten to the power of `decimals`, as Vietnam writes it: `1.205.627`, `92,3`.
pub(crate) fn grouped(scaled: i64, decimals: u32) -> String {
    VIETNAMESE.write(scaled, decimals)
}

/// The same as programs write it: `1205627`, `92.3`.
pub(crate) fn plain(scaled: i64, decimals: u32) -> String {
    PLAIN.write(scaled, decimals)
}

/// A count as Vietnam writes it.
pub(crate) fn count(number: impl TryInto<i64>) -> String {
    grouped(number.try_into().unwrap_or(i64::MAX), 0)
}

/// The mean of `count` numbers that add up to `scaled`, rounded half away from zero to one decimal more than they have.
pub(crate) fn mean(scaled: i64, decimals: u32, count: i64) -> String {
    let (sum, count) = (i128::from(scaled) * 10, i128::from(count.max(1)));
    let rounded = (2 * sum.abs() + count) / (2 * count) * sum.signum();
    grouped(i64::try_from(rounded).unwrap_or(i64::MAX), decimals + 1)
}

/// A percentage of the wire as Vietnam writes it, without zeros at its end: `92.30` is `92,3%`.
pub(crate) fn percent(text: &str) -> String {
    let has_two_decimals = text.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 2);
    let hundredths = text.replace('.', "").parse::<i128>().ok().filter(|_| has_two_decimals);
    // As it came, where it is not what we take it for.
    let Some(hundredths) = hundredths else { return format!("{text}%") };
    let written = VIETNAMESE.write(hundredths, 2);
    format!("{}%", written.trim_end_matches('0').trim_end_matches(','))
}

/// An instant of the wire in the time of Vietnam, for people.
pub(crate) fn local_time(seconds: i64, nanos: i32) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let local = instant(seconds, nanos).to_offset(offset!(+7));
    local.format(&format).unwrap_or_default()
}

/// An instant of the wire in UTC, for programs.
pub(crate) fn rfc3339(seconds: i64, nanos: i32) -> String {
    instant(seconds, nanos).format(&Rfc3339).unwrap_or_default()
}

/// An instant in the time of Vietnam, for people.
pub(crate) fn instant_local(instant: Timestamp) -> String {
    let (seconds, nanos) = parts(instant);
    local_time(seconds, nanos)
}

/// An instant in UTC, for programs.
pub(crate) fn instant_rfc3339(instant: Timestamp) -> String {
    let (seconds, nanos) = parts(instant);
    rfc3339(seconds, nanos)
}

/// An instant in whole seconds and nanoseconds, as the wire has it.
fn parts(instant: Timestamp) -> (i64, i32) {
    let micros = instant.unix_micros();
    (micros.div_euclid(1_000_000), i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default())
}

fn instant(seconds: i64, nanos: i32) -> OffsetDateTime {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_in_vietnam() {
        for (scaled, decimals, people, programs) in [
            (0, 0, "0", "0"),
            (7, 0, "7", "7"),
            (999, 0, "999", "999"),
            (1_000, 0, "1.000", "1000"),
            (1_205_627, 0, "1.205.627", "1205627"),
            (-1_205_627, 0, "-1.205.627", "-1205627"),
            (923, 1, "92,3", "92.3"),
            (5, 2, "0,05", "0.05"),
            (-5, 1, "-0,5", "-0.5"),
            (12_345_678, 2, "123.456,78", "123456.78"),
            (i64::MIN, 0, "-9.223.372.036.854.775.808", "-9223372036854775808"),
        ] {
            assert_eq!((grouped(scaled, decimals), plain(scaled, decimals)), (people.to_owned(), programs.to_owned()));
        }
        assert_eq!(plain(1, u32::MAX).len(), 20, "what a server says does not fill the memory");
    }

    #[test]
    fn means_are_rounded_half_away_from_zero() {
        assert_eq!(mean(10, 0, 4), "2,5");
        assert_eq!(mean(1, 0, 3), "0,3");
        assert_eq!(mean(1, 0, 20), "0,1");
        assert_eq!(mean(-1, 0, 20), "-0,1");
        assert_eq!(mean(923, 1, 2), "46,15");
        assert_eq!(mean(0, 0, 0), "0,0");
    }

    #[test]
    fn percentages_end_with_their_last_digit_that_counts() {
        for (wire, people) in [
            ("92.30", "92,3%"),
            ("92.35", "92,35%"),
            ("100.00", "100%"),
            ("0.00", "0%"),
            ("0.05", "0,05%"),
            ("-0.50", "-0,5%"),
            ("120562.70", "120.562,7%"),
            ("12", "12%"),
            ("1e9", "1e9%"),
        ] {
            assert_eq!(percent(wire), people);
        }
    }

    #[test]
    fn instants_are_shown_in_the_time_of_vietnam() {
        assert_eq!(local_time(1_667_779_200, 0), "2022-11-07 07:00:00");
        assert_eq!(rfc3339(1_667_779_200, 5_000_000), "2022-11-07T00:00:00.005Z");
    }
}
