//! Making the keys directory, and finding it as it should be.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::access::{Action, Grant};
use rcgen::KeyPair;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime, macros::date};

use crate::{
    About, Authority, FileError, Layout, Locked,
    authority::{self, about, new_authority},
    file::{self, Readers, exists},
    grants, issued, key_set,
    layout::{self, NATS_USERS, POSTGRES_ROLES, SERVERS},
    revocations,
};

/// The principal who reads and operates everything and submits nothing.
pub const OPERATOR: &str = "operator";

/// How long a server's or the operator's certificate is valid.
const VALID_FOR: Duration = Duration::days(730);

/// A certificate that ends within this time is made anew.
const RENEWED_WITHIN: Duration = Duration::days(60);

/// Why keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of two files that belong together is missing: making it anew would make the other worthless.
    #[error("{} is there and {} is not; restore it, or begin with an empty directory", there.display(), missing.display())]
    Half {
        /// The file that is there.
        there: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A request for a certificate cannot be signed.
    #[error("the request for a certificate cannot be signed: {0}")]
    Request(String),
    /// The key that signs cannot be retired.
    #[error("{0} signs still; make another first")]
    Signs(String),
    /// There is no such key.
    #[error("no key {0} is believed here")]
    Unknown(String),
    /// An authority cannot be retired yet.
    #[error("{} is a certificate of {id}; make it anew first (`auth init --renew`), and have its server read it", path.display())]
    InUse {
        /// The authority.
        id: String,
        /// The certificate.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("a key or certificate cannot be made: {0}")]
    Made(String),
}

impl From<rcgen::Error> for KeysError {
    fn from(error: rcgen::Error) -> Self {
        Self::Made(error.to_string())
    }
}

/// Makes every key that is not there: of the authority, the servers, NATS users, PostgreSQL roles and the operator. Safe to
/// repeat, also by two at once. A certificate of a server that lacks one of `names` or ends within two months is made anew.
/// `names` are host names and addresses under which the servers are reached, besides the local ones and their own.
///
/// Gives the files it wrote, relative to the directory.
///
/// # Errors
/// When a file cannot be read or written, or what is there does not fit together.
pub fn init(keys: &Layout, names: &[String], now: OffsetDateTime) -> Result<Vec<PathBuf>, KeysError> {
    made(keys, names, false, now)
}

/// The same, and makes anew whatever certificate of a server or the operator an earlier authority signed.
///
/// # Errors
/// When a file cannot be read or written, or what is there does not fit together.
pub fn renew(keys: &Layout, names: &[String], now: OffsetDateTime) -> Result<Vec<PathBuf>, KeysError> {
    made(keys, names, true, now)
}

fn made(keys: &Layout, names: &[String], renew: bool, now: OffsetDateTime) -> Result<Vec<PathBuf>, KeysError> {
    file::make_dir(keys.dir(), Readers::All)?;
    file::make_dir(&keys.of("authority"), Readers::Owner)?;
    let _locked = Locked::keys(keys)?;
    file::make_dir(&keys.trust(), Readers::All)?;
    for who in NATS_USERS.iter().chain(&SERVERS) {
        file::make_dir(&keys.of(who), Readers::Owner)?;
    }
    let mut maker = Maker { keys, made: Vec::new(), believed: String::new(), now };
    maker.authority()?;
    // Certificates of the authorities that are believed stay, or of the one that signs.
    maker.believed = file::read(&if renew { keys.authority(layout::CA) } else { keys.ca() })?;
    maker.trust()?;
    let authority = Authority::open(keys)?;
    maker.unless_there(&keys.token_keys(), Readers::All, || Ok(key_set::document(authority.token_key())))?;
    maker.servers(&authority, names)?;
    maker.operator(&authority)?;
    maker.secrets()?;
    Ok(maker.made)
}

/// The public keys of the NATS users, by name; for the servers' configuration.
///
/// # Errors
/// When a seed cannot be read.
pub fn nats_users(keys: &Layout) -> Result<Vec<(String, String)>, FileError> {
    NATS_USERS.into_iter().map(|who| Ok((who.to_owned(), public_nkey(keys, who)?))).collect()
}

/// The public key of the NATS user of somebody outside, such as `partner_94`; made unless it is there.
///
/// # Errors
/// When its seed cannot be read or written.
pub fn nats_guest(keys: &Layout, who: &str) -> Result<String, KeysError> {
    let path = keys.nats_seed(who);
    if !exists(&path)? {
        file::make_dir(&keys.of(who), Readers::Owner)?;
        file::write(&path, Readers::Owner, nats_seed()?)?;
    }
    Ok(public_nkey(keys, who)?)
}

fn public_nkey(keys: &Layout, who: &str) -> Result<String, FileError> {
    let path = keys.nats_seed(who);
    let pair = nkeys::KeyPair::from_seed(file::read(&path)?.trim());
    let pair = pair.map_err(|_| FileError::wrong(&path, "holds no seed of a NATS user"))?;
    Ok(pair.public_key())
}

fn nats_seed() -> Result<String, KeysError> {
    nkeys::KeyPair::new_user().seed().map_err(|error| KeysError::Made(error.to_string()))
}

/// The certificate of the authority that signs: what it says, and its fingerprint, SHA-256 as other programs print it (`0A:1B:…`).
///
/// # Errors
/// When it cannot be read.
pub fn authority(keys: &Layout) -> Result<(About, String), FileError> {
    let (about, der) = about(&keys.authority(layout::CA))?;
    let digits: Vec<String> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    Ok((about, digits.join(":")))
}

/// Writes a file of the keys directory that others made, for its owner alone, whole or not at all; false where it is so already.
///
/// # Errors
/// When it cannot be written.
pub fn put(path: &Path, text: &str) -> Result<bool, FileError> {
    if exists(path)? && file::read(path)? == text {
        return Ok(false);
    }
    file::write(path, Readers::Owner, text).map(|()| true)
}

struct Maker<'k> {
    keys: &'k Layout,
    made: Vec<PathBuf>,
    /// The authorities whose certificates need not be made anew, PEM.
    believed: String,
    now: OffsetDateTime,
}

