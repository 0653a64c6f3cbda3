//! The command line.

mod keep;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use client::CertificateFiles;
use domain::{
    DataSetCode, OrgUnitCode, Period, Timestamp,
    words::{self, WordsError},
};
use messaging::ConnectionConfig;
use proto::pb::query::v1 as pb;
use runtime::config::SecretFile;
use serde::de::value::{Error as ValueError, StrDeserializer};
use store::StoreConfig;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::{auth::args::Auth, output::Failure, report_file::Format};

pub(crate) use keep::*;

const EXAMPLES: &str = "\
Examples:
  export TONGHOP_CA=ca.pem TONGHOP_CERT=client.pem TONGHOP_KEY=client.key    # whom to believe, and who one is
  tonghop submit reports.csv --collector https://127.0.0.1:50051
  tonghop totals --query https://127.0.0.1:50052 94 identity 202211 --children
  docker compose run --rm tonghop totals 94 identity 202211 --children       # where it runs in docker compose: all is set

Exit codes: 0 all is well; 1 it failed, or the answer is bad news (a report refused, a total wrong);
            2 the command line is wrong; 130 Ctrl-C came first.";

/// Tổng hợp: set up the pipeline, send reports, ask for totals
#[derive(Debug, Parser)]
#[command(name = "tonghop", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON on standard output and nothing else: one object, or one a line where results come one by one
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// The language of sentences
    #[arg(long, global = true, help_heading = "Output", value_enum, default_value_t = Lang::Both)]
    pub(crate) lang: Lang,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The language of sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// tiếng Việt
    Vi,
    /// English
    En,
    /// Both, Vietnamese first
    Both,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make streams, database schema and catalogue, or find them as wanted
    ///
    /// Safe to repeat. What exists and differs from what is wanted is left as it is, named, and ends the command with exit
    /// code 1.
    Provision(Provision),
    /// Send the reports of a file, and say what became of each
    ///
    /// The file is read as a whole first: when anything in it cannot be read, nothing is sent, and every fault is told with
    /// its line and column. What the collector says may be sent again is sent again, under the same submission id.
    Submit(Submit),
    /// Watch a folder for files of reports, send them, and put an answer beside each
    ///
    /// A file goes to sending/, and when the fate of each of its reports is known to done/ or refused/, with an answer to
    /// read beside it. What is not sent yet is in the spool: the agent may be killed and started again at any time.
    Agent(Agent),
    /// Show the totals of a unit for a data set and period
    ///
    /// Who has reported and how many in time, the totals of each cell, groups, indicators, and how far targets are.
    Totals(Totals),
    /// Show the totals of a unit for each period of a range, whether anything was reported for it or not
    Series(Series),
    /// List the reports that a total is made of, with revision, sender and time: their values add up to it
    Explain(Explain),
    /// List what the units at and below a unit report: who has and who has not, what came late, warnings and words
    Reports(Reports),
    /// Show a unit's report with all its revisions
    Report(Report),
    /// Print a line each time the totals of a unit move, until Ctrl-C
    Watch(Watch),
    /// Show what became of a submission
    Submission(Submission),
    /// Recompute every total from the reports, in plain SQL, and compare
    Verify(Verify),
    /// Open a closed period again, on the record
    ///
    /// Reports and withdrawals of the unit, and of all units below it, that come in from now until the day named are taken
    /// again. Who did it, when and why is kept; a period that is open anyway is kept open until then.
    Reopen(Reopen),
    /// Show the whole pipeline in one screen: services, streams, partitions, what waits, what was verified
    Status(Status),
    /// Ask a service's admin port whether it is ready; exit code 1 unless it is
    Health(Health),
    /// Recompute every total from the reports beside those that are stored, compare, and put right what is wrong
    ///
    /// Without --swap nothing is changed. With it all totals that differ are put right at once, while services go on; those who
    /// follow are told with the next version.
    Replay(Replay),
    /// Bring the database and what was published together, after one of them was restored or made anew
    ///
    /// Run it before the services are started again. Totals whose versions differ are published as the database has them, with a
    /// version above both, and a new epoch begins.
    Restored(Restored),
    /// Show the messages that could not be read, and have them judged again once the cause is mended
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Check, show and anchor the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Work on the files of a catalogue
    #[command(subcommand)]
    Catalogue(CatalogueCommand),
    /// Make keys, hand out credentials, and say who may do what
    #[command(subcommand)]
    Auth(Auth),
    /// Let other systems follow the totals of their province on NATS
    #[command(subcommand)]
    Nats(NatsCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) nats: Nats,
    #[command(flatten)]
    pub(crate) database: Database,
    /// The admin port of a service: http://HOST:PORT; may be given several times
    #[arg(long = "admin", value_name = "URL", env = "TONGHOP_ADMIN", value_delimiter = ',', value_parser = admin_url)]
    pub(crate) admin: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// The service's admin port: http://HOST:PORT
    #[arg(value_name = "URL", value_parser = admin_url)]
    pub(crate) admin: String,
    /// Ask whether the process lives, whatever it depends on does
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NatsCommand {
    /// Write the partners' part of the NATS configuration: an account for each, with exactly what it may do
    ///
    /// Writes nats/partner_exports.conf and nats/partner_accounts.conf of the keys directory, which nats/accounts.conf includes,
    /// and for a new partner partner_94/nats.seed: its key, to be handed over. Name all partners each time; who is not named is out.
    /// The NATS servers take it up when they reload their configuration, twice: of a new account the first time brings its users,
    /// and only the second what it imports.
    Partner(NatsPartner),
    /// Make the consumers that partners read from, or bring them up to date
    Consumers(NatsConsumers),
}

