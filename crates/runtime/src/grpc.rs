//! Serving gRPC over TLS: the port bound before work, a bound on everything a peer can take of it, and a drain with a
//! deadline.
//!
//! A connection on its way in: it is counted (`Crowd`), shakes hands in bounded time (`Tls`), says its first words in
//! bounded time (`Guarded`), and is then served by tonic until it is too old, the peer leaves, or shutdown is requested.

mod crowd;
mod gate;
mod guard;
mod tls;

use std::{
    fmt,
    hash::{BuildHasher as _, Hash, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, CertificateError},
};
use tokio_stream::{StreamExt as _, once, pending};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    service::Interceptor,
    transport::{
        Server,
        server::{Router, TcpIncoming},
    },
};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{
    BoxError, ServiceBuilder,
    layer::util::{Identity, Stack},
    limit::GlobalConcurrencyLimitLayer,
    load_shed::{LoadShedLayer, error::Overloaded},
    timeout::{TimeoutLayer, error::Elapsed},
    util::MapErrLayer,
};

use crate::{Shutdown, metrics};
use crowd::{Crowd, Place, network};
pub use gate::{Peer, Shown};
use guard::Guarded;
pub use tls::TlsError;
use tls::{Files, Tls};

/// How a service listens.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcConfig {
    /// The address to listen on; port 0 for a free one.
    pub listen: SocketAddr,
    /// The PEM file of the certificate that callers see, with those of the authorities between it and the one they trust.
    /// This file and the next two are read again when they change.
    pub certificate: PathBuf,
    /// The PEM file of its key.
    pub key: PathBuf,
    /// The PEM file of the authorities whose certificates callers may show. Who shows none needs a token.
    pub client_ca: PathBuf,
    /// How long calls may go on once shutdown is requested. A client that connected and says nothing would hold it up
    /// for ever.
    #[serde(default = "GrpcConfig::default_drain_timeout", deserialize_with = "crate::config::duration")]
    pub drain_timeout: Duration,
    /// What bounds callers, whoever they are.
    #[serde(default)]
    pub limits: GrpcLimits,
}

impl GrpcConfig {
    /// That address and those files, all else as usual.
    #[must_use]
    pub fn on(listen: SocketAddr, certificate: PathBuf, key: PathBuf, client_ca: PathBuf) -> Self {
        let (drain_timeout, limits) = (Self::default_drain_timeout(), GrpcLimits::default());
        Self { listen, certificate, key, client_ca, drain_timeout, limits }
    }

    fn default_drain_timeout() -> Duration {
        Duration::from_secs(20)
    }
}

