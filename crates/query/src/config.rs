//! The query service's configuration.

use std::{
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use access::AccessConfig;
use messaging::ConnectionConfig;
use runtime::{ServiceConfig, admin::AdminConfig, grpc::GrpcConfig, telemetry::TelemetryConfig};
use store::StoreConfig;

/// Everything a query service is told.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory of the catalogue; the same for all services, or cells and expected units would not fit the totals.
    pub catalogue: PathBuf,
    /// Where to listen, and how long calls may go on once shutdown is requested.
    pub grpc: GrpcConfig,
    /// Whom it believes, and who may see what.
    pub access: AccessConfig,
    /// Where whoever watches the service asks it. Not to be published.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Where NATS is. It tells what moved; every number comes from PostgreSQL.
    pub nats: ConnectionConfig,
    /// Where PostgreSQL is. More connections answer more questions at a time; watchers together use at most half of them. One more
    /// beside them looks how far everything is counted.
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

/// What bounds a query service.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Watchers at a time, over all callers. More need more memory, and more of the database: each reads again whenever
    /// its unit moves. One caller has at most half of them, one connection `grpc.max_concurrent_streams`.
    pub max_watchers: usize,
    /// Totals that are watched at a time, over all watchers: one of them may watch a thousand, one caller half of all. More need more
    /// memory.
    pub max_watched: usize,
    /// Calls that one caller may make a second. Raise it, and the next, where one caller asks for many.
    pub calls_per_second_of_one: NonZeroU32,
    /// Calls that one caller may make at once after a rest.
    pub calls_at_once_of_one: NonZeroU32,
    /// After how long a watcher that does not read is sent away. Lower it when many go away without a word.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub unread_for: Duration,
    /// How many answers are kept to be given again while they are true; some 20 KB each. 0 to read each anew.
    pub kept_answers: usize,
    /// A state of the past that so many revisions of reports or more are in is refused, corrections too; two are counted at a
    /// time, with some 1 KB for each revision. Raise it for longer periods of larger units.
    pub max_revisions: usize,
    /// The most units on a page. Larger pages are fewer questions; a client must be willing to receive them in one
    /// message (a unit is some 2 KB for each level that reports and once more for all of them together, and many clients stop
    /// at 4 MiB).
    pub max_page_size: NonZeroU16,
    /// After how long a question that PostgreSQL does not answer is given up. Raise it for a slow database; callers wait
    /// that long, or twice that long for `latest`, before they are told to come again.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub answer_within: Duration,
    /// After how long a watcher that heard of nothing looks for itself: the longest that a total can be out of date while
    /// NATS is away. Raise it when idle watchers load the database.
    #[serde(deserialize_with = "runtime::config::duration")]
    pub look_again_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_watchers: 1_000,
            max_watched: 20_000,
            calls_per_second_of_one: const { NonZeroU32::new(5_000).unwrap() },
            calls_at_once_of_one: const { NonZeroU32::new(20_000).unwrap() },
            unread_for: Duration::from_secs(60),
            kept_answers: 1_000,
            max_revisions: 300_000,
            max_page_size: const { NonZeroU16::new(1_000).unwrap() },
            answer_within: Duration::from_secs(5),
            look_again_after: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        catalogue = "deploy/catalogue/de06"
        [grpc]
        listen = "127.0.0.1:0"
        certificate = "keys/query/server.pem"
        key = "keys/query/server.key"
        client_ca = "keys/trust/ca.pem"
        [access]
        trust = "keys/trust"
        [nats]
        url = "nats://127.0.0.1:4222"
        [store]
        url = "postgres://tonghop@127.0.0.1:5432/tonghop"
    "#;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let config: Config = toml::from_str(SAMPLE).unwrap();
        assert_eq!(config.limits, Limits::default());
        let limits = "[limits]\nmax_watchers = 3\nlook_again_after = \"250ms\"";
        let config: Config = toml::from_str(&format!("{SAMPLE}\n{limits}")).unwrap();
        assert_eq!((config.limits.max_watchers, config.limits.look_again_after), (3, Duration::from_millis(250)));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = toml::from_str::<Config>(&format!("{SAMPLE}\n[limits]\nmax_watcher = 3")).unwrap_err();
        assert!(error.message().contains("unknown field `max_watcher`"), "{error}");
    }

    #[test]
    fn the_sample_is_understood() {
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/query.toml");
        let config: Config = runtime::config::load(&sample).unwrap();
        assert_eq!(config.nats.url, "tls://nats:4222");
    }
}
