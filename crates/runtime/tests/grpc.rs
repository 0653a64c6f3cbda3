//! Goal: every bound on callers bites, also the two that tonic leaves off, and nobody holds up the end. Clients write frames
//! of HTTP/2 by hand where no well-behaved library would.

#![expect(clippy::unwrap_used, reason = "a test whose server or client does not work has failed")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use runtime::{
    Shutdown,
    grpc::{GrpcConfig, GrpcLimits, Listener, ServeError},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

const SOON: Duration = Duration::from_millis(300);
/// More than any step takes on a machine busy with a build.
const PATIENCE: Duration = Duration::from_secs(20);

/// Never answers.
#[derive(Clone)]
struct Mute;

impl NamedService for Mute {
    const NAME: &'static str = "test.Mute";
}

impl Service<http::Request<Body>> for Mute {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let _waited_for = request;
            std::future::pending().await
        })
    }
}

/// An authority of certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn certify(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// A server, and what its clients need.
struct Served {
    address: SocketAddr,
    authority: Authority,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), ServeError>>,
    _dir: TempDir,
}

impl Served {
    async fn with(limits: GrpcLimits) -> Self {
        let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
        let (certificate, key) = authority.certify();
        let write = |name: &str, text: String| -> PathBuf {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            write("server.pem", certificate.pem()),
            write("server.key", key.serialize_pem()),
            write("ca.pem", authority.pem.clone()),
        ];
        let [certificate, key, client_ca] = files;
        let config = GrpcConfig::on(SocketAddr::from(([127, 0, 0, 1], 0)), certificate, key, client_ca);
        let listener = Listener::bind(&GrpcConfig { limits, drain_timeout: SOON, ..config }).await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
        let stop = shutdown.clone();
        // Everybody is let in, as one and the same.
        let mute = InterceptedService::new(Mute, listener.gate(|_| Ok(()), |(): &()| &()));
        let serving = tokio::spawn(async move { listener.serve(|server| server.add_service(mute), &stop).await });
        Self { address, authority, shutdown, serving, _dir: dir }
    }

    /// A connection that has shaken hands, with a certificate of that authority or none.
    async fn shaken(&self, of: Option<&Authority>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let pem = Certificate::from_pem(&self.authority.pem);
        let found = rustls_pem(pem.as_ref());
        roots.add_parsable_certificates(found);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match of.map(Authority::certify) {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
    }

    /// A connection that has said its first words.
    async fn frames(&self) -> Frames {
        let mut io = self.shaken(None).await.unwrap();
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Frames(io);
        frames.write(SETTINGS, 0, 0, &[]).await.unwrap();
        frames
    }

    async fn channel(&self) -> Channel {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authority.pem));
        let url = format!("https://localhost:{}", self.address.port());
        Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
    }
}

fn rustls_pem(pem: &[u8]) -> Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect()
}

/// The answer to a call of the mute service, if it comes within the time that its caller has.
async fn call(channel: Channel, within: Duration) -> Option<Status> {
    call_of("/test.Mute/Call", channel, within).await
}

async fn call_of(method: &str, channel: Channel, within: Duration) -> Option<Status> {
    let request = http::Request::post(method).header("content-type", "application/grpc");
    let answer = timeout(within, channel.oneshot(request.body(Body::empty()).unwrap())).await.ok()?.unwrap();
    Some(Status::from_header_map(answer.headers()).unwrap_or_else(|| panic!("{answer:?}")))
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_HEADERS: u8 = 4;

/// Frames of HTTP/2, by hand.
struct Frames(TlsStream<TcpStream>);

impl Frames {
    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).await?;
        self.0.flush().await
    }

    /// Begins a call that stays open.
    async fn begin_call(&mut self, stream: u32) -> std::io::Result<()> {
        self.begin_call_with(stream, b"").await
    }

    /// The same, with more headers.
    async fn begin_call_with(&mut self, stream: u32, more: &[u8]) -> std::io::Result<()> {
        // POST, https, and the names of the path and the authority by their places in the static table.
        let path = b"/test.Mute/Call";
        let headers = [&[0x83, 0x87, 0x04, u8::try_from(path.len()).unwrap()], &path[..], b"\x01\x01h", more].concat();
        self.write(HEADERS, END_HEADERS, stream, &headers).await
    }

    /// The next frame's kind and payload; none at the end.
    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.unwrap().ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], payload))
    }

    /// The next frame of that kind.
    async fn read_until(&mut self, wanted: u8) -> Vec<u8> {
        loop {
            let (kind, payload) = self.read().await.expect("a frame of that kind comes");
            if kind == wanted {
                return payload;
            }
        }
    }
}

