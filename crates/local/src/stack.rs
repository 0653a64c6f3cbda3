//! The whole system on this machine: private servers, and all four services in this process.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use messaging::{Connection, ConnectionConfig, Topology};
use runtime::{Clock, Shutdown, SystemClock, grpc::GrpcConfig, telemetry::TelemetryConfig};
use store::{Store, StoreConfig};
use tokio::task::JoinSet;

use crate::{NatsOptions, NatsServer, PostgresOptions, PostgresServer};

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// The directory of the catalogue.
    pub catalogue: PathBuf,
    /// The streams.
    pub topology: Topology,
    /// Where the collector listens; 0 for a free port.
    pub collector_port: u16,
    /// Where the query service listens; 0 for a free port.
    pub query_port: u16,
}

/// A running system. Its servers end with it.
#[derive(Debug)]
pub struct Stack {
    /// The catalogue everything was provisioned with.
    pub catalogue: Arc<domain::Catalogue>,
    /// The database, for verification.
    pub store: Store,
    /// A connection to NATS, for listening to topics.
    pub connection: Connection,
    /// Where the collector listens.
    pub collector: SocketAddr,
    /// Where the query service listens.
    pub query: SocketAddr,
    nats: NatsServer,
    postgres: PostgresServer,
    services: JoinSet<anyhow::Result<()>>,
    shutdown: Shutdown,
}

impl Stack {
    /// Starts the servers, provisions them and starts the services.
    ///
    /// # Errors
    /// When any part of that fails; what was started is stopped again.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let loaded = catalogue::load(&options.catalogue)?;
        let file_store = options.topology.reports_max_bytes
            + options.topology.verdicts_max_bytes
            + options.topology.totals_max_bytes
            + options.topology.fates_max_bytes;
        let nats_options =
            NatsOptions { max_file_store: file_store.unsigned_abs() + (1 << 30), ..NatsOptions::default() };
        let (nats, postgres) =
            tokio::try_join!(NatsServer::start(nats_options), PostgresServer::start(PostgresOptions::default()))?;

        let nats_config = ConnectionConfig::to(nats.url());
        let store_config = StoreConfig::to(postgres.url());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let connection = Connection::open("local", &nats_config).await?;
        let store = Store::connect("local", &store_config).await?;
        cli::provision::provision(&connection, &store, &options.topology, &loaded, &*clock)
            .await
            .context("provisioning")?;

        let catalogue = Arc::new(loaded.catalogue);
        let shutdown = Shutdown::new();
        let mut services = JoinSet::new();
        let on = |port| GrpcConfig::on(SocketAddr::from(([127, 0, 0, 1], port)));

        let config = collector::Config {
            catalogue: options.catalogue.clone(),
            grpc: on(options.collector_port),
            nats: nats_config.clone(),
            limits: collector::Limits::default(),
            telemetry: TelemetryConfig::default(),
        };
        let service = collector::Collector::start(&config, Arc::clone(&catalogue), Arc::clone(&clock)).await?;
        let collector = service.local_addr()?;
        let stop = shutdown.clone();
        services.spawn(async move { Ok(service.serve(stop).await?) });

        let config = validator::Config {
            catalogue: options.catalogue.clone(),
            nats: nats_config.clone(),
            store: store_config.clone(),
            workers: validator::Config::default_workers(),
            telemetry: TelemetryConfig::default(),
        };
        let service = validator::Validator::start(&config, Arc::clone(&catalogue)).await?;
        let stop = shutdown.clone();
        services.spawn(async move {
            service.run(stop).await;
            Ok(())
        });

        let config = aggregator::Config {
            catalogue: options.catalogue.clone(),
            nats: nats_config.clone(),
            store: store_config.clone(),
            limits: aggregator::Limits::default(),
            telemetry: TelemetryConfig::default(),
        };
        let service = aggregator::Aggregator::start(&config, Arc::clone(&catalogue), Arc::clone(&clock)).await?;
        let stop = shutdown.clone();
        services.spawn(async move { Ok(service.run(stop).await?) });

        let config = query::Config {
            catalogue: options.catalogue,
            grpc: on(options.query_port),
            nats: nats_config,
            store: store_config,
            limits: query::Limits::default(),
            telemetry: TelemetryConfig::default(),
        };
        let service = query::Query::bind(&config, Arc::clone(&catalogue)).await?;
        let query = service.local_addr();
        let stop = shutdown.clone();
        services.spawn(async move { Ok(service.serve(stop).await?) });

        Ok(Self { catalogue, store, connection, collector, query, nats, postgres, services, shutdown })
    }

    /// The NATS server.
    #[must_use]
    pub fn nats(&self) -> &NatsServer {
        &self.nats
    }

    /// The PostgreSQL server.
    #[must_use]
    pub fn postgres(&self) -> &PostgresServer {
        &self.postgres
    }

    /// Waits until a service ends, which none does by itself.
    ///
    /// # Errors
    /// Always: with what it ended on.
    pub async fn broken(&mut self) -> anyhow::Result<()> {
        match self.services.join_next().await {
            Some(ended) => ended?.and_then(|()| anyhow::bail!("a service ended by itself")),
            None => anyhow::bail!("no service is running"),
        }
    }

    /// Stops the services as they would stop in production, then the servers.
    ///
    /// # Errors
    /// When a service did not end well; the servers are stopped all the same.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.request();
        let mut ended = Ok(());
        while let Some(service) = self.services.join_next().await {
            ended = ended.and(service.map_err(anyhow::Error::from).and_then(|result| result));
        }
        self.store.close().await;
        self.connection.close().await;
        ended
    }
}
