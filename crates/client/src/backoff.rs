//! How long to wait before trying again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// Pauses with full jitter: the n-th is uniform between nothing and `first · 2ⁿ`, at most `longest`.
///
/// Full jitter, because when a collector comes back all of its senders do, and they must not come at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The bound of the first pause.
    pub first: Duration,
    /// The bound of every pause.
    pub longest: Duration,
}

impl Pace {
    /// The bound of the pause after so many failures; the first failure is number 0.
    pub(crate) fn bound(self, failures: u32) -> Duration {
        let doublings = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(doublings).min(self.longest)
    }

    /// The pause after so many failures.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        random_part(self.bound(failures))
    }

    /// A pause between half of its bound and all of it: for asking again where nothing has failed.
    pub(crate) fn interval(self, asked: u32) -> Duration {
        let half = self.bound(asked) / 2;
        half + random_part(half)
    }
}

/// A part of a span, drawn uniformly. The standard library keys its hashes randomly: good enough to spread retries.
fn random_part(span: Duration) -> Duration {
    let draw = RandomState::new().hash_one(());
    Duration::from_nanos_u128(u128::from(draw) % (span.as_nanos() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { first: Duration::from_millis(100), longest: Duration::from_secs(1) };

    #[test]
    fn bounds_double_up_to_the_longest() {
        let bounds: Vec<_> = (0..40).map(|failures| PACE.bound(failures).as_millis()).collect();
        assert_eq!(bounds[..5], [100, 200, 400, 800, 1000]);
        assert!(bounds[5..].iter().all(|bound| *bound == 1000), "no doubling wraps, however often it fails");
    }

    #[test]
    fn pauses_are_spread_over_the_whole_range_and_intervals_over_its_upper_half() {
        let pauses: Vec<_> = (0..1000).map(|_| PACE.pause(10)).collect();
        let quarter = PACE.longest / 4;
        for number in 0..4 {
            let share =
                pauses.iter().filter(|&&pause| (quarter * number..quarter * (number + 1)).contains(&pause)).count();
            // The expectation is 250; 150 is more than seven standard deviations away.
            assert!(share > 150, "{share} of 1000 pauses fall into quarter {number}");
        }
        assert!((0..1000).all(|_| (quarter * 2..=PACE.longest).contains(&PACE.interval(10))));
    }
}
