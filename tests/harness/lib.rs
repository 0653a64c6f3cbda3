//! A world of its own for each end-to-end test: private servers, provisioned, with the services as processes that can be
//! killed.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test whose world does not hold has failed")]

mod admin;
pub mod checks;
mod command;
mod events;
mod load;
mod org_units;
mod report;
mod schema;
mod sending;
mod service;
mod services;
mod streams;
mod sums;
mod tls;

use std::{
    fmt::Debug,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use access::seal::Sealer;
use client::Credentials;
use domain::{Catalogue, access::Action};
use local::{Keys, NatsOptions, NatsServer, PostgresOptions, PostgresServer};
use messaging::{Connection, ConnectionConfig, Outgoing, Publisher, Topology};
use proto::pb::query::v1::{LevelTotals, Totals};
use runtime::SystemClock;
use store::{Role, Store, StoreConfig, verify::Verification};

pub use admin::{get, metrics};
pub use command::{Ran, Running, environment, tonghop, tonghop_with};
pub use events::Events;
pub use load::Load;
pub use org_units::OrgUnits;
pub use report::{dense, flag, int, organisation, report, withdrawal};
pub use schema::Schema;
pub use sending::{Sending, Sent};
pub use service::{Service, program};
pub use services::{Caller, Services};
pub use streams::{Backlog, StreamState};
pub use sums::{Sums, sums_of, sums_of_event};
pub use tls::shaken;

/// The longest anything here is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Two gigabytes of streams instead of production's many.
#[must_use]
pub fn small_topology() -> Topology {
    const GIB: i64 = 1 << 30;
    Topology {
        partitions: 4,
        reports_max_bytes: GIB,
        verdicts_max_bytes: GIB,
        totals_max_bytes: GIB / 4,
        fates_max_bytes: GIB / 4,
        ..Topology::default()
    }
}

/// A NATS server that has room for them.
#[must_use]
pub fn small_nats() -> NatsOptions {
    NatsOptions { max_file_store: 4 << 30, ..NatsOptions::default() }
}

/// The catalogue that is shipped.
#[must_use]
pub fn catalogue_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalogue/de06")
}

/// Servers, provisioned, and what is needed to look into them.
#[derive(Debug)]
pub struct World {
    /// NATS; may be killed and restarted.
    pub nats: NatsServer,
    /// PostgreSQL; may be killed and restarted.
    pub postgres: PostgresServer,
    /// A look into the database.
    pub store: Store,
    /// A look into the streams.
    pub connection: Connection,
    /// The catalogue that is shipped.
    pub catalogue: Arc<Catalogue>,
    /// Where the catalogue is that services are started with.
    pub catalogue_dir: PathBuf,
    /// The keys of everybody in it.
    pub keys: Arc<Keys>,
    /// Those of somebody who may send and read everything.
    pub credentials: Credentials,
    /// More of the `[telemetry]` table of services that are started from now on.
    pub telemetry: String,
    dir: tempfile::TempDir,
}

/// Who may send and read everything.
pub const EVERYBODY: &str = "everybody";

impl World {
    /// A world with streams of the usual size.
    pub async fn start() -> Self {
        Self::with(small_topology(), small_nats()).await
    }

    /// A world with these streams.
    pub async fn with(topology: Topology, nats: NatsOptions) -> Self {
        let world = Self::bare(nats).await;
        world.provision(&topology).await;
        world
    }