/// What bounds callers before anybody knows who they are.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcLimits {
    /// Connections open at a time. One more is closed at once.
    pub max_connections: usize,
    /// The same for one address; for IPv6 one network of 64 bits. Raise it where many senders share one.
    pub max_connections_per_address: usize,
    /// How long the TLS handshake may take, and after it the first words of HTTP.
    #[serde(deserialize_with = "crate::config::duration")]
    pub handshake_timeout: Duration,
    /// After how long a connection takes no more calls, give or take a tenth, so that clients spread over the replicas
    /// and show their certificates again. HTTP/2 clients are told and connect anew.
    #[serde(deserialize_with = "crate::config::duration")]
    pub max_connection_age: Duration,
    /// How long the calls that are open then may go on. Streams that last are cut off; their clients open them again.
    #[serde(deserialize_with = "crate::config::duration")]
    pub max_connection_age_grace: Duration,
    /// After how long a call without an answer is given up; of a stream, before its answer begins. A shorter
    /// `grpc-timeout` of the caller goes before.
    #[serde(deserialize_with = "crate::config::duration")]
    pub call_timeout: Duration,
    /// Calls worked at at a time, over all connections; a stream counts until its answer begins. One more is refused.
    pub max_calls: usize,
    /// Of those, how many of one caller may be without their message. One more is refused.
    pub max_calls_of_one: usize,
    /// How many calls one connection may have open.
    pub max_concurrent_streams: u32,
    /// After how many streams that a peer's errors made the server reset its connection is closed.
    pub max_local_error_resets: usize,
    /// The most bytes of a call's headers, a token among them.
    pub max_header_bytes: u32,
    /// After how long without a word a peer is asked whether it is there, by TCP and by HTTP/2.
    #[serde(deserialize_with = "crate::config::duration")]
    pub keepalive: Duration,
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            handshake_timeout: Duration::from_secs(5),
            max_connection_age: Duration::from_secs(10 * 60),
            max_connection_age_grace: Duration::from_secs(30),
            call_timeout: Duration::from_secs(30),
            max_calls: 4_096,
            max_calls_of_one: 512,
            max_concurrent_streams: 256,
            max_local_error_resets: 1_024,
            max_header_bytes: 8 * 1024,
            keepalive: Duration::from_secs(30),
        }
    }
}

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("the port cannot be bound")]
    Bind(#[from] io::Error),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// What stands before every service: a bound on the calls at a time and on the time of each.
pub type Bounded = Stack<Stack<TimeoutLayer, Stack<GlobalConcurrencyLimitLayer, Shedding>>, Identity>;

type Shedding = Stack<LoadShedLayer, Stack<MapErrLayer<fn(BoxError) -> BoxError>, Identity>>;

/// How long accepting pauses when the operating system has no more to give, such as file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long somebody is read from whose handshake failed.
const HEAR_OUT_FOR: Duration = Duration::from_secs(1);

/// How long a peer may take to say that it is there.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A caller's certificate that is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbelieved {
    /// It has ended.
    Expired,
    /// It is of another authority, or not what it seems.
    Foreign,
}

/// Who is told whose certificate is not believed, and from which address it came.
#[derive(Clone)]
struct Doorkeeper(Arc<dyn Fn(IpAddr, Unbelieved) + Send + Sync>);

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doorkeeper")
    }
}

/// A bound port. Connections queue up from now on; they are answered once [`Listener::serve`] runs.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    tls: Tls,
    config: GrpcConfig,
    http1: bool,
    doorkeeper: Doorkeeper,
}

impl Listener {
    /// Reads the certificates and binds the port.
    ///
    /// # Errors
    /// When the certificates cannot be used, or the address is taken or not ours.
    pub async fn bind(config: &GrpcConfig) -> Result<Self, ListenError> {
        let GrpcConfig { certificate, key, client_ca, .. } = config.clone();
        let tls = Tls::open(Files { certificate, key, client_ca })?;
        let listener = TcpListener::bind(config.listen).await?;
        let doorkeeper = Doorkeeper(Arc::new(|_, _| {}));
        Ok(Self { listener, tls, config: config.clone(), http1: false, doorkeeper })
    }

    /// Takes HTTP/1.1 as well: gRPC-Web may come over it.
    #[must_use]
    pub fn http1(self) -> Self {
        Self { tls: self.tls.http1(), http1: true, ..self }
    }

    /// Tells of callers whose certificates are not believed: they come no further than the handshake.
    #[must_use]
    pub fn telling(self, unbelieved: impl Fn(IpAddr, Unbelieved) + Send + Sync + 'static) -> Self {
        Self { doorkeeper: Doorkeeper(Arc::new(unbelieved)), ..self }
    }

