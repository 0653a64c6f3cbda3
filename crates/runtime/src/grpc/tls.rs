//! The server's side of TLS, with certificates that may be replaced while it runs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject as _},
        },
        server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    },
};

use crate::metrics;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where certificates and the key are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or does not hold what it should.
    #[error("{} does not hold what it should, in PEM: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: pem::Error,
    },
    /// Certificate and key do not fit, or are of a kind that is not known.
    #[error("the certificate {} cannot be used with its key", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("the authorities in {} cannot be used", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// What the files held: certificate, key, authorities.
type Held = [Vec<u8>; 3];

/// Shakes hands with the newest certificates that can be used.
#[derive(Debug)]
pub(super) struct Tls {
    files: Files,
    http1: bool,
    config: Arc<ServerConfig>,
    /// What was there when it was looked last, whether it could be used or not.
    seen: Held,
    look_at: Instant,
}

impl Tls {
    pub(super) fn open(files: Files) -> Result<Self, TlsError> {
        let seen = files.read()?;
        let config = Arc::new(files.config(&seen, false)?);
        files.tell_expiry(&seen);
        Ok(Self { files, http1: false, config, seen, look_at: Instant::now() + LOOK_EVERY })
    }

    /// Offers HTTP/1.1 beside HTTP/2.
    pub(super) fn http1(mut self) -> Self {
        self.http1 = true;
        Arc::make_mut(&mut self.config).alpn_protocols = protocols(true);
        self
    }

    /// What shakes hands with the next connection.
    pub(super) async fn acceptor(&mut self) -> TlsAcceptor {
        if Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK_EVERY;
            self.look();
        }
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Takes what is in the files if it is new and can be used. Files that are being replaced one after the other do not fit
    /// until the last is there.
    fn look(&mut self) {
        let changed = match self.files.read() {
            Ok(held) if held == self.seen => return,
            Ok(held) => {
                let config = self.files.config(&held, self.http1);
                if config.is_ok() {
                    self.files.tell_expiry(&held);
                }
                self.seen = held;
                config
            }
            Err(error) => Err(error),
        };
        match changed {
            Ok(config) => {
                self.config = Arc::new(config);
                tracing::info!(certificate = %self.files.certificate.display(), "certificates were read again");
            }
            Err(error) => {
                let error = &error as &(dyn std::error::Error + 'static);
                tracing::error!(error, "new certificates cannot be used, the old ones stay in use");
            }
        }
    }
}

impl Files {
    /// They are small.
    fn read(&self) -> Result<Held, TlsError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source });
        Ok([read(&self.certificate)?, read(&self.key)?, read(&self.client_ca)?])
    }

    /// Tells whoever watches until when what is used is good.
    fn tell_expiry(&self, [certificate, _, client_ca]: &Held) {
        for (name, path, text) in [("server", &self.certificate, certificate), ("clients", &self.client_ca, client_ca)]
        {
            let found = certificates(path, text).unwrap_or_default();
            let parsed = found.iter().filter_map(|der| x509_parser::parse_x509_certificate(der).ok());
            if let Some(first) = parsed.map(|(_, parsed)| parsed.validity().not_after.to_datetime()).min() {
                metrics::certificate_expires(name, first);
            }
        }
    }

    fn config(&self, [certificate, key, client_ca]: &Held, http1: bool) -> Result<ServerConfig, TlsError> {
        let Self { certificate: certificate_file, key: key_file, client_ca: client_ca_file } = self;
        let provider = Arc::new(ring::default_provider());
        let unfit = |source| TlsError::Certificate { path: certificate_file.clone(), source };
        let unfit_ca = |source| TlsError::ClientCa { path: client_ca_file.clone(), source };

        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(certificates(client_ca_file, client_ca)?);
        let clients = WebPkiClientVerifier::builder_with_provider(authorities.into(), Arc::clone(&provider));
        let clients = clients.allow_unauthenticated().build().map_err(unfit_ca)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|problem| TlsError::Malformed { path: key_file.clone(), problem })?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_client_cert_verifier(clients)
            .with_single_cert(certificates(certificate_file, certificate)?, key)
            .map_err(unfit)?;
        config.alpn_protocols = protocols(http1);
        // Whoever takes up a session again shows no certificate, and it may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn protocols(http1: bool) -> Vec<Vec<u8>> {
    let known: &[&[u8]] = if http1 { &[b"h2", b"http/1.1"] } else { &[b"h2"] };
    known.iter().map(|name| name.to_vec()).collect()
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let malformed = |problem| TlsError::Malformed { path: path.to_owned(), problem };
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if found.is_empty() { Err(malformed(pem::Error::NoItemsFound)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    /// Writes a certificate and its key, and gives what was written.
    fn write(files: &Files) -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        for (path, text) in [(&files.certificate, &certificate), (&files.key, &key), (&files.client_ca, &certificate)] {
            fs::write(path, text).unwrap();
        }
        (certificate, key)
    }

    fn files(dir: &tempfile::TempDir) -> Files {
        let [certificate, key, client_ca] =
            ["certificate.pem", "key.pem", "client_ca.pem"].map(|name| dir.path().join(name));
        Files { certificate, key, client_ca }
    }

    #[test]
    fn certificates_are_replaced_once_they_fit_and_the_old_ones_stay_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        write(&files);
        let mut tls = Tls::open(files.clone()).unwrap();
        let first = Arc::clone(&tls.config);
        tls.look();
        assert!(Arc::ptr_eq(&first, &tls.config), "nothing changed");

        let old_key = fs::read(&files.key).unwrap();
        let (_, key) = write(&files);
        fs::write(&files.key, old_key).unwrap();
        tls.look();
        assert!(Arc::ptr_eq(&first, &tls.config), "certificate and key do not fit");
        fs::write(&files.key, key).unwrap();
        tls.look();
        assert!(!Arc::ptr_eq(&first, &tls.config));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        let told = |files: &Files| Tls::open(files.clone()).unwrap_err().to_string();
        assert!(told(&files).starts_with("cannot read ") && told(&files).ends_with("/certificate.pem"));
        let (certificate, key) = write(&files);
        fs::write(&files.key, &certificate).unwrap();
        assert!(told(&files).contains("key.pem does not hold what it should"), "{}", told(&files));
        fs::write(&files.key, key).unwrap();
        fs::write(&files.client_ca, "").unwrap();
        assert!(told(&files).contains("client_ca.pem does not hold what it should"), "{}", told(&files));
    }
}
