//! Where each key is in the keys directory.

use std::path::{Path, PathBuf};

/// The keys directory: a directory for each who needs keys, holding exactly those.
///
/// ```text
/// authority/   ca.pem ca.key tokens.key issued.csv operated.log      the operator's alone: signs certificates and tokens
/// trust/       ca.pem jwks.json grants.csv revoked.csv seals.json    no secret; services read it, and again when it changes
/// collector/   server.pem server.key seal.key nats.seed
/// validator/   nats.seed postgres.password
/// aggregator/  nats.seed postgres.password
/// query/       server.pem server.key nats.seed postgres.password
/// provision/   nats.seed postgres.password
/// monitor/     nats.seed postgres.password
/// nats/        server.pem server.key ca.pem
/// postgres/    server.pem server.key superuser.password
/// operator/    client.pem client.key nats.seed
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(PathBuf);

/// Who has a NATS user, in the order in which they are listed.
pub(crate) const NATS_USERS: [&str; 7] =
    ["collector", "validator", "aggregator", "query", "provision", "monitor", "operator"];

/// Who has a PostgreSQL role.
pub(crate) const POSTGRES_ROLES: [&str; 5] = ["validator", "aggregator", "query", "provision", "monitor"];

/// Who has a server's certificate.
pub(crate) const SERVERS: [&str; 4] = ["collector", "query", "nats", "postgres"];

impl Layout {
    /// The keys directory at a path.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// What belongs to one: `collector`, `nats` …
    #[must_use]
    pub fn of(&self, who: &str) -> PathBuf {
        self.0.join(who)
    }

    /// What every service reads.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.of("trust")
    }

    /// The authority's certificate, by which all others are known.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.trust().join(CA)
    }

    /// A server's certificate.
    #[must_use]
    pub fn server_certificate(&self, who: &str) -> PathBuf {
        self.of(who).join("server.pem")
    }

    /// The key of a server's certificate.
    #[must_use]
    pub fn server_key(&self, who: &str) -> PathBuf {
        self.of(who).join("server.key")
    }

    /// The seed of somebody's NATS user.
    #[must_use]
    pub fn nats_seed(&self, who: &str) -> PathBuf {
        self.of(who).join("nats.seed")
    }

    /// The password of somebody's PostgreSQL role.
    #[must_use]
    pub fn postgres_password(&self, who: &str) -> PathBuf {
        self.of(who).join("postgres.password")
    }

    /// The password of PostgreSQL's superuser.
    #[must_use]
    pub fn superuser_password(&self) -> PathBuf {
        self.of("postgres").join("superuser.password")
    }

    /// The key by which collectors seal what they publish.
    #[must_use]
    pub fn seal_key(&self) -> PathBuf {
        self.of("collector").join("seal.key")
    }

    /// The operator's certificate.
    #[must_use]
    pub fn operator_certificate(&self) -> PathBuf {
        self.of("operator").join("client.pem")
    }

    /// The key of the operator's certificate.
    #[must_use]
    pub fn operator_key(&self) -> PathBuf {
        self.of("operator").join("client.key")
    }

    /// Who may do what.
    #[must_use]
    pub fn grants(&self) -> PathBuf {
        self.trust().join(GRANTS)
    }

    /// What is revoked.
    #[must_use]
    pub fn revoked(&self) -> PathBuf {
        self.trust().join(REVOKED)
    }

    /// The keys by which tokens are known.
    #[must_use]
    pub fn token_keys(&self) -> PathBuf {
        self.trust().join(TOKEN_KEYS)
    }

    /// The keys by which seals are known.
    #[must_use]
    pub fn seal_keys(&self) -> PathBuf {
        self.trust().join(SEAL_KEYS)
    }

    /// What operators did to the keys directory.
    #[must_use]
    pub fn operated_log(&self) -> PathBuf {
        self.authority("operated.log")
    }

    pub(crate) fn authority(&self, name: &str) -> PathBuf {
        self.of("authority").join(name)
    }
}

pub(crate) const CA: &str = "ca.pem";
pub(crate) const CA_KEY: &str = "ca.key";
pub(crate) const TOKENS_KEY: &str = "tokens.key";
pub(crate) const ISSUED: &str = "issued.csv";
pub(crate) const TOKEN_KEYS: &str = "jwks.json";
pub(crate) const GRANTS: &str = "grants.csv";
pub(crate) const REVOKED: &str = "revoked.csv";
pub(crate) const SEAL_KEYS: &str = "seals.json";
