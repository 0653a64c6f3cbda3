//! The whole system on this machine: private servers, and all four services in this process.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use domain::access::Action;
use messaging::{Connection, Topology};
use runtime::{Clock, Shutdown, SystemClock, admin::AdminConfig, telemetry::TelemetryConfig};
use store::{Role, Store, StoreConfig};
use tokio::task::JoinSet;

use crate::{Door, Keys, NatsOptions, NatsServer, PostgresOptions, PostgresServer};

/// Who sends and reads everything here.
const EVERYBODY: &str = "everybody";

/// What one may have who stands for everybody.
const ENOUGH: NonZeroU32 = const { NonZeroU32::new(1_000_000).unwrap() };

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
    /// The way to the collector, for somebody who may send and read everything.
    pub collector: Door,
    /// The way to the query service, for the same.
    pub query: Door,
    keys: Keys,
    nats: NatsServer,
    postgres: PostgresServer,
    services: JoinSet<anyhow::Result<()>>,
    shutdown: Shutdown,
}

impl Stack {
    /// Makes keys for this run, starts the servers, provisions them and starts the services.
    ///
    /// # Errors
    /// When any part of that fails; what was started is stopped again.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        // Everything that starts is held by this: too much for the stacks of those who wait.
        Box::pin(Self::start_all(options)).await
    }

    async fn start_all(options: StackOptions) -> anyhow::Result<Self> {
        let loaded = catalogue::load(&options.catalogue)?;
        let file_store = options.topology.reports_max_bytes
            + options.topology.verdicts_max_bytes
            + options.topology.totals_max_bytes
            + options.topology.fates_max_bytes;
        let keys = Keys::make()?;
        let nats_options = NatsOptions {
            max_file_store: file_store.unsigned_abs() + (1 << 30),
            keys: Some(keys.layout().of("nats")),
            ..NatsOptions::default()
        };
        let postgres_options =
            PostgresOptions { keys: Some(keys.layout().of("postgres")), ..PostgresOptions::default() };
        let (nats, postgres) =
            tokio::try_join!(NatsServer::start(nats_options), PostgresServer::start(postgres_options))?;

        keys.grant_all(EVERYBODY, &[Action::Submit, Action::Read])?;
        let credentials = keys.credentials(EVERYBODY)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let superuser = Store::connect("local", &StoreConfig::to(postgres.url())).await?;
        cli::provision::roles(&superuser, keys.layout().dir()).await.context("making the database's roles")?;
        superuser.close().await;
        let connection = Connection::open("local", &keys.nats("provision", &nats)).await?;
        let store = Store::connect("local", &keys.postgres_beside(Role::Provision, &postgres)).await?;
        cli::provision::provision(&connection, &store, &options.topology, &loaded, &*clock)
            .await
            .context("provisioning")?;
        connection.close().await;
        store.close().await;
        // To look, and to change nothing.
        let store = Store::connect("local", &keys.postgres_beside(Role::Monitor, &postgres)).await?;
        let connection = Connection::open("local", &keys.nats("operator", &nats)).await?;

        let catalogue = Arc::new(loaded.catalogue);
        let shutdown = Shutdown::new();
        let mut services = JoinSet::new();
        let on = |who, port| keys.grpc(who, SocketAddr::from(([127, 0, 0, 1], port)));

        let config = collector::Config {
            catalogue: options.catalogue.clone(),
            grpc: on("collector", options.collector_port),
            access: keys.access(),
            seal: collector::SealConfig { key: keys.layout().seal_key() },
            nats: keys.nats("collector", &nats),
            limits: collector::Limits {
                reports_per_second_of_one: ENOUGH,
                reports_at_once_of_one: ENOUGH,
                max_in_flight_of_one: usize::from(u16::MAX),
                ..collector::Limits::default()
            },
            admin: AdminConfig::default(),
            telemetry: TelemetryConfig::default(),
        };
        let service = collector::Collector::start(&config, Arc::clone(&catalogue), Arc::clone(&clock)).await?;
        let collector = Door::to(service.local_addr()?, credentials.clone());
        let stop = shutdown.clone();
        services.spawn(async move { Ok(service.serve(stop).await?) });

        let config = validator::Config {
            catalogue: options.catalogue.clone(),
            access: keys.access(),
            nats: keys.nats("validator", &nats),
            store: keys.postgres_beside(Role::Validator, &postgres),
            workers: validator::Config::default_workers(),
            admin: AdminConfig::default(),
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
            nats: keys.nats("aggregator", &nats),
            store: keys.postgres_beside(Role::Aggregator, &postgres),
            limits: aggregator::Limits::default(),
            admin: AdminConfig::default(),
            telemetry: TelemetryConfig::default(),
        };
        let service = aggregator::Aggregator::start(&config, Arc::clone(&catalogue), Arc::clone(&clock)).await?;
        let stop = shutdown.clone();
        services.spawn(async move { Ok(service.run(stop).await?) });

        let config = query::Config {
            catalogue: options.catalogue,
            grpc: on("query", options.query_port),
            access: keys.access(),
            nats: keys.nats("query", &nats),
            store: keys.postgres_beside(Role::Query, &postgres),
            limits: query::Limits {
                calls_per_second_of_one: ENOUGH,
                calls_at_once_of_one: ENOUGH,
                ..query::Limits::default()
            },
            admin: AdminConfig::default(),
            telemetry: TelemetryConfig::default(),
        };
        let service = query::Query::bind(&config, Arc::clone(&catalogue), Arc::clone(&clock)).await?;
        let query = Door::to(service.local_addr(), credentials);
        let stop = shutdown.clone();
        services.spawn(async move { Ok(service.serve(stop).await?) });

        Ok(Self { catalogue, store, connection, collector, query, keys, nats, postgres, services, shutdown })
    }

    /// The keys that everything here has.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
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
