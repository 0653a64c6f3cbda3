//! From a published figure to reports whose total it is, and how it is read back.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use domain::{
    Catalogue, LevelIx, Period, PeriodType, UnitIx, Values, Vintage,
    catalogue::{Cell, CellGroup, DataSet, Goal, TimeAggregation, ValueType},
    rule::{Check, Comparison, Condition, Of, Term},
};
use proto::pb::report::v1::{Report, Value, value};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::row::{Row, Time};

/// A sum is made by as many units at most. Flags and shares are reported by all.
const REPORTERS: usize = 300;

/// What to send and how to read it back.
#[derive(Debug)]
pub(crate) struct Expressed {
    pub(crate) data_set: String,
    /// The periods whose totals are asked for, by time.
    pub(crate) periods: Vec<Period>,
    pub(crate) reports: Vec<Report>,
    pub(crate) reading: Reading,
    /// The figure as it must be read back.
    pub(crate) published: String,
}

/// How a figure is read from totals. Cells are named as `rec_total` or `svc_total[s03]`.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// The total of a cell over all levels, added over the periods.
    Sum(String),
    /// How many units of a level say yes, out of how many.
    Coverage(String, String),
    /// Whether the unit itself says yes.
    Flag(String, String),
    /// Two cells: so many of so many.
    Parts(String, String),
    /// 100 × one cell ÷ another, to so many decimals, of the reports of some levels or of all.
    Ratio(String, String, u32, Option<Vec<String>>),
    /// 100 × units that say yes ÷ units that should, to so many decimals.
    Share(String, u32, Option<Vec<String>>),
    /// How much more in the last period than in the first.
    Change(String),
    /// A day.
    Day(String),
}

/// Makes the reports. Each is of that revision.
pub(crate) fn express(catalogue: &Catalogue, row: &Row, revision: i64) -> anyhow::Result<Expressed> {
    let mut last = anyhow::anyhow!("no data set has `{}` {}", row.indicator_code, row.dimension);
    for data_set in catalogue.data_sets() {
        match Form::new(catalogue, data_set, row).express(revision) {
            Ok(Some(expressed)) => return Ok(expressed),
            Ok(None) => {}
            Err(error) => last = error.context(format!("in {}", data_set.code())),
        }
    }
    Err(last)
}

/// A data set in which the figure may be expressed.
struct Form<'a> {
    catalogue: &'a Catalogue,
    data_set: &'a DataSet,
    row: &'a Row,
    rng: StdRng,
    /// What each unit says for each period.
    says: BTreeMap<(Period, String), BTreeMap<usize, i64>>,
}

impl<'a> Form<'a> {
    fn new(catalogue: &'a Catalogue, data_set: &'a DataSet, row: &'a Row) -> Self {
        Self { catalogue, data_set, row, rng: StdRng::seed_from_u64(6), says: BTreeMap::new() }
    }

