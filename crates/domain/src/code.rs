//! Codes: short ASCII names that are safe in a NATS subject, a URL, a file name and a CSV column.

use std::{borrow::Borrow, fmt, str::FromStr};

/// Why a text is not a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {max} characters of A-Z, a-z, 0-9, '_' or '-'")]
pub struct CodeError {
    max: usize,
}

fn check(text: &str, max: usize) -> Result<(), CodeError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if text.is_empty() || text.len() > max || !text.bytes().all(safe) { Err(CodeError { max }) } else { Ok(()) }
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The code's text, checks it and keeps it.
            ///
            /// # Errors
            /// When the text is empty, too long, or has a character that a NATS subject token may not have.
            pub fn new(text: &str) -> Result<Self, CodeError> {
                check(text, $max)?;
                Ok(Self(text.into()))
            }

            /// The code as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = CodeError;
            fn from_str(text: &str) -> Result<Self, CodeError> {
                Self::new(text)
            }
        }

        // Lets a map keyed by the code be asked with a borrowed text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

code!(
    /// An org unit's code as the statistics office publishes it: `94` a province, `941` a district, `31498` a commune.
    /// Text, never a number; unique at one date, not over time.
    OrgUnitCode, 16
);
code!(
    /// A level of the administrative tree: `national`, `province`, `commune` …
    LevelCode, 24
);
code!(
    /// A data set, that is a form: `identity`.
    DataSetCode, 40
);
code!(
    /// A data element, that is one counted thing: `id_cards_issued`.
    DataElementCode, 64
);
code!(
    /// An option of a data element's disaggregation: `s03` of the essential services.
    OptionCode, 40
);
code!(
    /// An indicator, that is a ratio of two totals: `id_card_coverage_rate`.
    IndicatorCode, 64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_safe_subject_tokens() {
        assert_eq!(OrgUnitCode::new("00001").unwrap().as_str(), "00001");
        for bad in ["", "a b", "a.b", "*", ">", "é", "12345678901234567"] {
            assert!(OrgUnitCode::new(bad).is_err(), "{bad:?} is not a code");
        }
    }
}
