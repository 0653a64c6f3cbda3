//! Public keys of Ed25519, by their ids, as JSON Web Keys (RFC 8037): of tokens and of seals.

use std::{collections::HashMap, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::file::FileError;

/// The most keys of a set.
const MOST_KEYS: usize = 100;

/// Keys by their ids.
pub(crate) type KeySet = HashMap<String, Vec<u8>>;

#[derive(serde::Serialize, serde::Deserialize)]
struct Document {
    keys: Vec<Key>,
}

/// Members that are not used here may be there, and stay: other programs write such files too.
#[derive(serde::Serialize, serde::Deserialize)]
struct Key {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    x: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// The id of a key: the beginning of its hash.
pub(crate) fn id_of(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(public)[..12])
}

/// A set of one key.
pub(crate) fn document(public: &[u8]) -> String {
    written(&Document { keys: vec![Key::of(public)] })
}

/// The set with one more key, at its end.
///
/// # Errors
/// When it is not a set of keys, or has as many as it may.
pub(crate) fn with(path: &Path, text: &str, public: &[u8]) -> Result<String, FileError> {
    let mut document = parse(path, text)?;
    document.keys.push(Key::of(public));
    let more = written(&document);
    parse(path, &more).map(|_| more)
}

/// The set without a key; none where it is not there.
///
/// # Errors
/// When it is not a set of keys.
pub(crate) fn without(path: &Path, text: &str, id: &str) -> Result<Option<String>, FileError> {
    let mut document = parse(path, text)?;
    let before = document.keys.len();
    document.keys.retain(|key| key.kid != id);
    Ok((document.keys.len() < before).then(|| written(&document)))
}

/// The ids of the keys of a set, in its order.
///
/// # Errors
/// When it is not a set of keys.
pub(crate) fn ids(path: &Path, text: &str) -> Result<Vec<String>, FileError> {
    Ok(parse(path, text)?.keys.into_iter().map(|key| key.kid).collect())
}

impl Key {
    fn of(public: &[u8]) -> Self {
        let (kty, crv) = ("OKP".to_owned(), "Ed25519".to_owned());
        Self { kty, crv, kid: id_of(public), x: URL_SAFE_NO_PAD.encode(public), rest: serde_json::Map::new() }
    }
}

fn written(document: &Document) -> String {
    // Texts can always be written.
    serde_json::to_string_pretty(document).unwrap_or_default()
}

fn parse(path: &Path, text: &str) -> Result<Document, FileError> {
    let document: Document =
        serde_json::from_str(text).map_err(|error| FileError::wrong(path, format!("is not a key set: {error}")))?;
    if document.keys.len() > MOST_KEYS {
        return Err(FileError::wrong(path, format!("has more than {MOST_KEYS} keys")));
    }
    Ok(document)
}

/// The keys of Ed25519 in a set; others are for somebody else.
///
/// # Errors
/// When it is not a set of keys, or a key of Ed25519 is not one.
pub(crate) fn read(path: &Path, text: &str) -> Result<KeySet, FileError> {
    let document = parse(path, text)?;
    let mut keys = KeySet::new();
    for Key { kid, x, .. } in document.keys.into_iter().filter(|key| key.kty == "OKP" && key.crv == "Ed25519") {
        match URL_SAFE_NO_PAD.decode(&x) {
            Ok(public) if public.len() == 32 && !kid.is_empty() => {
                keys.insert(kid, public);
            }
            _ => return Err(FileError::wrong(path, format!("key `{kid}` is not a public key of Ed25519 with an id"))),
        }
    }
    Ok(keys)
}
