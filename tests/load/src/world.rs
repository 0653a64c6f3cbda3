//! Where everything is that is measured: a deployment, or the local stack. All that connects is here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use client::{CertificateFiles, Credentials};
use domain::Catalogue;
use local::{
    Apart, Door, Stack, StackOptions,
    part::{Part, Who},
};
use messaging::{Connection, ConnectionConfig, Topology};
use store::{Store, StoreConfig};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long nothing may move, and what is away may stay away, before a run has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long until what was away is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// The threads of the services, where they share the generator's process.
pub(crate) const SERVICES: &str = "services";
/// The generator's own.
pub(crate) const GENERATOR: &str = "generator";

/// A deployment to measure. What is left out is not measured, and said so.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Deployment {
    /// The collector of a deployment, `https://HOST:PORT`; without, everything is started on this machine
    #[arg(long, requires = "query")]
    collector: Option<String>,
    /// Its query service
    #[arg(long, requires = "collector")]
    query: Option<String>,
    /// The PEM file of the authority of its certificates
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The PEM file of the certificate of somebody who may submit and read everything
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The PEM file of its key
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Its NATS server: without, there is no freshness
    #[arg(long)]
    nats: Option<String>,
    /// The file with the seed of a user of NATS who may read TOTALS
    #[arg(long)]
    nats_seed: Option<PathBuf>,
    /// Where its NATS server tells its statistics, `http://HOST:PORT`: without, streams are not measured
    #[arg(long)]
    nats_monitoring: Option<String>,
    /// Its database: without, backlogs are not known and totals are not recomputed
    #[arg(long)]
    database: Option<String>,
    /// The file with the password of its user
    #[arg(long)]
    database_password: Option<PathBuf>,
    /// A process of it on this machine, `NAME=PID`; may be given again. With its children where the name is postgres
    #[arg(long = "pid", value_parser = Part::parse)]
    pids: Vec<Part>,
    /// Start the services as processes of their own, not in the generator's
    #[arg(long, conflicts_with = "collector")]
    processes: bool,
    /// Forms with totals of every longer period too: quarter, half-year, year and `latest`
    #[arg(long)]
    pub(crate) longer: bool,
}

impl Deployment {
    /// Whether everything is started here.
    pub(crate) fn is_local(&self) -> bool {
        self.collector.is_none()
    }
}

/// What was started here.
#[derive(Debug)]
enum Ours {
    Together(Box<Stack>),
    Apart(Box<Apart>),
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) collector: Door,
    pub(crate) query: Door,
    pub(crate) connection: Option<Connection>,
    pub(crate) store: Option<Store>,
    /// Where NATS tells its statistics.
    pub(crate) monitoring: Option<String>,
    /// For questions that no service asks: how large the database is.
    pub(crate) database: Option<String>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// Processes of a deployment.
    theirs: Vec<Part>,
    ours: Option<Ours>,
    _catalogue_dir: TempDir,
}

impl World {
    /// Connects to the deployment, or starts the local stack.
    pub(crate) async fn open(deployment: &Deployment) -> anyhow::Result<Self> {
        let dir = catalogue_dir(deployment.longer)?;
        match (&deployment.collector, &deployment.query) {
            (Some(collector), Some(query)) => Self::connect(deployment, collector, query, dir).await,
            _ if deployment.processes => Self::start_apart(dir).await,
            _ => Self::start(dir).await,
        }
    }

    async fn start(dir: TempDir) -> anyhow::Result<Self> {
        let options = StackOptions {
            catalogue: dir.path().to_owned(),
            topology: Topology::default(),
            collector_port: 0,
            query_port: 0,
        };
        let stack = Stack::start(options).await?;
        stack.nats().keep_running();
        stack.postgres().keep_running();
        Ok(Self {
            collector: stack.collector.clone(),
            query: stack.query.clone(),
            connection: Some(stack.connection.clone()),
            store: Some(stack.store.clone()),
            monitoring: Some(stack.nats().monitoring_url()),
            database: Some(stack.postgres().url()),
            catalogue: Arc::clone(&stack.catalogue),
            theirs: Vec::new(),
            ours: Some(Ours::Together(Box::new(stack))),
            _catalogue_dir: dir,
        })
    }

