//! The validator's numbers; `deploy/prometheus/METRICS.md` says what each means.

use std::{convert::Infallible, sync::LazyLock, time::Duration};

use messaging::{Connection, Judging};
use metrics::{Counter, Gauge, Histogram};
use runtime::metrics::seconds_since;
use time::OffsetDateTime;

/// Handles of what is counted all the time.
pub(crate) struct Numbers {
    pub(crate) accepted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) quarantined: Counter,
    pub(crate) batch_reports: Histogram,
    pub(crate) judge_seconds: Histogram,
    pub(crate) publish_seconds: Histogram,
    pub(crate) retries: Counter,
    blind: Gauge,
    behind_seconds: Gauge,
    waiting: Gauge,
    in_hand: Gauge,
    redelivered: Gauge,
}

pub(crate) static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| Numbers {
    accepted: metrics::counter!("tonghop_validator_reports_total", "verdict" => "accepted"),
    rejected: metrics::counter!("tonghop_validator_reports_total", "verdict" => "rejected"),
    quarantined: metrics::counter!("tonghop_validator_quarantined_total"),
    batch_reports: metrics::histogram!("tonghop_validator_batch_reports"),
    judge_seconds: metrics::histogram!("tonghop_validator_judge_seconds"),
    publish_seconds: metrics::histogram!("tonghop_validator_publish_seconds"),
    retries: metrics::counter!("tonghop_validator_retries_total"),
    blind: metrics::gauge!("tonghop_blind", "service" => "validator"),
    behind_seconds: metrics::gauge!("tonghop_validator_behind_seconds"),
    waiting: metrics::gauge!("tonghop_validator_waiting_messages"),
    in_hand: metrics::gauge!("tonghop_validator_in_hand_messages"),
    redelivered: metrics::gauge!("tonghop_validator_redelivered_messages"),
});

/// Looks again and again how far all validators together are behind the log. It is told as time, by the oldest message that
/// is not done with: a number of messages says nothing of a log that stands still.
pub(crate) async fn look(connection: Connection) -> Infallible {
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        let judging = connection.judging().await;
        NUMBERS.blind.set(f64::from(u8::from(judging.is_err())));
        match judging {
            Ok(Judging { waiting, in_hand, redelivered, oldest }) => {
                NUMBERS.waiting.set(waiting as f64);
                NUMBERS.in_hand.set(in_hand as f64);
                NUMBERS.redelivered.set(redelivered as f64);
                NUMBERS.behind_seconds.set(oldest.map_or(0.0, |oldest| seconds_since(OffsetDateTime::from(oldest))));
            }
            Err(error) => tracing::warn!(%error, "how far the validators are cannot be had"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