/// Who may follow what.
#[derive(Debug, clap::Args)]
pub(crate) struct Partners {
    /// The catalogue's directory
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: PathBuf,
    /// The code of a province or ministry; may be given several times, each is a partner
    #[arg(long = "province", value_name = "CODE", required = true)]
    pub(crate) provinces: Vec<String>,
    /// They may also follow what becomes of the reports of their province
    #[arg(long)]
    pub(crate) fates: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NatsPartner {
    #[command(flatten)]
    pub(crate) partners: Partners,
    #[command(flatten)]
    pub(crate) by: By,
    /// The keys directory
    #[arg(long, value_name = "DIR", env = "TONGHOP_KEYS")]
    pub(crate) keys: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NatsConsumers {
    #[command(flatten)]
    pub(crate) partners: Partners,
    #[command(flatten)]
    pub(crate) nats: Nats,
    /// Begin again: every total is delivered once more, as it stands
    #[arg(long)]
    pub(crate) anew: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogueCommand {
    /// Say what is wrong with the files of a catalogue, or its version and size
    Check(CatalogueCheck),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CatalogueCheck {
    /// The catalogue's directory
    pub(crate) dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Provision {
    /// The catalogue's directory
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: PathBuf,
    #[command(flatten)]
    pub(crate) nats: Nats,
    #[command(flatten)]
    pub(crate) database: Database,
    /// The keys directory: every service is given its role in the database, with the password there (validator/postgres.password
    /// and so on), by the database's superuser (postgres/superuser.password)
    #[arg(long, value_name = "DIR", env = "TONGHOP_ROLES")]
    pub(crate) roles: Option<PathBuf>,
    /// The database's superuser
    #[arg(long, value_name = "NAME", default_value = "tonghop", requires = "roles")]
    pub(crate) superuser: String,
    /// On how many NATS servers each message is kept: 1 on one machine, 3 in production
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    /// Over how many partitions the work is spread: a limit on how many aggregators share it. Cannot be changed later
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) partitions: u16,
    /// The most the log of submitted reports keeps; when it is full, senders are told to wait
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = size)]
    pub(crate) reports_max_bytes: i64,
    /// The most the stream of verdicts keeps; when it is full, validators wait
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = size)]
    pub(crate) verdicts_max_bytes: i64,
    /// The most the stream of totals keeps: one event for each unit, data set and period
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size)]
    pub(crate) totals_max_bytes: i64,
    /// The most the stream of fates keeps; when it is full, the oldest go
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size)]
    pub(crate) fates_max_bytes: i64,
    /// After how many days submitted reports and verdicts leave the log; totals and PostgreSQL keep theirs
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) max_age_days: u64,
    /// After how many days the fates of reports leave their stream; PostgreSQL keeps them
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) fates_max_age_days: u64,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Where NATS is, and as whom to connect.
#[derive(Debug, clap::Args)]
pub(crate) struct Nats {
    #[command(flatten)]
    url: NatsUrl,
    /// A file with the certificates of the authorities whose NATS servers are trusted
    #[arg(long, value_name = "FILE", env = "TONGHOP_NATS_CA")]
    nats_ca: Option<PathBuf>,
    /// A file with the seed of the NATS user's nkey
    #[arg(long, value_name = "FILE", env = "TONGHOP_NATS_SEED")]
    nats_seed: Option<PathBuf>,
}