    /// A world in which nothing is provisioned.
    pub async fn bare(nats: NatsOptions) -> Self {
        runtime::telemetry::init_for_tests();
        let keys = Arc::new(Keys::make().unwrap());
        keys.grant_all(EVERYBODY, &[Action::Submit, Action::Read]).unwrap();
        let credentials = keys.credentials(EVERYBODY).unwrap();
        // A test that shows no key is the operator; services show theirs.
        let users = access::keys::nats_users(keys.layout()).unwrap();
        let (_, operator) = users.iter().find(|(name, _)| name == "operator").unwrap();
        let more = format!("allow_non_tls: true\nno_auth_user: {operator}\n{}", nats.more);
        let nats = NatsOptions { keys: Some(keys.layout().of("nats")), more, ..nats };
        let postgres = PostgresOptions { keys: Some(keys.layout().of("postgres")), ..PostgresOptions::default() };
        let (nats, postgres) = tokio::try_join!(NatsServer::start(nats), PostgresServer::start(postgres)).unwrap();
        let connection = Connection::open("tests", &ConnectionConfig::to(nats.url())).await.unwrap();
        let store = Store::connect("tests", &StoreConfig::to(postgres.url())).await.unwrap();
        cli::provision::roles(&store, keys.layout().dir()).await.unwrap();
        let catalogue = Arc::new(catalogue::load(&catalogue_dir()).unwrap().catalogue);
        let dir = tempfile::tempdir().unwrap();
        Self {
            nats,
            postgres,
            store,
            connection,
            catalogue,
            catalogue_dir: catalogue_dir(),
            keys,
            credentials,
            telemetry: String::new(),
            dir,
        }
    }

    /// Makes what is missing of streams, schema and catalogue.
    pub async fn provision(&self, topology: &Topology) -> cli::provision::Done {
        let loaded = catalogue::load(&self.catalogue_dir).unwrap();
        let connection = Connection::open("provision", &self.keys.nats("provision", &self.nats)).await.unwrap();
        let store = Store::connect("provision", &self.keys.postgres(Role::Provision, &self.postgres)).await.unwrap();
        let done = cli::provision::provision(&connection, &store, topology, &loaded, &SystemClock);
        let done = Box::pin(done).await.unwrap();
        store.close().await;
        done
    }

    /// Starts a service as a process of its own, ready to work.
    pub async fn service(&self, name: &'static str) -> Service {
        self.service_with(name, "").await
    }

    /// The same, with more configuration: lines such as `limits.lanes = 1`, `grpc.limits.max_calls = 1`.
    pub async fn service_with(&self, name: &'static str, more: &str) -> Service {
        let config = self.config(name, more);
        Service::start(name, &config, self.dir.path(), Service::ready(name), &self.credentials).await
    }

    /// Starts an aggregator beside one that holds all leases.
    pub async fn standby_aggregator(&self) -> Service {
        let config = self.config("aggregator", "");
        Service::start("aggregator", &config, self.dir.path(), "counting reports", &self.credentials).await
    }

    /// Publishes what a collector could publish, with a collector's seal.
    pub async fn publish_sealed(&self, message: &Outgoing) {
        let sealer = Sealer::open(&self.keys.layout().seal_key()).unwrap();
        let seal = sealer.seal(&message.payload).unwrap();
        Publisher::new(self.connection.clone()).publish_sealed(message, &seal).await.unwrap();
    }

    /// The servers, for the commands with which operators change something, as whom they run them.
    #[must_use]
    pub fn as_provision(&self) -> Vec<String> {
        let layout = self.keys.layout();
        let database = self.postgres.address().replace("://", &format!("://{}@", Role::Provision.name()));
        let file = |path: PathBuf| path.to_str().unwrap().to_owned();
        let given = [
            ("--nats", self.nats.tls_url()),
            ("--nats-ca", file(layout.ca())),
            ("--nats-seed", file(layout.nats_seed("provision"))),
            ("--database", database),
            ("--database-ca", file(layout.ca())),
            ("--database-password-file", file(layout.postgres_password("provision"))),
        ];
        given.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }

