//! Seals: by which a validator knows that a message comes from a collector and from nobody else who can publish.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, SigningKey as _};
use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};

use crate::{
    AccessConfig,
    credentials::repeat,
    file::FileError,
    key_set::{self, KeySet},
    watched::WatchedFile,
};

/// Seals messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sealer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Mutex<WatchedFile>,
    key: RwLock<Arc<Key>>,
}

#[derive(Debug)]
struct Key {
    /// What it was read from.
    text: Arc<str>,
    pair: KeyPair,
    id: String,
}

impl Key {
    fn read(path: &Path, text: Arc<str>) -> Result<Self, FileError> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(&text, &rcgen::PKCS_ED25519)
            .map_err(|_| FileError::wrong(path, "holds no private key of Ed25519"))?;
        let id = key_set::id_of(pair.public_key_raw());
        Ok(Self { text, pair, id })
    }
}

impl Sealer {
    /// The sealer with the key in a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key of Ed25519.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = WatchedFile::at(path.to_owned());
        let key = Key::read(path, file.text()?)?;
        Ok(Self(Arc::new(Inner { file: Mutex::new(file), key: RwLock::new(Arc::new(key)) })))
    }

    /// Takes another key from the file from now on, as soon as one is there; looks as often as for changes of what is believed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn keep_current(&self, config: &AccessConfig) {
        let (inner, every) = (Arc::downgrade(&self.0), config.reread_every());
        tokio::spawn(async move { repeat(&inner, every, Inner::reread).await });
    }

    /// Looks for another key now.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key of Ed25519; the last good key stays in use.
    pub fn reread(&self) -> Result<(), FileError> {
        self.0.reread()
    }

    /// The seal of a payload: the key's id, a dot, and the signature of its SHA-256 in base64url. None where the key cannot
    /// sign; nobody takes the payload then.
    #[must_use]
    pub fn seal(&self, payload: &[u8]) -> Option<String> {
        let Key { pair, id, .. } = &*self.0.key();
        let signature = pair.sign(&sealed(payload)).ok()?;
        Some(format!("{id}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Inner {
    /// Who holds it only copies or replaces it.
    fn key(&self) -> Arc<Key> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reread(&self) -> Result<(), FileError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let text = file.text()?;
        if text != self.key().text {
            let key = Key::read(file.path(), text)?;
            tracing::info!("another key seals from now on");
            *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        }
        Ok(())
    }
}

/// What is signed: a name that no other signature of ours begins with, and the SHA-256 of the payload. Ed25519 alone would go
/// over a payload three times, to sign it and to check it, with a hash for which processors have no instructions.
fn sealed(payload: &[u8]) -> Vec<u8> {
    [b"tonghop seal of SHA-256\0".as_slice(), digest(&SHA256, payload).as_ref()].concat()
}

/// Why a message is not known to come from a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It has no seal.
    #[error("the message has no seal")]
    Missing,
    /// The seal has another form.
    #[error("the message's seal is malformed")]
    Malformed,
    /// No collector has that key.
    #[error("the message is sealed with a key that is not known")]
    UnknownKey,
    /// The signature is of another payload, or of nobody.
    #[error("the message's seal is wrong")]
    Wrong,
}

pub(crate) fn check(keys: &KeySet, seal: Option<&str>, payload: &[u8]) -> Result<(), SealError> {
    let (id, signature) = seal.ok_or(SealError::Missing)?.split_once('.').ok_or(SealError::Malformed)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| SealError::Malformed)?;
    let key = keys.get(id).ok_or(SealError::UnknownKey)?;
    UnparsedPublicKey::new(&ED25519, key).verify(&sealed(payload), &signature).map_err(|_| SealError::Wrong)
}
