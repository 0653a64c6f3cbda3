//! The clock of an open loop: a report arrives when its time has come, whether those before it are answered or not.

use std::time::Duration;

/// Arrivals at a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    per_second: f64,
}

impl Arrivals {
    pub(crate) fn at(per_second: f64) -> Self {
        Self { per_second }
    }

    /// When the report with that number arrives, counted from 0, after the beginning.
    pub(crate) fn due(self, number: u64) -> Duration {
        // Exact far beyond any number of reports sent here.
        Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_spread_evenly_and_do_not_drift() {
        let arrivals = Arrivals::at(30_000.0);
        assert_eq!(arrivals.due(0), Duration::ZERO);
        assert_eq!(arrivals.due(30_000), Duration::from_secs(1));
        assert_eq!(arrivals.due(30_000 * 3_600), Duration::from_secs(3_600));
        for number in 0..1_000 {
            let step = arrivals.due(number + 1) - arrivals.due(number);
            assert!((33_000..34_000).contains(&step.as_nanos()), "{step:?}");
        }
    }

    #[test]
    fn slow_rates_are_rates_too() {
        assert_eq!(Arrivals::at(0.5).due(3), Duration::from_secs(6));
    }
}
