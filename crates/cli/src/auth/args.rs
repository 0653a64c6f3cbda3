//! The command line of `tonghop auth`.

use std::{fmt, path::PathBuf};

use clap::{Subcommand, ValueEnum};
use domain::{
    CodeError, DataSetCode, LevelCode, OrgUnitCode,
    access::{Action, PrincipalName},
};
use time::Date;

use crate::args::{By, day, duration, reason};

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Make all keys that are not there: authority, servers, NATS users, database passwords, operator
    ///
    /// Safe to repeat, also by two at once. A server's certificate is made anew where it lacks a name or ends within two months.
    Init(Init),
    /// Show the authority's certificate: fingerprint and end
    Ca(Ca),
    /// Issue a certificate or a token to a principal. It may do what it is granted, and nothing else
    #[command(subcommand)]
    Issue(Issue),
    /// Let a principal submit, read or operate for a unit and everything below it
    Grant(Grant),
    /// Let each unit of a level do so for itself: one principal a unit, with certificates if asked for
    GrantEach(GrantEach),
    /// Take grants away
    Ungrant(Ungrant),
    /// List principals, grants, or the certificates and tokens that were issued
    List(List),
    /// Make a certificate, a token or all of a principal worthless, from a few seconds on
    Revoke(Revoke),
    /// Make another key that signs from now on; what the old one signed stays good until that is retired
    Rotate(Rotate),
    /// Believe an earlier key no longer: what it signed is worthless, from a few seconds on
    ///
    /// The key that signs cannot be retired, nor an authority while a server or the operator shows a certificate of it.
    Retire(Retire),
}

/// Where the keys are.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// The keys directory
    #[arg(long, visible_alias = "dir", value_name = "DIR", env = "TONGHOP_KEYS")]
    pub(crate) keys: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// A host name or address under which the servers are reached, besides localhost and their own; may be given several times
    #[arg(long = "name", value_name = "HOST")]
    pub(crate) names: Vec<String>,
    /// Make anew what an earlier authority signed: the certificates of the servers and of the operator
    #[arg(long)]
    pub(crate) renew: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ca {
    #[command(flatten)]
    pub(crate) keys: Keys,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Issue {
    /// A client certificate with its key
    Certificate(Certificate),
    /// A token
    Token(Token),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Certificate {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// Whose: a-z, 0-9, '.', '_' and '-'
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: PrincipalName,
    /// For how many days
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=825))]
    pub(crate) days: u16,
    /// A request (PKCS #10, PEM; `-` for standard input) of whoever made the key themselves and keeps it: only the public key is taken
    /// from it. Without, a key is made
    #[arg(long, value_name = "FILE")]
    pub(crate) csr: Option<PathBuf>,
    /// Where NAME.pem, NAME.key and ca.pem are put; with --json and without this they are printed
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// Whose
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: PrincipalName,
    /// For how long: 12h, 30d
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = duration)]
    pub(crate) ttl: std::time::Duration,
    /// For whom, where it is not for this system
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<String>,
    /// The file it is put into; without it, it is printed
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What is granted, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Rights {
    /// What: submit, read, operate; several with commas between
    #[arg(long = "action", value_name = "ACTION", required = true, value_delimiter = ',')]
    pub(crate) actions: Vec<Action>,
    /// For which data sets: codes with commas between, or *
    #[arg(long, value_name = "CODES", default_value = "*", value_parser = data_sets)]
    pub(crate) data_sets: DataSets,
    /// The first day, in Vietnam; without it today. Codes of units are those of this day: for periods before 2025-07-01, when codes were
    /// given anew, name a day before it
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub(crate) from: Option<Date>,
    /// The last day; without it there is no end
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub(crate) until: Option<Date>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// To whom
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: PrincipalName,
    /// The unit's code, which means it and everything below it, or * for all there is
    #[arg(long, value_name = "CODE", value_parser = org_unit)]
    pub(crate) org_unit: Unit,
    #[command(flatten)]
    pub(crate) rights: Rights,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GrantEach {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// The catalogue's directory
    #[arg(long, value_name = "DIR", env = "TONGHOP_CATALOGUE")]
    pub(crate) catalogue: PathBuf,
    /// Units of which level: commune
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: LevelCode,
    /// Only those below this unit
    #[arg(long, value_name = "CODE")]
    pub(crate) below: Option<OrgUnitCode>,
    /// What comes before the unit's code in the principal's name
    #[arg(long, value_name = "TEXT", default_value = "unit-")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) rights: Rights,
    /// Issue each a certificate as well, and put NAME.pem and NAME.key there
    #[arg(long, value_name = "DIR")]
    pub(crate) certificates: Option<PathBuf>,
    /// For how many days certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=825))]
    pub(crate) days: u16,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ungrant {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// From whom
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: PrincipalName,
    /// Only these actions
    #[arg(long = "action", value_name = "ACTION", value_delimiter = ',')]
    pub(crate) actions: Vec<Action>,
    /// Only the grant for this unit
    #[arg(long, value_name = "CODE", value_parser = org_unit)]
    pub(crate) org_unit: Option<Unit>,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// Who there is
    Principals,
    /// Who may do what
    Grants,
    /// The certificates and tokens that were issued, with their end
    Credentials,
    /// The keys whose signatures are believed
    Keys,
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SigningKey {
    /// The authority, which signs certificates
    Ca,
    /// The key that signs tokens
    Tokens,
    /// The key by which collectors seal what they publish
    Seal,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// Which key
    #[arg(value_enum)]
    pub(crate) key: SigningKey,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// Which key
    #[arg(value_enum)]
    pub(crate) key: SigningKey,
    /// Its id: `tonghop auth list keys` shows them
    #[arg(allow_hyphen_values = true)] // one in 64 begins so
    pub(crate) id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// What to list
    #[arg(value_enum, default_value_t = Listed::Principals)]
    pub(crate) listed: Listed,
    /// Only of this principal
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: Option<PrincipalName>,
}

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Revoked {
    /// By its serial number
    Certificate,
    /// By its `jti`
    Token,
    /// By its name: everything it has and will get
    Principal,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) by: By,
    /// What
    #[arg(value_enum)]
    pub(crate) revoked: Revoked,
    /// Which: `tonghop auth list credentials` shows them
    pub(crate) id: String,
    /// Why; it is kept
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) why: String,
}

/// A unit, or all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit(pub(crate) Option<OrgUnitCode>);

/// Data sets, or all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataSets(pub(crate) Option<Vec<DataSetCode>>);

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("*", OrgUnitCode::as_str))
    }
}

fn org_unit(text: &str) -> Result<Unit, CodeError> {
    if text == "*" { Ok(Unit(None)) } else { text.parse().map(|code| Unit(Some(code))) }
}

fn data_sets(text: &str) -> Result<DataSets, CodeError> {
    if text == "*" {
        return Ok(DataSets(None));
    }
    text.split(',').map(|code| code.trim().parse()).collect::<Result<_, _>>().map(|codes| DataSets(Some(codes)))
}
