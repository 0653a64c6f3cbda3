//! Who a client is, and whom it believes.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

/// How often the file of a token is read, at most.
const READ_EVERY: Duration = Duration::from_secs(10);

/// How a client proves who it is, and whom it believes to be a service. The files are read again for each connection, and
/// a token's also while there is one: they may be replaced at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The PEM file of the authorities whose services are believed; without one, those that this machine believes.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub certificate: Option<CertificateFiles>,
    /// The file of a token, instead of a certificate.
    pub token: Option<PathBuf>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The PEM file of the certificate.
    pub certificate: PathBuf,
    /// The PEM file of its key.
    pub key: PathBuf,
}

/// A connection to a service. Each call on it carries the token, where there is one.
pub type Channel = InterceptedService<tonic::transport::Channel, Bearer>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Unconnected {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no token.
    #[error("{} holds no token", .0.display())]
    NoToken(PathBuf),
    /// A file holds no certificate or key, or the key is not that of the certificate.
    #[error("the certificates cannot be used")]
    Unusable(#[source] tonic::transport::Error),
    /// The service cannot be reached, or one does not believe the other.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

impl Credentials {
    /// Connects to a service, over TLS.
    ///
    /// # Errors
    /// When a file cannot be read, or the service cannot be reached or is not believed.
    pub async fn connect(&self, endpoint: Endpoint) -> Result<Channel, Unconnected> {
        let mut tls = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some(CertificateFiles { certificate, key }) = &self.certificate {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        let token = self.token.as_deref().map(Token::read).transpose()?;
        let channel = endpoint.tls_config(tls).map_err(Unconnected::Unusable)?.connect().await?;
        Ok(InterceptedService::new(channel, Bearer(token.map(Arc::new))))
    }
}

fn read(path: &Path) -> Result<String, Unconnected> {
    fs::read_to_string(path).map_err(|source| Unconnected::Unreadable { path: path.to_owned(), source })
}

/// Puts the token into calls.
#[derive(Clone, Debug)]
pub struct Bearer(Option<Arc<Token>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.current());
        }
        Ok(request)
    }
}

/// A token, as its file stands or stood last.
#[derive(Debug)]
struct Token {
    path: PathBuf,
    kept: Mutex<(Instant, MetadataValue<Ascii>)>,
}

impl Token {
    fn read(path: &Path) -> Result<Self, Unconnected> {
        let kept = Mutex::new((Instant::now(), Self::value(path)?));
        Ok(Self { path: path.to_owned(), kept })
    }

    fn value(path: &Path) -> Result<MetadataValue<Ascii>, Unconnected> {
        let text = read(path)?;
        let token = text.trim();
        let value = format!("Bearer {token}").parse().ok().filter(|_| !token.is_empty());
        let mut value: MetadataValue<Ascii> = value.ok_or_else(|| Unconnected::NoToken(path.to_owned()))?;
        // It is not printed, nor kept in tables of headers.
        value.set_sensitive(true);
        Ok(value)
    }

    fn current(&self) -> MetadataValue<Ascii> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, value) = &mut *kept;
        if read_at.elapsed() >= READ_EVERY {
            *read_at = Instant::now();
            // One that is just being replaced is there the next time; the service judges the old one until then.
            if let Ok(new) = Self::value(&self.path) {
                *value = new;
            }
        }
        value.clone()
    }
}

/// Why client and service do not believe each other, as far as something can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// The service's certificate is of an authority that is not believed.
    Authority,
    /// It is not for the host in the service's address.
    Name,
    /// It has expired, or is not valid yet by this machine's clock.
    Expired,
    /// What answers there does not speak TLS.
    NotTls,
    /// The service says that the client's certificate has expired.
    OwnExpired,
    /// The service does not accept the client's certificate.
    OwnRefused,
}

