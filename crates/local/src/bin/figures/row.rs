//! A published figure as its file has it.

use std::path::Path;

use anyhow::Context as _;
use domain::{Calendar, Period, PeriodType};
use time::{Date, Month};

/// A row of the file.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// A data element or an indicator.
    pub(crate) indicator_code: String,
    /// `list=qd422`: an option. `level=province+district`: the levels whose reports are meant.
    pub(crate) dimension: String,
    pub(crate) unit_code: String,
    /// The day, or the month, at whose end the figure stood.
    pub(crate) as_of: String,
    /// The span within which it came about, where it is no level.
    pub(crate) period_start: String,
    pub(crate) period_end: String,
    pub(crate) value: String,
    pub(crate) unit_of_measure: String,
    pub(crate) kind: String,
    /// What it was computed from, as far as that was published too.
    pub(crate) numerator: String,
    pub(crate) denominator: String,
}

/// Reads all figures of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let mut file = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
    file.deserialize().collect::<Result<_, _>>().with_context(|| path.display().to_string())
}

/// When a figure stood, or within what it came about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Time {
    /// A day.
    Day(Date),
    /// A month by its name: what a calendar cuts otherwise still bears it.
    Month(u16, u16),
    /// From one month to another, both included, counted from the year 0.
    Months(u16, u16),
}

impl Row {
    /// The value of a part of `dimension`.
    fn dimension(&self, name: &str) -> Option<&str> {
        self.dimension.split('|').find_map(|part| part.split_once('=').filter(|(of, _)| *of == name)).map(|(_, is)| is)
    }

    /// The option, under whatever name; none where only levels are named, or nothing.
    pub(crate) fn option(&self) -> Option<&str> {
        let parts = self.dimension.split('|').filter_map(|part| part.split_once('='));
        parts.filter(|(of, _)| *of != "level").map(|(_, is)| is).next()
    }

    /// The levels whose reports are meant; none where all are.
    pub(crate) fn levels(&self) -> Option<Vec<&str>> {
        Some(self.dimension("level")?.split('+').collect())
    }

    /// When it stood, or within what it came about.
    pub(crate) fn time(&self) -> anyhow::Result<Time> {
        // A span of which one end is open is known by the other.
        let ends = [&self.as_of, &self.period_start, &self.period_end];
        if let ([only], _) | ([only, ..], false) =
            (&ends.into_iter().filter(|end| !end.is_empty()).collect::<Vec<_>>()[..], self.as_of.is_empty())
        {
            return point(only);
        }
        let (Time::Day(first), Time::Day(last)) = (point(&self.period_start)?, point(&self.period_end)?) else {
            anyhow::bail!("period_start and period_end are to be days")
        };
        anyhow::ensure!(first <= last, "period_start is after period_end");
        Ok(Time::Months(months(first), months(last)))
    }

    /// The two points between which it changed, for a change.
    pub(crate) fn change(&self) -> anyhow::Result<Option<(Time, Time)>> {
        if self.kind != "delta" || self.period_start.is_empty() {
            return Ok(None);
        }
        Ok(Some((point(&self.period_start)?, point(&self.period_end)?)))
    }
}

fn months(day: Date) -> u16 {
    u16::try_from(day.year()).unwrap_or(0) * 12 + u16::from(u8::from(day.month())) - 1
}

/// `2022-12`, `2024-04-01`, or `2022`: the end of that year.
fn point(text: &str) -> anyhow::Result<Time> {
    let wrong = || format!("`{text}` is neither a month, 2022-12, nor a day, 2024-04-01");
    let parts: Vec<u16> = text.split('-').map(str::parse).collect::<Result<_, _>>().with_context(wrong)?;
    match parts[..] {
        [year] => Ok(Time::Month(year, 12)),
        [year, month] if (1..=12).contains(&month) => Ok(Time::Month(year, month)),
        [year, month, day] => {
            let month = Month::try_from(u8::try_from(month)?).with_context(wrong)?;
            Ok(Time::Day(Date::from_calendar_date(i32::from(year), month, u8::try_from(day)?).with_context(wrong)?))
        }
        _ => anyhow::bail!(wrong()),
    }
}

impl Time {
    /// The period of a type that this is, or in which it lies; none where it is longer, or not whole.
    pub(crate) fn period(self, kind: PeriodType, calendar: Calendar) -> Option<Period> {
        let named = |months: u16| {
            let (year, month) = (months / 12, months % 12);
            let length = length(kind)?;
            Period::new(kind, year, month / length + 1).ok()
        };
        match self {
            Self::Day(day) => Period::containing(kind, calendar, day),
            Self::Month(year, month) if length(kind).is_some() => named(year * 12 + month - 1),
            Self::Month(year, month) => {
                let last = Period::new(PeriodType::Month, year, month).ok()?.span(calendar).last;
                Period::containing(kind, calendar, last)
            }
            Self::Months(first, last) => {
                let length = length(kind)?;
                (first % length == 0 && last + 1 == first + length).then(|| named(first)).flatten()
            }
        }
    }

    /// Periods of some types, longest first, that make up the whole; none where they cannot.
    pub(crate) fn cover(self, kinds: &[PeriodType], calendar: Calendar) -> Option<Vec<Period>> {
        let Self::Months(mut first, last) = self else {
            return kinds.last().and_then(|kind| self.period(*kind, calendar)).map(|period| vec![period]);
        };
        let mut periods = Vec::new();
        while first <= last {
            let fits = |kind: &PeriodType| {
                let length = length(*kind)?;
                let period = Self::Months(first, first + length - 1).period(*kind, calendar)?;
                (first + length - 1 <= last).then_some((period, length))
            };
            let (period, length) = kinds.iter().find_map(fits)?;
            periods.push(period);
            first += length;
        }
        Some(periods)
    }
}

/// Months of a period of a type, where it has a number of them.
fn length(kind: PeriodType) -> Option<u16> {
    match kind {
        PeriodType::Month => Some(1),
        PeriodType::Quarter => Some(3),
        PeriodType::HalfYear => Some(6),
        PeriodType::Year => Some(12),
        PeriodType::Day | PeriodType::Week | PeriodType::Latest => None,
    }
}
