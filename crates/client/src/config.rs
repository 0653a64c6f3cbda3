//! What a client is told.

use std::{path::PathBuf, time::Duration};

use crate::{Credentials, Pace};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a client is told. [`Config::new`] has what suits a local system; change the fields that do not.
#[derive(Clone, Debug)]
pub struct Config {
    /// The collector: `https://HOST:PORT`.
    pub collector: String,
    /// The query service, which knows what became of a report: `https://HOST:PORT`. Without one a report is finished when
    /// it is acknowledged.
    pub query: Option<String>,
    /// Who the client is to both, and whom it believes.
    pub credentials: Credentials,
    /// The spool's file; it is made where there is none. One process at a time may use it. SQLite keeps another file beside
    /// it, with `-wal` added to the name.
    pub spool: PathBuf,
    /// How much the spool takes.
    pub limits: Limits,
    /// The most reports that are sent and not yet answered.
    pub in_flight: usize,
    /// The pauses before a collector or a query service is tried again that could not be reached, and before a report is
    /// sent again that was not taken. A pause that a service asks for is added.
    pub retry: Pace,
    /// The pauses between two questions for the fate of one report.
    pub ask: Pace,
    /// How long after it was spooled a report is given up that still has no fate. Its outcome says so.
    pub give_up_after: Duration,
    /// After how long an acknowledged report of which the query service knows nothing is pushed again, under the same id:
    /// the log that held it may be lost. The next time after twice as long.
    pub push_again_after: Duration,
    /// How long an outcome is kept that nobody has confirmed with [`forget`](crate::Client::forget).
    pub keep_outcomes: Duration,
}

/// How much a spool takes. What is finished counts until it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most reports.
    pub reports: u64,
    /// The most bytes of reports.
    pub bytes: u64,
}

impl Limits {
    /// Takes whatever the disk takes.
    pub const NONE: Self = Self { reports: u64::MAX, bytes: u64::MAX };
}

impl Default for Limits {
    /// 200,000 reports in 512 MiB.
    fn default() -> Self {
        Self { reports: 200_000, bytes: 512 << 20 }
    }
}

impl Config {
    /// A client that pushes to a collector, asks nobody for fates and has no credentials.
    pub fn new(collector: impl Into<String>, spool: impl Into<PathBuf>) -> Self {
        Self {
            collector: collector.into(),
            query: None,
            credentials: Credentials::default(),
            spool: spool.into(),
            limits: Limits::default(),
            in_flight: 500,
            retry: Pace { first: Duration::from_secs(1), longest: Duration::from_secs(5 * 60) },
            ask: Pace { first: Duration::from_millis(200), longest: Duration::from_secs(30) },
            give_up_after: 30 * DAY,
            push_again_after: Duration::from_secs(10 * 60),
            keep_outcomes: 30 * DAY,
        }
    }

    /// The same, asking this query service what becomes of the reports.
    #[must_use]
    pub fn asking(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// The same, with these credentials.
    #[must_use]
    pub fn with(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }
}
