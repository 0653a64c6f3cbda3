//! Targets: what is to be reached, how far it is, and whether that was in time.

use time::Date;

use crate::{
    OrgUnitCode, Period, PeriodType,
    catalogue::{DataSet, Goal, SpaceAggregation, Target, TimeAggregation},
    fold::{Overflow, Tally},
    indicator::{Percent, rounded},
};

/// The totals that are held against targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Their period: one of the data set's own or a longer one.
    pub period: Period,
    /// The day they are of: [`crate::window::as_of`].
    pub as_of: Date,
}

/// How far something is that has to be reached. Numbers are scaled by the cell's decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How much it has to be; none where that is a share of a total that is absent.
    pub goal: Option<i64>,
    /// How much it is, a mean rounded; none where no unit gave a value.
    pub value: Option<i64>,
    /// How much of the goal that is; none where one of them is absent or the goal is zero.
    pub achieved: Option<Percent>,
    /// How much is missing; none where goal or value is absent.
    pub remaining: Option<i64>,
    /// The day by which; none for `latest` where no day is set.
    pub due: Option<Date>,
    /// Whether it is reached.
    pub reached: bool,
    /// The last day of the first of the data set's own periods whose total reached the goal; none where it is not reached, or
    /// only by values of several periods together.
    pub reached_on: Option<Date>,
    /// Days ahead of `due`, or, negative, after it: of `reached_on`, or of the day the totals are of where that is past and
    /// the goal is not reached.
    pub days: Option<i64>,
}

impl Target {
    /// Whether it is set for a unit's totals: for that unit or for every one; and for their period, for every one, or for one
    /// in which the day lies that they are of.
    #[must_use]
    pub fn applies(&self, data_set: &DataSet, unit: &OrgUnitCode, asked: Asked) -> bool {
        let is_of_period = self.period.is_none_or(|period| {
            let span = period.span(data_set.calendar());
            period == asked.period || (span.first..=span.last).contains(&asked.as_of)
        });
        is_of_period && self.org_unit.as_ref().is_none_or(|code| code == unit)
    }

    /// Whether it asks for a share, and not for a number.
    #[must_use]
    pub fn is_share(&self) -> bool {
        match self.goal {
            Goal::Of { .. } | Goal::OfUnits { .. } => true,
            Goal::Value(_) => false,
        }
    }

    /// The first day from which it is looked whether it was reached: that of its period. Without one it is to be reached once,
    /// by a day (there is no first day then), or anew in each period.
    #[must_use]
    pub fn looks_back_to(&self, data_set: &DataSet, asked: Asked) -> Option<Date> {
        match (self.period, self.due) {
            (Some(period), _) => Some(period.span(data_set.calendar()).first),
            (None, Some(_by_a_day)) => None,
            (None, None) => Some(asked.period.span(data_set.calendar()).first),
        }
    }

    fn due_for(&self, data_set: &DataSet, asked: Asked) -> Option<Date> {
        let period = self.period.unwrap_or(asked.period);
        self.due.or_else(|| (period.kind() != PeriodType::Latest).then(|| data_set.last_day(period)))
    }