/// One of the two.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct NatsUrl {
    /// The NATS servers: tls://HOST:PORT, several with commas between
    #[arg(long = "nats", value_name = "URL", env = "TONGHOP_NATS", hide_env_values = true)]
    nats_url: Option<String>,
    /// A file that holds the NATS URL, for one with a password
    #[arg(long, value_name = "FILE", env = "TONGHOP_NATS_URL_FILE")]
    nats_url_file: Option<PathBuf>,
}

/// Where the database is, and as whom to connect.
#[derive(Debug, clap::Args)]
pub(crate) struct Database {
    #[command(flatten)]
    url: DatabaseUrl,
    /// A file with the certificates of the authorities whose database servers are trusted; the connection is encrypted then
    #[arg(long, value_name = "FILE", env = "TONGHOP_DATABASE_CA")]
    database_ca: Option<PathBuf>,
    /// A file with the user's password
    #[arg(long, value_name = "FILE", env = "TONGHOP_DATABASE_PASSWORD_FILE")]
    database_password_file: Option<PathBuf>,
}

/// One of the two.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct DatabaseUrl {
    /// The database: postgres://USER@HOST:PORT/NAME
    #[arg(long = "database", value_name = "URL", env = "TONGHOP_DATABASE", hide_env_values = true)]
    database_url: Option<String>,
    /// A file that holds the database URL, for one with a password
    #[arg(long, value_name = "FILE", env = "TONGHOP_DATABASE_URL_FILE")]
    database_url_file: Option<PathBuf>,
}

impl Nats {
    pub(crate) fn config(&self) -> Result<ConnectionConfig, Failure> {
        let url = given_or_in_file(self.url.nats_url.as_deref(), self.url.nats_url_file.as_ref())?;
        Ok(ConnectionConfig { ca: self.nats_ca.clone(), seed: self.nats_seed.clone(), ..ConnectionConfig::to(url) })
    }
}

impl Database {
    pub(crate) fn config(&self) -> Result<StoreConfig, Failure> {
        let url = given_or_in_file(self.url.database_url.as_deref(), self.url.database_url_file.as_ref())?;
        let (ca, password) = (self.database_ca.clone(), self.database_password_file.clone());
        Ok(StoreConfig { ca, password, ..StoreConfig::to(url) })
    }
}

