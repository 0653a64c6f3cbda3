//! `tonghop auth list`.

use std::collections::BTreeMap;

use access::{
    Issued, Layout, grants,
    revocations::{self, Revocation, Subject},
    rotation::{self, Believed},
};
use domain::access::{Grant, PrincipalName};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    args::{List, Listed},
    failure, instant, local,
};
use crate::output::{Failure, Output, both};

/// Everything that a keys directory says of principals.
struct Known {
    grants: Vec<Grant>,
    issued: Vec<Issued>,
    revoked: Vec<Revocation>,
}

/// Whether a credential is good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Expired,
    Revoked,
}

impl State {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    fn said(self, output: &Output) -> String {
        let vi = match self {
            Self::Good => "còn giá trị",
            Self::Expired => "hết hạn",
            Self::Revoked => "đã thu hồi",
        };
        output.say(&both(vi, self.code()))
    }
}

impl Known {
    fn read(args: &List) -> Result<Self, Failure> {
        let layout = Layout::at(&args.keys.keys);
        let is_meant = |name: &PrincipalName| args.principal.as_ref().is_none_or(|wanted| wanted == name);
        let mut grants = grants::read(&layout).map_err(|error| failure(&error))?;
        grants.retain(|grant| is_meant(&grant.principal));
        let mut issued = Issued::read(&layout).map_err(|error| failure(&error))?;
        issued.retain(|issued| is_meant(&issued.principal));
        let revoked = revocations::read(&layout).map_err(|error| failure(&error))?;
        Ok(Self { grants, issued, revoked })
    }

    fn is_revoked(&self, subject: Subject, id: &str) -> bool {
        self.revoked.iter().any(|revocation| revocation.subject == subject && revocation.id == id)
    }

    fn state(&self, issued: &Issued, now: OffsetDateTime) -> State {
        let subject = match issued.kind {
            access::Kind::Certificate => Subject::Certificate,
            access::Kind::Token => Subject::Token,
        };
        if self.is_revoked(subject, &issued.id) || self.is_revoked(Subject::Principal, issued.principal.as_str()) {
            State::Revoked
        } else if issued.expires <= now {
            State::Expired
        } else {
            State::Good
        }
    }
}

pub(super) fn run(args: &List, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    match args.listed {
        Listed::Principals => principals(&Known::read(args)?, now, output),
        Listed::Grants => grants(&Known::read(args)?, output),
        Listed::Credentials => credentials(&Known::read(args)?, now, output),
        Listed::Keys => keys(args, output)?,
    }
    Ok(())
}

fn keys(args: &List, output: &Output) -> Result<(), Failure> {
    let keys = rotation::believed(&Layout::at(&args.keys.keys)).map_err(|error| failure(&error))?;
    let object = |key: &Believed| json!({ "signs": key.signs.to_string(), "id": key.id, "is_current": key.is_current });
    let line = |Believed { signs, id, is_current }: &Believed| {
        let (vi, en) = match is_current {
            Some(true) => ("đang dùng để ký", "signs"),
            Some(false) => ("khóa cũ, còn được tin cậy", "an earlier one, still believed"),
            None => ("được tin cậy; khóa không ở đây", "believed; the key is not here"),
        };
        format!("{signs}  {id}  {}", output.say(&both(vi, en)))
    };
    say(output, || json!({ "keys": keys.iter().map(object).collect::<Vec<_>>() }), || keys.iter().map(line).collect());
    Ok(())
}

fn principals(known: &Known, now: OffsetDateTime, output: &Output) {
    let mut by_name: BTreeMap<&PrincipalName, (usize, usize)> = BTreeMap::new();
    for grant in &known.grants {
        by_name.entry(&grant.principal).or_default().0 += 1;
    }
    for issued in &known.issued {
        let good = usize::from(known.state(issued, now) == State::Good);
        by_name.entry(&issued.principal).or_default().1 += good;
    }
    let is_revoked = |name: &PrincipalName| known.is_revoked(Subject::Principal, name.as_str());
    let object = |(name, (grants, credentials)): (&&PrincipalName, &(usize, usize))| json!({ "principal": name.as_str(), "grants": grants, "credentials": credentials, "revoked": is_revoked(name) });
    let line = |(name, (grants, credentials)): (&&PrincipalName, &(usize, usize))| {
        let said = output.say(&both(
            format!("{grants} quyền, {credentials} chứng thư hoặc mã còn giá trị"),
            format!("{grants} grants, {credentials} good credentials"),
        ));
        let revoked = if is_revoked(name) { format!(", {}", State::Revoked.said(output)) } else { String::new() };
        format!("{name}  {said}{revoked}")
    };
    say(
        output,
        || json!({ "principals": by_name.iter().map(object).collect::<Vec<_>>() }),
        || by_name.iter().map(line).collect(),
    );
}

fn grants(known: &Known, output: &Output) {
    let all = |text: Option<String>| text.unwrap_or_else(|| "*".to_owned());
    let fields = |grant: &Grant| {
        let data_sets = grant.data_sets.as_ref();
        let data_sets = data_sets.map(|codes| codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        (all(grant.org_unit.as_ref().map(ToString::to_string)), all(data_sets))
    };
    let object = |grant: &Grant| {
        let (org_unit, data_sets) = fields(grant);
        json!({
            "principal": grant.principal.as_str(), "action": grant.action.as_str(), "org_unit": org_unit,
            "data_sets": data_sets, "from": grant.from.to_string(), "until": grant.until.map(|day| day.to_string()),
        })
    };
    let line = |grant: &Grant| {
        let (org_unit, data_sets) = fields(grant);
        let until = grant.until.map(|day| day.to_string()).unwrap_or_else(|| "–".to_owned());
        format!("{}  {}  {org_unit}  {data_sets}  {}  {until}", grant.principal, grant.action.as_str(), grant.from)
    };
    say(
        output,
        || json!({ "grants": known.grants.iter().map(object).collect::<Vec<_>>() }),
        || known.grants.iter().map(line).collect(),
    );
}

fn credentials(known: &Known, now: OffsetDateTime, output: &Output) {
    let object = |issued: &Issued| {
        json!({
            "kind": issued.kind.to_string(), "id": issued.id, "principal": issued.principal.as_str(),
            "issued": instant(issued.issued), "expires": instant(issued.expires),
            "state": known.state(issued, now).code(),
        })
    };
    let line = |issued: &Issued| {
        let state = known.state(issued, now).said(output);
        let Issued { kind, id, principal, expires, .. } = issued;
        format!("{principal}  {kind}  {id}  {}  {state}", local(*expires))
    };
    say(
        output,
        || json!({ "credentials": known.issued.iter().map(object).collect::<Vec<_>>() }),
        || known.issued.iter().map(line).collect(),
    );
}

fn say(output: &Output, object: impl FnOnce() -> Value, lines: impl FnOnce() -> Vec<String>) {
    output.result(object, || {
        let lines = lines();
        if lines.is_empty() { output.say(&both("chưa có gì", "there is none")) } else { lines.join("\n") }
    });
}