    fn cell(&self, place: usize) -> &'a Cell {
        &self.data_set.cells()[place]
    }

    /// None where the data set has neither the data element nor the indicator.
    fn express(mut self, revision: i64) -> anyhow::Result<Option<Expressed>> {
        let (code, option) = (self.row.indicator_code.as_str(), self.row.option().unwrap_or(""));
        let of_option = |found: Option<&domain::catalogue::CategoryOption>| {
            found.map_or("", |option| option.code.as_str()) == option
        };
        let indicator =
            self.data_set.indicators().iter().find(|of| of.code.as_str() == code && of_option(of.option.as_ref()));
        let reading = match (self.data_set.find_cell(code, option), indicator) {
            (_, Some(indicator)) => self.ratio(indicator.numerator, indicator.denominator)?,
            (Some(cell), None) => self.total(cell)?,
            (None, None) => match self.group(code, option)? {
                Some(reading) => reading,
                None => return Ok(None),
            },
        };
        let (periods, reading, published) = reading;
        self.satisfy_rules();
        let data_set = self.data_set.code().to_string();
        let says = std::mem::take(&mut self.says);
        let report = |((period, org_unit), values): ((Period, String), BTreeMap<usize, i64>)| Report {
            submission_id: uuid::Uuid::now_v7().to_string(),
            org_unit,
            data_set: data_set.clone(),
            period: period.to_string(),
            revision: Some(revision),
            values: values.into_iter().map(|(cell, number)| self.value(cell, number)).collect(),
            withdrawn: false,
            dense: None,
        };
        let reports = says.into_iter().map(report).collect();
        Ok(Some(Expressed { data_set: self.data_set.code().to_string(), periods, reports, reading, published }))
    }

    /// A figure about options that are counted together, of a data element or an indicator. Said by the first of them.
    fn group(&mut self, code: &str, option: &str) -> anyhow::Result<Option<(Vec<Period>, Reading, String)>> {
        let member = |element: &str| {
            let is_meant =
                |group: &&CellGroup| group.element.as_str() == element && group.group.code.as_str() == option;
            self.data_set.groups().iter().find(is_meant)?.members.first().map(|member| member.cell)
        };
        let name = |element: &str| format!("{element}[{option}]");
        if let Some(cell) = member(code) {
            let (periods, _, published) = self.total(cell)?;
            return Ok(Some((periods, Reading::Sum(name(code)), published)));
        }
        let Some(indicator) = self.data_set.indicators().iter().find(|of| of.code.as_str() == code) else {
            return Ok(None);
        };
        let element = |cell: usize| self.cell(cell).element.code.as_str();
        let (top, bottom) = (element(indicator.numerator), element(indicator.denominator));
        let (Some(numerator), Some(denominator)) = (member(top), member(bottom)) else { return Ok(None) };
        let (periods, reading, published) = self.ratio(numerator, denominator)?;
        let Reading::Ratio(_, _, decimals, levels) = reading else { return Ok(None) };
        Ok(Some((periods, Reading::Ratio(name(top), name(bottom), decimals, levels), published)))
    }

    fn total(&mut self, cell: usize) -> anyhow::Result<(Vec<Period>, Reading, String)> {
        let row = self.row;
        let name = self.cell(cell).to_string();
        if self.cell(cell).element.value_type == ValueType::Flag {
            return self.flags(cell);
        }
        if let Some((from, to)) = row.change()? {
            let change: i64 = self.number(cell, &row.value)?;
            let before = 10 + change.min(0).abs();
            let kind = self.data_set.period_type();
            let at = |time: Time| time.period(kind, self.data_set.calendar()).context("that day is in no period");
            let (from, to) = (at(from)?, at(to)?);
            ensure!(from < to, "{from} and {to} are to be two periods");
            self.spread(from, cell, before)?;
            self.spread(to, cell, before + change)?;
            return Ok((vec![from, to], Reading::Change(name), row.value.clone()));
        }
        let periods = self.periods(cell)?;
        if !row.numerator.is_empty() && !row.denominator.is_empty() {
            let partner = self.partner(cell).with_context(|| format!("nothing says what {name} is a part of"))?;
            let (numerator, denominator) =
                (self.number(cell, &row.numerator)?, self.number(partner, &row.denominator)?);
            self.spread_pair(&periods, (cell, numerator), (partner, denominator), None)?;
            let published = format!("{}/{}", row.numerator, row.denominator);
            return Ok((periods, Reading::Parts(name, self.cell(partner).to_string()), published));
        }
        if row.kind == "date" {
            bail!("{name} is no day");
        }
        let amount = self.number(cell, &row.value)?;
        for (period, part) in periods.iter().zip(self.split(amount, periods.len())) {
            self.spread(*period, cell, part)?;
        }
        Ok((periods, Reading::Sum(name), row.value.clone()))
    }

    fn flags(&mut self, cell: usize) -> anyhow::Result<(Vec<Period>, Reading, String)> {
        let row = self.row;
        let name = self.cell(cell).to_string();
        let periods = self.periods(cell)?;
        let period = *periods.last().context("no period")?;
        if row.kind == "date" {
            let element = self.cell(cell).element.code.as_str();
            let is_its_day =
                |of: &Cell| of.element.value_type == ValueType::Date && of.element.code.as_str().starts_with(element);
            let day =
                self.data_set.cells().iter().position(is_its_day).with_context(|| format!("{name} has no day"))?;
            let unit = self.own(period, day)?;
            self.say(period, &unit, cell, 1);
            let digits = row.value.replace('-', "");
            self.say(period, &unit, day, digits.parse()?);
            return Ok((periods, Reading::Day(self.cell(day).to_string()), row.value.clone()));
        }
        if row.kind == "flag" {
            let is_yes: bool = row.value.parse()?;
            let unit = self.own(period, cell)?;
            self.say_flag(period, &unit, cell, is_yes);
            let level = self.level_of(period)?;
            return Ok((periods, Reading::Flag(name, level), row.value.clone()));
        }
        if row.unit_of_measure == "%" {
            return self.share(cell, period);
        }
        let level = match self.catalogue.find_level(&row.unit_of_measure) {
            Some(_) => row.unit_of_measure.clone(),
            None => self.deepest(period, cell)?,
        };
        let units = self.reporters(period, cell, Some(&[level.as_str()]))?;
        let yes: i64 = row.value.parse()?;
        ensure!(yes <= i64::try_from(units.len())?, "there are only {} units of level {level}", units.len());
        self.say_all(period, cell, &units, yes);
        let denominator = if row.denominator.is_empty() { units.len().to_string() } else { row.denominator.clone() };
        Ok((periods, Reading::Coverage(name, level), format!("{yes}/{denominator}")))
    }

    /// The share of units that say yes: of all levels, or else of the one level that has such a share.
    fn share(&mut self, cell: usize, period: Period) -> anyhow::Result<(Vec<Period>, Reading, String)> {
        let row = self.row;
        let (value, decimals) = decimal(&row.value)?;
        let each = self.catalogue.levels().iter().map(|level| Some(vec![level.code.as_str()]));
        let choices: Vec<_> = match row.levels() {
            Some(levels) => vec![Some(levels)],
            None => std::iter::once(None).chain(each).collect(),
        };
        for levels in choices {
            let Ok(units) = self.reporters(period, cell, levels.as_deref()) else { continue };
            let all = i64::try_from(units.len())?;
            let Some(yes) = (0..=all).find(|yes| rounded(*yes, all, decimals) == Some(value)) else { continue };
            self.say_all(period, cell, &units, yes);
            let levels = levels.map(|levels| levels.into_iter().map(str::to_owned).collect());
            let reading = Reading::Share(self.cell(cell).to_string(), decimals, levels);
            return Ok((vec![period], reading, row.value.clone()));
        }
        bail!("no number of the units that are to say yes or no is {} % of them", row.value)
    }

    fn ratio(&mut self, numerator: usize, denominator: usize) -> anyhow::Result<(Vec<Period>, Reading, String)> {
        let row = self.row;
        let (value, decimals) = decimal(&row.value)?;
        let given = |text: &str, cell| if text.is_empty() { Ok(None) } else { self.number(cell, text).map(Some) };
        let (top, bottom) = match (given(&row.numerator, numerator)?, given(&row.denominator, denominator)?) {
            (Some(top), Some(bottom)) => (top, bottom),
            (None, bottom) => {
                // Any parts that give it: a denominator that the number of decimals divides.
                let bottom = bottom.unwrap_or(10_i64.pow(decimals + 4));
                let top = i128::from(bottom) * i128::from(value) / i128::from(10_i64.pow(decimals + 2));
                (i64::try_from(top)?, bottom)
            }
            (Some(top), None) => {
                ensure!(value > 0, "no denominator makes {} % of {top}", row.value);
                let near = i64::try_from(i128::from(top) * i128::from(10_i64.pow(decimals + 2)) / i128::from(value))?;
                let near = (near - 2..=near + 2).find(|bottom| rounded(top, *bottom, decimals) == Some(value));
                (top, near.with_context(|| format!("no denominator makes {} % of {top}", row.value))?)
            }
        };
        let levels = row.levels();
        let periods = self.periods(numerator)?;
        self.spread_pair(&periods, (numerator, top), (denominator, bottom), levels.as_deref())?;
        let name = |cell| self.cell(cell).to_string();
        let levels = levels.map(|levels| levels.into_iter().map(str::to_owned).collect());
        Ok((periods, Reading::Ratio(name(numerator), name(denominator), decimals, levels), row.value.clone()))
    }

    /// The cell that a cell is a part of: what an indicator divides it by, or what it has to reach.
    fn partner(&self, cell: usize) -> Option<usize> {
        let divides = self.data_set.indicators().iter().find(|of| of.numerator == cell).map(|of| of.denominator);
        let reached = || {
            self.data_set.targets().iter().find_map(|target| match target.goal {
                Goal::Of { cell: of, .. } if target.cell == cell => Some(of),
                _ => None,
            })
        };
        divides.or_else(reached)
    }

    /// The periods that make up the figure's time.
    fn periods(&self, cell: usize) -> anyhow::Result<Vec<Period>> {
        let kind = self.data_set.period_type();
        let longer = [PeriodType::Year, PeriodType::HalfYear, PeriodType::Quarter, PeriodType::Month];
        let mut kinds: Vec<_> = longer.into_iter().filter(|longer| *longer > kind).collect();
        kinds.push(kind);
        let periods = self.row.time()?.cover(&kinds, self.data_set.calendar());
        let mut periods = periods.with_context(|| format!("its time is not made of periods of the type {kind}"))?;
        if self.cell(cell).element.time_aggregation != TimeAggregation::Sum {
            periods.drain(..periods.len() - 1);
        }
        Ok(periods)
    }

    fn vintage(&self, period: Period) -> &'a Vintage {
        self.catalogue.vintage(self.data_set, period)
    }

    fn unit(&self, period: Period) -> anyhow::Result<UnitIx> {
        let code = &self.row.unit_code;
        self.vintage(period).find(code).with_context(|| format!("no org unit has the code {code} in {period}"))
    }

    fn level_of(&self, period: Period) -> anyhow::Result<String> {
        let unit = self.unit(period)?;
        Ok(self.catalogue.level(self.vintage(period).unit(unit).level).code.to_string())
    }

    /// The unit itself, which must report the cell.
    fn own(&self, period: Period, cell: usize) -> anyhow::Result<String> {
        let (vintage, unit) = (self.vintage(period), self.unit(period)?);
        let (code, level) = (&vintage.unit(unit).code, self.catalogue.level(vintage.unit(unit).level));
        let fills = self.catalogue.fills(self.cell(cell), vintage, unit);
        ensure!(fills, "{code}, a {}, does not report {} itself", level.code, self.cell(cell));
        Ok(code.to_string())
    }

    /// The units below and at the unit that report a cell: of some levels, or of all.
    fn reporters(&self, period: Period, cell: usize, levels: Option<&[&str]>) -> anyhow::Result<Vec<String>> {
        let (vintage, top) = (self.vintage(period), self.unit(period)?);
        let is_of_level =
            |level: LevelIx| levels.is_none_or(|levels| levels.contains(&self.catalogue.level(level).code.as_str()));
        let fill = vintage.subtree(top).filter(|unit| {
            is_of_level(vintage.unit(*unit).level) && self.catalogue.fills(self.cell(cell), vintage, *unit)
        });
        let units: Vec<String> = fill.map(|unit| vintage.unit(unit).code.to_string()).collect();
        ensure!(!units.is_empty(), "nobody below {} reports {} at {levels:?}", self.row.unit_code, self.cell(cell));
        Ok(units)
    }

    /// The lowest level that reports a cell below the unit.
    fn deepest(&self, period: Period, cell: usize) -> anyhow::Result<String> {
        let vintage = self.vintage(period);
        let units = self.reporters(period, cell, None)?;
        let levels = units.iter().filter_map(|code| vintage.find(code)).map(|unit| vintage.unit(unit).level);
        let level = levels.max().context("nobody reports it")?;
        Ok(self.catalogue.level(level).code.to_string())
    }

    /// A published number as the cell keeps it.
    fn number(&self, cell: usize, text: &str) -> anyhow::Result<i64> {
        let decimals = u32::from(self.cell(cell).element.value_type.decimals());
        let (value, given) = decimal(text)?;
        ensure!(given <= decimals, "{} has {decimals} decimals, `{text}` more", self.cell(cell));
        value.checked_mul(10_i64.pow(decimals - given)).context("the number is too large")
    }

    /// The data set's own periods that lie in one of them or a longer one, under one tree.
    fn own_periods(&self, whole: Period) -> Vec<Period> {
        let (kind, calendar) = (self.data_set.period_type(), self.data_set.calendar());
        let span = whole.span(calendar);
        let last = Period::containing(kind, calendar, span.last);
        let back = std::iter::successors(last, |period| period.previous());
        let inside = back.take_while(|period| period.span(calendar).last >= span.first);
        inside.filter(|period| std::ptr::eq(self.vintage(*period), self.vintage(whole))).collect()
    }

    /// Numbers that add up to another one.
    fn split(&mut self, amount: i64, parts: usize) -> Vec<i64> {
        let mut split = vec![amount / i64::try_from(parts.max(1)).unwrap_or(i64::MAX); parts];
        for place in 1..parts {
            // From one neighbour to the other: all stay on one side of zero.
            let (from, to) = (split[place - 1], split[place]);
            let moved = self.rng.random_range(0..=from.abs() / 2) * from.signum();
            (split[place - 1], split[place]) = (from - moved, to + moved);
        }
        if let Some(first) = split.first_mut() {
            *first += amount % i64::try_from(parts).unwrap_or(i64::MAX);
        }
        split
    }

    /// The units that make up a sum: the unit itself for what is not added, else those of the lowest level.
    fn makers(&mut self, period: Period, cell: usize, levels: Option<&[&str]>) -> anyhow::Result<Vec<String>> {
        if !self.cell(cell).element.space_aggregation.is_additive() {
            return Ok(vec![self.own(period, cell)?]);
        }
        if levels.is_some() {
            return self.reporters(period, cell, levels);
        }
        let level = self.deepest(period, cell)?;
        let mut units = self.reporters(period, cell, Some(&[level.as_str()]))?;
        units.truncate(REPORTERS);
        Ok(units)
    }

    fn spread(&mut self, whole: Period, cell: usize, amount: i64) -> anyhow::Result<()> {
        let (units, periods) = (self.makers(whole, cell, None)?, self.own_periods(whole));
        ensure!(!periods.is_empty(), "no period lies in {whole}");
        for (place, (unit, part)) in units.iter().zip(self.split(amount, units.len())).enumerate() {
            self.say(periods[place % periods.len()], unit, cell, part);
        }
        Ok(())
    }

    /// Two cells of the same reports, the first at most the second wherever the sums allow for it.
    fn spread_pair(
        &mut self,
        wholes: &[Period],
        (top, numerator): (usize, i64),
        (bottom, denominator): (usize, i64),
        levels: Option<&[&str]>,
    ) -> anyhow::Result<()> {
        let mut places = Vec::new();
        for whole in wholes {
            let (units, periods) = (self.makers(*whole, top, levels)?, self.own_periods(*whole));
            ensure!(!periods.is_empty(), "no period lies in {whole}");
            places.extend(units.into_iter().enumerate().map(|(place, unit)| (periods[place % periods.len()], unit)));
        }
        let shares = self.split(denominator, places.len());
        let mut left = numerator;
        for (place, ((period, unit), share)) in places.iter().zip(shares).enumerate() {
            let is_last = place + 1 == places.len();
            let part = if is_last { left } else { part_of(numerator, denominator, share).min(left) };
            left -= part;
            self.say(*period, unit, bottom, share);
            self.say(*period, unit, top, part);
        }
        Ok(())
    }

    fn say_all(&mut self, period: Period, cell: usize, units: &[String], yes: i64) {
        let yes = usize::try_from(yes).unwrap_or(0);
        for whole in self.own_periods(period).first().copied().into_iter() {
            for (place, unit) in units.iter().enumerate() {
                self.say_flag(whole, unit, cell, place < yes);
            }
        }
    }

    /// A yes, with the day since when where the form asks for it.
    fn say_flag(&mut self, period: Period, unit: &str, cell: usize, is_yes: bool) {
        let period = self.own_periods(period).first().copied().unwrap_or(period);
        self.say(period, unit, cell, i64::from(is_yes));
        let element = self.cell(cell).element.code.as_str();
        let is_its_day =
            |of: &Cell| of.element.value_type == ValueType::Date && of.element.code.as_str().starts_with(element);
        let vintage = self.vintage(period);
        let fills = |of: &Cell| vintage.find(unit).is_some_and(|unit| self.catalogue.fills(of, vintage, unit));
        let day = self.data_set.cells().iter().position(|of| is_its_day(of) && fills(of));
        if let Some(day) = day.filter(|_| is_yes) {
            self.say(period, unit, day, digits(period.span(self.data_set.calendar()).first));
        }
    }

    fn say(&mut self, period: Period, unit: &str, cell: usize, number: i64) {
        let period = if period.kind() == self.data_set.period_type() {
            period
        } else {
            self.own_periods(period).first().copied().unwrap_or(period)
        };
        self.says.entry((period, unit.to_owned())).or_default().insert(cell, number);
    }

    /// Fills in what rules ask for beside what was said: that a flag be yes, that a day be given.
    fn satisfy_rules(&mut self) {
        const ROUNDS: usize = 4;
        let mut all = std::mem::take(&mut self.says);
        for ((period, _), says) in &mut all {
            for _ in 0..ROUNDS {
                let values: Values =
                    (0..self.data_set.cells().len()).map(|cell| says.get(&cell).copied()).collect::<Vec<_>>().into();
                let broken = self.data_set.rules().iter().filter(|rule| rule.check(&values, None).is_some());
                let wanted: Vec<(usize, i64)> = broken.filter_map(|rule| self.wanted(&rule.check, *period)).collect();
                if wanted.is_empty() {
                    break;
                }
                says.extend(wanted);
            }
        }
        self.says = all;
    }

    /// The cell and the number that make a check hold, where it is as simple as that.
    fn wanted(&self, check: &Check, period: Period) -> Option<(usize, i64)> {
        match check {
            Check::Given(cell) => {
                let first = period.span(self.data_set.calendar()).first;
                let number = match self.cell(*cell).element.value_type {
                    ValueType::Date => digits(first),
                    _ => 1,
                };
                Some((*cell, number))
            }
            Check::Compare(Condition { left, comparison: Comparison::Equal, right }) => {
                match (&left.terms[..], &right.terms[..]) {
                    ([Term { factor: 1, cell, of: Of::This }], []) => Some((*cell, right.constant)),
                    _ => None,
                }
            }
            Check::Compare(_) => None,
        }
    }

    fn value(&self, cell: usize, number: i64) -> Value {
        let Cell { element, option, .. } = self.cell(cell);
        let given = match element.value_type {
            ValueType::Flag => value::Value::Flag(number != 0),
            ValueType::Decimal(places) => value::Value::Decimal(domain::number::PLAIN.write(number, u32::from(places))),
            ValueType::Date => {
                let digits = number.to_string();
                let at = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
                value::Value::Date(format!("{}-{}-{}", at(0..4), at(4..6), at(6..8)))
            }
            ValueType::Count | ValueType::Signed | ValueType::Text => value::Value::Integer(number),
        };
        Value {
            data_element: element.code.to_string(),
            option: option.as_ref().map(|option| option.code.to_string()).unwrap_or_default(),
            value: Some(given),
        }
    }
}