fn given_or_in_file(url: Option<&str>, file: Option<&PathBuf>) -> Result<String, Failure> {
    let Some(file) = file else { return Ok(url.unwrap_or_default().to_owned()) };
    let secret = SecretFile::new(file).read();
    let secret = secret.map_err(|error| Failure::caused("không đọc được địa chỉ", "cannot read the URL", &error))?;
    Ok(secret.expose().to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    /// The file: CSV or JSON (one report, a list, or one a line); `-` for standard input
    pub(crate) file: PathBuf,
    /// What the file is; without it the name's ending decides: .csv, .json, .jsonl or .ndjson
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// The catalogue's directory, for what kind of value a cell takes: with it `1.205` is read in a cell of whole numbers, and
    /// words may stand in a CSV file
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: Option<PathBuf>,
    /// The collector: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_COLLECTOR", value_parser = service_url)]
    pub(crate) collector: String,
    /// The most reports that are sent and not yet answered
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) in_flight: NonZeroUsize,
    /// How long a report is sent again and again before it is given up: 30s, 5m, 2h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(crate) give_up_after: Duration,
    /// Ask the query service until the fate of every acknowledged report is known; as long as --give-up-after
    #[arg(long, requires = "query")]
    pub(crate) wait: bool,
    /// The query service, for --wait: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_QUERY", value_parser = service_url)]
    pub(crate) query: Option<String>,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Keep reports in this file until they are told of: after an interruption the same command goes on with them
    #[arg(long, value_name = "FILE")]
    pub(crate) spool: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    /// The folder: CSV and JSON files that are put there are sent. Names that begin with a dot or end in .tmp or .part are left
    /// alone
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where reports are kept until their fate is known; the file is made where there is none
    #[arg(long, value_name = "FILE")]
    pub(crate) spool: PathBuf,
    /// The collector: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_COLLECTOR", value_parser = service_url)]
    pub(crate) collector: String,
    /// The query service: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_QUERY", value_parser = service_url)]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The catalogue's directory, for what kind of value a cell takes
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: Option<PathBuf>,
    /// End when every file that is there has its answer
    #[arg(long)]
    pub(crate) once: bool,
    /// How often to look into the folder
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) every: Duration,
    /// How long a file must not have changed before it is taken
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) quiet_for: Duration,
    /// How long a report is sent again and again before it is given up: 12h, 30d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration)]
    pub(crate) give_up_after: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reopen {
    #[command(flatten)]
    pub(crate) database: Database,
    /// The data set's code, such as identity
    #[arg(long, value_name = "CODE", required_unless_present = "list")]
    pub(crate) data_set: Option<DataSetCode>,
    /// The period, one of the data set's own: 202211
    #[arg(long, value_name = "PERIOD", required_unless_present = "list")]
    pub(crate) period: Option<Period>,
    /// The unit that may report again, with all units below it; without it all units
    #[arg(long, value_name = "CODE")]
    pub(crate) org_unit: Option<OrgUnitCode>,
    /// The last day on which it is open, in Vietnam: 2026-12-31
    #[arg(long, value_name = "DAY", value_parser = day, required_unless_present = "list")]
    pub(crate) until: Option<Date>,
    /// Why; it is kept
    #[arg(long, value_name = "TEXT", value_parser = reason, required_unless_present = "list")]
    pub(crate) reason: Option<String>,
    /// Who does it; without it the user of the operating system
    #[arg(long = "as", value_name = "NAME", env = "USER", value_parser = principal, required_unless_present = "list")]
    pub(crate) principal: Option<String>,
    /// Show the last periods that were opened again instead
    #[arg(long, conflicts_with_all = ["data_set", "period", "org_unit", "until", "reason"])]
    pub(crate) list: bool,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 50, requires = "list", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) most: u32,
}

/// Who one is to the services, and whom one believes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Credentials")]
pub(crate) struct Credentials {
    /// The authorities whose services are believed, PEM; without it those that this machine believes
    #[arg(long, value_name = "FILE", env = "TONGHOP_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate to show, PEM
    #[arg(long, value_name = "FILE", env = "TONGHOP_CERT", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", env = "TONGHOP_KEY", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// A file with a token, instead of a certificate
    #[arg(long, value_name = "FILE", env = "TONGHOP_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

impl From<&Credentials> for client::Credentials {
    fn from(Credentials { ca, cert, key, token_file }: &Credentials) -> Self {
        let certificate = cert.clone().zip(key.clone());
        let certificate = certificate.map(|(certificate, key)| CertificateFiles { certificate, key });
        Self { ca: ca.clone(), certificate, token: token_file.clone() }
    }
}

/// Those of a test that believes the fakes.
#[cfg(test)]
pub(crate) fn fake_credentials() -> Credentials {
    Credentials { ca: client::fake::credentials().ca, ..Credentials::default() }
}

/// Which totals.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The query service: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_QUERY", value_parser = service_url)]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The unit's code, such as 94 or 31498; VN is the nation
    pub(crate) org_unit: String,
    /// The data set's code, such as identity
    pub(crate) data_set: String,
    /// The period: 20221107, 2022W45, 202211, 2022Q4, 2022S2 or 2022; of totals also a longer one than the data set is
    /// reported for, or `latest`
    pub(crate) period: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Totals {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Show the units directly below as well: who has reported and who has not
    #[arg(long)]
    pub(crate) children: bool,
    /// A cell, group or indicator to compare the units below by: svc_online[s03]; may be given several times
    #[arg(long, value_name = "CELL", requires = "children")]
    pub(crate) cell: Vec<String>,
    /// As they stood then: a position of the log, as `log_position` of an earlier answer, or an instant, 2026-07-01T12:00:00+07:00;
    /// a day, 2026-07-01, is its end in Vietnam
    #[arg(long, value_name = "WHEN", value_parser = as_of, conflicts_with = "children")]
    pub(crate) as_of: Option<AsOf>,
    /// The catalogue's directory, for the names of levels and cells; without it their codes are shown
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: Option<PathBuf>,
}

/// A state of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsOf {
    Position(u64),
    Instant(Timestamp),
}

