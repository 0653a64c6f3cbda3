//! The one thing a service asks: who is this, and may they?

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use domain::{
    OrgTree,
    access::{Denied, PrincipalName, Wish},
};
use time::OffsetDateTime;
use tokio::{sync::watch, task, time::MissedTickBehavior};

use crate::{
    FileError, ISSUER, Principal, Unauthenticated, remote,
    seal::{self, SealError},
    trust::{self, Texts, Trust},
};

/// Where a service finds what it may believe.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessConfig {
    /// The trust directory.
    pub trust: PathBuf,
    /// How often it is looked at for changes, in milliseconds; 10 seconds at most, so that a revocation is in force by then.
    #[serde(default = "AccessConfig::default_reread_every_ms")]
    pub reread_every_ms: u64,
    /// Where more keys of tokens are, `https://…`: those of an organisation that issues tokens itself. Fetched every minute; while that
    /// fails, those that were there last are believed.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Who issues tokens: their `iss`.
    #[serde(default = "AccessConfig::default_issuer")]
    pub issuer: String,
}

impl AccessConfig {
    /// That trust directory, all else as usual.
    #[must_use]
    pub fn to(trust: impl Into<PathBuf>) -> Self {
        let (reread_every_ms, issuer) = (Self::default_reread_every_ms(), Self::default_issuer());
        Self { trust: trust.into(), reread_every_ms, jwks_url: None, issuer }
    }

    fn default_reread_every_ms() -> u64 {
        5_000
    }

    fn default_issuer() -> String {
        ISSUER.to_owned()
    }

    fn reread_every(&self) -> Duration {
        Duration::from_millis(self.reread_every_ms.clamp(10, 10_000))
    }
}

/// What a service believes, as the trust directory stands; cheap to clone. It is read again when it changes; while it is not
/// as it should be, the last good state is in force and the log says why.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    config: AccessConfig,
    trust: watch::Sender<Arc<Trust>>,
    /// The keys of tokens that were fetched last.
    fetched: Mutex<Option<String>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("trust", &self.0.config.trust).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the trust directory, and again from now on whenever it changes.
    ///
    /// # Errors
    /// When a file of it cannot be read or is wrong.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn open(config: &AccessConfig) -> Result<Self, FileError> {
        let trust = Trust::parse(&config.trust, &config.issuer, trust::texts(&config.trust)?, None)?;
        let trust = watch::Sender::new(Arc::new(trust));
        let inner = Arc::new(Inner { config: config.clone(), trust, fetched: Mutex::default() });
        tokio::spawn(keep_current(Arc::downgrade(&inner), config.reread_every()));
        Ok(Self(inner))
    }

    /// Who it is that connected with a certificate, or sent the header `authorization`, or both: then the header decides.
    ///
    /// # Errors
    /// When there are no credentials, or none that prove anything.
    pub fn authenticate(
        &self,
        certificate: Option<&[u8]>,
        authorization: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<Principal, Unauthenticated> {
        match (authorization, certificate) {
            (Some(header), _) => match header.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    self.authenticate_token(token.trim(), now)
                }
                _ => Err(Unauthenticated::Invalid("`authorization` must be `Bearer` and a token")),
            },
            (None, Some(certificate)) => self.authenticate_certificate(certificate, now),
            (None, None) => Err(Unauthenticated::Missing),
        }
    }

    /// Who it is that has proved to hold this certificate.
    ///
    /// # Errors
    /// When the certificate is not of this system, names nobody, has expired or is revoked.
    pub fn authenticate_certificate(&self, der: &[u8], now: OffsetDateTime) -> Result<Principal, Unauthenticated> {
        self.trust().certificate(der, now)
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// When the token is not of this system, is for somebody else, has expired or is revoked.
    pub fn authenticate_token(&self, token: &str, now: OffsetDateTime) -> Result<Principal, Unauthenticated> {
        self.trust().token(token, now)
    }

    /// Whether somebody's credentials are good still; for calls that last.
    ///
    /// # Errors
    /// When they have expired or were revoked since.
    pub fn still(&self, principal: &Principal, now: OffsetDateTime) -> Result<(), Unauthenticated> {
        self.trust().still(principal, now)
    }

    /// Whether somebody may do what they wish.
    ///
    /// # Errors
    /// When no grant covers it.
    pub fn may(&self, principal: &PrincipalName, wish: &Wish<'_>, tree: &OrgTree) -> Result<(), Denied> {
        self.trust().grants.may(principal, wish, tree)
    }

    /// Whether somebody might do what they wish when a collector let them, which may know of newer grants: these are looked for
    /// before it is denied.
    ///
    /// # Errors
    /// When no grant covers it.
    pub fn might(&self, principal: &PrincipalName, wish: &Wish<'_>, tree: &OrgTree) -> Result<(), Denied> {
        self.may(principal, wish, tree).or_else(|_| {
            self.look();
            self.may(principal, wish, tree)
        })
    }

    /// Whether a message's payload was sealed by a collector. A key that is not known may be new and is looked for.
    ///
    /// # Errors
    /// When it was not.
    pub fn check_seal(&self, seal: Option<&str>, payload: &[u8]) -> Result<(), SealError> {
        match seal::check(&self.trust().seals, seal, payload) {
            Err(SealError::UnknownKey) => {
                self.look();
                seal::check(&self.trust().seals, seal, payload)
            }
            checked => checked,
        }
    }

    /// Looks for changes now; where that fails, the last good state stays and the next look tells why.
    fn look(&self) {
        if let Err(error) = self.reread() {
            tracing::debug!(%error, "the trust directory cannot be read");
        }
    }

    /// Tells when what is believed changes, from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.0.trust.subscribe())
    }

    /// Looks for changes now.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong; the last good state stays in force.
    pub fn reread(&self) -> Result<(), FileError> {
        self.0.reread()
    }

    /// Fetches keys now.
    #[cfg(test)]
    pub(crate) fn refetch(&self) -> Result<(), FileError> {
        self.0.refetch()
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.0.trust.borrow())
    }
}

