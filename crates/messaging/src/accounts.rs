//! The accounts of the NATS servers' configuration: one user for each service, with exactly the subjects it needs.
//!
//! A user is an nkey: the servers know its public half alone, so that what is written here is no secret. What JetStream is
//! asked, it is asked on subjects, so permissions say who may ask for what: services use what `tonghop provision` made and
//! make nothing themselves, apart from the consumers that reading in order from a position takes, which are on one stream each
//! and forgotten by the server. Nobody but the operator may delete or purge a stream.
//!
//! Each user hears answers in an inbox of its own, named by its nkey. Without that every service would hear what the others
//! are answered.

use std::{fmt::Write as _, str::FromStr};

use crate::subjects::{
    self, AUDIT, AUDIT_COLLECTOR, AUDIT_QUERY, AUDIT_SUBJECTS, FATES, FATES_SUBJECTS, PROGRESS, REPORTS,
    REPORTS_SUBJECTS, TOTALS, TOTALS_SUBJECTS, VALIDATOR, VERDICTS, VERDICTS_SUBJECTS,
};

/// Who connects to NATS on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Takes reports.
    Collector,
    /// Judges them.
    Validator,
    /// Counts them.
    Aggregator,
    /// Answers questions.
    Query,
    /// Makes streams and consumers, and does what operators ask for: judging again, bringing together after a restore.
    Provision,
    /// Looks, and changes nothing.
    Monitor,
    /// The operator when nothing else helps: everything. No service has its seed.
    Operator,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Collector,
        Self::Validator,
        Self::Aggregator,
        Self::Query,
        Self::Provision,
        Self::Monitor,
        Self::Operator,
    ];

    /// The name, as of its directory of keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Validator => "validator",
            Self::Aggregator => "aggregator",
            Self::Query => "query",
            Self::Provision => "provision",
            Self::Monitor => "monitor",
            Self::Operator => "operator",
        }
    }

    /// Where it may publish, which is also what it may ask JetStream; none for everything.
    fn may_publish(self) -> Option<Vec<String>> {
        let probe = subjects::probe(self.name());
        let own = |subjects: &[&str]| subjects.iter().map(|subject| (*subject).to_owned()).collect::<Vec<_>>();
        let ask = |requests: &[&str]| requests.iter().map(|request| format!("$JS.API.{request}")).collect::<Vec<_>>();
        let partitions = format!("STREAM.INFO.{VERDICTS}");
        Some(match self {
            Self::Collector => [own(&REPORTS_SUBJECTS), own(&[AUDIT_COLLECTOR]), vec![probe]].concat(),
            Self::Validator => {
                let competes = [
                    format!("$JS.API.CONSUMER.INFO.{REPORTS}.{VALIDATOR}"),
                    format!("$JS.API.CONSUMER.MSG.NEXT.{REPORTS}.{VALIDATOR}"),
                    // Servers name the place of an acknowledgement in one form or the other.
                    format!("$JS.ACK.{REPORTS}.{VALIDATOR}.>"),
                    format!("$JS.ACK.*.*.{REPORTS}.{VALIDATOR}.>"),
                ];
                // It also tells how old the message is that is judged next.
                let looks = ask(&[&partitions, &format!("STREAM.MSG.GET.{REPORTS}")]);
                [own(&VERDICTS_SUBJECTS), looks, competes.to_vec(), vec![probe]].concat()
            }
            Self::Aggregator => {
                let publishes = [own(&TOTALS_SUBJECTS), own(&FATES_SUBJECTS), own(&[PROGRESS]), vec![probe]].concat();
                let last = format!("DIRECT.GET.{TOTALS}.{}", TOTALS_SUBJECTS[0]);
                // It also tells how full every stream is, and how old the verdict it counts next.
                let looks = ask(&[&last, "STREAM.INFO.*", &format!("STREAM.MSG.GET.{VERDICTS}")]);
                [publishes, reads_in_order(VERDICTS, "reports.*.*"), reads_in_order(AUDIT, AUDIT_SUBJECTS[0]), looks]
                    .concat()
            }
            Self::Query => {
                let reads = reads_in_order(TOTALS, TOTALS_SUBJECTS[0]);
                [reads, ask(&[&partitions]), own(&[AUDIT_QUERY]), vec![probe]].concat()
            }
            Self::Provision => {
                // A partner's, to begin again. The consumer that validators share is on another stream.
                let anew = [TOTALS, FATES].map(|stream| format!("$JS.API.CONSUMER.DELETE.{stream}.*"));
                let make = ["STREAM.INFO.*", "STREAM.CREATE.*", "CONSUMER.INFO.*.*", "CONSUMER.CREATE.*.>"];
                // What an operator has judged or counted again, and what was told when a database was restored.
                let again = own(&[subjects::RETRY, "reports.accepted.*", "reports.rejected.*"]);
                let kept = [REPORTS, VERDICTS].map(|stream| format!("$JS.API.STREAM.MSG.GET.{stream}"));
                let reads = [REPORTS, TOTALS].map(|stream| format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"));
                let last = ask(&[&format!("DIRECT.GET.{TOTALS}.{}", TOTALS_SUBJECTS[0])]);
                [ask(&make), anew.to_vec(), again, kept.to_vec(), reads.to_vec(), last].concat()
            }
            Self::Monitor => {
                let looks =
                    ["INFO", "STREAM.INFO.*", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.INFO.*.*", "CONSUMER.LIST.*"];
                // How long what is due has waited.
                let waiting = [REPORTS, VERDICTS].map(|stream| format!("$JS.API.STREAM.MSG.GET.{stream}"));
                [ask(&looks), waiting.to_vec()].concat()
            }
            Self::Operator => return None,
        })
    }
}

impl User {
    /// What is not meant by what it may. A copy that is judged again takes another message's place: a collector that was broken
    /// into could take the place of reports that it acknowledged.
    fn must_not_publish(self) -> Option<&'static str> {
        (self == Self::Collector).then_some(subjects::RETRY)
    }
}

