//! The collector's numbers; `deploy/prometheus/METRICS.md` says what each means.

use std::sync::LazyLock;

use crate::refused::Refused;
use metrics::{Counter, Gauge, Histogram};

/// Handles of what is counted all the time.
pub(crate) struct Numbers {
    pub(crate) acknowledged: Counter,
    pub(crate) answer_seconds: Histogram,
    pub(crate) in_flight: Gauge,
    pub(crate) streams: Gauge,
    pub(crate) batch_reports: Histogram,
    pub(crate) publish_seconds: Histogram,
    pub(crate) publish_retries: Counter,
    pub(crate) behind_seconds: Gauge,
}

pub(crate) static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| Numbers {
    acknowledged: metrics::counter!("tonghop_collector_acknowledged_total"),
    answer_seconds: metrics::histogram!("tonghop_collector_answer_seconds"),
    in_flight: metrics::gauge!("tonghop_collector_in_flight"),
    streams: metrics::gauge!("tonghop_collector_streams"),
    batch_reports: metrics::histogram!("tonghop_collector_batch_reports"),
    publish_seconds: metrics::histogram!("tonghop_collector_publish_seconds"),
    publish_retries: metrics::counter!("tonghop_collector_publish_retries_total"),
    behind_seconds: metrics::gauge!("tonghop_collector_behind_seconds"),
});

/// Counts a report that was not taken, by its stable reason.
pub(crate) fn refused(refused: &Refused) {
    let reason = refused.reason();
    if matches!(refused, Refused::Unauthenticated(_) | Refused::NotGranted(_)) {
        runtime::metrics::refused("collector", reason);
    }
    metrics::counter!("tonghop_collector_refused_total", "reason" => reason).increment(1);
}
