//! What a service believes: one state of the trust directory.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use domain::access::Grants;
use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    FileError, Principal, Unauthenticated, certificate, file, grants,
    key_set::{self, KeySet},
    layout,
    revocations::Revoked,
    token,
};

/// The most credentials that are remembered as good.
const REMEMBERED: usize = 20_000;

/// The files' texts, in the order of [`FILES`].
pub(crate) type Texts = [String; 5];

const FILES: [&str; 5] = [layout::CA, layout::TOKEN_KEYS, layout::SEAL_KEYS, layout::GRANTS, layout::REVOKED];

/// The authority's certificate.
pub(crate) fn ca(texts: &Texts) -> &str {
    let [ca, ..] = texts;
    ca
}

/// Reads the files.
pub(crate) fn texts(dir: &Path) -> Result<Texts, FileError> {
    let mut texts = Texts::default();
    for (text, name) in texts.iter_mut().zip(FILES) {
        *text = file::read(&dir.join(name))?;
    }
    Ok(texts)
}

/// What a service believes.
pub(crate) struct Trust {
    pub(crate) texts: Texts,
    pub(crate) grants: Grants,
    pub(crate) seals: KeySet,
    anchors: Vec<TrustAnchor<'static>>,
    tokens: KeySet,
    revoked: Revoked,
    issuer: String,
    /// Whose credentials are known to be good, by their hash: checking a signature costs more than all else of a small call.
    known: Mutex<HashMap<[u8; 32], Principal>>,
}

impl Trust {
    /// Reads the files' texts, and a set of keys from elsewhere with its name. Of two keys with one id that in the files counts.
    pub(crate) fn parse(
        dir: &Path,
        issuer: &str,
        texts: Texts,
        elsewhere: Option<(&Path, &str)>,
    ) -> Result<Self, FileError> {
        let [ca, tokens, seals, grants, revoked] = &texts;
        let [ca_path, tokens_path, seals_path, grants_path, revoked_path]: [PathBuf; 5] =
            FILES.map(|name| dir.join(name));
        let mut token_keys = elsewhere.map_or(Ok(KeySet::new()), |(name, text)| key_set::read(name, text))?;
        token_keys.extend(key_set::read(&tokens_path, tokens)?);
        Ok(Self {
            grants: grants::index(&grants_path, grants)?,
            seals: key_set::read(&seals_path, seals)?,
            anchors: anchors(&ca_path, ca)?,
            tokens: token_keys,
            revoked: Revoked::index(&revoked_path, revoked)?,
            issuer: issuer.to_owned(),
            known: Mutex::default(),
            texts,
        })
    }

    pub(crate) fn certificate(&self, der: &[u8], now: OffsetDateTime) -> Result<Principal, Unauthenticated> {
        self.remembered(der, now, || certificate::authenticate(&self.anchors, der, now))
    }

    pub(crate) fn token(&self, token: &str, now: OffsetDateTime) -> Result<Principal, Unauthenticated> {
        self.remembered(token.as_bytes(), now, || token::authenticate(&self.tokens, &self.issuer, token, now))
    }

    /// Whether credentials that were good are so still.
    pub(crate) fn still(&self, principal: &Principal, now: OffsetDateTime) -> Result<(), Unauthenticated> {
        if self.revoked.holds(principal) {
            return Err(Unauthenticated::Revoked);
        }
        if principal.expires <= now { Err(Unauthenticated::Expired) } else { Ok(()) }
    }

    fn remembered(
        &self,
        credential: &[u8],
        now: OffsetDateTime,
        authenticate: impl FnOnce() -> Result<Principal, Unauthenticated>,
    ) -> Result<Principal, Unauthenticated> {
        let hash: [u8; 32] = Sha256::digest(credential).into();
        // Who holds the lock only reads or inserts: what is there is good even if somebody panicked.
        let remembered = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let principal = match remembered {
            Some(principal) => principal,
            None => {
                let principal = authenticate()?;
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(hash, principal.clone());
                principal
            }
        };
        self.still(&principal, now).map(|()| principal)
    }
}

pub(crate) fn anchors(path: &Path, pem: &str) -> Result<Vec<TrustAnchor<'static>>, FileError> {
    let wrong = || FileError::wrong(path, "holds no certificate of an authority in PEM");
    let mut anchors = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| wrong())?;
        anchors.push(webpki::anchor_from_trusted_cert(&certificate).map_err(|_| wrong())?.to_owned());
    }
    if anchors.is_empty() { Err(wrong()) } else { Ok(anchors) }
}
