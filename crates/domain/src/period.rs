//! Periods: the span a report is about, named as ISO 8601 would: `20221107`, `2022W45`, `202211`, `2022Q4`, `2022S2`, `2022`.

use std::{fmt, str::FromStr};

use time::{Date, Duration, Month, Weekday};

use crate::Calendar;

/// The kinds of period, from the shortest to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeriodType {
    /// One day: `20221107`.
    Day,
    /// An ISO 8601 week, Monday to Sunday: `2022W45`.
    Week,
    /// A month: `202211`.
    Month,
    /// A quarter: `2022Q4`.
    Quarter,
    /// A half-year: `2022S2`.
    HalfYear,
    /// A year: `2022`.
    Year,
    /// Everything since the tree last changed: `latest`, or `latest20250701` where that is known to be the day. No data
    /// set is reported for it; its totals are made of shorter periods' reports.
    Latest,
}

impl PeriodType {
    /// The name used in catalogue files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::HalfYear => "half_year",
            Self::Year => "year",
            Self::Latest => "latest",
        }
    }

    /// A period of this type, to show what one looks like.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Day => "20221107",
            Self::Week => "2022W45",
            Self::Month => "202211",
            Self::Quarter => "2022Q4",
            Self::HalfYear => "2022S2",
            Self::Year => "2022",
            Self::Latest => "latest",
        }
    }

    /// The type's name in Vietnamese.
    #[must_use]
    pub const fn name_vi(self) -> &'static str {
        match self {
            Self::Day => "ngày",
            Self::Week => "tuần",
            Self::Month => "tháng",
            Self::Quarter => "quý",
            Self::HalfYear => "6 tháng",
            Self::Year => "năm",
            Self::Latest => "mới nhất",
        }
    }
}

impl fmt::Display for PeriodType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PeriodType {
    type Err = PeriodError;
    fn from_str(text: &str) -> Result<Self, PeriodError> {
        [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::HalfYear, Self::Year]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(PeriodError::Type)
    }
}

/// Why a text is not a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// It has none of the six forms.
    #[error(
        "must look like 20221107 (day), 2022W45 (week), 202211 (month), 2022Q4 (quarter), 2022S2 (half-year), 2022 (year) or latest"
    )]
    Form,
    /// It has a form, but no such day, week, month, quarter or half-year exists.
    #[error("there is no such day, week, month, quarter or half-year in that year")]
    Range,
    /// The year is outside 2000 to 2099.
    #[error("the year must be 2000 to 2099")]
    Year,
    /// A period type's name that is not known.
    #[error("must be one of day, week, month, quarter, half_year, year")]
    Type,
}

/// The days a period covers, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateSpan {
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
}

/// A period. Ordered by type, then by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    kind: PeriodType,
    year: u16,
    /// The day of the year, week, month, quarter or half-year, from 1; 1 for a year; the day of the year for `latest`.
    index: u16,
}

const YEARS: std::ops::RangeInclusive<u16> = 2000..=2099;
const FIRST_DAY: Date = time::macros::date!(2000 - 01 - 01);
const LAST_DAY: Date = time::macros::date!(2099 - 12 - 31);

impl Period {
    /// The period of that type, in that year, with that number (from 1; the day of the year for days; 1 for a year).
    ///
    /// # Errors
    /// When the year is outside 2000 to 2099 or has no such period.
    pub fn new(kind: PeriodType, year: u16, index: u16) -> Result<Self, PeriodError> {
        if !YEARS.contains(&year) {
            return Err(PeriodError::Year);
        }
        let last = match kind {
            PeriodType::Day | PeriodType::Latest => time::util::days_in_year(i32::from(year)),
            PeriodType::Week => u16::from(time::util::weeks_in_year(i32::from(year))),
            PeriodType::Month => 12,
            PeriodType::Quarter => 4,
            PeriodType::HalfYear => 2,
            PeriodType::Year => 1,
        };
        if (1..=last).contains(&index) { Ok(Self { kind, year, index }) } else { Err(PeriodError::Range) }
    }