impl AsOf {
    /// As the query service takes it.
    pub(crate) fn wire(&self) -> pb::AsOf {
        let state = match self {
            Self::Position(position) => pb::as_of::State::LogPosition(*position),
            Self::Instant(instant) => pb::as_of::State::Instant(proto::timestamp(*instant)),
        };
        pb::AsOf { state: Some(state) }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Series {
    /// The query service: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_QUERY", value_parser = service_url)]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The unit's code, such as 94 or 31498; VN is the nation
    pub(crate) org_unit: String,
    /// The data set's code, such as identity
    pub(crate) data_set: String,
    /// The first period: one of the data set's own, or a longer one
    pub(crate) from: String,
    /// The last period, of the same kind
    pub(crate) to: String,
    /// A cell, group or indicator to show: svc_online[s03]; may be given several times
    #[arg(long, value_name = "CELL")]
    pub(crate) cell: Vec<String>,
    /// The catalogue's directory, for the kinds of cells
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The cell: id_cards_issued, or svc_online[s03]
    pub(crate) cell: String,
    /// Only reports of this level
    #[arg(long, value_name = "CODE")]
    pub(crate) level: Option<String>,
    /// The total as it stood then: a position of the log, an instant or a day
    #[arg(long, value_name = "WHEN", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reports {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Which of them; without it every unit that is expected to report
    #[arg(long, value_enum)]
    pub(crate) only: Option<Only>,
    /// The catalogue's directory, for the names of levels; without it their codes are shown
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: Option<PathBuf>,
}

/// Which reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Those with warnings
    Warnings,
    /// Those with words
    Notes,
    /// Those that came in after the deadline
    Late,
    /// Units that have not reported, or took their report back
    Missing,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Stop after so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Submission {
    /// The query service: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "TONGHOP_QUERY", value_parser = service_url)]
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The submission id, a UUID
    pub(crate) id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) database: Database,
}

/// Why an argument is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("must be a number and a unit: 250ms, 30s, 5m, 2h or 1d")]
    Duration,
    #[error("must be a number of bytes, or a number and KiB, MiB or GiB: 512MiB")]
    Size,
    #[error("must look like https://HOST:PORT")]
    Url,
    #[error("must begin with https://, nothing is sent in the clear")]
    Plain,
    #[error("must be a day, written 2026-12-31")]
    Day,
    #[error("must be a position of the log, an instant such as 2026-07-01T12:00:00+07:00, or a day such as 2026-07-01")]
    AsOf,
    #[error("must be 1 to {MOST_REASON} characters without personal data: {0}")]
    Reason(WordsError),
    #[error("must be 1 to {MOST_REASON} characters")]
    ReasonLength,
    #[error("must be 1 to 64 characters")]
    Principal,
}

/// The longest reason, in characters.
const MOST_REASON: usize = 1_000;

pub(crate) fn day(text: &str) -> Result<Date, Refused> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| Refused::Day)
}

