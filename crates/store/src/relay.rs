//! The way of the pool's connections to PostgreSQL: through a socket of this process that sends what it is given at once.
//!
//! sqlx 0.9 opens TCP connections without TCP_NODELAY and lets nobody else do it. A statement that is written in several pieces then
//! waits for the server's delayed acknowledgement, 40 ms each time (RFC 896 against RFC 1122, 4.2.3.2). So the driver connects
//! to a socket in here, and its bytes go on through a TCP connection with TCP_NODELAY. TLS stays between driver and server.

use std::{
    io,
    os::{linux::net::SocketAddrExt as _, unix::net as unix},
    process,
    sync::Arc,
    time::Duration,
};

use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpStream, UnixListener, UnixStream},
    task::AbortHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

/// What is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// For how long a server that refuses connections is taken for one that is starting: as long as the pool waits.
const STARTING: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(100);
/// After so long without a sign of the server's machine a connection is broken.
const SILENT: Duration = Duration::from_secs(14);

/// Takes connections until it is dropped; those that were made live on.
#[derive(Debug)]
pub(crate) struct Relay(AbortHandle);

impl Relay {
    /// Opens a relay to the server of these options, and the options that lead through it; none where the server is on a Unix socket anyway.
    ///
    /// # Errors
    /// When this process may open no socket.
    pub(crate) fn open(options: PgConnectOptions) -> io::Result<(PgConnectOptions, Option<Self>)> {
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return Ok((options, None));
        }
        // A name that begins with NUL is in no file system, and nobody guesses it.
        let folder = format!("\0tonghop-{}", Uuid::now_v7());
        // The driver puts the name of PostgreSQL's socket behind the folder.
        let name = format!("{}/.s.PGSQL.{}", &folder[1..], options.get_port());
        let listener = unix::UnixListener::bind_addr(&unix::SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let server = Arc::new((options.get_host().to_owned(), options.get_port()));
        let relay = Self(tokio::spawn(accept(listener, server)).abort_handle());
        Ok((options.socket(folder), Some(relay)))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: UnixListener, server: Arc<(String, u16)>) {
    loop {
        match listener.accept().await {
            Ok((driver, _)) if is_ours(&driver) => {
                tokio::spawn(relay(driver, Arc::clone(&server)));
            }
            Ok(_) => tracing::warn!("another process asked for our way to PostgreSQL and did not get it"),
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection of our own");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Abstract sockets have no permissions: whoever shares our network namespace could come in.
fn is_ours(driver: &UnixStream) -> bool {
    let who = driver.peer_cred().ok().and_then(|who| who.pid());
    who.is_some_and(|pid| u32::try_from(pid).is_ok_and(|pid| pid == process::id()))
}

async fn relay(mut driver: UnixStream, server: Arc<(String, u16)>) {
    let (host, port) = &*server;
    let connected = timeout(STARTING, connect(host, *port)).await;
    let mut server = match connected {
        Ok(Ok(server)) => server,
        // The driver finds its connection closed.
        Ok(Err(error)) => return tracing::warn!(%error, server = format!("{host}:{port}"), "cannot reach PostgreSQL"),
        Err(error) => return tracing::warn!(%error, server = format!("{host}:{port}"), "cannot reach PostgreSQL"),
    };
    let ended = copy_bidirectional_with_sizes(&mut driver, &mut server, PIECE, PIECE).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to PostgreSQL broke");
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    loop {
        match TcpStream::connect((host, port)).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => sleep(AGAIN).await,
            connected => {
                let server = connected?;
                server.set_nodelay(true)?;
                notice_silence(&server)?;
                return Ok(server);
            }
        }
    }
}

/// A machine that is gone without a word closes nothing: whoever waits for its answer would wait for a quarter of an hour, until the
/// kernel gives up what was sent (`tcp_retries2`), or for ever where all was acknowledged. The connection breaks within `SILENT`.
fn notice_silence(server: &TcpStream) -> io::Result<()> {
    const PROBES: u32 = 3;
    const PROBE_EVERY: Duration = Duration::from_secs(3);
    set_socket_keepalive(server, true)?;
    set_tcp_keepidle(server, SILENT - PROBE_EVERY * PROBES)?;
    set_tcp_keepintvl(server, PROBE_EVERY)?;
    set_tcp_keepcnt(server, PROBES)?;
    Ok(set_tcp_user_timeout(server, u32::try_from(SILENT.as_millis()).unwrap_or(u32::MAX))?)
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn options(port: u16) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port)
    }

    async fn through(options: &PgConnectOptions) -> io::Result<UnixStream> {
        let folder = options.get_socket().unwrap().display();
        UnixStream::connect(format!("{folder}/.s.PGSQL.{}", options.get_port())).await
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_a_closed_relay_takes_no_more() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (options, relay) = Relay::open(options(server.local_addr().unwrap().port())).unwrap();
        let mut driver = through(&options).await.unwrap();
        driver.write_all(b"asked").await.unwrap();
        let (mut server, _) = server.accept().await.unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"asked");

        drop(relay);
        let refused = loop {
            match through(&options).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        // Reset where it waited to be taken.
        let closed = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset];
        assert!(closed.contains(&refused.kind()), "{refused}");
        server.write_all(b"given").await.unwrap();
        drop(server);
        let mut given = String::new();
        driver.read_to_string(&mut given).await.unwrap();
        assert_eq!(given, "given", "what was open stays open, and ends when the server ends it");
    }

    #[tokio::test]
    async fn nothing_waits_for_an_acknowledgement_or_for_a_machine_that_is_gone() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let connected = connect("127.0.0.1", server.local_addr().unwrap().port()).await.unwrap();
        assert!(connected.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&connected).unwrap());
        let probes = sockopt::tcp_keepintvl(&connected).unwrap() * sockopt::tcp_keepcnt(&connected).unwrap();
        assert_eq!(sockopt::tcp_keepidle(&connected).unwrap() + probes, SILENT);
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&connected).unwrap()), SILENT.as_millis());
    }

    #[tokio::test]
    async fn a_server_on_a_socket_needs_none() {
        let (options, relay) = Relay::open(options(5432).socket("/run/postgresql")).unwrap();
        assert!(relay.is_none());
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
    }
}
