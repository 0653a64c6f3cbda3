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

/// Members that are not used here may be there: other programs write such files too.
#[derive(serde::Serialize, serde::Deserialize)]
struct Key {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    x: String,
}

/// The id of a key: the beginning of its hash.
pub(crate) fn id_of(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(public)[..12])
}

/// A set of one key.
pub(crate) fn document(public: &[u8]) -> String {
    let key =
        Key { kty: "OKP".to_owned(), crv: "Ed25519".to_owned(), kid: id_of(public), x: URL_SAFE_NO_PAD.encode(public) };
    // Four texts can always be written.
    serde_json::to_string_pretty(&Document { keys: vec![key] }).unwrap_or_default()
}

/// The keys of Ed25519 in a set; others are for somebody else.
///
/// # Errors
/// When it is not a set of keys, or a key of Ed25519 is not one.
pub(crate) fn read(path: &Path, text: &str) -> Result<KeySet, FileError> {
    let document: Document =
        serde_json::from_str(text).map_err(|error| FileError::wrong(path, format!("is not a key set: {error}")))?;
    if document.keys.len() > MOST_KEYS {
        return Err(FileError::wrong(path, format!("has more than {MOST_KEYS} keys")));
    }
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
