//! Numbers for Prometheus: one recorder a process, and how it is asked.
//!
//! Whoever counts something uses the macros of the crate `metrics`, keeps the handle they give, and adds the number to
//! `deploy/prometheus/METRICS.md`; a test compares that list with what a running system says.

use std::sync::OnceLock;

use metrics::Gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use time::OffsetDateTime;

use crate::{Clock as _, SystemClock};

/// From half a millisecond, a disk that answers at once, to ten minutes, a backlog that somebody must look at.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// From one report in a batch to the most that is ever taken together.
const REPORTS: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 5_000.0];

/// The numbers of this process. The first call begins to record; what was counted before it is lost, so whoever starts a
/// service calls it first. Safe to call at any time, by several at once.
pub fn recorder() -> &'static Numbers {
    static NUMBERS: OnceLock<Numbers> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // Refused only where there are no buckets.
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        let builder = builder
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_reports".to_owned()), &REPORTS));
        let recorder = builder.unwrap_or_default().build_recorder();
        let numbers = Numbers(recorder.handle());
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("something else in this process takes the metrics; /metrics stays empty");
        }
        numbers
    })
}

/// All numbers of a process.
#[derive(Clone, Debug)]
pub struct Numbers(PrometheusHandle);

impl Numbers {
    /// As Prometheus reads them.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what histograms have gathered; to be called every few seconds, or they grow.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

/// How many seconds ago an instant was; 0 for one that is still to come, by a clock that is ahead of ours.
#[must_use]
pub fn seconds_since(instant: OffsetDateTime) -> f64 {
    (SystemClock.now() - instant).as_seconds_f64().max(0.0)
}

/// Counts a caller or a message that was not let in; `reason` is the stable one that was answered, such as
/// `CREDENTIALS_EXPIRED`.
pub fn refused(service: &'static str, reason: &'static str) {
    metrics::counter!("tonghop_access_refused_total", "service" => service, "reason" => reason).increment(1);
}

/// Counts a connection or a call that was turned away before anybody looked into it; `reason` is the stable one that was answered, or
/// `TOO_MANY_CONNECTIONS`, where there is no answer.
pub(crate) fn turned_away(reason: &'static str) {
    metrics::counter!("tonghop_grpc_turned_away_total", "reason" => reason).increment(1);
}

/// Tells until when a certificate is good: `name` says which, such as `server`.
pub fn certificate_expires(name: &'static str, at: OffsetDateTime) {
    recorder();
    let seconds = at.unix_timestamp() as f64;
    metrics::gauge!("tonghop_certificate_expiry_timestamp_seconds", "certificate" => name).set(seconds);
}

/// A number that is one higher while this lives.
pub struct OneMore(Gauge);

impl OneMore {
    /// Counts one more.
    #[must_use]
    pub fn of(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl std::fmt::Debug for OneMore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneMore")
    }
}
