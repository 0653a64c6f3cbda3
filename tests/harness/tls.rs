//! TLS alone, for those who speak HTTP by hand.

use std::sync::Arc;

use client::CertificateFiles;
use local::Door;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

/// Shakes hands with a service, with the certificate of the door, to speak `h2` or `http/1.1`.
pub async fn shaken(door: &Door, protocol: &str) -> TlsStream<TcpStream> {
    let certificates = |file| CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(door.credentials.ca.as_ref().unwrap()));
    let CertificateFiles { certificate, key } = door.credentials.certificate.as_ref().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = config.with_client_auth_cert(certificates(certificate).collect(), key).unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let address = door.url.trim_start_matches("https://");
    let host = address.rsplit_once(':').unwrap().0.to_owned();
    let tcp = TcpStream::connect(address).await.unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), tcp).await.unwrap();
    assert_eq!(shaken.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    shaken
}
