//! Partners: other systems that may follow the totals of one province, and nothing else.
//!
//! Each has an account of its own on the NATS servers. In it exists what is exported to it and no more: no streams, no
//! requests to JetStream in general, no subjects of ours. That matters beyond tidiness: whoever may send JetStream a
//! request in our own account may name any subject of ours for its answer, and whoever may make consumers may have messages
//! delivered to any.
//!
//! A subject of TOTALS names a unit and not the province it lies in, so the units are listed: the province and those below
//! it that have totals, some dozen. A consumer made for the partner has them as its filter, begins with the last event of
//! each, and remembers what was acknowledged: it is bootstrap, following and resuming in one. A code that was given anew is
//! the same subject for both units that had it.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use async_nats::jetstream::{
    ErrorCode,
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream::ConsumerErrorKind,
};
use domain::{Catalogue, LevelCode, OrgUnitCode};

use crate::{Connection, ProvisionError, subjects};

/// A system that may follow one province.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    province: OrgUnitCode,
    totals: BTreeSet<(LevelCode, OrgUnitCode)>,
    fates: bool,
}

impl Partner {
    /// The partner for a province, or another unit directly below the nation; none where no unit there ever had the code.
    /// It may follow the totals of every unit of the province that ever had any, and with `fates` what becomes of the
    /// province's reports.
    #[must_use]
    pub fn of(catalogue: &Catalogue, province: &OrgUnitCode, fates: bool) -> Option<Self> {
        let mut found = false;
        let mut totals = BTreeSet::new();
        for vintage in catalogue.tree().vintages() {
            let Some(top) = vintage.find(province.as_str()) else { continue };
            if vintage.unit(top).parent != Some(vintage.root()) {
                continue;
            }
            found = true;
            let with_totals = vintage.subtree(top).map(|ix| vintage.unit(ix)).filter(|unit| !unit.is_leaf());
            totals.extend(with_totals.map(|unit| (catalogue.level(unit.level).code.clone(), unit.code.clone())));
        }
        found.then(|| Self { province: province.clone(), totals, fates })
    }

    /// The name of its consumers, and of its directory of keys.
    #[must_use]
    pub fn name(&self) -> String {
        format!("partner_{}", self.province)
    }

    /// Whether there is anything it may follow: a unit without units below it has no totals.
    #[must_use]
    pub fn may_follow_something(&self) -> bool {
        !self.streams().is_empty()
    }

    fn account(&self) -> String {
        format!("PARTNER_{}", self.province)
    }

    fn streams(&self) -> Vec<&'static str> {
        let totals = (!self.totals.is_empty()).then_some(subjects::TOTALS);
        totals.into_iter().chain(self.fates.then_some(subjects::FATES)).collect()
    }

    fn filters(&self, stream: &str) -> Vec<String> {
        if stream == subjects::FATES {
            vec![subjects::fates_of(&self.province)]
        } else {
            self.totals.iter().map(|(level, unit)| subjects::totals_of(level, unit)).collect()
        }
    }

    /// What it may ask, below `$JS.API.`, and whether the answer is many messages.
    fn requests(&self) -> Vec<(String, bool)> {
        let name = self.name();
        let direct = self.filters(subjects::TOTALS);
        let direct = direct.iter().map(|subject| (format!("DIRECT.GET.{}.{subject}", subjects::TOTALS), false));
        let consumers = self.streams().into_iter().flat_map(|stream| {
            [(format!("CONSUMER.INFO.{stream}.{name}"), false), (format!("CONSUMER.MSG.NEXT.{stream}.{name}"), true)]
        });
        direct.chain(consumers).collect()
    }

    /// Where it acknowledges: servers name the place in one form or the other.
    fn acknowledgements(&self) -> Vec<String> {
        let name = self.name();
        let of = |stream| [format!("$JS.ACK.{stream}.{name}.>"), format!("$JS.ACK.*.*.{stream}.{name}.>")];
        self.streams().into_iter().flat_map(of).collect()
    }
}