impl User {
    /// Where it may listen besides its inbox: whoever takes reports hears how far counting is.
    fn may_hear(self) -> Option<&'static str> {
        (self == Self::Collector).then_some(PROGRESS)
    }
}

impl FromStr for User {
    type Err = UnknownUser;

    fn from_str(name: &str) -> Result<Self, UnknownUser> {
        Self::ALL.into_iter().find(|user| user.name() == name).ok_or_else(|| UnknownUser(name.to_owned()))
    }
}

/// No user of ours has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no user of NATS is named {0}")]
pub struct UnknownUser(String);

/// What reading a stream from a position asks: its end, a consumer that is forgotten by itself, and the messages.
fn reads_in_order(stream: &str, filter: &str) -> Vec<String> {
    let requests = [
        format!("STREAM.INFO.{stream}"),
        format!("CONSUMER.CREATE.{stream}.*.{filter}"),
        format!("CONSUMER.MSG.NEXT.{stream}.*"),
    ];
    requests.map(|request| format!("$JS.API.{request}")).to_vec()
}

/// The accounts of the NATS servers' configuration: ours, with these users and their public nkeys, and what partners have,
/// which is in two files beside it ([`PARTNER_EXPORTS`], [`PARTNER_ACCOUNTS`]).
#[must_use]
pub fn accounts(users: &[(User, String)]) -> String {
    let mut text = String::from("accounts {\n  SYS {}\n  TONGHOP {\n    jetstream: enabled\n    users: [\n");
    for (user, nkey) in users {
        let name = user.name();
        // Writing to a String does not fail.
        let _ = match user.may_publish() {
            None => writeln!(text, "      # {name}\n      {{ nkey: {nkey} }}"),
            Some(may) => {
                let may: String = may.iter().map(|subject| format!("          \"{subject}\"\n")).collect();
                let never = user.must_not_publish().map_or(String::new(), |subject| format!(", deny: [\"{subject}\"]"));
                let hears = user.may_hear().map_or(String::new(), |subject| format!(", \"{subject}\""));
                let inbox = format!("subscribe: {{ allow: [\"{}.>\"{hears}] }}", subjects::inbox(nkey));
                writeln!(
                    text,
                    "      # {name}\n      {{ nkey: {nkey}, permissions: {{\n        {inbox}\n        publish: {{ allow: [\n\
                     {may}        ]{never} }}\n      }} }}"
                )
            }
        };
    }
    let _ = write!(
        text,
        "    ]\n    include \"{PARTNER_EXPORTS}\"\n  }}\n  include \"{PARTNER_ACCOUNTS}\"\n}}\nsystem_account: SYS\n"
    );
    text
}

/// The file with the accounts.
pub const ACCOUNTS: &str = "accounts.conf";
/// The file with what our account shows to partners.
pub const PARTNER_EXPORTS: &str = "partner_exports.conf";
/// The file with the partners' accounts.
pub const PARTNER_ACCOUNTS: &str = "partner_accounts.conf";
