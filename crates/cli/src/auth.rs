//! `tonghop auth`: keys, credentials, grants. It works on the keys directory alone; services see what it changed a few seconds later.
//!
//! What it changes it writes down first, in the keys directory's own log ([`audit::keys`]); credentials are made, written down, and
//! then handed out.

pub(crate) mod args;
mod list;
#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fs,
    io::{self, Read as _},
    path::Path,
};

use access::{
    Authority, Issued, Layout, SignedCertificate, grants,
    keys::{self, KeysError},
    revocations::{self, Revocation, Subject},
    rotation::{self, Signs},
};
use domain::{
    LevelIx, OrgUnitCode, Timestamp,
    access::{Action, Grant, PrincipalName},
    judge,
};
use runtime::{Clock, SystemClock};
use serde_json::{Value, json};
use time::{Date, Duration, OffsetDateTime, macros::offset};

use crate::{
    Ended,
    args::By,
    audit,
    number::{local_time, rfc3339},
    output::{Failure, Output, both},
};
use args::{Auth, SigningKey, Unit};

/// The most that is read of a request for a certificate, in bytes: more than is taken.
const MOST_REQUEST: u64 = 1024 * 1024;

/// The longest a token may be valid: it cannot be taken from whoever copied it, only revoked.
const LONGEST_TOKEN: Duration = Duration::days(366);

pub(crate) fn run(command: &Auth, output: &Output) -> Result<Ended, Failure> {
    at(command, SystemClock.now(), output)
}

/// The same, at an instant.
fn at(command: &Auth, now: OffsetDateTime, output: &Output) -> Result<Ended, Failure> {
    match command {
        Auth::Init(args) => init(args, now, output)?,
        Auth::Ca(args) => authority(args, output)?,
        Auth::Issue(args::Issue::Certificate(args)) => certificate(args, now, output)?,
        Auth::Issue(args::Issue::Token(args)) => token(args, now, output)?,
        Auth::Grant(args) => grant(args, now, output)?,
        Auth::GrantEach(args) => grant_each(args, now, output)?,
        Auth::Ungrant(args) => ungrant(args, now, output)?,
        Auth::List(args) => list::run(args, now, output)?,
        Auth::Revoke(args) => revoke(args, now, output)?,
        Auth::Rotate(args) => rotate(args, now, output)?,
        Auth::Retire(args) => retire(args, now, output)?,
    }
    Ok(Ended::Well)
}

/// Writes down what an operator does to the keys directory.
fn operated(keys: &args::Keys, by: &By, command: &str, detail: &Value, now: OffsetDateTime) -> Result<(), Failure> {
    audit::keys::operated(&Layout::at(&keys.keys), &by.principal, command, detail, now)
}

fn init(args: &args::Init, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let make = if args.renew { crate::keys::renew } else { crate::keys::init };
    let made = make(&Layout::at(&args.keys.keys), &args.names, now);
    let made = made.map_err(|error| failure(&error))?;
    let made: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    // There was nowhere to write it before. What is not made again is no deed.
    if !made.is_empty() {
        let detail = json!({ "names": args.names, "renew": args.renew, "made": made });
        operated(&args.keys, &args.by, "auth init", &detail, now)?;
    }
    output.result(
        || json!({ "made": made }),
        || match made.len() {
            0 => output.say(&both("các khóa đã có đủ", "every key is there already")),
            count => {
                let said = both(format!("đã tạo {count} tệp khóa:"), format!("made {count} files:"));
                format!("{}\n{}", output.say(&said), made.join("\n"))
            }
        },
    );
    Ok(())
}

fn authority(args: &args::Ca, output: &Output) -> Result<(), Failure> {
    let (about, fingerprint) = keys::authority(&Layout::at(&args.keys.keys)).map_err(|error| failure(&error))?;
    let said = both(
        format!("chứng thư gốc có giá trị đến {}\nSHA-256 {fingerprint}", local(about.expires)),
        format!("the authority's certificate is valid until {}\nSHA-256 {fingerprint}", local(about.expires)),
    );
    output.result(
        || json!({ "fingerprint_sha256": fingerprint, "serial": about.serial, "expires": instant(about.expires) }),
        || output.say(&said),
    );
    Ok(())
}