    /// The period of that type in which a day lies. None outside of the years 2000 to 2099, and for [`PeriodType::Latest`],
    /// which no day alone decides.
    #[must_use]
    pub fn containing(kind: PeriodType, calendar: Calendar, day: Date) -> Option<Self> {
        if kind == PeriodType::Day {
            return Self::new(kind, u16::try_from(day.year()).ok()?, day.ordinal()).ok();
        }
        if kind == PeriodType::Week {
            let (year, week, _) = day.to_iso_week_date();
            return Self::new(kind, u16::try_from(year).ok()?, u16::from(week)).ok();
        }
        // From the 15th on a day belongs to the next month of the decree.
        let month_later = calendar == Calendar::Decree09 && day.day() >= 15;
        let months = u16::from(u8::from(day.month())) - 1 + u16::from(month_later);
        let (year, month) = (u16::try_from(day.year()).ok()? + months / 12, months % 12);
        let length = match kind {
            PeriodType::Month => 1,
            PeriodType::Quarter => 3,
            PeriodType::HalfYear => 6,
            PeriodType::Year => 12,
            PeriodType::Day | PeriodType::Week | PeriodType::Latest => return None,
        };
        Self::new(kind, year, month / length + 1).ok()
    }

    /// The period of that type in which a day lies, or the first there is where that is earlier.
    #[must_use]
    pub fn containing_or_first(kind: PeriodType, calendar: Calendar, day: Date) -> Option<Self> {
        Self::containing(kind, calendar, day).or_else(|| Self::new(kind, *YEARS.start(), 1).ok())
    }

    /// Everything from a day on; a day before the year 2000 is taken for the first of it.
    #[must_use]
    pub fn latest_since(day: Date) -> Self {
        let day = day.clamp(FIRST_DAY, LAST_DAY);
        let year = u16::try_from(day.year()).unwrap_or(*YEARS.start());
        Self { kind: PeriodType::Latest, year, index: day.ordinal() }
    }

    /// The period's type.
    #[must_use]
    pub const fn kind(self) -> PeriodType {
        self.kind
    }

    /// The year in the period's name.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The period of the same type just before.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        if self.index > 1 && self.kind != PeriodType::Latest {
            return Some(Self { index: self.index - 1, ..self });
        }
        if self.kind == PeriodType::Latest {
            return None;
        }
        let year = self.year - 1;
        (1..=366).rev().find_map(|index| Self::new(self.kind, year, index).ok())
    }

    /// The days the period covers in a calendar.
    #[must_use]
    pub fn span(self, calendar: Calendar) -> DateSpan {
        match self.kind {
            PeriodType::Day => {
                let day = day_of_year(self.year, self.index);
                DateSpan { first: day, last: day }
            }
            PeriodType::Week => {
                let monday = iso_monday(self.year, self.index);
                DateSpan { first: monday, last: monday + Duration::days(6) }
            }
            PeriodType::Month => self.months(calendar, 1),
            PeriodType::Quarter => self.months(calendar, 3),
            PeriodType::HalfYear => self.months(calendar, 6),
            PeriodType::Year => self.months(calendar, 12),
            PeriodType::Latest => DateSpan { first: day_of_year(self.year, self.index), last: LAST_DAY },
        }
    }

    fn months(self, calendar: Calendar, length: u16) -> DateSpan {
        let first_month = (self.index - 1) * length; // months since January of the year
        let first = first_of_month(self.year, first_month);
        let next = first_of_month(self.year, first_month + length);
        match calendar {
            Calendar::Gregorian => DateSpan { first, last: next - Duration::days(1) },
            Calendar::Decree09 => {
                DateSpan { first: fifteenth_before(first), last: fifteenth_before(next) - Duration::days(1) }
            }
        }
    }
}

// The four functions below are total over the years of `Period`: `Period::new` has checked every index.

fn day_of_year(year: u16, day: u16) -> Date {
    Date::from_ordinal_date(i32::from(year), day).unwrap_or(Date::MIN)
}

fn iso_monday(year: u16, week: u16) -> Date {
    let week = u8::try_from(week).unwrap_or(u8::MAX);
    Date::from_iso_week_date(i32::from(year), week, Weekday::Monday).unwrap_or(Date::MIN)
}