impl Maker<'_> {
    fn authority(&mut self) -> Result<(), KeysError> {
        let (certificate, key) = (self.keys.authority(layout::CA), self.keys.authority(layout::CA_KEY));
        match (exists(&certificate)?, exists(&key)?) {
            (true, true) => {}
            (true, false) => return Err(KeysError::Half { there: certificate, missing: key }),
            (false, true) => return Err(KeysError::Half { there: key, missing: certificate }),
            (false, false) => {
                let (ca, ca_key) = new_authority(self.now)?;
                // The key last: where it is there, everything is.
                self.write(&certificate, Readers::Owner, &ca)?;
                self.write(&key, Readers::Owner, &ca_key)?;
            }
        }
        let ca = file::read(&self.keys.authority(layout::CA))?;
        for (path, readers) in [(self.keys.ca(), Readers::All), (self.keys.of("nats").join(layout::CA), Readers::Owner)]
        {
            self.unless_there(&path, readers, || Ok(ca.clone()))?;
        }
        let (tokens, known) = (self.keys.authority(layout::TOKENS_KEY), self.keys.token_keys());
        self.signing_key(tokens, &known)?;
        Ok(())
    }

    fn trust(&mut self) -> Result<(), KeysError> {
        let (key, known) = (self.keys.seal_key(), self.keys.seal_keys());
        let public = self.signing_key(key, &known)?;
        self.unless_there(&known, Readers::All, || Ok(key_set::document(&public)))?;
        if !exists(&self.keys.grants())? {
            let grant = |action| -> Result<Grant, KeysError> {
                let principal = OPERATOR.parse().map_err(|_| KeysError::Made(OPERATOR.to_owned()))?;
                let (org_unit, data_sets, from, until) = (None, None, date!(2000 - 01 - 01), None);
                Ok(Grant { principal, action, org_unit, data_sets, from, until })
            };
            grants::write(&self.keys.grants(), &[grant(Action::Read)?, grant(Action::Operate)?])?;
            self.note(&self.keys.grants());
        }
        let header = |columns: &[&str]| format!("{}\n", columns.join(","));
        self.unless_there(&self.keys.revoked(), Readers::All, || Ok(header(&revocations::COLUMNS)))?;
        self.unless_there(&self.keys.authority(layout::ISSUED), Readers::Owner, || Ok(header(&issued::COLUMNS)))
    }

    fn servers(&mut self, authority: &Authority, names: &[String]) -> Result<(), KeysError> {
        for who in SERVERS {
            let local = ["localhost", "127.0.0.1", "::1", who];
            let names: Vec<String> = local.into_iter().map(str::to_owned).chain(names.iter().cloned()).collect();
            let (certificate, key) = (self.keys.server_certificate(who), self.keys.server_key(who));
            let is_good = exists(&certificate)?
                && exists(&key)?
                && authority::is_good_server(
                    &self.believed,
                    &file::read(&certificate)?,
                    &names,
                    Some(self.now + RENEWED_WITHIN),
                );
            if !is_good {
                let (pem, key_pem) = authority.server(who, &names, VALID_FOR, self.now)?;
                self.write(&key, Readers::Owner, &key_pem)?;
                self.write(&certificate, Readers::Owner, &pem)?;
            }
        }
        Ok(())
    }

    /// Its certificate is noted like anybody's: the directory's lock is held already.
    fn operator(&mut self, authority: &Authority) -> Result<(), KeysError> {
        let (certificate, key) = (self.keys.operator_certificate(), self.keys.operator_key());
        let is_good = exists(&certificate)?
            && exists(&key)?
            && about(&certificate)?.0.expires > self.now + RENEWED_WITHIN
            && authority::signed_by(&self.believed, &file::read(&certificate)?);
        if !is_good {
            let principal = OPERATOR.parse().map_err(|_| KeysError::Made(OPERATOR.to_owned()))?;
            let issued = authority.certificate(&principal, VALID_FOR, self.now)?;
            crate::Issued::note(self.keys, vec![issued.issued])?;
            self.write(&key, Readers::Owner, &issued.key)?;
            self.write(&certificate, Readers::Owner, &issued.certificate)?;
        }
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), KeysError> {
        for who in NATS_USERS {
            self.unless_there(&self.keys.nats_seed(who), Readers::Owner, nats_seed)?;
        }
        let passwords = POSTGRES_ROLES.map(|who| self.keys.postgres_password(who));
        for path in passwords.into_iter().chain([self.keys.superuser_password()]) {
            self.unless_there(&path, Readers::Owner, password)?;
        }
        Ok(())
    }

    /// The public half of a key of Ed25519, which is made unless it is there.
    fn signing_key(&mut self, path: PathBuf, known: &Path) -> Result<Vec<u8>, KeysError> {
        if !exists(&path)? {
            if exists(known)? {
                return Err(KeysError::Half { there: known.to_owned(), missing: path });
            }
            let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
            self.write(&path, Readers::Owner, &key.serialize_pem())?;
            return Ok(key.public_key_raw().to_vec());
        }
        Ok(KeyPair::from_pem(&file::read(&path)?)?.public_key_raw().to_vec())
    }

    fn unless_there(
        &mut self,
        path: &Path,
        readers: Readers,
        text: impl FnOnce() -> Result<String, KeysError>,
    ) -> Result<(), KeysError> {
        if exists(path)? { Ok(()) } else { self.write(path, readers, &text()?) }
    }

    fn write(&mut self, path: &Path, readers: Readers, text: &str) -> Result<(), KeysError> {
        file::write(path, readers, text)?;
        self.note(path);
        Ok(())
    }

    fn note(&mut self, path: &Path) {
        self.made.push(path.strip_prefix(self.keys.dir()).unwrap_or(path).to_owned());
    }
}

fn password() -> Result<String, KeysError> {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeysError::Made("no random numbers".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
