//! The commands of those who keep what is there: audit, quarantine, replay, restore.

use std::path::PathBuf;

use access::Layout;
use clap::Subcommand;
use domain::{SubmissionId, Timestamp};
use store::StoreConfig;

use super::{AsOf, Database, Nats, Refused, as_of, day, given_or_in_file, principal, reason};
use crate::output::Failure;

/// Who does it.
#[derive(Debug, clap::Args)]
pub(crate) struct By {
    /// Who does it, for the audit log; without it the user of the operating system
    #[arg(id = "by", long = "as", value_name = "NAME", env = "USER", default_value = "operator", value_parser = principal)]
    pub(crate) principal: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) nats: Nats,
    /// Put right what is wrong
    #[arg(long)]
    pub(crate) swap: bool,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restored {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) nats: Nats,
    /// Have the log of submitted reports judged again from this sequence number on, 0 for all of it: when verdicts were lost that
    /// the database has not counted. What it has counted is not counted again
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) judge_again_from: Option<u64>,
    /// What was restored, from when, and why; it is kept
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the messages that somebody has to look at, the newest first: no report of theirs has a fate, and nobody closed them
    List(QuarantineList),
    /// Show a message
    Show(QuarantineShow),
    /// Have messages judged again
    ///
    /// Their reports keep their places in the log: each counts once, however often this is done.
    Retry(QuarantineRetry),
    /// Say of messages that nothing is left to do about them
    ///
    /// They are kept, and not listed or counted any more: what was never a report, or was sent again by whoever sent it.
    Close(QuarantineClose),
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuarantineList {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Also those whose reports have their fates by now, and those that were closed
    #[arg(long)]
    pub(crate) all: bool,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) most: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuarantineShow {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Its number, as `tonghop quarantine list` shows it
    pub(crate) id: i64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuarantineRetry {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) nats: Nats,
    /// Their numbers
    #[arg(required = true, num_args = 1..=1_000)]
    pub(crate) ids: Vec<i64>,
    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuarantineClose {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Their numbers
    #[arg(required = true, num_args = 1..=1_000)]
    pub(crate) ids: Vec<i64>,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Where the audit log is: the database has that of reports and of what was done to them, the keys directory that of what was done
/// to it. They may be on machines that do not reach each other.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    which: WhichLogs,
    /// A file with the certificates of the authorities whose database servers are trusted; the connection is encrypted then
    #[arg(long, value_name = "FILE", env = "TONGHOP_DATABASE_CA")]
    database_ca: Option<PathBuf>,
    /// A file with the user's password
    #[arg(long, value_name = "FILE", env = "TONGHOP_DATABASE_PASSWORD_FILE")]
    database_password_file: Option<PathBuf>,
}

/// One of the two, or both.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct WhichLogs {
    /// The database: postgres://USER@HOST:PORT/NAME
    #[arg(
        long = "database",
        value_name = "URL",
        env = "TONGHOP_DATABASE",
        hide_env_values = true,
        conflicts_with = "log_url_file"
    )]
    log_url: Option<String>,
    /// A file that holds the database URL, for one with a password
    #[arg(id = "log_url_file", long = "database-url-file", value_name = "FILE", env = "TONGHOP_DATABASE_URL_FILE")]
    log_url_file: Option<PathBuf>,
    /// The keys directory
    #[arg(long, value_name = "DIR", env = "TONGHOP_KEYS")]
    keys: Option<PathBuf>,
}

impl Logs {
    /// The database, if it is asked for.
    pub(crate) fn database(&self) -> Result<Option<StoreConfig>, Failure> {
        let WhichLogs { log_url, log_url_file, keys: _ } = &self.which;
        if log_url.is_none() && log_url_file.is_none() {
            return Ok(None);
        }
        let url = given_or_in_file(log_url.as_deref(), log_url_file.as_ref())?;
        let (ca, password) = (self.database_ca.clone(), self.database_password_file.clone());
        Ok(Some(StoreConfig { ca, password, ..StoreConfig::to(url) }))
    }

    /// The keys directory, if it is asked for.
    pub(crate) fn keys(&self) -> Option<Layout> {
        self.which.keys.as_ref().map(Layout::at)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Recompute the chains of the audit log, and compare them with the ledger and with what was anchored: those of the database,
    /// and with --keys that of the keys directory
    ///
    /// Names the first row of each chain that is not as it was written. That rows were cut from the end of a chain, or that all was
    /// written anew, is seen beside anchors only.
    Verify(AuditVerify),
    /// Show entries of the audit log, the newest first
    Show(AuditShow),
    /// Sign where the chains end and add it to a file: keep that where whoever runs the database cannot write
    Anchor(AuditAnchor),
    /// Make a key to sign anchors with, and print its public half
    Key(AuditKey),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditVerify {
    #[command(flatten)]
    pub(crate) logs: Logs,
    /// The file of anchors
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(crate) anchors: Option<PathBuf>,
    /// The public half of the key that they are signed with, as `tonghop audit key` printed it
    #[arg(long, value_name = "HEX")]
    pub(crate) public_key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditShow {
    #[command(flatten)]
    pub(crate) logs: Logs,
    /// Only of this submission
    #[arg(long, value_name = "ID", value_parser = submission_id)]
    pub(crate) submission: Option<SubmissionId>,
    /// Only of this sender or operator
    #[arg(long, value_name = "NAME", value_parser = principal)]
    pub(crate) principal: Option<String>,
    /// Only what was counted, refused, or done by operators
    #[arg(long, value_enum)]
    pub(crate) only: Option<AuditChain>,
    /// From this instant on: 2026-07-01T12:00:00+07:00, or from the beginning of a day
    #[arg(long, value_name = "WHEN", value_parser = beginning)]
    pub(crate) from: Option<Timestamp>,
    /// Up to this instant, or to the end of a day
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    pub(crate) until: Option<Timestamp>,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) most: u32,
}

/// A kind of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AuditChain {
    /// The fates of reports
    Counted,
    /// Reports that collectors refused
    Refused,
    /// What operators did
    Operated,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditAnchor {
    #[command(flatten)]
    pub(crate) logs: Logs,
    /// The file that the anchor is added to
    pub(crate) file: PathBuf,
    /// The key that signs it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditKey {
    /// The file to make; one that exists is left as it is
    pub(crate) file: PathBuf,
}

fn submission_id(text: &str) -> Result<SubmissionId, uuid::Error> {
    uuid::Uuid::try_parse(text).map(SubmissionId)
}

fn beginning(text: &str) -> Result<Timestamp, Refused> {
    match day(text) {
        Ok(day) => Ok(Timestamp::from(day.midnight().assume_offset(time::macros::offset!(+7)))),
        Err(_) => instant(text),
    }
}

fn instant(text: &str) -> Result<Timestamp, Refused> {
    match as_of(text)? {
        AsOf::Instant(instant) => Ok(instant),
        AsOf::Position(_) => Err(Refused::AsOf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_and_ends() {
        let (from, until) = (beginning("2026-07-01").unwrap(), instant("2026-07-01").unwrap());
        assert_eq!(until.unix_micros() - from.unix_micros(), 24 * 60 * 60 * 1_000_000 - 1);
        assert_eq!(Ok(from), beginning("2026-06-30T17:00:00Z"), "a day of Vietnam");
        assert!(beginning("1764000000000001").is_err(), "a position is no instant");
    }
}
