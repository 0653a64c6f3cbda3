//! The collector's configuration.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use access::AccessConfig;
use messaging::ConnectionConfig;
use runtime::{ServiceConfig, admin::AdminConfig, grpc::GrpcConfig, telemetry::TelemetryConfig};

/// Everything a collector is told.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory of the catalogue; the same for all services.
    pub catalogue: PathBuf,
    /// Where to listen.
    pub grpc: GrpcConfig,
    /// Whom it believes, and who may do what.
    pub access: AccessConfig,
    /// By what its messages are known to be its own.
    pub seal: SealConfig,
    /// Where whoever watches the service asks it. Not to be published.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Where NATS is.
    pub nats: ConnectionConfig,
    /// What bounds it.
    #[serde(default)]
    pub limits: Limits,
    /// What it logs.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

/// By what a collector's messages are known.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealConfig {
    /// The PEM file of the key that seals them; all collectors have the same.
    pub key: PathBuf,
}

/// What bounds a collector.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest report, in bytes on the wire. More cells than any form has, and still far below what NATS takes.
    pub max_report_bytes: usize,
    /// Reports taken and not yet answered, over all callers. More means more memory, and longer waits before a refusal.
    pub max_in_flight: usize,
    /// The same for one stream: one sender must not fill the collector.
    pub max_in_flight_per_stream: usize,
    /// The same for all streams and calls of one sender. Raise it, and the next three, where one sender speaks for many.
    pub max_in_flight_of_one: usize,
    /// Streams that one sender may have open.
    pub max_streams_of_one: usize,
    /// Reports that one sender may bring a second. A stream that is faster is read more slowly.
    pub reports_per_second_of_one: NonZeroU32,
    /// Reports that one sender may bring at once after a rest.
    pub reports_at_once_of_one: NonZeroU32,
    /// Reports in one message. More means fewer waits for the disk and longer ones.
    pub max_group: usize,
    /// Bytes in one message; with the largest report on top it must stay below NATS's `max_payload`.
    pub max_group_bytes: usize,
    /// Messages on their way to JetStream at a time.
    pub lanes: u16,
    /// How long a busy collector waits for more reports before a message goes out. An idle one does not wait.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub linger: Duration,
    /// By how much counting may be behind before no more is taken in than is counted.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub behind: Duration,
    /// After how long a report that JetStream does not take is refused.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub give_up_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_report_bytes: 128 * 1024,
            max_in_flight: 20_000,
            max_in_flight_per_stream: 8_000,
            max_in_flight_of_one: 10_000,
            max_streams_of_one: 100,
            reports_per_second_of_one: const { NonZeroU32::new(5_000).unwrap() },
            reports_at_once_of_one: const { NonZeroU32::new(20_000).unwrap() },
            max_group: 1_000,
            max_group_bytes: 256 * 1024,
            lanes: 2,
            linger: Duration::from_millis(4),
            behind: Duration::from_secs(3),
            give_up_after: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_understood() {
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/collector.toml");
        let config: Config = runtime::config::load(&sample).unwrap();
        assert_eq!(config.nats.url, "tls://nats:4222");
    }
}