/// The prefix under which partners ask JetStream instead of `$JS.API`: theirs is not a JetStream account.
pub const API_PREFIX: &str = "tonghop.API";

/// What partners are given in the NATS servers' configuration; see [`crate::accounts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// What our account shows to them.
    pub exports: String,
    /// An account for each, with exactly what it may do.
    pub accounts: String,
}

/// What these partners, each with its public nkey, are given.
#[must_use]
pub fn given(partners: &[(Partner, String)]) -> Given {
    let mut given = Given::default();
    for (partner, nkey) in partners {
        let account = partner.account();
        let (mut may, mut imports) = (String::new(), String::new());
        for (request, many) in partner.requests() {
            let answer = if many { ", response_type: stream" } else { "" };
            let export = format!("{{ service: \"$JS.API.{request}\"{answer}, accounts: [{account}] }}");
            line(&mut given.exports, 2, &export);
            line(&mut may, 8, &format!("\"{API_PREFIX}.{request}\""));
            let from = format!("{{ account: TONGHOP, subject: \"$JS.API.{request}\" }}");
            line(&mut imports, 4, &format!("{{ service: {from}, to: \"{API_PREFIX}.{request}\" }}"));
        }
        for subject in partner.acknowledgements() {
            line(&mut given.exports, 2, &format!("{{ service: \"{subject}\", accounts: [{account}] }}"));
            line(&mut may, 8, &format!("\"{subject}\""));
            line(&mut imports, 4, &format!("{{ service: {{ account: TONGHOP, subject: \"{subject}\" }} }}"));
        }
        // Writing to a String does not fail.
        let _ = write!(
            given.accounts,
            "{account} {{\n  users: [\n    {{ nkey: {nkey}, permissions: {{\n      \
             subscribe: {{ allow: [\"_INBOX.>\"] }}\n      publish: {{ allow: [\n{may}      ] }}\n    }} }}\n  ]\n  \
             imports: [\n{imports}  ]\n}}\n"
        );
    }
    given.exports = format!("exports: [\n{}]\n", given.exports);
    given
}

fn line(text: &mut String, indent: usize, line: &str) {
    text.extend(std::iter::repeat_n(' ', indent));
    text.push_str(line);
    text.push('\n');
}

impl Connection {
    /// Makes a partner's consumers, or brings them up to date; with `anew` they begin again with the last event of each
    /// total. Gives the streams they are on.
    ///
    /// # Errors
    /// When JetStream refuses.
    pub async fn provision_partner(&self, partner: &Partner, anew: bool) -> Result<Vec<&'static str>, ProvisionError> {
        for stream in partner.streams() {
            let refused = |error: &dyn std::fmt::Display| ProvisionError::Stream {
                stream,
                message: format!("{error}, for consumer {}", partner.name()),
            };
            if anew {
                let found = self.context.get_stream_no_info(stream).await.map_err(|error| refused(&error))?;
                match found.delete_consumer(&partner.name()).await {
                    Ok(_) => {}
                    Err(error) if is_not_there(&error.kind()) => {}
                    Err(error) => return Err(refused(&error)),
                }
            }
            self.context
                .create_consumer_on_stream(consumer(partner, stream), stream)
                .await
                .map_err(|error| refused(&error))?;
        }
        Ok(partner.streams())
    }
}

fn is_not_there(error: &ConsumerErrorKind) -> bool {
    matches!(error, ConsumerErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
}

fn consumer(partner: &Partner, stream: &'static str) -> pull::Config {
    let of_totals = stream == subjects::TOTALS;
    pull::Config {
        durable_name: Some(partner.name()),
        description: Some(format!("What {} may follow", partner.account())),
        filter_subjects: partner.filters(stream),
        deliver_policy: if of_totals { DeliverPolicy::LastPerSubject } else { DeliverPolicy::All },
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 1_000,
        max_deliver: -1,
        ..pull::Config::default()
    }
}
