//! Keys of a run: made for it, and gone with it.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use access::{AccessConfig, Authority, Layout, grants, keys};
use cli::keys::InitError;
use client::{CertificateFiles, Channel, Credentials, Unconnected};
use domain::access::{Action, Grant, PrincipalName};
use messaging::ConnectionConfig;
use runtime::{Clock as _, SystemClock, grpc::GrpcConfig};
use store::{Role, StoreConfig};
use time::{Date, Duration, Month};
use tonic::transport::Endpoint;

use crate::{
    NatsServer, PostgresServer, WorkdirError,
    workdir::{RunDir, Workdir, failed},
};

/// How long certificates are valid that are issued here.
const VALID_FOR: Duration = Duration::days(30);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no place for them.
    #[error(transparent)]
    Workdir(#[from] WorkdirError),
    /// They cannot be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    /// Grants cannot be written.
    #[error(transparent)]
    File(#[from] access::FileError),
    /// A principal's name is none.
    #[error(transparent)]
    Name(#[from] domain::access::PrincipalNameError),
}

/// A keys directory of its own, as `tonghop auth init` makes it.
#[derive(Debug)]
pub struct Keys {
    layout: Layout,
    dir: RunDir,
}

impl Keys {
    /// Makes all keys. Nobody but the operator may do anything yet.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn make() -> Result<Self, KeysError> {
        let dir = Workdir::open()?.run_dir("keys")?;
        let layout = Layout::at(dir.path().join("keys"));
        cli::keys::init(&layout, &[], SystemClock.now())?;
        Ok(Self { layout, dir })
    }

    /// Where each of them is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How somebody with a NATS user connects to a server that has its keys from here.
    #[must_use]
    pub fn nats(&self, who: &str, server: &NatsServer) -> ConnectionConfig {
        ConnectionConfig {
            ca: Some(self.layout.ca()),
            seed: Some(self.layout.nats_seed(who)),
            ..ConnectionConfig::to(server.tls_url())
        }
    }

    /// How somebody with a PostgreSQL role connects to a server that has its keys from here.
    #[must_use]
    pub fn postgres(&self, role: Role, server: &PostgresServer) -> StoreConfig {
        StoreConfig {
            user: Some(role.name()),
            password: Some(self.layout.postgres_password(role.service())),
            ca: Some(self.layout.ca()),
            ..StoreConfig::to(server.address())
        }
    }

    /// The same by the server's Unix socket, as a service does beside its database; over TLS where there is none.
    #[must_use]
    pub fn postgres_beside(&self, role: Role, server: &PostgresServer) -> StoreConfig {
        let over_tls = self.postgres(role, server);
        match server.socket_address() {
            Some(url) => StoreConfig { url, ca: None, ..over_tls },
            None => over_tls,
        }
    }

    /// How `collector` or `query` listens.
    #[must_use]
    pub fn grpc(&self, who: &str, listen: SocketAddr) -> GrpcConfig {
        let Self { layout, .. } = self;
        let mut config = GrpcConfig::on(listen, layout.server_certificate(who), layout.server_key(who), layout.ca());
        // Whoever measures is one principal and stands for thousands.
        config.limits.max_calls_of_one = config.limits.max_calls;
        config
    }

    /// Whom services believe. They look for changes often: whoever changes something here waits for it.
    #[must_use]
    pub fn access(&self) -> AccessConfig {
        AccessConfig { reread_every_ms: 100, ..AccessConfig::to(self.layout.trust()) }
    }

    /// Lets a principal do this with every unit and data set there is, at any time.
    ///
    /// # Errors
    /// When the name is none, or the grant cannot be written.
    pub fn grant_all(&self, principal: &str, actions: &[Action]) -> Result<(), KeysError> {
        let principal = PrincipalName::from_str(principal)?;
        let from = Date::from_calendar_date(2000, Month::January, 1).unwrap_or(Date::MIN);
        let grant = |action: &Action| Grant {
            principal: principal.clone(),
            action: *action,
            org_unit: None,
            data_sets: None,
            from,
            until: None,
        };
        grants::add(&self.layout, actions.iter().map(grant).collect())?;
        Ok(())
    }

    /// Credentials of a principal, with a new certificate. It may do what it is granted.
    ///
    /// # Errors
    /// When the name is none, or the certificate cannot be made.
    pub fn credentials(&self, principal: &str) -> Result<Credentials, KeysError> {
        let name = PrincipalName::from_str(principal)?;
        let issued = Authority::open(&self.layout)?.issue_certificate(&name, VALID_FOR, SystemClock.now())?;
        let path = |end: &str| self.dir.path().join(format!("{principal}-{}.{end}", issued.issued.id));
        let (certificate, key) = (path("pem"), path("key"));
        for (path, text) in [(&certificate, &issued.certificate), (&key, &issued.key)] {
            std::fs::write(path, text).map_err(failed("write", path))?;
        }
        Ok(self.showing(certificate, key))
    }

    /// The same with a token instead.
    ///
    /// # Errors
    /// When the name is none, or the token cannot be made.
    pub fn token(&self, principal: &str) -> Result<Credentials, KeysError> {
        let name = PrincipalName::from_str(principal)?;
        let issued = Authority::open(&self.layout)?.issue_token(&name, VALID_FOR, None, SystemClock.now())?;
        let path = self.dir.path().join(format!("{principal}-{}.token", issued.issued.id));
        std::fs::write(&path, issued.token).map_err(failed("write", &path))?;
        Ok(Credentials { ca: Some(self.layout.ca()), certificate: None, token: Some(path) })
    }

    /// The operator's credentials: it may read and operate everything.
    #[must_use]
    pub fn operator(&self) -> Credentials {
        self.showing(self.layout.operator_certificate(), self.layout.operator_key())
    }

    fn showing(&self, certificate: PathBuf, key: PathBuf) -> Credentials {
        let certificate = Some(CertificateFiles { certificate, key });
        Credentials { ca: Some(self.layout.ca()), certificate, token: None }
    }
}

/// The way to a service, for somebody with credentials.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it is: `https://HOST:PORT`.
    pub url: String,
    /// Who goes there.
    pub credentials: Credentials,
}

impl Door {
    /// To that address on this machine.
    #[must_use]
    pub fn to(address: SocketAddr, credentials: Credentials) -> Self {
        Self { url: format!("https://{address}"), credentials }
    }

    /// The same for somebody else.
    #[must_use]
    pub fn with(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// Connects.
    ///
    /// # Errors
    /// When the service cannot be reached, or one does not believe the other.
    pub async fn connect(&self) -> Result<Channel, Unconnected> {
        self.credentials.connect(Endpoint::from_shared(self.url.clone())?).await
    }
}
