//! The connection to the NATS servers.

use std::{io, path::PathBuf, time::Duration};

use async_nats::{ConnectOptions, Event, jetstream};
use nkeys::KeyPair;
use tokio::sync::watch;

use crate::subjects;

/// How to reach NATS.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionConfig {
    /// The servers: `tls://nats-1:4222`, several with commas between.
    pub url: String,
    /// The file with the certificates of the authorities whose servers are trusted (PEM); without it, those that the system
    /// trusts.
    pub ca: Option<PathBuf>,
    /// The file with the seed of the user's nkey; without it, what the URL says.
    pub seed: Option<PathBuf>,
    /// How long an answer of JetStream may take before the request has failed.
    #[serde(default = "ConnectionConfig::default_answer_within_ms")]
    pub answer_within_ms: u64,
}

impl ConnectionConfig {
    /// The servers at a URL, all else as usual.
    #[must_use]
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), ca: None, seed: None, answer_within_ms: Self::default_answer_within_ms() }
    }

    fn default_answer_within_ms() -> u64 {
        2_000
    }
}

/// Why NATS could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or refused.
    #[error("cannot connect to NATS")]
    Connect(#[from] async_nats::ConnectError),
    /// The seed of the nkey cannot be read.
    #[error("cannot read the nkey's seed in {}", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server is too old for what the streams need.
    #[error("the NATS server is version {found}; atomic batches need {}.{}.{} or newer", .needed.0, .needed.1, .needed.2)]
    TooOld {
        /// The server's version.
        found: String,
        /// The oldest that will do, as major, minor and patch number.
        needed: (i64, i64, i64),
    },
}

/// Atomic batches of messages with ids came with 2.12.1.
const OLDEST_SERVER: (i64, i64, i64) = (2, 12, 1);

/// An open connection; cheap to clone. It reconnects by itself, for ever.
#[derive(Clone)]
pub struct Connection {
    pub(crate) client: async_nats::Client,
    pub(crate) context: jetstream::Context,
    pub(crate) answer_within: Duration,
    /// Grows each time the connection is lost.
    losses: watch::Receiver<u64>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("answer_within", &self.answer_within).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, under the name of the service that does.
    ///
    /// # Errors
    /// When no server answers or takes us, it is too old, or the nkey cannot be read.
    pub async fn open(name: &str, config: &ConnectionConfig) -> Result<Self, ConnectError> {
        let answer_within = Duration::from_millis(config.answer_within_ms);
        let (lost, losses) = watch::channel(0);
        let mut options = ConnectOptions::new()
            .name(format!("tonghop-{name}"))
            .custom_inbox_prefix(subjects::inbox(name))
            .connection_timeout(Duration::from_secs(3))
            // What is queued while the connection is away: senders were told long ago that it is not known to be kept.
            .client_capacity(256)
            .request_timeout(Some(answer_within))
            // A cut line is noticed at the third ping: the default of a minute would leave senders waiting.
            .ping_interval(Duration::from_secs(2))
            .reconnect_delay_callback(|attempts| Duration::from_millis(50 << attempts.min(5)))
            .event_callback(move |event| {
                log(&event);
                if event == Event::Disconnected {
                    lost.send_modify(|losses| *losses += 1);
                }
                std::future::ready(())
            });
        if let Some(ca) = &config.ca {
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        if let Some(path) = &config.seed {
            let unreadable = |source| ConnectError::Seed { path: path.clone(), source };
            let seed = std::fs::read_to_string(path).map_err(unreadable)?;
            let key = KeyPair::from_seed(seed.trim()).map_err(|error| unreadable(io::Error::other(error)))?;
            // The user may hear answers there and nowhere else.
            options = options.nkey(seed.trim().to_owned()).custom_inbox_prefix(subjects::inbox(&key.public_key()));
        }
        let client = options.connect(config.url.as_str()).await?;
        let (major, minor, patch) = OLDEST_SERVER;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(ConnectError::TooOld { found: client.server_info().version, needed: OLDEST_SERVER });
        }
        let context =
            jetstream::ContextBuilder::new().timeout(answer_within).ack_timeout(answer_within).build(client.clone());
        Ok(Self { client, context, answer_within, losses })
    }

    /// Waits until the connection is lost the next time after this call: whoever waits for an answer then waits in vain.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> + use<> {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        async move {
            if losses.changed().await.is_err() {
                // Closed by us: who still waits has a bound.
                std::future::pending().await
            }
        }
    }

    /// Sends what is buffered and closes the connection, or gives it up where it is away: the client takes no word then once what
    /// waits for the next connection fills its queue. Acknowledgements that are awaited must have come before.
    pub async fn close(self) {
        match tokio::time::timeout(self.answer_within, self.client.drain()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the NATS connection was closed already"),
            Err(_) => tracing::warn!("the NATS connection is away; what waited for it is given up"),
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost; reconnecting"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages of NATS came faster than they were taken; they will come again")
        }
        Event::ServerError(error) => tracing::warn!(%error, "the NATS server reports an error"),
        Event::ClientError(error) => tracing::warn!(%error, "the NATS client reports an error"),
        other => tracing::debug!(event = %other, "the NATS connection changed"),
    }
}
