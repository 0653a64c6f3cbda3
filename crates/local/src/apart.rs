//! The local stack with each service as a process of its own, so that its processor time and its memory are its own.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use domain::access::Action;
use messaging::{Connection, Topology};
use runtime::SystemClock;
use rustix::process::Signal;
use store::{Role, Store, StoreConfig};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::{
    Door, Keys, NatsOptions, NatsServer, PostgresOptions, PostgresServer,
    part::{Part, Who},
    ports::free_port,
};

/// What each service logs when it is ready to work.
const SERVICES: [(&str, &str); 4] = [
    ("collector", "taking reports"),
    ("validator", "judging reports"),
    ("aggregator", "took leases"),
    ("query", "answering questions"),
];

/// Who sends and reads everything.
const EVERYBODY: &str = "everybody";

/// Servers and services. They end with it; what ends before, by itself or because somebody kills it, is started again, as in a
/// deployment.
#[derive(Debug)]
pub struct Apart {
    /// The way to the collector, for somebody who may send and read everything.
    pub collector: Door,
    /// The way to the query service, for the same.
    pub query: Door,
    /// A connection to NATS, for listening to topics.
    pub connection: Connection,
    /// The database, to look and to change nothing.
    pub store: Store,
    /// The catalogue everything was provisioned with.
    pub catalogue: Arc<domain::Catalogue>,
    /// The NATS server.
    pub nats: NatsServer,
    /// The PostgreSQL server.
    pub postgres: PostgresServer,
    services: Vec<Service>,
    _keys: Keys,
    _dir: TempDir,
}

/// Whether this process was started as one of the services; then it is that one, until it ends. Whoever starts an [`Apart`] asks
/// this first of all.
#[must_use]
#[expect(clippy::print_stderr, reason = "there is no telemetry yet")]
pub fn service() -> Option<std::process::ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    let name = env::args().next()?;
    if !SERVICES.iter().any(|(service, _)| *service == name) {
        return None;
    }
    // However the generator ends.
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("{name}: {error}");
        return Some(std::process::ExitCode::FAILURE);
    }
    Some(match name.as_str() {
        "collector" => runtime::main("collector", version, collector::run),
        "validator" => runtime::main("validator", version, validator::run),
        "aggregator" => runtime::main("aggregator", version, aggregator::run),
        _ => runtime::main("query", version, query::run),
    })
}

impl Apart {
    /// Makes keys, starts the servers, provisions them and starts the services.
    ///
    /// # Errors
    /// When any part of that fails; what was started is ended again.
    pub async fn start(catalogue_dir: &Path, topology: &Topology) -> anyhow::Result<Self> {
        let loaded = catalogue::load(catalogue_dir)?;
        let keys = Keys::make()?;
        keys.grant_all(EVERYBODY, &[Action::Submit, Action::Read])?;
        let credentials = keys.credentials(EVERYBODY)?;
        let nats =
            NatsOptions { max_file_store: 32 << 30, keys: Some(keys.layout().of("nats")), ..NatsOptions::default() };
        let postgres = PostgresOptions { keys: Some(keys.layout().of("postgres")), ..PostgresOptions::default() };
        let (nats, postgres) = tokio::try_join!(NatsServer::start(nats), PostgresServer::start(postgres))?;
        let superuser = Store::connect("load", &StoreConfig::to(postgres.url())).await?;
        cli::provision::roles(&superuser, keys.layout().dir()).await.context("making the database's roles")?;
        superuser.close().await;
        let connection = Connection::open("load", &keys.nats("provision", &nats)).await?;
        let store = Store::connect("load", &keys.postgres_beside(Role::Provision, &postgres)).await?;
        cli::provision::provision(&connection, &store, topology, &loaded, &SystemClock)
            .await
            .context("provisioning")?;
        connection.close().await;
        store.close().await;
        let store = Store::connect("load", &keys.postgres_beside(Role::Monitor, &postgres)).await?;
        let connection = Connection::open("load", &keys.nats("operator", &nats)).await?;
        nats.keep_running();
        postgres.keep_running();

        let dir = tempfile::tempdir()?;
        let mut services = Vec::new();
        for (name, ready) in SERVICES {
            let file = dir.path().join(name).with_extension("toml");
            std::fs::write(&file, config(name, catalogue_dir, &keys, &nats, &postgres))?;
            services.push(Service::start(name, ready, file).await.with_context(|| format!("starting {name}"))?);
        }
        let door = |name: &str| {
            let address = services.iter().find(|service| service.name == name)?.address.as_ref()?;
            Some(Door { url: format!("https://{address}"), credentials: credentials.clone() })
        };
        Ok(Self {
            collector: door("collector").context("the collector does not say where it listens")?,
            query: door("query").context("the query service does not say where it listens")?,
            connection,
            store,
            catalogue: Arc::new(loaded.catalogue),
            nats,
            postgres,
            services,
            _keys: keys,
            _dir: dir,
        })
    }

