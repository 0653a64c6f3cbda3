//! Latencies.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How long something took, over and over again: microseconds, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        // It resizes itself; what took longer than half a million years does not come here.
        let _ = self.0.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds within which that share of all was done; none without any.
    pub(crate) fn ms(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1_000.0)
    }

    /// `count`, `p50`, `p90`, `p99`, `p999` and `max` in milliseconds.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "count": self.count(), "p50": self.ms(0.5), "p90": self.ms(0.9), "p99": self.ms(0.99),
            "p999": self.ms(0.999), "max": self.ms(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_recorded() {
        let (mut one, mut other) = (Latency::new().unwrap(), Latency::new().unwrap());
        assert_eq!(one.ms(0.5), None);
        for ms in 1..=99 {
            let latency = if ms % 2 == 0 { &mut one } else { &mut other };
            latency.record(Duration::from_millis(ms));
        }
        one.record(Duration::from_secs(100));
        one.add(&other);
        let near = |quantile, ms: f64| (one.ms(quantile).unwrap() - ms).abs() / ms < 0.002;
        assert_eq!(one.count(), 100);
        assert!(near(0.5, 50.0) && near(0.99, 99.0) && near(1.0, 100_000.0), "{one:?}");
    }
}
