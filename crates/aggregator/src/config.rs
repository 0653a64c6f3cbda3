//! The aggregator's configuration.

use std::{path::PathBuf, time::Duration};

use messaging::ConnectionConfig;
use runtime::{ServiceConfig, admin::AdminConfig, telemetry::TelemetryConfig};
use store::StoreConfig;

/// Everything an aggregator is told.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory of the catalogue; the same for all services.
    pub catalogue: PathBuf,
    /// Where whoever watches the service asks it. Not to be published.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Where NATS is.
    pub nats: ConnectionConfig,
    /// Where PostgreSQL is.
    pub store: StoreConfig,
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

/// What bounds an aggregator.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Reports in one transaction. More means fewer rewrites of the same totals when behind, and more memory.
    pub max_batch: usize,
    /// Transactions at a time, over all partitions: as many as the database has cores to spare. While a partition waits for its turn
    /// its verdicts gather, and many in one transaction cost less.
    pub transactions: usize,
    /// Batches whose totals may wait to be published, and as many whose fates may beside those that gather, before counting waits for them.
    /// After a small transaction it waits for all totals before it.
    pub unpublished_batches: usize,
    /// How often the leases are checked and free ones taken.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub lease_check: Duration,
    /// How often the totals of a form's period are recomputed and compared: the one that was not for the longest time. Never so often
    /// that it takes more than a tenth of the time.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub reconcile_every: Duration,
    /// How often all totals are, at once, and the audit log is checked; at first so long after the database was made.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub reconcile_all_every: Duration,
    /// How long committing and publishing may go on once shutdown is requested.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_batch: 10_000,
            transactions: 2,
            unpublished_batches: 4,
            lease_check: Duration::from_secs(1),
            reconcile_every: Duration::from_secs(60),
            reconcile_all_every: Duration::from_secs(24 * 60 * 60),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_understood() {
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/aggregator.toml");
        let config: Config = runtime::config::load(&sample).unwrap();
        assert_eq!(config.nats.url, "tls://nats:4222");
    }
}