    async fn start_apart(dir: TempDir) -> anyhow::Result<Self> {
        let apart = Apart::start(dir.path(), &Topology::default()).await?;
        Ok(Self {
            collector: apart.collector.clone(),
            query: apart.query.clone(),
            connection: Some(apart.connection.clone()),
            store: Some(apart.store.clone()),
            monitoring: Some(apart.nats.monitoring_url()),
            database: Some(apart.postgres.url()),
            catalogue: Arc::clone(&apart.catalogue),
            theirs: Vec::new(),
            ours: Some(Ours::Apart(Box::new(apart))),
            _catalogue_dir: dir,
        })
    }

    async fn connect(deployment: &Deployment, collector: &str, query: &str, dir: TempDir) -> anyhow::Result<Self> {
        let certificate = deployment.cert.clone().zip(deployment.key.clone());
        let certificate = certificate.map(|(certificate, key)| CertificateFiles { certificate, key });
        let credentials = Credentials { ca: deployment.ca.clone(), certificate, token: None };
        let door = |url: &str| Door { url: url.to_owned(), credentials: credentials.clone() };
        let mut connection = None;
        if let Some(url) = &deployment.nats {
            let (ca, seed) = (deployment.ca.clone(), deployment.nats_seed.clone());
            connection =
                Some(Connection::open("load", &ConnectionConfig { ca, seed, ..ConnectionConfig::to(url) }).await?);
        }
        let mut store = None;
        if let Some(url) = &deployment.database {
            let (ca, password) = (deployment.ca.clone(), deployment.database_password.clone());
            store = Some(Store::connect("load", &StoreConfig { ca, password, ..StoreConfig::to(url) }).await?);
        }
        Ok(Self {
            collector: door(collector),
            query: door(query),
            connection,
            store,
            monitoring: deployment.nats_monitoring.clone(),
            database: deployment.database.clone().filter(|_| deployment.database_password.is_none()),
            catalogue: Arc::new(catalogue::load(dir.path())?.catalogue),
            theirs: deployment.pids.clone(),
            ours: None,
            _catalogue_dir: dir,
        })
    }

    /// What is measured, by name, as it runs now.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let part = |name: &str, who| Part { name: name.to_owned(), who };
        let mut parts = match &self.ours {
            Some(Ours::Together(stack)) => vec![
                part("nats", Who::Process(stack.nats().pid())),
                part("postgres", Who::Family(stack.postgres().pid())),
                part(SERVICES, Who::Threads(SERVICES)),
            ],
            Some(Ours::Apart(apart)) => apart.parts(),
            None => self.theirs.clone(),
        };
        parts.push(part(GENERATOR, Who::Threads(GENERATOR)));
        parts
    }

    /// How many acknowledged reports have a fate; not known without a database.
    pub(crate) async fn settled(&self) -> anyhow::Result<Option<u64>> {
        match &self.store {
            None => Ok(None),
            Some(store) => Ok(Some(settled(store).await?)),
        }
    }

    /// Whether it was started here and empty.
    pub(crate) fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Stops what was started.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self.ours {
            Some(Ours::Together(stack)) => stack.stop().await,
            Some(Ours::Apart(apart)) => {
                apart.stop().await;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// How many acknowledged reports have a fate. A database that is away is asked again.
pub(crate) async fn settled(store: &Store) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        match store.fate_counts().await {
            Ok(counts) => return Ok(u64::try_from(counts.settled())?),
            Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// A directory with the catalogue of the load: its own forms on the administrative tree of de06. Removed when dropped.
pub(crate) fn catalogue_dir(longer: bool) -> anyhow::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    write_catalogue(dir.path(), longer)?;
    Ok(dir)
}

/// Writes that catalogue to a directory, for a deployment to be provisioned with. Its forms have totals of their own periods, or
/// of all longer ones too.
pub(crate) fn write_catalogue(to: &Path, longer: bool) -> anyhow::Result<()> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let de06 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from.join(name), to.join(name)).map(drop).with_context(|| format!("copying {name}"))
    };
    std::fs::create_dir_all(to.join("data_sets"))?;
    for name in ["catalogue.toml", "data_elements.csv"] {
        copy(&ours, name)?;
    }
    for data_set in crate::mix::DATA_SETS {
        let name = format!("data_sets/{data_set}.toml");
        copy(&ours, &name)?;
        if longer {
            let form = std::fs::read_to_string(to.join(&name))?;
            std::fs::write(to.join(&name), form.replace("longer_periods = []\n", ""))?;
        }
    }
    for name in ["levels.csv", "org_units.csv"] {
        copy(&de06, name)?;
    }
    Ok(())
}
