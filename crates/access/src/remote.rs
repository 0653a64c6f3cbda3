//! Keys of tokens at a URL: those of the organisation that issues them.

use std::{path::Path, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// How often the keys are fetched again.
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// How long fetching them may take.
const WITHIN: Duration = Duration::from_secs(10);

/// The most bytes of a set of keys.
const MOST_BYTES: u64 = 256 * 1024;

/// Fetches a set of keys, over HTTPS and from nowhere else than the URL says. The server must be known to this machine, or to the
/// system's own authority (PEM). Blocks.
pub(crate) fn fetch(url: &str, ca: &str) -> Result<String, ureq::Error> {
    let known = rustls_native_certs::load_native_certs().certs.into_iter();
    let own = CertificateDer::pem_slice_iter(ca.as_bytes()).flatten();
    let roots: Vec<_> = known.chain(own).map(|root| Certificate::from_der(&root).to_owned()).collect();
    let agent: Agent = Agent::config_builder()
        .https_only(true)
        .max_redirects(0)
        .max_redirects_will_error(true)
        .timeout_global(Some(WITHIN))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build())
        .build()
        .into();
    agent.get(url).call()?.body_mut().with_config().limit(MOST_BYTES).read_to_string()
}

/// The name under which faults of these keys are told.
pub(crate) fn name(url: &str) -> &Path {
    Path::new(url)
}