fn certificate(args: &args::Certificate, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Certificate { keys, by, principal, days, csr, out } = args;
    let layout = Layout::at(&keys.keys);
    if out.is_none() && !output.is_json() {
        let vi = "hãy nêu thư mục nhận chứng thư số (--out) hoặc dùng --json";
        return Err(Failure::new(both(vi, "name where the certificate goes (--out), or ask for --json")));
    }
    let authority = Authority::open(&layout).map_err(|error| failure(&error))?;
    let valid_for = Duration::days(i64::from(*days));
    let (certificate, key, issued) = match csr {
        None => {
            let issued = authority.issue_certificate(principal, valid_for, now).map_err(|error| failure(&error))?;
            (issued.certificate, Some(issued.key), issued.issued)
        }
        Some(file) => {
            let signed = authority.issue_certificate_for(&request(file)?, principal, valid_for, now);
            let SignedCertificate { certificate, issued } = signed.map_err(|error| match error {
                KeysError::Request(_) => Failure::caused("không ký được", "cannot sign", &error),
                other => failure(&other),
            })?;
            (certificate, None, issued)
        }
    };
    let ca = fs::read_to_string(layout.ca()).map_err(|error| failure(&error))?;
    let Issued { id, expires, .. } = &issued;
    let mut object = json!({ "principal": principal.as_str(), "serial": id, "expires": instant(*expires) });
    operated(keys, by, "auth issue certificate", &object, now)?;
    let said = both(
        format!("đã cấp chứng thư số cho {principal}, số {id}, có giá trị đến {}", local(*expires)),
        format!("issued a certificate to {principal}, serial {id}, valid until {}", local(*expires)),
    );
    match out {
        None => {
            for (name, text) in [("certificate", Some(certificate)), ("key", key), ("ca", Some(ca))] {
                object[name] = text.into();
            }
        }
        Some(dir) => {
            make_dir(dir)?;
            put(&dir.join("ca.pem"), &ca)?;
            put_certificate(dir, principal, &certificate, key.as_deref())?;
            object["directory"] = dir.display().to_string().into();
        }
    }
    output.result(|| object, || output.say(&said));
    Ok(())
}

fn token(args: &args::Token, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Token { keys, by, principal, ttl, audience, out } = args;
    let valid_for = Duration::try_from(*ttl).ok().filter(|ttl| *ttl >= Duration::SECOND && *ttl <= LONGEST_TOKEN);
    let valid_for = valid_for.ok_or_else(|| {
        let days = LONGEST_TOKEN.whole_days();
        Failure::new(both(
            format!("mã truy cập có giá trị từ 1 giây đến {days} ngày"),
            format!("a token is valid for a second to {days} days"),
        ))
    })?;
    let authority = Authority::open(&Layout::at(&keys.keys)).map_err(|error| failure(&error))?;
    let issued = authority.issue_token(principal, valid_for, audience.as_deref(), now);
    let issued = issued.map_err(|error| failure(&error))?;
    let Issued { id, expires, .. } = &issued.issued;
    let mut object = json!({ "principal": principal.as_str(), "jti": id, "expires": instant(*expires) });
    let mut detail = object.clone();
    detail["audience"] = audience.clone().into();
    operated(keys, by, "auth issue token", &detail, now)?;
    match out {
        None => object["token"] = issued.token.clone().into(),
        Some(file) => put(file, &issued.token)?,
    }
    let said = both(
        format!("đã cấp mã truy cập cho {principal}, mã số {id}, có giá trị đến {}", local(*expires)),
        format!("issued a token to {principal}, jti {id}, valid until {}", local(*expires)),
    );
    if out.is_none() {
        // The token alone on standard output: it is put into a file from there.
        output.remark(&said);
    }
    output.result(|| object, || if out.is_none() { issued.token.clone() } else { output.say(&said) });
    Ok(())
}

