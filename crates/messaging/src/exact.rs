//! Integers that arrive as they were sent, whatever reads them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An integer in JSON. One beyond ±(2⁵³ − 1) is written as a string of digits: JavaScript and many others read every number
/// as a double and would round it without a word (RFC 8259, section 6). `BigInt(x)` and Python's `int(x)` read both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(pub i64);

impl Exact {
    /// The largest integer up to which a double holds every one.
    pub const SAFE: i64 = (1 << 53) - 1;
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(number) = self;
        if (-Self::SAFE..=Self::SAFE).contains(number) {
            serializer.serialize_i64(*number)
        } else {
            serializer.collect_str(number)
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor)
    }
}

struct ExactVisitor;

impl de::Visitor<'_> for ExactVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, or its digits in a string")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Exact, E> {
        Ok(Exact(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Exact, E> {
        i64::try_from(number).map(Exact).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, digits: &str) -> Result<Exact, E> {
        digits.parse().map(Exact).map_err(|_| E::invalid_value(de::Unexpected::Str(digits), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_double_cannot_hold_is_written_as_digits() {
        for (number, json) in [
            (0, "0"),
            (-1, "-1"),
            (Exact::SAFE, "9007199254740991"),
            (-Exact::SAFE, "-9007199254740991"),
            (Exact::SAFE + 1, "\"9007199254740992\""),
            (i64::MAX, "\"9223372036854775807\""),
            (i64::MIN, "\"-9223372036854775808\""),
        ] {
            assert_eq!(serde_json::to_string(&Exact(number)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Exact>(json).unwrap(), Exact(number));
        }
        for json in ["1.0", "1e3", "true", "null", "\"1.5\"", "\"9223372036854775808\"", "18446744073709551615"] {
            assert!(serde_json::from_str::<Exact>(json).is_err(), "{json} is no such integer");
        }
    }
}