fn as_of(text: &str) -> Result<AsOf, Refused> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(AsOf::Position).map_err(|_| Refused::AsOf);
    }
    if let Ok(day) = day(text) {
        // To its last microsecond.
        let next = day.next_day().ok_or(Refused::AsOf)?;
        let end = Timestamp::from(next.midnight().assume_offset(time::macros::offset!(+7)));
        return Ok(AsOf::Instant(Timestamp::from_unix_micros(end.unix_micros() - 1)));
    }
    let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Refused::AsOf)?;
    Ok(AsOf::Instant(Timestamp::from(instant)))
}

/// Words that are kept are held to what words in reports are.
pub(crate) fn reason(text: &str) -> Result<String, Refused> {
    let text = words::read(text).map_err(Refused::Reason)?;
    if (1..=MOST_REASON).contains(&text.chars().count()) { Ok(text.into()) } else { Err(Refused::ReasonLength) }
}

fn principal(text: &str) -> Result<String, Refused> {
    let good = (1..=64).contains(&text.chars().count()) && !text.contains(char::is_control);
    if good { Ok(text.to_owned()) } else { Err(Refused::Principal) }
}

pub(crate) fn duration(text: &str) -> Result<Duration, Refused> {
    runtime::config::duration(StrDeserializer::<ValueError>::new(text)).map_err(|_| Refused::Duration)
}

fn size(text: &str) -> Result<i64, Refused> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit: i64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(Refused::Size),
    };
    let number: i64 = digits.parse().map_err(|_| Refused::Size)?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or(Refused::Size)
}

fn service_url(text: &str) -> Result<String, Refused> {
    if text.starts_with("http://") {
        return Err(Refused::Plain);
    }
    let uri: tonic::transport::Uri = text.parse().map_err(|_| Refused::Url)?;
    let bare = uri.path().trim_matches('/').is_empty() && uri.query().is_none();
    let good = uri.scheme_str() == Some("https") && uri.port_u16().is_some() && bare;
    if good { Ok(text.trim_end_matches('/').to_owned()) } else { Err(Refused::Url) }
}

