//! The port for whoever watches a service: gRPC health, metrics and probes, on one listener of their own.
//!
//! It speaks plain HTTP/1.1 and HTTP/2 within the deployment's network and is never published: it answers nobody's
//! questions about reports.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, http::StatusCode, http::header::CONTENT_TYPE, routing::get};
use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{Shutdown, metrics};

/// The `[admin]` table of a service's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// The address to listen on; port 0 for a free one. Not to be published.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    /// A free port that this machine alone can reach.
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
}

/// The service that `grpc.health.v1` reports as serving while the process lives, whatever it depends on does.
pub const LIVENESS: &str = "liveness";

/// How often each check is made.
const EVERY: Duration = Duration::from_secs(3);
/// Within what time a check must succeed.
const DEADLINE: Duration = Duration::from_secs(3);
/// How many calls and questions one connection may have open: probes ask one at a time.
const OPEN_CALLS: u32 = 16;

type Made = BoxFuture<'static, Result<(), String>>;

/// Something that must succeed for the service to be ready.
struct Check {
    name: &'static str,
    make: Box<dyn Fn() -> Made + Send + Sync>,
}

/// A bound admin port, and what makes the service ready.
pub struct Admin {
    service: &'static str,
    listener: TcpListener,
    local_addr: SocketAddr,
    checks: Vec<Check>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let checks: Vec<_> = self.checks.iter().map(|check| check.name).collect();
        f.debug_struct("Admin").field("local_addr", &self.local_addr).field("checks", &checks).finish()
    }
}

/// An admin port that answers. It closes when this is dropped.
#[derive(Debug)]
pub struct Watched {
    _tasks: JoinSet<()>,
}

impl Admin {
    /// Binds the port of a service, and begins to record its metrics.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(service: &'static str, config: &AdminConfig) -> io::Result<Self> {
        metrics::recorder();
        let listener = TcpListener::bind(config.listen).await?;
        let local_addr = listener.local_addr()?;
        Ok(Self { service, listener, local_addr, checks: Vec::new() })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Adds a check: the service is ready while the last try of each succeeded. A try that takes over three seconds
    /// failed.
    #[must_use]
    pub fn check<F, E>(mut self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error,
    {
        let make = move || -> Made {
            let made = check();
            Box::pin(async move { made.await.map_err(|error| in_words(&error)) })
        };
        self.checks.push(Check { name, make: Box::new(make) });
        self
    }

    /// Answers from now on. Once shutdown is requested the service is not ready any more, and still says how it fares.
    pub async fn start(self, shutdown: &Shutdown) -> Watched {
        let Self { service, listener, local_addr, checks } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", ServingStatus::NotServing).await;
        health.set_service_status(LIVENESS, ServingStatus::Serving).await;
        let names = checks.iter().map(|check| check.name);
        let readiness = Readiness {
            service,
            state: Arc::new(Mutex::new(names.map(|name| (name, Err("not tried yet".to_owned()))).collect())),
            health,
            shutdown: shutdown.clone(),
        };

        let mut tasks = JoinSet::new();
        for check in checks {
            tasks.spawn(keep_checking(check, readiness.clone()));
        }
        let ending = readiness.clone();
        tasks.spawn(async move {
            ending.shutdown.requested().await;
            ending.tell().await;
        });
        tasks.spawn(async {
            loop {
                tokio::time::sleep(EVERY).await;
                metrics::recorder().fold();
            }
        });
        readiness.tell().await;
        let routes = Routes::from(Routes::new(health_service).into_axum_router().merge(pages(readiness)));
        let server = Server::builder()
            .accept_http1(true)
            .max_concurrent_streams(OPEN_CALLS)
            .http2_max_local_error_reset_streams(Some(128))
            .timeout(DEADLINE)
            .add_routes(routes);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tasks.spawn(async move {
            if let Err(error) = server.serve_with_incoming(incoming).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the admin port is closed");
            }
        });
        tracing::info!(admin = %local_addr, "the admin port answers");
        Watched { _tasks: tasks }
    }
}

/// Whether the service is ready, and who is told.
#[derive(Clone)]
struct Readiness {
    service: &'static str,
    /// What the last try of each check said.
    state: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
    health: HealthReporter,
    shutdown: Shutdown,
}

impl Readiness {
    /// Keeps what a try said.
    async fn heard(&self, check: &'static str, said: Result<(), String>) {
        let before = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.insert(check, said.clone())
        };
        let ready = said.is_ok();
        ::metrics::gauge!("tonghop_ready", "service" => self.service, "check" => check).set(f64::from(u8::from(ready)));
        match (before, said) {
            (Some(Ok(())), Err(error)) => tracing::warn!(check, error, "not ready"),
            (Some(Err(_)), Ok(())) => tracing::info!(check, "ready"),
            _ => {}
        }
        self.health.set_service_status(check, status(ready)).await;
        self.tell().await;
    }

    async fn tell(&self) {
        self.health.set_service_status("", status(self.is_ready())).await;
    }

    fn is_ready(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !self.shutdown.is_requested() && state.values().all(Result::is_ok)
    }

    /// A line for each check.
    fn in_words(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if self.shutdown.is_requested() {
            text.push_str("shutdown: requested\n");
        }
        for (check, said) in &*state {
            text.push_str(&format!("{check}: {}\n", said.as_ref().map_or_else(String::as_str, |()| "ok")));
        }
        text
    }
}

fn status(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// Makes a check again and again, each time within the deadline.
async fn keep_checking(Check { name, make }: Check, readiness: Readiness) {
    loop {
        let began = Instant::now();
        let said = tokio::time::timeout(DEADLINE, make()).await;
        readiness.heard(name, said.unwrap_or_else(|_| Err(format!("no answer within {DEADLINE:?}")))).await;
        tokio::time::sleep_until(began + EVERY).await;
    }
}

fn pages(readiness: Readiness) -> Router {
    // The version of the text format, as Prometheus wants to hear it.
    const TEXT: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Router::new()
        .route("/metrics", get(async || (TEXT, metrics::recorder().render())))
        .route("/livez", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || {
                let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, readiness.in_words())
            }),
        )
}

/// An error and what caused it, outermost first.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