fn first_of_month(year: u16, months: u16) -> Date {
    let month = Month::January.nth_next(u8::try_from(months % 12).unwrap_or(0));
    Date::from_calendar_date(i32::from(year + months / 12), month, 1).unwrap_or(Date::MIN)
}

fn fifteenth_before(first_of_month: Date) -> Date {
    (first_of_month - Duration::days(1)).replace_day(15).unwrap_or(Date::MIN)
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        match text.strip_prefix("latest") {
            None => Self::own(text),
            Some("") => Ok(Self::latest_since(FIRST_DAY)),
            Some(day) => match Self::own(day) {
                Ok(Self { kind: PeriodType::Day, year, index }) => Ok(Self { kind: PeriodType::Latest, year, index }),
                _ => Err(PeriodError::Form),
            },
        }
    }
}

impl Period {
    /// Reads a period that is not `latest`.
    fn own(text: &str) -> Result<Self, PeriodError> {
        let bytes = text.as_bytes();
        if bytes.len() < 4 || bytes.len() > 8 || !bytes.is_ascii() {
            return Err(PeriodError::Form);
        }
        let year = number(&bytes[..4])?;
        match &bytes[4..] {
            [] => Self::new(PeriodType::Year, year, 1),
            [b'W', week @ ..] if week.len() == 2 => Self::new(PeriodType::Week, year, number(week)?),
            [b'Q', quarter] => Self::new(PeriodType::Quarter, year, number(&[*quarter])?),
            [b'S', half] => Self::new(PeriodType::HalfYear, year, number(&[*half])?),
            month if month.len() == 2 => Self::new(PeriodType::Month, year, number(month)?),
            rest if rest.len() == 4 => {
                let (month, day) = (number(&rest[..2])?, number(&rest[2..])?);
                let month =
                    u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok()).ok_or(PeriodError::Range)?;
                let day = u8::try_from(day).map_err(|_| PeriodError::Range)?;
                let date = Date::from_calendar_date(i32::from(year), month, day).map_err(|_| PeriodError::Range)?;
                Self::new(PeriodType::Day, year, date.ordinal())
            }
            _ => Err(PeriodError::Form),
        }
    }
}