fn grant(args: &args::Grant, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Grant { keys, by, principal, org_unit: Unit(org_unit), rights } = args;
    let wanted = granted(principal, org_unit.as_ref(), rights, now)?;
    let mut detail = rights.told(now);
    detail["principal"] = principal.as_str().into();
    detail["org_unit"] = args.org_unit.to_string().into();
    operated(keys, by, "auth grant", &detail, now)?;
    let added = grants::add(&Layout::at(&keys.keys), wanted).map_err(|error| failure(&error))?;
    output.result(
        || json!({ "principal": principal.as_str(), "added": added }),
        || {
            output.say(&both(
                format!("đã thêm {added} quyền cho {principal}"),
                format!("{principal} has {added} more grants"),
            ))
        },
    );
    Ok(())
}

impl args::Rights {
    /// As the log keeps them.
    fn told(&self, now: OffsetDateTime) -> Value {
        let args::Rights { actions, data_sets, from, until } = self;
        let data_sets = data_sets.0.as_ref().map(|codes| codes.iter().map(ToString::to_string).collect::<Vec<_>>());
        json!({
            "actions": actions.iter().map(|action| action.as_str()).collect::<Vec<_>>(), "data_sets": data_sets,
            "from": from.unwrap_or_else(|| today(now)).to_string(), "until": until.map(|day| day.to_string()),
        })
    }
}

/// The grants that rights are made of.
fn granted(
    principal: &PrincipalName,
    org_unit: Option<&OrgUnitCode>,
    rights: &args::Rights,
    now: OffsetDateTime,
) -> Result<Vec<Grant>, Failure> {
    let args::Rights { actions, data_sets, from, until } = rights;
    let from = from.unwrap_or_else(|| today(now));
    if until.is_some_and(|until| until < from) {
        return Err(Failure::new(both(
            "ngày cuối không được trước ngày đầu",
            "the last day must not be before the first",
        )));
    }
    let grant = |action: &Action| Grant {
        principal: principal.clone(),
        action: *action,
        org_unit: org_unit.cloned(),
        data_sets: data_sets.0.clone(),
        from,
        until: *until,
    };
    Ok(actions.iter().map(grant).collect())
}

