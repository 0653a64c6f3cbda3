//! What a service believes: one state of the trust directory.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use domain::access::{Grants, PrincipalName};
use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use crate::{
    About, Credential, FileError, Principal, Unauthenticated, certificate, grants,
    key_set::{self, KeySet},
    revocations::Revoked,
    token,
    watched::{FILES, Texts},
};

/// The most credentials that are remembered as good.
const REMEMBERED: usize = 20_000;

/// The authority's certificate.
pub(crate) fn ca(texts: &Texts) -> &str {
    let [ca, ..] = texts;
    ca
}

/// What a service believes.
pub(crate) struct Trust {
    pub(crate) texts: Texts,
    pub(crate) grants: Grants,
    pub(crate) seals: KeySet,
    anchors: Vec<TrustAnchor<'static>>,
    /// The ids of their keys.
    authorities: HashSet<String>,
    tokens: KeySet,
    /// Keys of tokens that are fetched from elsewhere. Who holds one speaks for that issuer alone.
    elsewhere: KeySet,
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
        let anchors = anchors(&ca_path, ca)?;
        Ok(Self {
            authorities: anchors.iter().map(|anchor| key_set::id_of(&anchor.subject_public_key_info)).collect(),
            grants: grants::index(&grants_path, grants)?,
            seals: key_set::read(&seals_path, seals)?,
            anchors,
            tokens: key_set::read(&tokens_path, tokens)?,
            elsewhere: elsewhere.map_or(Ok(KeySet::new()), |(name, text)| key_set::read(name, text))?,
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
        self.remembered(token.as_bytes(), now, || token::authenticate(|id| self.token_key(id), token, now))
    }

    /// A key of tokens, by its id, and by whom what it signs may be issued.
    fn token_key(&self, id: &str) -> Option<(&[u8], Vec<&str>)> {
        let issuer = self.issuer.as_str();
        let ours = self.tokens.get(id).map(|key| (key.as_slice(), vec![token::ISSUER, issuer]));
        ours.or_else(|| self.elsewhere.get(id).map(|key| (key.as_slice(), vec![issuer])))
    }

    /// Whose credentials these were when they were good, if they ever were.
    pub(crate) fn once(&self, certificate: Option<&[u8]>, token: Option<&str>) -> Option<PrincipalName> {
        let principal = match (token, certificate) {
            // A token has no end in 1970.
            (Some(token), _) => token::authenticate(|id| self.token_key(id), token, OffsetDateTime::UNIX_EPOCH),
            (None, Some(der)) => {
                let last = About::of(der)?.expires - Duration::SECOND;
                certificate::authenticate(&self.anchors, der, last)
            }
            (None, None) => return None,
        };
        principal.ok().map(|principal| principal.name)
    }

    /// Whether credentials that were good are so still.
    pub(crate) fn still(&self, principal: &Principal, now: OffsetDateTime) -> Result<(), Unauthenticated> {
        if self.revoked.holds(principal) {
            return Err(Unauthenticated::Revoked);
        }
        let (is_believed, why) = match principal.credential {
            Credential::Certificate(_) => {
                (self.authorities.contains(&principal.vouched_by), "its authority is not believed any more")
            }
            Credential::Token(_) => {
                (self.token_key(&principal.vouched_by).is_some(), "the token's key is not believed any more")
            }
        };
        if !is_believed {
            return Err(Unauthenticated::Invalid(why));
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