    /// How far it is. `expected` is how many units should fill the cell; `series` are the totals of the data set's own periods
    /// since [`Target::looks_back_to`], the oldest first.
    ///
    /// # Errors
    /// When a number leaves the range of an `i64`.
    pub fn progress(
        &self,
        data_set: &DataSet,
        asked: Asked,
        totals: &Tally,
        expected: i64,
        series: &[(Period, Tally)],
    ) -> Result<Progress, Overflow> {
        let from = self.looks_back_to(data_set, asked);
        let in_scope = |(period, _): &&(Period, Tally)| from.is_none_or(|from| from <= data_set.last_day(*period));
        let series: Vec<_> = series.iter().filter(in_scope).collect();
        // What happened counts from the beginning of the target's period, of which less may have been asked about.
        let is_part = self.period.is_some_and(|period| period != asked.period);
        let amount = |cell| {
            if is_part && is_flow(data_set, cell) {
                series.iter().filter_map(|(_, totals)| Amount::of(data_set, cell, totals)).reduce(Amount::plus)
            } else {
                Amount::of(data_set, cell, totals)
            }
        };

        let due = self.due_for(data_set, asked);
        let amount_now = amount(self.cell);
        let value = amount_now.map(Amount::rounded).transpose()?;
        let goal = match self.goal {
            Goal::Value(number) => Some(i128::from(number)),
            Goal::OfUnits { share } => Some(Amount::whole(expected).share_up(share, 0).ok_or(Overflow)?),
            Goal::Of { share, cell } => {
                let shift = decimals(data_set, self.cell) - decimals(data_set, cell);
                amount(cell).map(|whole| whole.share_up(share, shift).ok_or(Overflow)).transpose()?
            }
        };
        let narrow = |number: i128| i64::try_from(number).map_err(|_| Overflow);
        let told = Progress { goal: goal.map(narrow).transpose()?, value, due, ..Progress::default() };
        let Some((goal, now)) = goal.zip(amount_now) else { return Ok(told) };

        let reached = now.reaches(goal);
        let mut running = None;
        let mut reaches = |totals: &Tally| {
            let of_period = Amount::of(data_set, self.cell, totals);
            if is_flow(data_set, self.cell) {
                running = [running, of_period].into_iter().flatten().reduce(Amount::plus);
                running
            } else {
                of_period
            }
            .is_some_and(|amount| amount.reaches(goal))
        };
        let first = series.iter().find(|(_, totals)| reached && reaches(totals));
        let reached_on = first.map(|(period, _)| data_set.last_day(*period));
        let late_so_far = (!reached).then_some(asked.as_of).filter(|day| due.is_some_and(|due| due < *day));
        let days = due.zip(reached_on.or(late_so_far)).map(|(due, day)| (due - day).whole_days());
        Ok(Progress {
            achieved: Percent::of(now.sum, goal * now.of),
            remaining: Some(narrow(now.missing(goal))?),
            reached,
            reached_on,
            days,
            ..told
        })
    }
}

fn is_flow(data_set: &DataSet, cell: usize) -> bool {
    data_set.cells()[cell].element.time_aggregation == TimeAggregation::Sum
}

fn decimals(data_set: &DataSet, cell: usize) -> i32 {
    i32::from(data_set.cells()[cell].element.value_type.decimals())
}

/// A cell's total as a fraction: a mean need not be a whole number.
#[derive(Clone, Copy, Debug)]
struct Amount {
    sum: i128,
    /// One, or of a mean how many values are in the sum.
    of: i128,
    is_mean: bool,
}

impl Amount {
    fn of(data_set: &DataSet, cell: usize, totals: &Tally) -> Option<Self> {
        let sum = totals.given(cell)?;
        let is_mean = data_set.cells()[cell].element.space_aggregation == SpaceAggregation::Mean;
        let of = if is_mean { totals.contributions(cell) } else { 1 };
        Some(Self { sum: i128::from(sum), of: i128::from(of), is_mean })
    }

    fn whole(number: i64) -> Self {
        Self { sum: i128::from(number), of: 1, is_mean: false }
    }

    /// What happened in two periods together: of means the mean over all that was given.
    fn plus(self, other: Self) -> Self {
        let of = if self.is_mean { self.of + other.of } else { 1 };
        Self { sum: self.sum + other.sum, of, ..self }
    }

    fn reaches(self, goal: i128) -> bool {
        self.sum >= goal * self.of
    }

    /// What is missing to a goal, rounded up; zero where nothing is.
    fn missing(self, goal: i128) -> i128 {
        up(goal * self.of - self.sum, self.of).max(0)
    }

    fn rounded(self) -> Result<i64, Overflow> {
        rounded(self.sum, self.of).and_then(|value| i64::try_from(value).ok()).ok_or(Overflow)
    }