fn grant_each(args: &args::GrantEach, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::GrantEach { keys, by, catalogue: dir, level, below, prefix, rights, certificates, days } = args;
    let layout = Layout::at(&keys.keys);
    let loaded = catalogue::load(dir).map_err(|faults| {
        let dir = dir.display();
        Failure::new(both(
            format!("danh mục trong {dir} có lỗi:\n{faults}"),
            format!("the catalogue in {dir} has faults:\n{faults}"),
        ))
    })?;
    let catalogue = &loaded.catalogue;
    let unknown = |vi: String, en: String| Failure::new(both(vi, en));
    let place = catalogue.levels().iter().position(|known| known.code == *level);
    let level_ix = place.and_then(|place| u8::try_from(place).ok()).map(LevelIx::new).ok_or_else(|| {
        unknown(format!("danh mục không có cấp {level}"), format!("the catalogue has no level {level}"))
    })?;
    // The units of the day from which the grants are: their codes are those of that day.
    let day = rights.from.unwrap_or_else(|| judge::day_of(catalogue, Timestamp::from(now)));
    let vintage = catalogue.tree().on(day);
    let top = match below {
        None => vintage.root(),
        Some(code) => vintage.find(code.as_str()).ok_or_else(|| {
            unknown(
                format!("không có đơn vị mã {code} vào ngày {day}"),
                format!("no org unit has the code {code} on {day}"),
            )
        })?,
    };
    let units = vintage.subtree(top).map(|unit| vintage.unit(unit)).filter(|unit| unit.level == level_ix);
    let (mut principals, mut wanted) = (Vec::new(), Vec::new());
    for unit in units {
        let name = format!("{prefix}{}", unit.code.as_str().to_lowercase());
        let principal: PrincipalName = name.parse().map_err(|error| Failure::caused(&name, &name, &error))?;
        wanted.extend(granted(&principal, Some(&unit.code), rights, now)?);
        principals.push(principal);
    }
    let mut detail = rights.told(now);
    detail["level"] = level.to_string().into();
    detail["below"] = vintage.unit(top).code.as_str().into();
    detail["prefix"] = prefix.as_str().into();
    detail["principals"] = principals.len().into();
    detail["certificates_for_days"] = certificates.is_some().then_some(*days).into();
    operated(keys, by, "auth grant-each", &detail, now)?;
    let added = grants::add(&layout, wanted).map_err(|error| failure(&error))?;
    if let Some(out) = certificates {
        make_dir(out)?;
        let authority = Authority::open(&layout).map_err(|error| failure(&error))?;
        let valid_for = Duration::days(i64::from(*days));
        let issued = authority.issue_certificates(&principals, valid_for, now).map_err(|error| failure(&error))?;
        for issued in issued {
            put_certificate(out, &issued.issued.principal, &issued.certificate, Some(&issued.key))?;
        }
    }
    let (count, issued) = (principals.len(), certificates.is_some());
    output.result(
        || json!({ "principals": count, "added": added, "certificates": if issued { count } else { 0 } }),
        || {
            output.say(&both(
                format!("{count} tài khoản, đã thêm {added} quyền"),
                format!("{count} principals, {added} more grants"),
            ))
        },
    );
    Ok(())
}

fn ungrant(args: &args::Ungrant, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Ungrant { keys, by, principal, actions, org_unit } = args;
    let detail = json!({
        "principal": principal.as_str(), "actions": actions.iter().map(|action| action.as_str()).collect::<Vec<_>>(),
        "org_unit": org_unit.as_ref().map(ToString::to_string),
    });
    operated(keys, by, "auth ungrant", &detail, now)?;
    let unwanted = |grant: &Grant| {
        grant.principal == *principal
            && (actions.is_empty() || actions.contains(&grant.action))
            && org_unit.as_ref().is_none_or(|Unit(unit)| grant.org_unit == *unit)
    };
    let removed = grants::remove(&Layout::at(&keys.keys), unwanted).map_err(|error| failure(&error))?;
    output.result(
        || json!({ "principal": principal.as_str(), "removed": removed }),
        || {
            let vi = format!("đã thu lại {removed} quyền của {principal}");
            output.say(&both(vi, format!("{principal} has {removed} grants less")))
        },
    );
    Ok(())
}

fn revoke(args: &args::Revoke, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Revoke { keys, by, revoked, id, why } = args;
    let subject = match revoked {
        args::Revoked::Certificate => Subject::Certificate,
        args::Revoked::Token => Subject::Token,
        args::Revoked::Principal => Subject::Principal,
    };
    let layout = Layout::at(&keys.keys);
    let revocation = Revocation::new(subject, id, now, why);
    let issued = Issued::read(&layout).map_err(|error| failure(&error))?;
    let is_known = issued.iter().any(|issued| match subject {
        Subject::Principal => issued.principal.as_str() == revocation.id,
        Subject::Certificate | Subject::Token => issued.id == revocation.id,
    });
    if !is_known {
        output.remark(&both(format!("{id}: chưa từng được cấp ở đây"), format!("{id}: was never issued here")));
    }
    let id = revocation.id.clone();
    operated(keys, by, "auth revoke", &json!({ "kind": subject.to_string(), "id": id, "why": why }), now)?;
    let is_new = revocations::add(&layout, revocation).map_err(|error| failure(&error))?;
    output.result(
        || json!({ "kind": subject.to_string(), "id": id, "is_new": is_new, "was_issued": is_known }),
        || {
            let vi = format!("{id} đã bị thu hồi; các dịch vụ áp dụng trong vòng 10 giây");
            output.say(&both(vi, format!("{id} is revoked; services know within 10 seconds")))
        },
    );
    Ok(())
}

