//! `issued.csv`: which certificates and tokens were issued, so that they can be listed and revoked.

use std::fmt;

use domain::access::PrincipalName;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    FileError, Layout,
    file::{self, Readers},
    layout,
};

pub(crate) const COLUMNS: [&str; 5] = ["kind", "id", "principal", "issued", "expires"];

/// What was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client certificate.
    Certificate,
    /// A token.
    Token,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
        })
    }
}

impl std::str::FromStr for Kind {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Certificate, Self::Token];
        all.into_iter().find(|kind| kind.to_string() == text).ok_or("must be certificate or token")
    }
}

/// A certificate or token that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Which of the two.
    pub kind: Kind,
    /// The serial number, or the `jti`.
    pub id: String,
    /// To whom.
    pub principal: PrincipalName,
    /// When.
    pub issued: OffsetDateTime,
    /// Until when it is good.
    pub expires: OffsetDateTime,
}

#[derive(serde::Deserialize)]
struct Row {
    kind: String,
    id: String,
    principal: String,
    issued: String,
    expires: String,
}

impl Issued {
    /// Everything that was issued, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read or a line of it is wrong.
    pub fn read(keys: &Layout) -> Result<Vec<Self>, FileError> {
        let path = keys.authority(layout::ISSUED);
        let rows: Vec<(u64, Row)> = file::rows(&path, &file::read(&path)?, &COLUMNS)?;
        rows.into_iter()
            .map(|(line, Row { kind, id, principal, issued, expires })| {
                let time = |column, text: &str| {
                    let wanted = "a time such as 2026-12-31T08:00:00Z";
                    file::field_by(&path, line, column, text, wanted, |text| OffsetDateTime::parse(text, &Rfc3339).ok())
                };
                Ok(Self {
                    kind: file::field(&path, line, "kind", &kind)?,
                    id,
                    principal: file::field(&path, line, "principal", &principal)?,
                    issued: time("issued", &issued)?,
                    expires: time("expires", &expires)?,
                })
            })
            .collect()
    }

    /// Notes what was issued. Whoever calls holds the directory's lock.
    pub(crate) fn note(keys: &Layout, more: Vec<Self>) -> Result<(), FileError> {
        let path = keys.authority(layout::ISSUED);
        let mut all = Self::read(keys)?;
        all.extend(more);
        let time = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
        let rows = all.iter().map(|Self { kind, id, principal, issued, expires }| {
            [kind.to_string(), id.clone(), principal.to_string(), time(*issued), time(*expires)]
        });
        file::write(&path, Readers::Owner, file::csv_text(&path, &COLUMNS, rows)?)
    }
}
