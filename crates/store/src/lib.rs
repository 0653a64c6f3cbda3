#![doc = include_str!("../README.md")]

mod array;
pub mod audit;
mod batch;
mod catalogue;
mod copy;
mod history;
mod lease;
mod lookout;
mod mending;
mod outbox;
mod progress;
mod quarantine;
mod reading;
mod relay;
mod reopening;
mod report;
mod revisions;
mod roles;
mod room;
mod state;
mod submission;
mod suitable;
mod total;
pub mod verify;
mod violations;

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::time::timeout;

use relay::Relay;
use room::Room;

pub use batch::{Batch, BeginError, Write};
pub use history::{Earlier, EarlierThan};
pub use lease::Leases;
pub use lookout::Lookout;
pub use mending::Mending;
pub use outbox::Unpublished;
pub use progress::Fence;
pub use quarantine::{Kept, Quarantined};
pub use reading::{OwnReport, ReportFilter, Snapshot, Standing, UnitTotals};
pub use reopening::{Reopen, ReopenError, Reopening};
pub use revisions::{Revised, Until};
pub use roles::Role;
pub use state::{Holder, PartitionState, State};
pub use submission::{FateCounts, Submission};
pub use total::{StoredTotal, TotalWrite};

/// How to reach PostgreSQL.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `postgres://user@host:port/database`.
    pub url: String,
    /// The user; without it, the URL's.
    pub user: Option<String>,
    /// The file with the user's password; without it, what the URL says.
    pub password: Option<PathBuf>,
    /// The file with the certificates of the authorities whose servers are trusted (PEM). With it the connection is
    /// encrypted and the server's name checked; without it, what the URL says (`sslmode`).
    pub ca: Option<PathBuf>,
    /// The most connections at a time.
    #[serde(default = "StoreConfig::default_max_connections")]
    pub max_connections: u32,
}

impl StoreConfig {
    /// The database at a URL, all else as usual.
    #[must_use]
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), user: None, password: None, ca: None, max_connections: Self::default_max_connections() }
    }

    fn default_max_connections() -> u32 {
        8
    }

    fn options(&self) -> Result<PgConnectOptions, StoreError> {
        let mut options: PgConnectOptions = self.url.parse()?;
        if let Some(user) = &self.user {
            options = options.username(user);
        }
        if let Some(path) = &self.password {
            let password = fs::read_to_string(path);
            let password = password.map_err(|source| StoreError::Password { path: path.clone(), source })?;
            options = options.password(password.trim_end());
        }
        if let Some(ca) = &self.ca {
            options = options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca);
        }
        Ok(options)
    }
}

/// For how long closing waits for connections that are in use.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database or the connection to it failed.
    #[error("PostgreSQL failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database's disk is full.
    #[error("the disk of PostgreSQL is full")]
    NoRoom,
    /// A stored value is not what the domain takes for one: somebody else wrote it.
    #[error("the database holds a malformed {0}")]
    Malformed(&'static str),
    /// A catalogue gives the numbers of stored reports another meaning.
    #[error(
        "cell {place} of data set {data_set}, {cell}, was reported on and is not there any more as it was; add cells at the end, or a data set; a new option is a line of `cells` of its own there"
    )]
    CellMoved {
        /// The form.
        data_set: String,
        /// The place of the cell, from 1.
        place: i32,
        /// The cell as it was.
        cell: String,
    },
    /// A catalogue lacks a level whose reports were added up.
    #[error("level {level} has totals and is not there any more; keep it, and name new units' level otherwise")]
    LevelLost {
        /// The level.
        level: String,
    },
    /// A catalogue cuts the periods of stored reports otherwise.
    #[error("data set {data_set} was reported on by other periods or another calendar; make another data set")]
    PeriodsMoved {
        /// The form.
        data_set: String,
    },
    /// The database did not answer in time; what it did is not known.
    #[error("PostgreSQL did not answer within {0:?}")]
    Unanswered(Duration),
    /// The password cannot be read.
    #[error("cannot read the password in {}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A commit would not be on disk.
    #[error("PostgreSQL would lose what it acknowledged: {setting} is {found}; it must be on")]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
    },
    /// There is no schema.
    #[error("the database was not provisioned; run `tonghop provision` first")]
    NotProvisioned,
    /// The schema lacks what this program uses.
    #[error(
        "the database has schema {found}, this version needs {wanted}; run `tonghop provision` of this version first"
    )]
    SchemaTooOld {
        /// The schema that is there.
        found: i64,
        /// This version's.
        wanted: i64,
    },
    /// The schema may lack what this program uses.
    #[error(
        "the database has schema {found}, this version knows {wanted} and works with the next at most; use a newer version"
    )]
    SchemaTooNew {
        /// The schema that is there.
        found: i64,
        /// This version's.
        wanted: i64,
    },
    /// The schema is not the one this program was built for.
    #[error("the schema cannot be brought up to date")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    options: PgConnectOptions,
    room: Arc<Room>,
    _relay: Option<Arc<Relay>>,
}

impl Store {
    /// Connects, under the name of the service that does.
    ///
    /// # Errors
    /// When the URL is none, or the database does not let us in.
    pub async fn connect(name: &str, config: &StoreConfig) -> Result<Self, StoreError> {
        let options = config.options()?;
        // Statements are timed by those who wait for them; the driver's own warnings would name verification every time.
        let options = options.disable_statement_logging().application_name(&format!("tonghop-{name}")).options([
            // A client that vanished without closing its connection is noticed, and its locks go with it.
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            // Also one that an answer is on its way to, when nothing else is sent.
            ("tcp_user_timeout", "11000"),
            // Statements are short, and large arrays make them look long: they were compiled for longer than they ran.
            ("jit", "off"),
        ]);
        // Once without the pool: it would try for long and then say that it timed out, not why.
        options.connect().await?.close().await?;
        let (relayed, relay) = Relay::open(options.clone()).map_err(sqlx::Error::from)?;
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_secs(10))
            // A ping before every use would double the round trips: one after a pause finds what broke meanwhile.
            .test_before_acquire(false)
            .before_acquire(|connection, used| {
                Box::pin(async move {
                    if used.idle_for > Duration::from_secs(1) {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(relayed)
            .await?;
        Ok(Self { pool, options, room: Arc::default(), _relay: relay.map(Arc::new) })
    }

    /// Makes the schema, or brings it up to date. Safe to do at any time, by several at once.
    ///
    /// # Errors
    /// When a migration fails or was changed after it was applied.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        suitable::MIGRATIONS.run(&self.pool).await.map_err(|error| StoreError::Migrate(Box::new(error)))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.execute("SELECT 1").await?;
        Ok(())
    }

    /// Closes all connections. Where the database is in the middle of a statement whose answer nobody waits for any more, this does not
    /// wait for its end either.
    pub async fn close(&self) {
        drop(timeout(CLOSED_WITHIN, self.pool.close()).await);
    }
}

/// An unsigned log position or sequence as PostgreSQL keeps it. They start at microseconds since 1970 and grow by one:
/// none reaches 2⁶³.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Malformed(what))
}