fn rotate(args: &args::Rotate, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Rotate { keys, by, key } = args;
    let signs = Signs::from(*key);
    operated(keys, by, "auth rotate", &json!({ "signs": signs.to_string() }), now)?;
    let id = rotation::rotate(&Layout::at(&keys.keys), signs, now).map_err(|error| failure(&error))?;
    let then = match key {
        SigningKey::Ca => both(
            format!(
                "chứng thư gốc mới có số {id}; hãy gửi ca.pem mới cho mọi người trước khi thay chứng thư số của máy chủ (auth init --renew)"
            ),
            format!(
                "the new authority has the serial {id}; hand the new ca.pem to everybody before the servers' certificates are made anew (auth init --renew)"
            ),
        ),
        SigningKey::Tokens | SigningKey::Seal => both(
            format!("khóa mới có mã {id}; khóa cũ vẫn được tin cậy cho đến khi bị loại bỏ (auth retire)"),
            format!("the new key has the id {id}; the old one is believed until it is retired (auth retire)"),
        ),
    };
    output.result(|| json!({ "signs": signs.to_string(), "id": id }), || output.say(&then));
    Ok(())
}

fn retire(args: &args::Retire, now: OffsetDateTime, output: &Output) -> Result<(), Failure> {
    let args::Retire { keys, by, key, id } = args;
    let signs = Signs::from(*key);
    operated(keys, by, "auth retire", &json!({ "signs": signs.to_string(), "id": id }), now)?;
    rotation::retire(&Layout::at(&keys.keys), signs, id).map_err(|error| failure(&error))?;
    output.result(
        || json!({ "signs": signs.to_string(), "id": id, "retired": true }),
        || {
            let vi = format!("{id} không còn được tin cậy; các dịch vụ áp dụng trong vòng 10 giây");
            output.say(&both(vi, format!("{id} is believed no longer; services know within 10 seconds")))
        },
    );
    Ok(())
}

impl From<SigningKey> for Signs {
    fn from(key: SigningKey) -> Self {
        match key {
            SigningKey::Ca => Self::Certificates,
            SigningKey::Tokens => Self::Tokens,
            SigningKey::Seal => Self::Seals,
        }
    }
}

/// The request in a file, or of standard input.
fn request(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(MOST_REQUEST).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MOST_REQUEST).read_to_string(&mut text))
    };
    let name = file.display();
    read.map_err(|error| Failure::caused(&format!("không đọc được {name}"), &format!("cannot read {name}"), &error))?;
    Ok(text)
}

fn put_certificate(dir: &Path, principal: &PrincipalName, certificate: &str, key: Option<&str>) -> Result<(), Failure> {
    if let Some(key) = key {
        put(&dir.join(format!("{principal}.key")), key)?;
    }
    put(&dir.join(format!("{principal}.pem")), certificate)
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    keys::put(path, text).map(|_| ()).map_err(|error| failure(&error))
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    fs::create_dir_all(dir).map_err(|error| {
        Failure::caused(&format!("không tạo được thư mục {shown}"), &format!("cannot make {shown}"), &error)
    })
}

fn failure(error: &dyn Error) -> Failure {
    Failure::caused("không dùng được thư mục khóa", "the keys directory cannot be used", error)
}

/// Today in Vietnam.
fn today(now: OffsetDateTime) -> Date {
    now.to_offset(offset!(+7)).date()
}

fn local(time: OffsetDateTime) -> String {
    local_time(time.unix_timestamp(), 0)
}

fn instant(time: OffsetDateTime) -> String {
    rfc3339(time.unix_timestamp(), 0)
}
