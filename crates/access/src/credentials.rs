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
    trust::{self, Trust},
    watched::{Texts, Watched},
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
    /// Who else issues tokens: their `iss`. The keys at `jwks_url` sign for him alone; those in the trust directory sign for us and for him.
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

    pub(crate) fn reread_every(&self) -> Duration {
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
    sources: Mutex<Sources>,
}

/// What is believed comes from here.
struct Sources {
    files: Watched,
    /// The files' texts that were tried last, and what is wrong with them.
    tried: Texts,
    wrong: Option<FileError>,
    /// The keys of tokens that were fetched last.
    fetched: Option<String>,
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
        let mut files = Watched::of(&config.trust);
        let tried = files.texts()?;
        let trust = Trust::parse(&config.trust, &config.issuer, tried.clone(), None)?;
        let trust = watch::Sender::new(Arc::new(trust));
        let sources = Mutex::new(Sources { files, tried, wrong: None, fetched: None });
        let inner = Arc::new(Inner { config: config.clone(), trust, sources });
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
            (Some(header), _) => match bearer(header) {
                Some(token) => self.authenticate_token(token, now),
                None => Err(Unauthenticated::Invalid("`authorization` must be `Bearer` and a token")),
            },
            (None, Some(certificate)) => self.authenticate_certificate(certificate, now),
            (None, None) => Err(Unauthenticated::Missing),
        }
    }

    /// Whose credentials these were, where they are refused because they have expired or are revoked: for the record.
    #[must_use]
    pub fn once(
        &self,
        why: Unauthenticated,
        certificate: Option<&[u8]>,
        authorization: Option<&str>,
    ) -> Option<PrincipalName> {
        match why {
            Unauthenticated::Expired | Unauthenticated::Revoked => {
                self.trust().once(certificate, authorization.and_then(bearer))
            }
            Unauthenticated::Missing | Unauthenticated::Invalid(_) => None,
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
    /// When they have expired or were revoked since, or what vouched for them is not believed any more.
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
    /// before it is denied. Where nothing has changed that costs a question to the file system, and no file is read.
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

    /// How often files were read.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.0.sources().files.reads()
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.0.trust.borrow())
    }
}

/// The token of a header `authorization`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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
    /// Tries what is in the files where that is another text than before; else what was found then is still so.
    fn reread(&self) -> Result<(), FileError> {
        let mut sources = self.sources();
        let texts = sources.files.texts()?;
        if texts != sources.tried {
            sources.tried = texts.clone();
            sources.wrong = self.take(texts, sources.fetched.as_deref()).err();
        }
        sources.wrong.clone().map_or(Ok(()), Err)
    }

    /// Fetches the keys that are elsewhere. Whoever cannot be asked is believed as before.
    fn refetch(&self) -> Result<(), FileError> {
        let Some(url) = &self.config.jwks_url else { return Ok(()) };
        let ca = trust::ca(&self.trust.borrow().texts).to_owned();
        let fetched = remote::fetch(url, &ca);
        let fetched = fetched.map_err(|error| FileError::wrong(remote::name(url), error.to_string()))?;
        let mut sources = self.sources();
        if sources.fetched.as_ref() != Some(&fetched) {
            let texts = self.trust.borrow().texts.clone();
            self.take(texts, Some(&fetched))?;
            sources.fetched = Some(fetched);
        }
        Ok(())
    }

    /// Believes these texts from now on, if nothing is wrong with them. Whoever calls holds the sources.
    fn take(&self, texts: Texts, fetched: Option<&str>) -> Result<(), FileError> {
        let AccessConfig { trust: dir, issuer, jwks_url, .. } = &self.config;
        let elsewhere = jwks_url.as_deref().map(remote::name).zip(fetched);
        self.trust.send_replace(Arc::new(Trust::parse(dir, issuer, texts, elsewhere)?));
        tracing::info!("what is believed has changed");
        Ok(())
    }

    /// Whoever panicked while they held this was reading: what they had read is there, and the rest is read again.
    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for changes until nobody asks any more.
async fn keep_current(inner: Weak<Inner>, every: Duration) {
    tokio::join!(repeat(&inner, every, Inner::reread), repeat(&inner, remote::EVERY, Inner::refetch));
}

/// Does this again and again for as long as it is there, and logs what is wrong.
pub(crate) async fn repeat<T: Send + Sync + 'static>(
    inner: &Weak<T>,
    every: Duration,
    look: fn(&T) -> Result<(), FileError>,
) {
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
            tracing::error!(error, "keys or rights cannot be read; the last good state stays in force");
        }
        told = error;
    }
}
