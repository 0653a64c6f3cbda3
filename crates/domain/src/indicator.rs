//! Indicators: shares of totals, exactly.

use std::fmt;

use crate::{
    catalogue::{DataSet, Indicator},
    fold::Tally,
    number::PLAIN,
};

/// A percentage, in hundredths: 9,230 is 92.30 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(i128);

impl Percent {
    /// 100 × part ÷ whole, both of the same unit, rounded half away from zero to hundredths. None where the whole is zero.
    pub(crate) fn of(part: i128, whole: i128) -> Option<Self> {
        rounded(part.checked_mul(10_000)?, whole).map(Self)
    }
}

impl fmt::Display for Percent {
    /// `92.30`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&PLAIN.write(self.0, 2))
    }
}

/// A quotient, rounded half away from zero; none where the divisor is zero.
pub(crate) fn rounded(dividend: i128, divisor: i128) -> Option<i128> {
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let (rest, whole) = (rest.unsigned_abs(), divisor.unsigned_abs());
    // A rest of half or more; `whole - rest` cannot overflow as twice the rest could.
    let away = i128::from(rest >= whole - rest);
    Some(quotient + if (dividend < 0) == (divisor < 0) { away } else { -away })
}

/// Two scaled integers brought to the same decimals. None where one leaves an `i128`, which no total of an element with up
/// to 14 decimals does.
pub(crate) fn aligned(left: (i64, u8), right: (i64, u8)) -> Option<(i128, i128)> {
    let most = left.1.max(right.1);
    let scaled = |(number, decimals)| i128::from(number).checked_mul(10_i128.checked_pow(u32::from(most - decimals))?);
    Some((scaled(left)?, scaled(right)?))
}

/// What an indicator is of some totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// The total that is divided, scaled by its cell's decimals; none where no unit gave a value.
    pub numerator: Option<i64>,
    /// The total that divides, likewise.
    pub denominator: Option<i64>,
    /// 100 × numerator ÷ denominator; none where one of them is absent or the denominator is zero.
    pub value: Option<Percent>,
}

impl Indicator {
    /// Whether one of its parts is kept with the unit and not added: the totals of different levels must then not be added
    /// before it is computed, or a sum would be divided by one unit's number.
    #[must_use]
    pub fn is_of_one_unit(&self, data_set: &DataSet) -> bool {
        let additive = |place: usize| data_set.cells()[place].element.space_aggregation.is_additive();
        !(additive(self.numerator) && additive(self.denominator))
    }

    /// The indicator of some totals: of the sums, never of other percentages.
    #[must_use]
    pub fn ratio(&self, data_set: &DataSet, totals: &Tally) -> Ratio {
        let (numerator, denominator) = (totals.given(self.numerator), totals.given(self.denominator));
        let decimals = |place: usize| data_set.cells()[place].element.value_type.decimals();
        let value = numerator.zip(denominator).and_then(|(part, whole)| {
            let (part, whole) = aligned((part, decimals(self.numerator)), (whole, decimals(self.denominator)))?;
            Percent::of(part, whole)
        });
        Ratio { numerator, denominator, value }
    }
}

impl Tally {
    /// The sum of the cell at a place; none where no report gave it a value, or the totals were written down before the form
    /// got the cell.
    #[must_use]
    pub fn given(&self, cell: usize) -> Option<i64> {
        self.sums.get(cell).copied().filter(|_| self.contributions(cell) > 0)
    }

    /// How many values are in the sum of the cell at a place.
    #[must_use]
    pub fn contributions(&self, cell: usize) -> i64 {
        self.contributing.get(cell).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{SpaceAggregation, ValueType},
        form::{cell, form, tally},
    };

    fn percent(part: i128, whole: i128) -> Option<String> {
        Percent::of(part, whole).map(|percent| percent.to_string())
    }

    #[test]
    fn a_percentage_is_rounded_half_away_from_zero() {
        for (part, whole, expected) in [
            (1_205_627, 1_306_217, "92.30"), // 92.2991…
            (1, 3, "33.33"),
            (2, 3, "66.67"),
            (1, 20_000, "0.01"), // 0.005 exactly
            (1, 20_001, "0.00"), // a little less
            (-1, 20_000, "-0.01"),
            (1, -20_000, "-0.01"),
            (-1, -20_000, "0.01"),
            (12_345, 100_000, "12.35"), // 12.345 exactly
            (-12_345, 100_000, "-12.35"),
            (3, 2, "150.00"), // a card that was issued again
            (0, 7, "0.00"),
        ] {
            assert_eq!(percent(part, whole).as_deref(), Some(expected), "{part} of {whole}");
        }
        assert_eq!(percent(5, 0), None);
        assert_eq!(percent(0, 0), None);
    }

    #[test]
    fn the_largest_totals_are_divided_exactly() {
        let (most, least) = (i128::from(i64::MAX), i128::from(i64::MIN));
        assert_eq!(percent(most, most).as_deref(), Some("100.00"));
        assert_eq!(percent(least, most).as_deref(), Some("-100.00"));
        assert_eq!(percent(most, 1).as_deref(), Some("922337203685477580700.00"));
        assert_eq!(percent(1, most).as_deref(), Some("0.00"));
        assert_eq!(percent(i128::MAX, 1), None, "no total is as large");
    }

    /// Goal: decimals of the two parts are brought together, and what is absent or zero gives no value but is shown.
    #[test]
    fn an_indicator_is_the_share_of_two_sums() {
        let form = form(vec![
            cell("done", ValueType::Decimal(1), SpaceAggregation::Sum),
            cell("all", ValueType::Count, SpaceAggregation::Sum),
        ]);
        let indicator = Indicator {
            code: "rate".parse().unwrap(),
            option: None,
            name_vi: String::new(),
            name_en: String::new(),
            numerator: 0,
            denominator: 1,
        };
        let ratio = |totals: &Tally| {
            let Ratio { numerator, denominator, value } = indicator.ratio(&form, totals);
            (numerator, denominator, value.map(|value| value.to_string()))
        };
        // 92.3 of 200.
        assert_eq!(ratio(&tally(&[Some(923), Some(200)])), (Some(923), Some(200), Some("46.15".to_owned())));
        assert_eq!(ratio(&tally(&[Some(923), Some(0)])), (Some(923), Some(0), None), "a denominator of zero");
        assert_eq!(ratio(&tally(&[Some(923), None])), (Some(923), None, None), "an absent denominator");
        assert_eq!(ratio(&tally(&[None, Some(200)])), (None, Some(200), None), "absent is not zero");
        assert_eq!(ratio(&tally(&[Some(0), Some(200)])), (Some(0), Some(200), Some("0.00".to_owned())));
        assert_eq!(ratio(&tally(&[])), (None, None, None), "totals from before the form had the cells");
        assert!(!indicator.is_of_one_unit(&form));
    }
}