/// Tells when what is believed changes.
#[derive(Clone)]
pub struct Changes(watch::Receiver<Arc<Trust>>);

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changes")
    }
}

impl Changes {
    /// Waits for the next change; for ever where nobody looks any more. May be dropped while it waits.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Inner {
    fn reread(&self) -> Result<(), FileError> {
        let fetched = self.fetched();
        let texts = trust::texts(&self.config.trust)?;
        if texts == self.trust.borrow().texts { Ok(()) } else { self.take(texts, fetched.as_deref()) }
    }

    /// Fetches the keys that are elsewhere. Whoever cannot be asked is believed as before.
    fn refetch(&self) -> Result<(), FileError> {
        let Some(url) = &self.config.jwks_url else { return Ok(()) };
        let ca = trust::ca(&self.trust.borrow().texts).to_owned();
        let fetched = remote::fetch(url, &ca);
        let fetched = fetched.map_err(|error| FileError::wrong(remote::name(url), error.to_string()))?;
        let mut before = self.fetched();
        if before.as_ref() != Some(&fetched) {
            let texts = self.trust.borrow().texts.clone();
            self.take(texts, Some(&fetched))?;
            *before = Some(fetched);
        }
        Ok(())
    }

    /// Believes these texts from now on, if nothing is wrong with them. Whoever calls holds `fetched`.
    fn take(&self, texts: Texts, fetched: Option<&str>) -> Result<(), FileError> {
        let AccessConfig { trust: dir, issuer, jwks_url, .. } = &self.config;
        let elsewhere = jwks_url.as_deref().map(remote::name).zip(fetched);
        self.trust.send_replace(Arc::new(Trust::parse(dir, issuer, texts, elsewhere)?));
        tracing::info!("what is believed has changed");
        Ok(())
    }

    /// Who holds this only reads or replaces it.
    fn fetched(&self) -> MutexGuard<'_, Option<String>> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for changes until nobody asks any more.
async fn keep_current(inner: Weak<Inner>, every: Duration) {
    tokio::join!(repeat(&inner, every, Inner::reread), repeat(&inner, remote::EVERY, Inner::refetch));
}

async fn repeat(inner: &Weak<Inner>, every: Duration, look: fn(&Inner) -> Result<(), FileError>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let error = match task::spawn_blocking(move || look(&inner)).await {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // Once, and again when it is another.
        if !error.is_empty() && error != told {
            tracing::error!(error, "who is believed cannot be read; the last good state stays in force");
        }
        told = error;
    }
}
