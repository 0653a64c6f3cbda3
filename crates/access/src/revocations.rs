//! `revoked.csv`: what is good no longer, although it has not expired.

use std::{collections::HashSet, fmt, path::Path, str::FromStr};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Credential, FileError, Layout, Locked, Principal,
    file::{self, Readers},
};

pub(crate) const COLUMNS: [&str; 4] = ["kind", "id", "at", "why"];

/// What can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A certificate, by its serial number.
    Certificate,
    /// A token, by its `jti`.
    Token,
    /// Everything that a principal has or will get.
    Principal,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Principal => "principal",
        })
    }
}

impl FromStr for Subject {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Certificate, Self::Token, Self::Principal];
        all.into_iter().find(|kind| kind.to_string() == text).ok_or("must be certificate, token or principal")
    }
}

/// A row of what is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What kind of thing.
    pub subject: Subject,
    /// Which: a serial number, a `jti`, a name.
    pub id: String,
    /// When it was revoked.
    pub at: OffsetDateTime,
    /// Why.
    pub why: String,
}

impl Revocation {
    /// The revocation of that thing, its id written as it is in certificates and tokens.
    #[must_use]
    pub fn new(subject: Subject, id: &str, at: OffsetDateTime, why: &str) -> Self {
        let id = match subject {
            // As other programs print serial numbers: `0A:1B:…`.
            Subject::Certificate => {
                let digits = id.replace(':', "").to_lowercase();
                let digits = digits.trim_start_matches('0');
                if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") }
            }
            Subject::Token | Subject::Principal => id.to_owned(),
        };
        Self { subject, id, at, why: why.to_owned() }
    }
}

#[derive(serde::Deserialize)]
struct Row {
    kind: String,
    id: String,
    at: String,
    why: String,
}

/// Every revocation of the keys directory, in the file's order.
///
/// # Errors
/// When the file cannot be read or a line of it is wrong.
pub fn read(layout: &Layout) -> Result<Vec<Revocation>, FileError> {
    let path = layout.revoked();
    parse(&path, &file::read(&path)?)
}

/// Revokes something; false where it was revoked before.
///
/// # Errors
/// When the file cannot be read or written, or a line of it is wrong.
pub fn add(layout: &Layout, revocation: Revocation) -> Result<bool, FileError> {
    let _locked = Locked::keys(layout)?;
    let mut all = read(layout)?;
    if all.iter().any(|known| (known.subject, &known.id) == (revocation.subject, &revocation.id)) {
        return Ok(false);
    }
    all.push(revocation);
    let path = layout.revoked();
    let rows = all.iter().map(|Revocation { subject, id, at, why }| {
        // A day of which RFC 3339 knows nothing is not one of this century.
        [subject.to_string(), id.clone(), at.format(&Rfc3339).unwrap_or_default(), why.clone()]
    });
    file::write(&path, Readers::All, file::csv_text(&path, &COLUMNS, rows)?)?;
    Ok(true)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Revocation>, FileError> {
    let rows: Vec<(u64, Row)> = file::rows(path, text, &COLUMNS)?;
    rows.into_iter()
        .map(|(line, Row { kind, id, at, why })| {
            let subject = file::field(path, line, "kind", &kind)?;
            file::field_by(path, line, "id", &id, "filled", |id| (!id.is_empty()).then_some(()))?;
            let wanted = "a time such as 2026-12-31T08:00:00Z";
            let at = file::field_by(path, line, "at", &at, wanted, |at| OffsetDateTime::parse(at, &Rfc3339).ok())?;
            Ok(Revocation::new(subject, &id, at, &why))
        })
        .collect()
}

/// What is revoked, to be asked at every call.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    certificates: HashSet<String>,
    tokens: HashSet<String>,
    principals: HashSet<String>,
}

impl Revoked {
    pub(crate) fn index(path: &Path, text: &str) -> Result<Self, FileError> {
        let mut revoked = Self::default();
        for Revocation { subject, id, .. } in parse(path, text)? {
            let ids = match subject {
                Subject::Certificate => &mut revoked.certificates,
                Subject::Token => &mut revoked.tokens,
                Subject::Principal => &mut revoked.principals,
            };
            ids.insert(id);
        }
        Ok(revoked)
    }

    pub(crate) fn holds(&self, principal: &Principal) -> bool {
        let credential = match &principal.credential {
            Credential::Certificate(serial) => self.certificates.contains(serial),
            Credential::Token(jti) => self.tokens.contains(jti),
        };
        credential || self.principals.contains(principal.name.as_str())
    }
}