    /// Servers and services, by name, as they run now.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let part = |name: &str, who| Part { name: name.to_owned(), who };
        let servers = [part("nats", Who::Process(self.nats.pid())), part("postgres", Who::Family(self.postgres.pid()))];
        let pid = |service: &Service| service.pid.load(Ordering::Relaxed);
        let services = self.services.iter().map(|service| part(service.name, Who::Process(pid(service))));
        servers.into_iter().chain(services).collect()
    }

    /// Ends the services, then the servers.
    pub async fn stop(self) {
        for mut service in self.services {
            service.keeping.shutdown().await;
        }
        self.store.close().await;
        self.connection.close().await;
    }
}

/// What a service is told: what a deployment would tell it.
fn config(name: &str, catalogue: &Path, keys: &Keys, nats: &NatsServer, postgres: &PostgresServer) -> String {
    let layout = keys.layout();
    let (ca, seed) = (layout.ca(), layout.nats_seed(name));
    let mut config = format!("catalogue = {catalogue:?}\n");
    // Whoever measures is one principal and stands for thousands.
    if name == "query" {
        config += "limits.calls_per_second_of_one = 1000000\nlimits.calls_at_once_of_one = 1000000\n";
    }
    if name == "collector" {
        config += "limits.reports_per_second_of_one = 1000000\nlimits.reports_at_once_of_one = 1000000\n";
        config += "limits.max_in_flight_of_one = 65535\n";
    }
    config += "[telemetry]\nformat = \"json\"\nfilter = \"info\"\n";
    config += &format!("[nats]\nurl = {:?}\nca = {ca:?}\nseed = {seed:?}\n", nats.tls_url());
    if name != "collector" {
        let password = layout.postgres_password(name);
        let place = match postgres.socket_address() {
            Some(url) => format!("url = {url:?}\n"),
            None => format!("url = {:?}\nca = {ca:?}\n", postgres.address()),
        };
        config += &format!("[store]\n{place}user = \"tonghop_{name}\"\npassword = {password:?}\n");
    }
    if matches!(name, "collector" | "query") {
        let [certificate, key] = [layout.server_certificate(name), layout.server_key(name)];
        // One that is started again is to be found where it was.
        let port = free_port();
        config += &format!(
            "[grpc]\nlisten = \"127.0.0.1:{port}\"\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {ca:?}\n\
             limits.max_calls_of_one = 4096\n"
        );
    }
    if name != "aggregator" {
        config += &format!("[access]\ntrust = {:?}\n", layout.trust());
    }
    if name == "collector" {
        config += &format!("[seal]\nkey = {:?}\n", layout.seal_key());
    }
    config
}

/// A service in a process of its own, which is started again whenever it ends. Dropping it ends the process.
#[derive(Debug)]
struct Service {
    name: &'static str,
    /// Where it listens, if it does.
    address: Option<String>,
    /// The process that runs now, or the last one that did.
    pid: Arc<AtomicU32>,
    // Aborted when dropped, and the process with it.
    keeping: JoinSet<()>,
}

impl Service {
    async fn start(name: &'static str, ready: &'static str, config: PathBuf) -> anyhow::Result<Self> {
        let (child, address) = start(name, ready, &config).await?;
        let (pid, mut keeping) = (Arc::new(AtomicU32::new(child.id().unwrap_or_default())), JoinSet::new());
        keeping.spawn(keep_running(name, ready, config, child, Arc::clone(&pid)));
        Ok(Self { name, address, pid, keeping })
    }
}

/// Starts a service again whenever it has ended.
#[expect(clippy::print_stderr, reason = "that a service ended is for whoever started it")]
async fn keep_running(name: &str, ready: &str, config: PathBuf, mut child: Child, pid: Arc<AtomicU32>) {
    const AGAIN: Duration = Duration::from_millis(200);
    loop {
        match child.wait().await {
            Ok(status) => eprintln!("{name}: ended ({status}); starting it again"),
            Err(error) => eprintln!("{name}: {error}; starting it again"),
        }
        child = loop {
            // What it needs may have ended too, and not be there again yet.
            match start(name, ready, &config).await {
                Ok((child, _)) => break child,
                Err(error) => eprintln!("{name}: {error:#}"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
    }
}

/// Starts a service, waits until it is ready, and gives where it listens, if it does.
#[expect(
    clippy::print_stderr,
    reason = "what a service complains of is for whoever started it, as that service wrote it"
)]
async fn start(name: &str, ready: &str, config: &Path) -> anyhow::Result<(Child, Option<String>)> {
    let mut child = Command::new(env::current_exe()?)
        .arg0(name)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("a log")?).lines();
    let mut address = None;
    while let Some(text) = log.next_line().await? {
        // What is no JSON is a panic's, or an error in the configuration.
        let line: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|_| serde_json::json!({ "message": text }));
        let of = |name: &str| line["fields"][name].as_str().or_else(|| line[name].as_str()).map(str::to_owned);
        address = address.or_else(|| of("address"));
        if of("message").as_deref() == Some(ready) {
            let name = name.to_owned();
            tokio::spawn(async move {
                while let Ok(Some(line)) = log.next_line().await {
                    if line.contains("\"ERROR\"") || line.contains("\"WARN\"") {
                        eprintln!("{name}: {line}");
                    }
                }
            });
            return Ok((child, address));
        }
        if of("level").as_deref() == Some("ERROR") {
            anyhow::bail!("{text}");
        }
    }
    anyhow::bail!("it ended before it was ready")
}
