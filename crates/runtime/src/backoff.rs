//! How long to wait before trying again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Exponential delays with full jitter: the n-th delay is uniform between nothing and `base · 2ⁿ`, at most `cap`.
///
/// Full jitter, because what fails for one replica fails for all of them at the same moment, and they must not all come
/// back at the same moment too.
///
/// It only counts; the caller sleeps, so it can also stop sleeping when shutdown is requested.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    /// Randomly keyed by the standard library: good enough to spread retries, and no generator to carry.
    random: RandomState,
}

impl Backoff {
    /// Starts before the first failure; `base` bounds the first delay, `cap` every delay.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0, random: RandomState::new() }
    }

    /// Counts one more failure and says how long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling();
        let draw = self.random.hash_one(self.failures);
        self.failures = self.failures.saturating_add(1);
        Duration::from_nanos_u128(u128::from(draw) % (ceiling.as_nanos() + 1))
    }

    /// A try succeeded: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    fn ceiling(&self) -> Duration {
        let doublings = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.base.saturating_mul(doublings).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut ceilings = Vec::new();
        for _ in 0..40 {
            let ceiling = backoff.ceiling();
            assert!(backoff.next_delay() <= ceiling);
            ceilings.push(ceiling.as_millis());
        }
        assert_eq!(ceilings[..5], [100, 200, 400, 800, 1000]);
        assert!(ceilings[5..].iter().all(|&ceiling| ceiling == 1000), "no doubling wraps, however often it fails");
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_millis(100));
    }

    #[test]
    fn delays_are_spread_over_the_whole_range() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second);
        let delays: Vec<_> = (0..1000).map(|_| backoff.next_delay()).collect();
        for quarter in 0..4 {
            let (low, high) = (second / 4 * quarter, second / 4 * (quarter + 1));
            let share = delays.iter().filter(|&&delay| (low..high).contains(&delay)).count();
            // The expectation is 250; 150 is more than seven standard deviations away.
            assert!(share > 150, "{share} of 1000 delays fall between {low:?} and {high:?}");
        }
    }
}