/// An admin port is inside of the deployment's network and speaks no TLS.
fn admin_url(text: &str) -> Result<String, Refused> {
    let uri: tonic::transport::Uri = text.parse().map_err(|_| Refused::Url)?;
    let bare = uri.path().trim_matches('/').is_empty() && uri.query().is_none();
    let good = uri.scheme_str() == Some("http") && uri.port_u16().is_some() && bare;
    if good { Ok(text.trim_end_matches('/').to_owned()) } else { Err(Refused::Url) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_of_all_commands_may_stand_behind_the_command() {
        let args = parse("tonghop verify --database postgres://localhost/x --json --lang vi").unwrap();
        assert!(args.json);
        assert_eq!(args.lang, Lang::Vi);
    }

    #[test]
    fn defaults_are_those_of_the_topology() {
        let args = parse("tonghop provision --catalogue c --nats nats://h --database postgres://h/x").unwrap();
        let Command::Provision(args) = args.command else { panic!("{args:?}") };
        let messaging::Topology {
            replicas,
            partitions,
            reports_max_bytes,
            verdicts_max_bytes,
            totals_max_bytes,
            fates_max_bytes,
            max_age_days,
            fates_max_age_days,
        } = messaging::Topology::default();
        assert_eq!(
            (usize::from(args.replicas), args.partitions, args.max_age_days, args.fates_max_age_days),
            (replicas, partitions, max_age_days, fates_max_age_days)
        );
        let sizes = [args.reports_max_bytes, args.verdicts_max_bytes, args.totals_max_bytes, args.fates_max_bytes];
        assert_eq!(sizes, [reports_max_bytes, verdicts_max_bytes, totals_max_bytes, fates_max_bytes]);
    }

    #[test]
    fn a_url_is_given_or_in_a_file_and_not_both() {
        assert!(parse("tonghop verify").is_err());
        assert!(parse("tonghop verify --database-url-file f").is_ok());
        assert!(parse("tonghop verify --database postgres://h/x --database-url-file f").is_err());
    }

    #[test]
    fn waiting_needs_somebody_to_ask() {
        assert!(parse("tonghop submit f.csv --collector https://h:1 --wait").is_err());
        assert!(parse("tonghop submit f.csv --collector https://h:1 --wait --query https://h:2").is_ok());
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        let line = "tonghop submission --query https://h:1 0192f0c1-2b3c-7d4e-8f50-112233445566";
        assert!(parse(&format!("{line} --ca ca.pem --cert c.pem")).is_err());
        assert!(parse(&format!("{line} --ca ca.pem --key c.key")).is_err());
        assert!(parse(&format!("{line} --cert c.pem --key c.key")).is_ok());
        assert!(parse(&format!("{line} --token-file t")).is_ok());
    }

    #[test]
    fn reports_are_listed_all_or_some() {
        let line = "tonghop reports --query https://h:1 VN identity 202211";
        let only = |line: &str| match parse(line).unwrap().command {
            Command::Reports(args) => args.only,
            other => panic!("{other:?}"),
        };
        assert_eq!(only(line), None);
        assert_eq!(only(&format!("{line} --only missing")), Some(Only::Missing));
        assert!(parse(&format!("{line} --only all")).is_err());
    }

    #[test]
    fn a_period_is_opened_again_with_a_reason() {
        let line =
            "tonghop reopen --database postgres://h/x --as lan --data-set identity --period 202211 --until 2026-12-31";
        let Command::Reopen(args) = parse(&format!("{line} --reason late")).unwrap().command else { panic!("reopen") };
        assert_eq!(
            (args.principal.as_deref(), args.org_unit, args.reason.as_deref()),
            (Some("lan"), None, Some("late"))
        );
        assert!(parse(line).is_err(), "without a reason");
        for wrong in ["--reason 079123456789", "--reason a\tb", "--reason late --org-unit x.y", "--reason late --list"]
        {
            assert!(parse(&format!("{line} {wrong}")).is_err(), "for {wrong}");
        }
        for until in ["31/12/2026", "2026-02-30", ""] {
            assert!(parse(&format!("{line} --reason late").replace("2026-12-31", until)).is_err(), "for {until:?}");
        }
        assert!(parse("tonghop reopen --database postgres://h/x --list").is_ok());
    }

    #[test]
    fn a_state_of_the_past_is_a_position_an_instant_or_the_end_of_a_day() {
        assert_eq!(as_of("1764000000000001"), Ok(AsOf::Position(1_764_000_000_000_001)));
        let midnight = Timestamp::from(time::macros::datetime!(2026-06-30 17:00 UTC));
        assert_eq!(as_of("2026-07-01T00:00:00+07:00"), Ok(AsOf::Instant(midnight)));
        let end = Timestamp::from_unix_micros(midnight.unix_micros() - 1);
        assert_eq!(as_of("2026-06-30"), Ok(AsOf::Instant(end)), "midnight in Vietnam");
        for wrong in ["", "-1", "99999999999999999999999", "2026-07-01 12:00", "yesterday"] {
            assert_eq!(as_of(wrong), Err(Refused::AsOf), "{wrong}");
        }
        let line = "tonghop totals --query https://h:1 94 identity 202211 --as-of 7";
        assert!(parse(line).is_ok() && parse(&format!("{line} --children")).is_err());
    }

    #[test]
    fn sizes_are_bytes_or_have_a_binary_unit() {
        for (text, expected) in [
            ("1", Ok(1)),
            ("512MiB", Ok(512 << 20)),
            ("8GiB", Ok(8 << 30)),
            ("0", Err(Refused::Size)),
            ("8GB", Err(Refused::Size)),
            ("GiB", Err(Refused::Size)),
            ("9999999999999GiB", Err(Refused::Size)),
        ] {
            assert_eq!(size(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn services_are_named_by_scheme_host_and_port() {
        assert_eq!(service_url("https://127.0.0.1:50051/").unwrap(), "https://127.0.0.1:50051");
        assert_eq!(service_url("http://h:1"), Err(Refused::Plain));
        for bad in ["h:1", "https://h", "https://h:1/x", "ftp://h:1", "", "https://"] {
            assert_eq!(service_url(bad), Err(Refused::Url), "for {bad:?}");
        }
    }
}
