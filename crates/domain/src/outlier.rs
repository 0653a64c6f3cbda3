//! Values unlike a unit's own earlier ones.
//!
//! The modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993): 0.6745·(x − median) ÷ MAD, where MAD is
//! the median of the absolute deviations from the median; an outlier is beyond 3.5. Where more than half of the earlier
//! values are equal, MAD is 0, and 1.253314 times the mean absolute deviation takes the place of MAD ÷ 0.6745. In whole
//! numbers, so that everybody comes to the same verdict.

use std::ops::RangeInclusive;

use crate::CELL_LIMIT;

/// The fewest earlier values that say what is usual.
pub const FEWEST: usize = 6;

/// The most earlier values that are looked at, newest first.
pub const MOST: usize = 12;

/// The range beyond which a value is unlike the earlier ones; none where there are fewer than [`FEWEST`]. The first
/// [`MOST`] are looked at. `one` is the number 1 as the cell keeps it, scaled by its decimals.
#[must_use]
pub fn usual(earlier: impl IntoIterator<Item = i64>, one: i64) -> Option<RangeInclusive<i64>> {
    let (mut sorted, mut count) = ([0_i64; MOST], 0);
    for value in earlier.into_iter().take(MOST) {
        // No value is beyond; so that four times the difference of two is an `i64`.
        sorted[count] = value.clamp(-CELL_LIMIT, CELL_LIMIT);
        count += 1;
    }
    if count < FEWEST {
        return None;
    }
    let sorted = &mut sorted[..count];
    sorted.sort_unstable();
    // All that follows is twice what it is called, so that the middle of two numbers is whole: the median, the deviations
    // from it, and the radius. Twice the median of doubled deviations is four times MAD.
    let median = twice_median(sorted);
    for value in sorted.iter_mut() {
        *value = (2 * *value - median).abs();
    }
    sorted.sort_unstable();
    let radius = match twice_median(sorted) {
        0 => {
            // Where nearly all are equal the mean deviation is next to nothing, and one card more would be told of. One unit,
            // and a hundredth of the value, are never unusual.
            let (count, sum) = (count as i128, sorted.iter().sum::<i64>());
            let spread =
                (i128::from(sum) * 100).max(2 * i128::from(one) * 100 * count).max(i128::from(median).abs() * count);
            4_386_599 * spread / (1_000_000 * 100 * count) // 3.5 · 1.253314 = 4.386599
        }
        four_mad => 3_500 * i128::from(four_mad) / 1_349, // 3.5 ÷ 0.6745 · 4 MAD ÷ 2
    };
    let median = i128::from(median);
    let bound = |number: i128| i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX });
    // Rounded inwards: every whole number within the range is within the radius.
    Some(bound(-(radius - median).div_euclid(2))..=bound((median + radius).div_euclid(2)))
}

/// Of sorted numbers, of which there are some.
fn twice_median(sorted: &[i64]) -> i64 {
    sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_of_three_and_a_half_is_the_bound() {
        // Median 105, deviations 5 5 3 3 1 1 … : MAD 3; 105 ± 3.5 · 3 ÷ 0.6745 = 105 ± 15.567.
        let earlier = [100, 102, 104, 106, 108, 110];
        assert_eq!(usual(earlier, 1), Some(90..=120));
        let score = |x: f64| 0.6745 * (x - 105.0).abs() / 3.0;
        assert!(score(120.0) <= 3.5 && score(121.0) > 3.5 && score(90.0) <= 3.5 && score(89.0) > 3.5);
        // Seven: median 106, deviations 6 4 2 0 2 4 6, MAD 4: 106 ± 20.756.
        assert_eq!(usual([100, 102, 104, 106, 108, 110, 112], 1), Some(86..=126));
        // Between two whole numbers: median 102.5, deviations 2.5 1.5 0.5 …, MAD 1.5: 102.5 ± 7.783.
        assert_eq!(usual([100, 101, 102, 103, 104, 105], 1), Some(95..=110));
    }

    #[test]
    fn few_values_say_nothing_and_old_ones_are_left_out() {
        assert_eq!(usual([5; 5], 1), None);
        assert_eq!(usual([], 1), None);
        assert!(usual([5; 6], 1).is_some());
        let newest = [100, 102, 104, 106, 108, 110].repeat(2);
        let with_older = newest.iter().copied().chain([1_000_000; 20]);
        assert_eq!(usual(with_older, 1), usual(newest.iter().copied(), 1));
    }

    #[test]
    fn equal_values_raise_no_false_alarm() {
        for value in [0, 1, 7, 1_205_627, CELL_LIMIT, -5] {
            let usual = usual([value; 12], 1).unwrap();
            assert!(
                usual.contains(&value) && usual.contains(&(value + 1)) && usual.contains(&(value - 1)),
                "{usual:?}"
            );
        }
        assert_eq!(usual([7; 6], 1), Some(3..=11));
        assert_eq!(usual([100_000; 6], 1), Some(95_614..=104_386), "a hundredth of the value, times 4.386599");
        assert_eq!(usual([70; 6], 10), Some(27..=113), "one is ten where there is a decimal");
        let nearly = usual([100, 100, 100, 100, 100, 101], 1).unwrap();
        assert!(nearly.contains(&101), "what was there before is not unusual: {nearly:?}");
        // Mean deviation 15: 100 ± 4.386599 · 15.
        assert_eq!(usual([100, 100, 100, 100, 100, 190], 1), Some(35..=165));
    }

    #[test]
    fn a_steady_growth_is_usual() {
        let grown = (1..=12).rev().map(|month| month * 1_000);
        assert!(usual(grown, 1).unwrap().contains(&13_000));
    }

    #[test]
    fn the_largest_numbers_are_within_bounds() {
        let (low, high) = usual([-CELL_LIMIT, CELL_LIMIT].repeat(6), 1).unwrap().into_inner();
        assert!(low < -CELL_LIMIT && high > CELL_LIMIT);
        assert!(usual([i64::MIN, i64::MAX].repeat(6), i64::MAX).is_some() && usual([i64::MIN; 12], i64::MAX).is_some());
    }
}