    /// What stands before a service: lets in whom `authenticate` knows, and puts what it gives into the request's extensions; `whose`
    /// tells who that is. Of each so many calls are let in at a time whose messages are still to come.
    pub fn gate<P, K, A, W>(&self, authenticate: A, whose: W) -> impl Interceptor + Clone + use<P, K, A, W>
    where
        P: Clone + Send + Sync + 'static,
        K: Clone + Eq + Hash,
        A: Fn(Shown<'_>) -> Result<P, Status> + Clone,
        W: Fn(&P) -> &K + Clone,
    {
        gate::gate(self.config.limits.max_calls_of_one, authenticate, whose)
    }

    /// The address, with the port that was chosen.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown is requested and calls have ended, or the deadline of the drain has passed.
    ///
    /// Only what is added, behind its own gate: how a service fares is asked at the admin port, where strangers do not come.
    ///
    /// # Errors
    /// When the services cannot be served.
    pub async fn serve(
        self,
        add: impl FnOnce(&mut Server<Bounded>) -> Router<Bounded>,
        shutdown: &Shutdown,
    ) -> Result<(), ServeError> {
        let Self { listener, mut tls, config: GrpcConfig { drain_timeout, limits, .. }, http1, doorkeeper } = self;
        let services = add(&mut server(&limits).accept_http1(http1));

        let crowd = Crowd::of(limits.max_connections, limits.max_connections_per_address);
        let (random, mut count) = (RandomState::new(), 0_u64);
        let end = CancellationToken::new();
        let mut connections: JoinSet<Result<(), ServeError>> = JoinSet::new();
        let mut incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(limits.keepalive));
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                accepted = incoming.next() => accepted,
                Some(ended) = connections.join_next() => {
                    match ended {
                        Ok(served) => served?,
                        Err(error) => tracing::error!(%error, "serving a connection ended abnormally"),
                    }
                    continue;
                }
            };
            let tcp = match accepted {
                Some(Ok(tcp)) => tcp,
                Some(Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
                None => break,
            };
            let Ok(peer) = tcp.peer_addr() else { continue };
            let Some(place) = crowd.enter(peer.ip()) else {
                metrics::turned_away("TOO_MANY_CONNECTIONS");
                tracing::debug!(%peer, "there are too many connections, one more is closed");
                continue;
            };
            count += 1;
            let connection = Connection {
                tcp,
                peer: network(peer.ip()),
                doorkeeper: doorkeeper.clone(),
                place,
                acceptor: tls.acceptor().await,
                age: spread(limits.max_connection_age, random.hash_one(count)),
                limits: limits.clone(),
                shutdown: shutdown.clone(),
                end: end.clone(),
            };
            connections.spawn(connection.serve(services.clone()));
        }
        // New connections are refused, and not left waiting until their own deadline.
        drop(incoming);
        let ended = async { while connections.join_next().await.is_some() {} };
        if let Err(overrun) = shutdown.drain(drain_timeout, ended).await {
            // A client that connected and says nothing, or does not read: what was promised to others is kept.
            tracing::warn!(%overrun, "connections were cut off");
            end.cancel();
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// A connection that was let in.
struct Connection {
    tcp: TcpStream,
    peer: IpAddr,
    doorkeeper: Doorkeeper,
    place: Place,
    acceptor: TlsAcceptor,
    age: Duration,
    limits: GrpcLimits,
    shutdown: Shutdown,
    /// Cuts it off.
    end: CancellationToken,
}

impl Connection {
    /// Each connection has a tonic server of its own: so each has its own age, and a peer is told to go before it is cut
    /// off. (tonic's `max_connection_age_grace` cuts off without telling.)
    async fn serve(self, services: Router<Bounded>) -> Result<(), ServeError> {
        let Self { tcp, peer, doorkeeper: Doorkeeper(tell), place, acceptor, age, limits, shutdown, end } = self;
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(limits.handshake_timeout, acceptor.accept(tcp).into_fallible()) => shaken,
            () = shutdown.requested() => return Ok(()),
        };
        let tls = match shaken {
            Ok(Ok(tls)) => tls,
            Ok(Err((error, tcp))) => {
                tracing::debug!(%error, "a TLS handshake failed");
                if let Some(why) = unbelieved(&error) {
                    tell(peer, why);
                }
                hear_out(tcp).await;
                return Ok(());
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                return Ok(());
            }
        };
        let too_old = async move {
            tokio::select! {
                () = end.cancelled_owned() => {}
                () = tokio::time::sleep(age + limits.max_connection_age_grace) => {}
            }
        };
        let closed = CancellationToken::new();
        let guarded = Guarded::new(tls, limits.handshake_timeout, too_old, (closed.clone().drop_guard(), place));
        let leave = async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(age) => {}
            }
        };
        let serving = services.serve_with_incoming_shutdown(once(Ok::<_, io::Error>(guarded)).chain(pending()), leave);
        tokio::select! {
            served = pin!(serving) => Ok(served?),
            () = closed.cancelled() => Ok(()),
        }
    }
}

