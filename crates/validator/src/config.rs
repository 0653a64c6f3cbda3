//! The validator's configuration.

use std::path::PathBuf;

use access::AccessConfig;
use messaging::ConnectionConfig;
use runtime::{ServiceConfig, admin::AdminConfig, telemetry::TelemetryConfig};
use store::StoreConfig;

/// Everything a validator is told.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory of the catalogue; the same for all services.
    pub catalogue: PathBuf,
    /// Whose seals it believes, and who may do what.
    pub access: AccessConfig,
    /// Where whoever watches the service asks it. Not to be published.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Where NATS is.
    pub nats: ConnectionConfig,
    /// Where PostgreSQL is, which knows what units reported before and which periods were opened again. Read alone.
    pub store: StoreConfig,
    /// How many batches are judged at the same time. More than one keeps judging while verdicts wait for the disk.
    #[serde(default = "Config::default_workers")]
    pub workers: usize,
    /// What it logs.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// As many workers as usual.
    #[must_use]
    pub const fn default_workers() -> usize {
        2
    }
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_understood() {
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/validator.toml");
        let config: Config = runtime::config::load(&sample).unwrap();
        assert_eq!(config.nats.url, "tls://nats:4222");
    }
}