/// Waits until the server has closed a connection.
async fn closed(io: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut heard = Vec::new();
    drop(timeout(PATIENCE, io.read_to_end(&mut heard)).await.expect("the server closes the connection"));
}

#[tokio::test]
async fn the_limits_of_streams_and_headers_are_advertised() {
    let served = Served::with(GrpcLimits::default()).await;
    let settings = served.frames().await.read_until(SETTINGS).await;
    let setting = |id: u8| {
        let mut settings = settings.chunks(6).filter(|setting| setting[..2] == [0, id]);
        settings.next().map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!((setting(3), setting(6)), (Some(256), Some(8 * 1024)));
}

#[tokio::test]
async fn who_makes_the_server_reset_streams_is_sent_away() {
    const MOST: usize = 50;
    let served = Served::with(GrpcLimits { max_local_error_resets: MOST, ..GrpcLimits::default() }).await;
    let mut frames = served.frames().await;
    let mut resets = 0;
    for stream in (1..).step_by(2) {
        // A window larger than there may be is the peer's error, and the server resets the stream.
        let wrote = async {
            frames.begin_call(stream).await?;
            frames.write(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()).await
        };
        wrote.await.unwrap();
        let (kind, payload) = loop {
            let (kind, payload) = frames.read().await.expect("the server says goodbye");
            if matches!(kind, RST_STREAM | GOAWAY) {
                break (kind, payload);
            }
        };
        if kind == GOAWAY {
            const ENHANCE_YOUR_CALM: u8 = 0xb;
            assert_eq!(payload[4..8], [0, 0, 0, ENHANCE_YOUR_CALM]);
            break;
        }
        resets += 1;
        assert!(resets <= MOST, "it goes on for ever");
    }
    assert_eq!(resets, MOST);
}

#[tokio::test]
async fn who_connects_and_says_too_little_is_cut_off() {
    let served = Served::with(GrpcLimits { handshake_timeout: SOON, ..GrpcLimits::default() }).await;
    let began = Instant::now();
    let mut before_tls = TcpStream::connect(served.address).await.unwrap();
    let mut after_tls = served.shaken(None).await.unwrap();
    let mut by_drops = served.shaken(None).await.unwrap();
    by_drops.write_all(b"PRI * HTTP").await.unwrap();
    let mut speaking = served.frames().await;
    closed(&mut before_tls).await;
    closed(&mut after_tls).await;
    closed(&mut by_drops).await;
    assert!(began.elapsed() >= SOON);
    speaking.begin_call(1).await.unwrap();
    speaking.write(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes()).await.unwrap();
    // Whoever spoke in time goes on.
    speaking.read_until(RST_STREAM).await;
}

#[tokio::test]
async fn one_more_connection_than_there_may_be_is_closed() {
    for limits in [
        GrpcLimits { max_connections: 2, ..GrpcLimits::default() },
        GrpcLimits { max_connections_per_address: 2, ..GrpcLimits::default() },
    ] {
        let served = Served::with(limits).await;
        let (first, second) = (served.frames().await, served.frames().await);
        assert!(served.shaken(None).await.is_err());
        drop(first);
        // Its place is free as soon as the server has noticed.
        let again = async { while served.shaken(None).await.is_err() {} };
        timeout(PATIENCE, again).await.unwrap();
        drop(second);
    }
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_then_cut_off() {
    let limits = GrpcLimits { max_connection_age: SOON, max_connection_age_grace: SOON, ..GrpcLimits::default() };
    let served = Served::with(limits).await;
    let began = Instant::now();
    let mut frames = served.frames().await;
    frames.begin_call(1).await.unwrap();
    let goodbye = frames.read_until(GOAWAY).await;
    assert_eq!(goodbye[4..8], [0; 4], "without reproach");
    assert!(began.elapsed() >= SOON * 8 / 10);
    closed(&mut frames.0).await;
    assert!(began.elapsed() >= SOON * 18 / 10);
    assert!(!served.serving.is_finished());
}

#[tokio::test]
async fn a_call_takes_so_long_at_most() {
    let served = Served::with(GrpcLimits { call_timeout: SOON, ..GrpcLimits::default() }).await;
    let late = call(served.channel().await, PATIENCE).await.unwrap();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let details = late.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "CALL_TOO_LONG");
    assert!(details.localized_message().is_some() && details.retry_info().is_some());

    // The caller's own limit goes before. By hand: a client of tonic would end the call itself.
    let served = Served::with(GrpcLimits::default()).await;
    let mut frames = served.frames().await;
    frames.begin_call_with(1, b"\0\x0cgrpc-timeout\x04100m").await.unwrap();
    assert!(PATIENCE < GrpcLimits::default().call_timeout);
    frames.read_until(HEADERS).await;
}

#[tokio::test]
async fn one_more_call_than_is_worked_at_is_refused() {
    refused_beside_another(GrpcLimits { max_calls: 1, ..GrpcLimits::default() }, "OVERLOADED").await;
}

#[tokio::test]
async fn one_more_call_of_a_caller_than_he_may_have_is_refused() {
    refused_beside_another(GrpcLimits { max_calls_of_one: 1, ..GrpcLimits::default() }, "TOO_MANY_CALLS_OPEN").await;
}

#[tokio::test]
async fn how_it_fares_is_nothing_to_ask_here() {
    let served = Served::with(GrpcLimits::default()).await;
    let answer = call_of("/grpc.health.v1.Health/Check", served.channel().await, PATIENCE).await.unwrap();
    assert_eq!(answer.code(), Code::Unimplemented);
}

/// Makes a call that is never answered, and another beside it, which is refused for that reason.
async fn refused_beside_another(limits: GrpcLimits, reason: &str) {
    let served = Served::with(limits).await;
    let first = tokio::spawn(call(served.channel().await, PATIENCE));
    let other = served.channel().await;
    let refused = async {
        loop {
            // Until the first has arrived this one is worked at.
            if let Some(answer) = call(other.clone(), SOON).await {
                return answer;
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, reason);
    assert!(details.localized_message().is_some() && details.retry_info().is_some());
    first.abort();
}

#[tokio::test]
async fn headers_larger_than_they_may_be_are_refused() {
    let served = Served::with(GrpcLimits::default()).await;
    let long = "y".repeat(9 * 1024);
    let request = http::Request::post("/test.Mute/Call").header("x", long).body(Body::empty()).unwrap();
    let answer = timeout(PATIENCE, served.channel().await.oneshot(request)).await.unwrap();
    assert!(answer.is_err() || answer.unwrap().status() == http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn only_certificates_of_ours_shake_hands() {
    let served = Served::with(GrpcLimits::default()).await;
    for (of, is_welcome) in [(None, true), (Some(&served.authority), true), (Some(&Authority::new()), false)] {
        let mut io = served.shaken(of).await.unwrap();
        // With TLS 1.3 a client that is not welcome learns it when it reads, and it learns why.
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        match timeout(PATIENCE, io.read_u8()).await.unwrap() {
            Ok(_) => assert!(is_welcome),
            Err(error) => assert!(!is_welcome && error.to_string().contains("fatal alert"), "{error}"),
        }
    }
}

#[tokio::test]
async fn nobody_holds_up_the_end() {
    let served = Served::with(GrpcLimits::default()).await;
    let mut before_tls = TcpStream::connect(served.address).await.unwrap();
    let mut silent = served.shaken(None).await.unwrap();
    let mut calling = served.frames().await;
    calling.begin_call(1).await.unwrap();
    calling.write(DATA, 0, 1, b"\0").await.unwrap();
    calling.read_until(SETTINGS).await;
    let began = Instant::now();
    served.shutdown.request();
    timeout(PATIENCE, served.serving).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() >= SOON, "the call had its time");
    closed(&mut before_tls).await;
    closed(&mut silent).await;
    closed(&mut calling.0).await;
    assert!(TcpStream::connect(served.address).await.is_err());
}
