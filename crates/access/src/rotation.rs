//! Keys that sign are changed while what they signed is in use: a new one signs from now on, both are believed, and one day the
//! old one no longer is.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;

use crate::{
    About, FileError, Layout, Locked,
    authority::{about, is_good_server, new_authority, signed_by},
    file::{self, Readers, exists},
    key_set,
    keys::KeysError,
    layout::{self, SERVERS},
};

/// Keys that sign something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// Certificates: the authority. It goes by its certificate's serial number.
    Certificates,
    /// Tokens.
    Tokens,
    /// What collectors publish.
    Seals,
}

impl Signs {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Certificates, Self::Tokens, Self::Seals];
}

impl fmt::Display for Signs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificates => "ca",
            Self::Tokens => "tokens",
            Self::Seals => "seal",
        })
    }
}

/// A key whose signatures are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// What it signs.
    pub signs: Signs,
    /// Its id.
    pub id: String,
    /// Whether it signs still; of others only what they signed before is believed. None where the file with the key that signs is
    /// not here.
    pub is_current: Option<bool>,
}

/// The keys whose signatures are believed.
///
/// # Errors
/// When a file cannot be read or is wrong.
pub fn believed(keys: &Layout) -> Result<Vec<Believed>, KeysError> {
    let mut all = Vec::new();
    for signs in Signs::ALL {
        let path = known(keys, signs);
        let text = file::read(&path)?;
        let ids = match signs {
            Signs::Certificates => certificates(&path, &text)?.into_iter().map(|(about, _)| about.serial).collect(),
            Signs::Tokens | Signs::Seals => key_set::ids(&path, &text)?,
        };
        let current = if exists(&signing(keys, signs))? { Some(current(keys, signs)?) } else { None };
        let is_current = |id: &String| current.as_ref().map(|current| current == id);
        all.extend(ids.into_iter().map(|id| Believed { signs, is_current: is_current(&id), id }));
    }
    Ok(all)
}

/// Makes a new key that signs from now on, and gives its id. What the old one signed is believed as before. It is believed before it
/// signs: whoever reads the files in between misses nothing.
///
/// # Errors
/// When a file cannot be read or written, or there are no keys yet.
pub fn rotate(keys: &Layout, signs: Signs, now: OffsetDateTime) -> Result<String, KeysError> {
    let _locked = Locked::keys(keys)?;
    let path = known(keys, signs);
    let text = file::read(&path)?;
    match signs {
        Signs::Certificates => {
            let (ca, ca_key) = new_authority(now)?;
            let all = format!("{}\n{ca}", text.trim_end());
            file::write(&path, Readers::All, &all)?;
            file::write(&keys.of("nats").join(layout::CA), Readers::Owner, &all)?;
            file::write(&keys.authority(layout::CA_KEY), Readers::Owner, ca_key)?;
            file::write(&keys.authority(layout::CA), Readers::Owner, ca)?;
        }
        Signs::Tokens | Signs::Seals => {
            let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
            file::write(&path, Readers::All, key_set::with(&path, &text, key.public_key_raw())?)?;
            file::write(&signing(keys, signs), Readers::Owner, key.serialize_pem())?;
        }
    }
    current(keys, signs)
}

/// Believes a key no longer: what it signed is worthless from a few seconds on. The one that signs cannot be retired, nor an
/// authority while a server or the operator shows a certificate of it.
///
/// # Errors
/// When it cannot be retired, or a file not be read or written.
pub fn retire(keys: &Layout, signs: Signs, id: &str) -> Result<(), KeysError> {
    let _locked = Locked::keys(keys)?;
    if current(keys, signs)? == id {
        return Err(KeysError::Signs(id.to_owned()));
    }
    let path = known(keys, signs);
    let text = file::read(&path)?;
    let not_there = || KeysError::Unknown(id.to_owned());
    match signs {
        Signs::Certificates => {
            let all = certificates(&path, &text)?;
            let before = all.len();
            let kept: Vec<String> =
                all.into_iter().filter(|(about, _)| about.serial != id).map(|(_, pem)| pem).collect();
            if kept.len() == before {
                return Err(not_there());
            }
            let kept = kept.concat();
            if let Some(path) = of_others(keys, &kept)? {
                return Err(KeysError::InUse { id: id.to_owned(), path });
            }
            file::write(&path, Readers::All, &kept)?;
            file::write(&keys.of("nats").join(layout::CA), Readers::Owner, &kept)?;
        }
        Signs::Tokens | Signs::Seals => {
            let kept = key_set::without(&path, &text, id)?.ok_or_else(not_there)?;
            file::write(&path, Readers::All, kept)?;
        }
    }
    Ok(())
}

/// A certificate of a server or the operator that none of these authorities signed, if there is one here.
fn of_others(keys: &Layout, authorities: &str) -> Result<Option<PathBuf>, KeysError> {
    for who in SERVERS {
        let path = keys.server_certificate(who);
        if exists(&path)? && !is_good_server(authorities, &file::read(&path)?, &[], None) {
            return Ok(Some(path));
        }
    }
    let path = keys.operator_certificate();
    Ok((exists(&path)? && !signed_by(authorities, &file::read(&path)?)).then_some(path))
}

/// The file with the keys that are believed.
fn known(keys: &Layout, signs: Signs) -> PathBuf {
    match signs {
        Signs::Certificates => keys.ca(),
        Signs::Tokens => keys.token_keys(),
        Signs::Seals => keys.seal_keys(),
    }
}

/// The file with the key that signs.
fn signing(keys: &Layout, signs: Signs) -> PathBuf {
    match signs {
        Signs::Certificates => keys.authority(layout::CA_KEY),
        Signs::Tokens => keys.authority(layout::TOKENS_KEY),
        Signs::Seals => keys.seal_key(),
    }
}

/// The id of the key that signs.
pub(crate) fn current(keys: &Layout, signs: Signs) -> Result<String, KeysError> {
    if signs == Signs::Certificates {
        return Ok(about(&keys.authority(layout::CA))?.0.serial);
    }
    let path = signing(keys, signs);
    let key =
        KeyPair::from_pem(&file::read(&path)?).map_err(|_| FileError::wrong(&path, "holds no private key in PEM"))?;
    Ok(key_set::id_of(key.public_key_raw()))
}

/// The certificates of a file, each with its own PEM.
fn certificates(path: &Path, text: &str) -> Result<Vec<(About, String)>, FileError> {
    const END: &str = "-----END CERTIFICATE-----";
    let wrong = || FileError::wrong(path, "holds no certificate of an authority in PEM");
    let blocks = text.split_inclusive(END).filter(|block| block.contains(END));
    let read = blocks.map(|block| {
        let der = CertificateDer::from_pem_slice(block.as_bytes()).map_err(|_| wrong())?;
        Ok((About::of(&der).ok_or_else(wrong)?, format!("{}\n", block.trim_start())))
    });
    read.collect()
}