/// Whether a handshake failed because of the caller's certificate.
fn unbelieved(error: &io::Error) -> Option<Unbelieved> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Some(Unbelieved::Expired)
        }
        rustls::Error::InvalidCertificate(_) => Some(Unbelieved::Foreign),
        _ => None,
    }
}

/// Reads what the peer still says, for a moment: closed with something unread, a connection is reset, and the peer may never
/// read why its handshake failed.
async fn hear_out(mut tcp: TcpStream) {
    let heard = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await
    };
    drop(tokio::time::timeout(HEAR_OUT_FOR, heard).await);
}

/// A duration up to a tenth longer or shorter: what began together must not end together.
fn spread(duration: Duration, draw: u64) -> Duration {
    let fifth = duration / 5;
    duration - fifth / 2 + Duration::from_nanos_u128(u128::from(draw) % (fifth.as_nanos() + 1))
}

/// tonic passes "no limit" to hyper for what is not set here: open streams, and streams reset by the server's own
/// errors (RUSTSEC-2024-0003, CVE-2025-8671).
fn server(limits: &GrpcLimits) -> Server<Bounded> {
    let told: fn(BoxError) -> BoxError = |error| refusal(&error).map_or(error, BoxError::from);
    let bounded = ServiceBuilder::new()
        .map_err(told)
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(limits.max_calls))
        .timeout(limits.call_timeout);
    Server::builder()
        .max_concurrent_streams(limits.max_concurrent_streams)
        .http2_max_local_error_reset_streams(Some(limits.max_local_error_resets))
        .http2_max_header_list_size(limits.max_header_bytes)
        .http2_keepalive_interval(Some(limits.keepalive))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        // A stream of reports fills more than the default 64 KiB while its first report is on its way to the disk.
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .layer(bounded.into_inner())
}

/// What a caller is told whose call these bounds ended.
fn refusal(error: &BoxError) -> Option<Status> {
    if error.is::<Overloaded>() {
        Some(for_now(
            Code::ResourceExhausted,
            "OVERLOADED",
            "Máy chủ đang xử lý quá nhiều yêu cầu; hãy thử lại sau giây lát.",
            "the server works at too many calls; try again in a moment",
        ))
    } else if error.is::<Elapsed>() {
        Some(for_now(
            Code::DeadlineExceeded,
            "CALL_TOO_LONG",
            "Yêu cầu chưa được trả lời trong thời gian cho phép; hãy thử lại sau giây lát.",
            "the call was not answered within the time that it may take; try again in a moment",
        ))
    } else {
        None
    }
}

/// A refusal that a second later may be none, counted.
fn for_now(code: Code, reason: &'static str, vi: &str, en: &str) -> Status {
    metrics::turned_away(reason);
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tonghop.v1", []);
    details.set_localized_message("vi-VN", vi);
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(code, en, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_together_does_not_end_together() {
        let hour = Duration::from_secs(3600);
        let draws = [0, u64::MAX / 3, u64::MAX].map(|draw| spread(hour, draw));
        assert!(draws.iter().all(|drawn| drawn.abs_diff(hour) <= hour / 10), "{draws:?}");
        assert!(draws[0] != draws[1] && draws[1] != draws[2], "{draws:?}");
        assert_eq!(spread(Duration::ZERO, 7), Duration::ZERO);
    }
}