impl Distrust {
    /// Looks for such a cause in an error and what caused it.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                return match inner.downcast_ref::<rustls::Error>() {
                    Some(error) => Self::of_tls(error),
                    // HTTP/2 hands the error of a connection to each of its calls, in words.
                    None => Self::of_alert(&inner.to_string()),
                };
            }
            next = error.source();
        }
        None
    }

    /// What a service says of the client's certificate.
    fn of_alert(words: &str) -> Option<Self> {
        let says = |alert: &AlertDescription| words == rustls::Error::AlertReceived(*alert).to_string();
        if says(&AlertDescription::CertificateExpired) {
            return Some(Self::OwnExpired);
        }
        let refusing = [
            AlertDescription::UnknownCA,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateUnknown,
            AlertDescription::UnsupportedCertificate,
            AlertDescription::DecryptError,
        ];
        refusing.iter().any(says).then_some(Self::OwnRefused)
    }

    fn of_tls(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(Self::Authority),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Some(Self::Name),
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Some(Self::Expired),
                _ => None,
            },
            rustls::Error::InvalidMessage(_) => Some(Self::NotTls),
            rustls::Error::AlertReceived(_) => Self::of_alert(&error.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "its certificate is of an authority that is not known here",
            Self::Name => "its certificate is for other names than the one in the address",
            Self::Expired => "its certificate has expired, or this machine's clock is wrong",
            Self::NotTls => "what answers there does not speak TLS",
            Self::OwnExpired => "it says that the client's certificate has expired",
            Self::OwnRefused => "it does not accept the client's certificate",
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::pb::query::v1::{
        GetTotalsRequest, query_service_client::QueryServiceClient, query_service_server::QueryServiceServer,
    };
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tempfile::TempDir;
    use tokio::net::TcpListener;
    use tonic::transport::{
        Server, ServerTlsConfig,
        server::{Router, TcpIncoming},
    };

    use super::*;
    use crate::fake::Fake;

    /// An authority, and where its certificates go.
    struct Authority {
        dir: TempDir,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new() -> Self {
            let (mut params, key) = (CertificateParams::new([]).unwrap(), KeyPair::generate().unwrap());
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
            Self { dir, issuer: Issuer::new(params, key) }
        }

        fn ca(&self) -> PathBuf {
            self.dir.path().join("ca.pem")
        }

        /// A certificate for that name, valid until that year.
        fn certify(&self, name: &str, year: i32) -> CertificateFiles {
            let (mut params, key) = (CertificateParams::new([name.to_owned()]).unwrap(), KeyPair::generate().unwrap());
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let files = ["pem", "key"].map(|end| self.dir.path().join(format!("{name}-{year}.{end}")));
            let [certificate, key_file] = files;
            fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
            fs::write(&key_file, key.serialize_pem()).unwrap();
            CertificateFiles { certificate, key: key_file }
        }

        /// Serves with such a certificate; whoever shows one must show one of this authority.
        async fn serve(&self, name: &str, year: i32) -> Endpoint {
            let CertificateFiles { certificate, key } = self.certify(name, year);
            let tls = ServerTlsConfig::new()
                .identity(Identity::from_pem(read(&certificate).unwrap(), read(&key).unwrap()))
                .client_ca_root(Certificate::from_pem(read(&self.ca()).unwrap()))
                .client_auth_optional(true);
            serve(Server::builder().tls_config(tls).unwrap().add_service(QueryServiceServer::new(Fake::default())))
                .await
        }
    }

    async fn serve(router: Router) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        Endpoint::from_shared(url).unwrap()
    }

    /// Why the two do not believe each other; none if they do.
    async fn distrust(credentials: &Credentials, endpoint: Endpoint) -> Option<Distrust> {
        match credentials.connect(endpoint).await {
            Err(error) => Some(Distrust::of(&error).unwrap_or_else(|| panic!("{error:?}"))),
            Ok(channel) => {
                // What a service thinks of a client's certificate is known when it answers.
                let answer = QueryServiceClient::new(channel).get_totals(GetTotalsRequest::default()).await;
                answer.err().and_then(|status| Distrust::of(&status))
            }
        }
    }

    #[tokio::test]
    async fn why_one_does_not_believe_the_other_is_told() {
        let (ours, other) = (Authority::new(), Authority::new());
        let bare = Credentials { ca: Some(ours.ca()), ..Credentials::default() };
        let showing = |certificate| Credentials { certificate: Some(certificate), ..bare.clone() };
        let (good, plain) = (ours.serve("localhost", 2100).await, Server::builder());
        let plain = serve({ plain }.add_service(QueryServiceServer::new(Fake::default()))).await;
        for (credentials, endpoint, expected) in [
            (&bare, good.clone(), None),
            (&showing(ours.certify("client", 2100)), good.clone(), None),
            (&bare, other.serve("localhost", 2100).await, Some(Distrust::Authority)),
            (&Credentials::default(), good.clone(), Some(Distrust::Authority)),
            (&bare, ours.serve("elsewhere", 2100).await, Some(Distrust::Name)),
            (&bare, ours.serve("localhost", 2001).await, Some(Distrust::Expired)),
            (&bare, plain, Some(Distrust::NotTls)),
            (&showing(ours.certify("client", 2001)), good.clone(), Some(Distrust::OwnExpired)),
            (&showing(other.certify("client", 2100)), good, Some(Distrust::OwnRefused)),
        ] {
            assert_eq!(distrust(credentials, endpoint).await, expected);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let nowhere = Credentials { ca: Some("/nowhere/ca.pem".into()), ..Credentials::default() };
        let error = nowhere.connect(Endpoint::from_static("https://localhost:9")).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/ca.pem");
    }

    #[tokio::test]
    async fn certificates_that_cannot_be_used_are_told_from_nobody_there() {
        let ours = Authority::new();
        let (one, other) = (ours.certify("one", 2100), ours.certify("other", 2100));
        let swapped = CertificateFiles { certificate: one.key.clone(), key: one.certificate.clone() };
        let of_another = CertificateFiles { certificate: one.certificate, key: other.key };
        for certificate in [swapped, of_another] {
            let credentials =
                Credentials { ca: Some(ours.ca()), certificate: Some(certificate), ..Credentials::default() };
            let error = credentials.connect(Endpoint::from_static("https://localhost:9")).await.unwrap_err();
            assert!(matches!(error, Unconnected::Unusable(_)), "{error:?}");
        }
    }

    #[test]
    fn a_token_is_read_again_and_what_is_none_is_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(matches!(Token::read(&path), Err(Unconnected::Unreadable { .. })));
        for none in ["", "\n", "a\u{7}b"] {
            fs::write(&path, none).unwrap();
            assert!(matches!(Token::read(&path), Err(Unconnected::NoToken(_))), "for {none:?}");
        }
        fs::write(&path, "first\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert_eq!(token.current(), "Bearer first");
        assert!(!format!("{token:?}").contains("first"), "{token:?}");

        let is_due = || token.kept.lock().unwrap().0 -= READ_EVERY;
        fs::write(&path, "second").unwrap();
        assert_eq!(token.current(), "Bearer first");
        is_due();
        assert_eq!(token.current(), "Bearer second");
        fs::remove_file(&path).unwrap();
        is_due();
        assert_eq!(token.current(), "Bearer second", "the last good one");
    }
}
