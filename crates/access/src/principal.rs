//! Who somebody has proved to be, and by what.

use domain::access::PrincipalName;
use time::OffsetDateTime;

/// What somebody proved themselves by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A certificate, by its serial number in lower-case hexadecimal digits.
    Certificate(String),
    /// A token, by its `jti`.
    Token(String),
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name.
    pub name: PrincipalName,
    /// By what.
    pub credential: Credential,
    /// The key that vouches for it, by its id.
    pub vouched_by: String,
    /// Until when it proves that.
    pub expires: OffsetDateTime,
}