    /// So many hundredths of a per cent of it, with so many more decimals, rounded up.
    fn share_up(self, share: u32, more_decimals: i32) -> Option<i128> {
        let power = 10_i128.checked_pow(more_decimals.unsigned_abs())?;
        let (times, over) = if more_decimals < 0 { (1, power) } else { (power, 1) };
        let part = self.sum.checked_mul(i128::from(share))?.checked_mul(times)?;
        Some(up(part, self.of.checked_mul(10_000)?.checked_mul(over)?))
    }
}

/// A quotient, rounded up; the divisor is positive.
fn up(dividend: i128, divisor: i128) -> i128 {
    dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::ValueType,
        form::{cell, flow, form, tally},
    };
    use time::macros::date;

    const RECORDS: usize = 0;
    const CITIZENS: usize = 1;
    const RECEIVED: usize = 2;
    const MET: usize = 3;
    const SHARE: usize = 4;

    fn data_set() -> DataSet {
        form(vec![
            cell("records", ValueType::Count, SpaceAggregation::Sum),
            cell("citizens", ValueType::Count, SpaceAggregation::Sum),
            flow("received"),
            cell("met", ValueType::Flag, SpaceAggregation::Coverage),
            cell("share", ValueType::Decimal(1), SpaceAggregation::Mean),
        ])
    }

    fn target(cell: usize, goal: Goal) -> Target {
        Target { org_unit: None, period: None, cell, goal, due: None }
    }

    fn asked(period: &str) -> Asked {
        let period = period.parse().unwrap();
        Asked { period, as_of: data_set().last_day(period) }
    }

    /// Totals with one cell.
    fn with(cell: usize, sum: i64) -> Tally {
        let mut sums = [None; 5];
        sums[cell] = Some(sum);
        tally(&sums)
    }

    fn series(cell: usize, months: &[(&str, i64)]) -> Vec<(Period, Tally)> {
        months.iter().map(|(month, sum)| (month.parse().unwrap(), with(cell, *sum))).collect()
    }

    fn progress(target: &Target, asked: Asked, totals: &Tally, series: &[(Period, Tally)]) -> Progress {
        target.progress(&data_set(), asked, totals, 109, series).unwrap()
    }

    fn achieved(progress: &Progress) -> String {
        progress.achieved.unwrap().to_string()
    }

    /// Goal: 50 million by 1 July. Reached in June's report, whose last day is a day ahead; asked in November.
    #[test]
    fn a_number_by_a_day_is_reached_ahead_or_late() {
        let by_july = Target { due: Some(date!(2022 - 07 - 01)), ..target(RECORDS, Goal::Value(50_000_000)) };
        let months = |june| {
            series(RECORDS, &[("202205", 49_000_000), ("202206", june), ("202210", 52_000_000), ("202211", 53_000_000)])
        };
        let now = with(RECORDS, 53_000_000);
        let ahead = progress(&by_july, asked("202211"), &now, &months(50_000_000));
        let expected = Progress {
            goal: Some(50_000_000),
            value: Some(53_000_000),
            achieved: ahead.achieved,
            remaining: Some(0),
            due: Some(date!(2022 - 07 - 01)),
            reached: true,
            reached_on: Some(date!(2022 - 06 - 30)),
            days: Some(1),
        };
        assert_eq!((ahead, achieved(&ahead)), (expected, "106.00".to_owned()));

        // One record short in June; October's report is the first with all: 31 October is 122 days after 1 July.
        let late = progress(&by_july, asked("202211"), &now, &months(49_999_999));
        assert_eq!((late.reached_on, late.days), (Some(date!(2022 - 10 - 31)), Some(-122)));
    }

    #[test]
    fn what_is_not_reached_is_late_once_its_day_is_past() {
        let by_july = Target { due: Some(date!(2022 - 07 - 01)), ..target(RECORDS, Goal::Value(50_000_000)) };
        let short = with(RECORDS, 49_999_999);
        let before = progress(&by_july, asked("202206"), &short, &[]);
        assert_eq!((before.remaining, before.reached, before.days), (Some(1), false, None));
        assert_eq!(achieved(&before), "100.00", "a record of fifty million is not seen in two decimals");
        let after = progress(&by_july, asked("202207"), &short, &[]);
        assert_eq!((after.reached_on, after.days), (None, Some(-30)), "31 July is 30 days late");
    }

    #[test]
    fn a_target_of_each_period_is_due_on_its_last_day_and_looks_back_no_further() {
        let each = target(RECORDS, Goal::Value(10));
        let months = series(RECORDS, &[("202209", 11), ("202210", 9), ("202211", 10), ("202212", 10)]);
        let month = progress(&each, asked("202211"), &with(RECORDS, 10), &months[..3]);
        assert_eq!((month.due, month.days), (Some(date!(2022 - 11 - 30)), Some(0)));
        let quarter = progress(&each, asked("2022Q4"), &with(RECORDS, 10), &months);
        assert_eq!((quarter.due, quarter.days), (Some(date!(2022 - 12 - 31)), Some(31)), "reached on 30 November");
    }

    /// Goal: the units' latest values reach it together, and no single month's total did.
    #[test]
    fn what_several_periods_reach_together_has_no_day() {
        let each = target(RECORDS, Goal::Value(10));
        let months = series(RECORDS, &[("202210", 6), ("202211", 4)]);
        let quarter = progress(&each, asked("2022Q4"), &with(RECORDS, 10), &months);
        assert_eq!((quarter.reached, quarter.reached_on, quarter.days), (true, None, None));
    }

    /// Goal: of a year's 100 applications the months have 30, 50 and 20; each month is held against what came in until then.
    #[test]
    fn what_happened_counts_from_the_beginning_of_the_targets_period() {
        let year = Target { period: Some("2022".parse().unwrap()), ..target(RECEIVED, Goal::Value(80)) };
        let months = series(RECEIVED, &[("202112", 70), ("202201", 30), ("202202", 50), ("202203", 20)]);
        let january = progress(&year, asked("202201"), &with(RECEIVED, 30), &months[..2]);
        assert_eq!((january.value, january.remaining, achieved(&january)), (Some(30), Some(50), "37.50".to_owned()));
        let march = progress(&year, asked("202203"), &with(RECEIVED, 20), &months);
        assert_eq!((march.value, achieved(&march)), (Some(100), "125.00".to_owned()));
        assert_eq!((march.reached_on, march.days), (Some(date!(2022 - 02 - 28)), Some(306)), "31 December is the day");
        let whole = progress(&year, asked("2022"), &with(RECEIVED, 100), &months);
        assert_eq!((whole.value, whole.reached_on), (march.value, march.reached_on));
    }

    #[test]
    fn shares_are_rounded_up() {
        let all_but_half = target(RECORDS, Goal::Of { share: 9_950, cell: CITIZENS });
        let mut totals = with(RECORDS, 995);
        (totals.sums[CITIZENS], totals.contributing[CITIZENS]) = (1_001, 1);
        let told = progress(&all_but_half, asked("202211"), &totals, &[]);
        assert_eq!((told.goal, told.remaining), (Some(996), Some(1)), "995.995 citizens are 996");
        totals.contributing[CITIZENS] = 0;
        let told = progress(&all_but_half, asked("202211"), &totals, &[]);
        assert_eq!((told.goal, told.value, told.remaining, told.achieved), (None, Some(995), None, None));

        let units = target(MET, Goal::OfUnits { share: 9_000 });
        let told = progress(&units, asked("202211"), &with(MET, 98), &[]);
        assert_eq!((told.goal, told.remaining, told.reached), (Some(99), Some(1), false), "90 % of 109 are 98.1");
        // One decimal more than the other cell has: 33.33 % of 10 is 3.333, so 3.4.
        let told = progress(
            &target(SHARE, Goal::Of { share: 3_333, cell: RECORDS }),
            asked("202211"),
            &with(RECORDS, 10),
            &[],
        );
        assert_eq!((told.goal, told.value), (Some(34), None));
        // One decimal less, and negative: a half of −0.5 is −0.25, so 0.
        let told =
            progress(&target(RECORDS, Goal::Of { share: 5_000, cell: SHARE }), asked("202211"), &with(SHARE, -5), &[]);
        assert_eq!(told.goal, Some(0));
    }

    #[test]
    fn a_mean_is_held_against_its_target_exactly() {
        let mean = target(SHARE, Goal::Value(900)); // 90.0
        let mut totals = with(SHARE, 2_698);
        totals.contributing[SHARE] = 3;
        let told = progress(&mean, asked("202211"), &totals, &[]);
        // 269.8 ÷ 3 = 89.93…, so 89.9; what is missing is rounded up; 269.8 ÷ 270 = 99.9259… %.
        assert_eq!((told.value, told.remaining, told.reached), (Some(899), Some(1), false));
        assert_eq!(achieved(&told), "99.93");
    }

    #[test]
    fn zero_and_absent_are_told_apart_and_the_largest_numbers_are_exact() {
        let told = progress(&target(RECORDS, Goal::Value(10)), asked("202211"), &tally(&[None; 5]), &[]);
        assert_eq!((told.value, told.remaining, told.days), (None, None, None));
        let told = progress(&target(RECORDS, Goal::Value(0)), asked("202211"), &with(RECORDS, 0), &[]);
        assert_eq!((told.achieved, told.remaining, told.reached), (None, Some(0), true));
        let told = progress(&target(RECORDS, Goal::Value(i64::MAX)), asked("202211"), &with(RECORDS, i64::MAX), &[]);
        assert_eq!((achieved(&told), told.reached), ("100.00".to_owned(), true));
        let below = target(RECORDS, Goal::Value(i64::MAX));
        let told = below.progress(&data_set(), asked("202211"), &with(RECORDS, -1), 0, &[]);
        assert_eq!(told, Err(Overflow), "what is missing does not fit");
        let tenfold = target(RECORDS, Goal::Of { share: 100_000, cell: CITIZENS });
        let told = tenfold.progress(&data_set(), asked("202211"), &with(CITIZENS, i64::MAX), 0, &[]);
        assert_eq!(told, Err(Overflow));
    }

    #[test]
    fn a_target_is_for_its_unit_and_its_period() {
        let (soc_trang, other): (OrgUnitCode, OrgUnitCode) = ("94".parse().unwrap(), "93".parse().unwrap());
        let applies = |target: &Target, unit: &OrgUnitCode, period| target.applies(&data_set(), unit, asked(period));
        let every = target(RECORDS, Goal::Value(1));
        assert!(applies(&every, &other, "202211") && applies(&every, &other, "2022Q4"));
        let its = Target { org_unit: Some(soc_trang.clone()), period: Some("2022".parse().unwrap()), ..every };
        assert!(applies(&its, &soc_trang, "2022") && applies(&its, &soc_trang, "202211"));
        assert!(!applies(&its, &other, "2022") && !applies(&its, &soc_trang, "202301"));
        let quarter = Target { org_unit: None, period: Some("2022Q4".parse().unwrap()), ..its };
        assert!(applies(&quarter, &other, "2022"), "the year ends in it");
        assert!(!applies(&quarter, &other, "202209"));
        // Of `latest` the day counts that the totals are of.
        let latest = |as_of| Asked { period: "latest".parse().unwrap(), as_of };
        assert!(quarter.applies(&data_set(), &other, latest(date!(2022 - 10 - 01))));
        assert!(!quarter.applies(&data_set(), &other, latest(date!(2023 - 01 - 01))));
        let told = target(RECORDS, Goal::Value(1)).progress(
            &data_set(),
            latest(date!(2022 - 10 - 01)),
            &with(RECORDS, 2),
            0,
            &[],
        );
        assert_eq!(told.unwrap().due, None);
    }
}
