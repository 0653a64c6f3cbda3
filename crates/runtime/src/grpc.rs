//! Serving gRPC: the port bound before work, the protections that tonic leaves off, health, and a drain with a deadline.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tonic::{
    server::NamedService,
    transport::{
        Server,
        server::{Router, TcpIncoming},
    },
};
use tonic_health::ServingStatus;

use crate::Shutdown;

/// How a service listens.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcConfig {
    /// The address to listen on; port 0 for a free one.
    pub listen: SocketAddr,
    /// How many calls one connection may have open.
    #[serde(default = "GrpcConfig::default_max_concurrent_streams")]
    pub max_concurrent_streams: u32,
    /// How long calls may go on once shutdown is requested. A client that connected and says nothing would hold it up
    /// for ever.
    #[serde(default = "GrpcConfig::default_drain_timeout", deserialize_with = "crate::config::duration")]
    pub drain_timeout: Duration,
}

impl GrpcConfig {
    /// That address, all else as usual.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        let (max_concurrent_streams, drain_timeout) =
            (Self::default_max_concurrent_streams(), Self::default_drain_timeout());
        Self { listen, max_concurrent_streams, drain_timeout }
    }

    fn default_max_concurrent_streams() -> u32 {
        256
    }

    fn default_drain_timeout() -> Duration {
        Duration::from_secs(20)
    }
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// A bound port. Connections queue up from now on; they are answered once [`Listener::serve`] runs.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    config: GrpcConfig,
}

impl Listener {
    /// Binds the port.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(config: &GrpcConfig) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(config.listen).await?, config: config.clone() })
    }

    /// The address, with the port that was chosen.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown is requested and calls have ended, or the deadline of the drain has passed. `S` is the service
    /// that `grpc.health.v1` reports as serving.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve<S: NamedService>(
        self,
        add: impl FnOnce(&mut Server) -> Router,
        shutdown: &Shutdown,
    ) -> Result<(), ServeError> {
        let (mut health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<S>().await;
        let routes = add(&mut server(&self.config)).add_service(health_service);
        let incoming =
            TcpIncoming::from(self.listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(30)));
        let stop = async {
            shutdown.requested().await;
            // Tells load balancers, and ends the calls of those who watch.
            for service in [S::NAME, ""] {
                health.set_service_status(service, ServingStatus::NotServing).await;
                health.clear_service_status(service).await;
            }
        };
        let serving = routes.serve_with_incoming_shutdown(incoming, stop);
        match shutdown.drain(self.config.drain_timeout, serving).await {
            Ok(served) => Ok(served?),
            // A client that connected and says nothing, or does not read: what was promised to others is kept.
            Err(overrun) => {
                tracing::warn!(%overrun, "connections were cut off");
                Ok(())
            }
        }
    }
}

/// tonic passes "no limit" to hyper for what is not set here: open streams, and streams reset by the server's own
/// errors (RUSTSEC-2024-0003, CVE-2025-8671).
fn server(config: &GrpcConfig) -> Server {
    Server::builder()
        .max_concurrent_streams(config.max_concurrent_streams)
        .http2_max_local_error_reset_streams(Some(1024))
        .http2_max_header_list_size(8 * 1024)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        // A stream of reports fills more than the default 64 KiB while its first report is on its way to the disk.
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
}