/// Up to four ASCII digits as a number: no sign, no space.
fn number(digits: &[u8]) -> Result<u16, PeriodError> {
    digits.iter().try_fold(0_u16, |sum, digit| match digit {
        b'0'..=b'9' => Ok(sum * 10 + u16::from(digit - b'0')),
        _ => Err(PeriodError::Form),
    })
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, year, index } = *self;
        match kind {
            PeriodType::Day => {
                let date = day_of_year(year, index);
                write!(f, "{year}{:02}{:02}", u8::from(date.month()), date.day())
            }
            PeriodType::Week => write!(f, "{year}W{index:02}"),
            PeriodType::Month => write!(f, "{year}{index:02}"),
            PeriodType::Quarter => write!(f, "{year}Q{index}"),
            PeriodType::HalfYear => write!(f, "{year}S{index}"),
            PeriodType::Year => write!(f, "{year}"),
            PeriodType::Latest if day_of_year(year, index) == FIRST_DAY => f.write_str("latest"),
            PeriodType::Latest => write!(f, "latest{}", Self { kind: PeriodType::Day, ..*self }),
        }
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    fn span(text: &str, calendar: Calendar) -> (Date, Date) {
        let DateSpan { first, last } = text.parse::<Period>().unwrap().span(calendar);
        (first, last)
    }

    #[test]
    fn latest_is_said_once() {
        assert_eq!("latest".repeat(2).parse::<Period>(), Err(PeriodError::Form));
        assert_eq!("latest".repeat(100_000).parse::<Period>(), Err(PeriodError::Form), "however often");
        assert_eq!("latest2022".parse::<Period>(), Err(PeriodError::Form));
    }

    #[test]
    fn every_form_parses_and_prints_itself() {
        for text in [
            "20221107",
            "20240229",
            "2022W45",
            "2020W53",
            "202211",
            "2022Q4",
            "2022S2",
            "2022",
            "latest",
            "latest20250701",
        ] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for text in ["20221131", "20230229", "2022W53", "2022W00", "202213", "202200", "2022Q5", "2022Q0", "2022S3"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::Range), "{text}");
        }
        for text in ["", "22", "2022-11", "2022M11", "2022W1", "2022Q", "+202211", "20221 07", "２０２２"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::Form), "{text}");
        }
        assert_eq!("1999".parse::<Period>(), Err(PeriodError::Year));
    }

    #[test]
    fn decree_09_cuts_on_the_14th() {
        let decree = Calendar::Decree09;
        assert_eq!(span("202211", decree), (date!(2022 - 10 - 15), date!(2022 - 11 - 14)));
        assert_eq!(span("202201", decree), (date!(2021 - 12 - 15), date!(2022 - 01 - 14)));
        assert_eq!(span("2022Q4", decree), (date!(2022 - 09 - 15), date!(2022 - 12 - 14)));
        assert_eq!(span("2022S1", decree), (date!(2021 - 12 - 15), date!(2022 - 06 - 14)));
        assert_eq!(span("2022", decree), (date!(2021 - 12 - 15), date!(2022 - 12 - 14)));
        assert_eq!(span("20221107", decree), (date!(2022 - 11 - 07), date!(2022 - 11 - 07)));
    }

    #[test]
    fn the_gregorian_calendar_is_the_usual_one() {
        let usual = Calendar::Gregorian;
        assert_eq!(span("202402", usual), (date!(2024 - 02 - 01), date!(2024 - 02 - 29)));
        assert_eq!(span("2022Q4", usual), (date!(2022 - 10 - 01), date!(2022 - 12 - 31)));
        assert_eq!(span("2022S2", usual), (date!(2022 - 07 - 01), date!(2022 - 12 - 31)));
        assert_eq!(span("2022W45", usual), (date!(2022 - 11 - 07), date!(2022 - 11 - 13)));
    }

    #[test]
    fn a_day_lies_in_one_period_of_each_type() {
        let periods = |calendar, day| {
            [
                PeriodType::Day,
                PeriodType::Week,
                PeriodType::Month,
                PeriodType::Quarter,
                PeriodType::HalfYear,
                PeriodType::Year,
            ]
            .map(|kind| Period::containing(kind, calendar, day).unwrap().to_string())
        };
        assert_eq!(
            periods(Calendar::Gregorian, date!(2022 - 12 - 31)),
            ["20221231", "2022W52", "202212", "2022Q4", "2022S2", "2022"]
        );
        assert_eq!(
            periods(Calendar::Decree09, date!(2022 - 12 - 14)),
            ["20221214", "2022W50", "202212", "2022Q4", "2022S2", "2022"]
        );
        assert_eq!(
            periods(Calendar::Decree09, date!(2022 - 12 - 15)),
            ["20221215", "2022W50", "202301", "2023Q1", "2023S1", "2023"]
        );
        assert_eq!(Period::containing(PeriodType::Latest, Calendar::Gregorian, date!(2022 - 12 - 15)), None);
        for calendar in [Calendar::Gregorian, Calendar::Decree09] {
            for kind in
                [PeriodType::Day, PeriodType::Week, PeriodType::Month, PeriodType::Quarter, PeriodType::HalfYear]
            {
                for ordinal in 1..=365 {
                    let day = Date::from_ordinal_date(2023, ordinal).unwrap();
                    let DateSpan { first, last } = Period::containing(kind, calendar, day).unwrap().span(calendar);
                    assert!((first..=last).contains(&day), "{kind} {day}");
                }
            }
        }
    }

    #[test]
    fn consecutive_periods_tile_time() {
        for (text, calendar) in [
            ("202501", Calendar::Decree09),
            ("2025Q1", Calendar::Decree09),
            ("2021W01", Calendar::Gregorian),
            ("20240101", Calendar::Gregorian),
        ] {
            let period: Period = text.parse().unwrap();
            let before = period.previous().unwrap();
            assert_eq!(before.kind(), period.kind());
            assert_eq!(
                before.span(calendar).last + Duration::days(1),
                period.span(calendar).first,
                "{before} then {period}"
            );
        }
    }
}