/// A day as the number its digits make.
fn digits(day: time::Date) -> i64 {
    i64::from(day.year()) * 10_000 + i64::from(u8::from(day.month())) * 100 + i64::from(day.day())
}

/// `share` times numerator over denominator, rounded up, so that nothing is left for the last to exceed its share.
fn part_of(numerator: i64, denominator: i64, share: i64) -> i64 {
    if denominator == 0 {
        return 0;
    }
    let (numerator, denominator, share) = (i128::from(numerator), i128::from(denominator), i128::from(share));
    i64::try_from((share * numerator + denominator - 1).div_euclid(denominator)).unwrap_or(i64::MAX)
}

/// `92.3` is 923 with one decimal.
fn decimal(text: &str) -> anyhow::Result<(i64, u32)> {
    let (whole, after) = text.split_once('.').unwrap_or((text, ""));
    let number = format!("{whole}{after}").parse().with_context(|| format!("`{text}` is no number"))?;
    Ok((number, u32::try_from(after.len())?))
}

/// 100 × one number ÷ another with so many decimals, half away from zero.
pub(crate) fn rounded(numerator: i64, denominator: i64, decimals: u32) -> Option<i64> {
    if denominator == 0 {
        return None;
    }
    let (top, bottom) = (i128::from(numerator) * 10_i128.pow(decimals + 2), i128::from(denominator));
    let half = if (top < 0) == (bottom < 0) { bottom } else { -bottom };
    i64::try_from((2 * top + half) / (2 * bottom)).ok()
}