    fn config(&self, name: &str, more: &str) -> String {
        let catalogue = &self.catalogue_dir;
        let layout = self.keys.layout();
        let (nats, ca, seed) = (self.nats.tls_url(), layout.ca(), layout.nats_seed(name));
        let telemetry = &self.telemetry;
        let (grpc, more): (Vec<_>, Vec<_>) = more.lines().partition(|line| line.starts_with("grpc."));
        let [grpc, more] = [grpc, more].map(|lines| lines.join("\n"));
        let mut config = String::new();
        if matches!(name, "validator" | "aggregator" | "query") {
            let (url, password) = (self.postgres.address(), layout.postgres_password(name));
            config += &format!(
                "store.url = {url:?}\nstore.user = \"tonghop_{name}\"\nstore.password = {password:?}\nstore.ca = {ca:?}\n"
            );
        }
        config += &format!(
            "catalogue = {catalogue:?}\n{more}\n[telemetry]\nformat = \"json\"\nfilter = \"info\"\n{telemetry}\n\
             [nats]\nurl = \"{nats}\"\nca = {ca:?}\nseed = {seed:?}\n"
        );
        if matches!(name, "collector" | "query") {
            let [certificate, key] = [layout.server_certificate(name), layout.server_key(name)];
            config += "[grpc]\nlisten = \"127.0.0.1:0\"\ndrain_timeout = \"10s\"\n";
            config += &grpc.replace("grpc.", "");
            config += &format!("\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {ca:?}\n");
        }
        if matches!(name, "collector" | "validator" | "query") {
            config += &format!("[access]\ntrust = {:?}\nreread_every_ms = 100\n", layout.trust());
        }
        if name == "collector" {
            config += &format!("[seal]\nkey = {:?}\n", layout.seal_key());
        }
        config
    }

    /// All four services.
    pub async fn services(&self) -> Services {
        self.services_with("").await
    }

    /// All four services, the collector with more configuration.
    pub async fn services_with(&self, collector: &str) -> Services {
        let (collector, validator, aggregator, query) = tokio::join!(
            self.service_with("collector", collector),
            self.service("validator"),
            self.service("aggregator"),
            self.service("query")
        );
        Services::new(Arc::clone(&self.keys), collector, validator, aggregator, query).await
    }

    /// Waits until that many acknowledged reports have a fate, and no event waits to be published.
    pub async fn settled(&self, reports: i64) {
        eventually("every acknowledged report has its fate", || async {
            let counts = self.store.fate_counts().await.map_err(|error| format!("{error:?}"))?;
            let unpublished = self.store.outbox_length().await.map_err(|error| format!("{error:?}"))?;
            if counts.settled() >= reports && unpublished == 0 {
                Ok(())
            } else {
                Err(format!("{counts:?} of {reports}, {unpublished} unpublished"))
            }
        })
        .await;
        let settled = self.store.fate_counts().await.unwrap().settled();
        assert_eq!(settled, reports, "each acknowledged report has exactly one fate");
    }

    /// Recomputes every total; none may differ, and there must be some.
    pub async fn verified(&self) -> Verification {
        let verification = self.store.verify().await.unwrap();
        assert_eq!(verification.mismatches, 0, "{:#?}", verification.listed);
        assert!(verification.totals_checked > 0, "{verification:?}");
        verification
    }
}

/// The totals over one level's reports.
#[must_use]
pub fn level<'t>(totals: &'t Totals, level: &str) -> &'t LevelTotals {
    totals.levels.iter().find(|totals| totals.level == level).unwrap_or_else(|| panic!("no {level} in {totals:?}"))
}

/// The sum of a cell over one level's reports, none where no report gave a value.
#[must_use]
pub fn sum(totals: &Totals, of_level: &str, data_element: &str) -> Option<i64> {
    let cell =
        level(totals, of_level).cells.iter().find(|cell| cell.data_element == data_element && cell.option.is_empty());
    cell.unwrap_or_else(|| panic!("no {data_element}")).sum
}

/// Tries until it succeeds; gives up, and says what the last try said, after [`PATIENCE`].
pub async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(what: &str, attempt: impl Fn() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if tokio::time::Instant::now() >= deadline => {
                panic!("it never came about that {what}: {error:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
