//! Pages of a list: how many units are on one, and where the next begins.
//!
//! A token is the fingerprint of the list, 16 hexadecimal digits, and the code of the last unit that was shown. The page
//! size is no part of it, so a caller may change it on the way; and a unit that comes or goes with a new catalogue moves no
//! other unit to another page.

use std::num::NonZeroU16;

use domain::{OrgUnitCode, UnitIx, Vintage};

use crate::refused::Refused;

/// The size of a page whose size is not said.
const DEFAULT_SIZE: u16 = 100;

/// How many units a page has, by what the caller says: 0 is nothing said.
pub(crate) fn size(asked: i32, max: NonZeroU16) -> Result<usize, Refused> {
    let max = max.get();
    match u16::try_from(asked) {
        Ok(0) => Ok(usize::from(DEFAULT_SIZE.min(max))),
        Ok(size) if size <= max => Ok(usize::from(size)),
        _ => Err(Refused::PageSize { asked, max }),
    }
}

/// The token of the page that begins after a unit. `list` is all that was asked for, field by field.
pub(crate) fn token(list: &[&str], last: &OrgUnitCode) -> String {
    format!("{:016x}{last}", fingerprint(list))
}

/// The unit after which a page begins; none for the first.
pub(crate) fn after(list: &[&str], token: &str) -> Result<Option<OrgUnitCode>, Refused> {
    if token.is_empty() {
        return Ok(None);
    }
    let code = token.strip_prefix(format!("{:016x}", fingerprint(list)).as_str()).ok_or(Refused::PageToken)?;
    OrgUnitCode::new(code).map(Some).map_err(|_| Refused::PageToken)
}

/// What is left of units that are sorted by code, after one of them.
pub(crate) fn rest<'a>(vintage: &Vintage, units: &'a [UnitIx], after: Option<&OrgUnitCode>) -> &'a [UnitIx] {
    &units[units.partition_point(|unit| after.is_some_and(|after| vintage.unit(*unit).code <= *after))..]
}

/// A token with more in it than a code: text, and the fingerprint of that and of the list. Somebody's typing error is noticed; it
/// is no proof against forgery, and nothing is told to who forges one that he could not ask for.
pub(crate) struct Sealed;

impl Sealed {
    pub(crate) fn seal(list: &[&str], text: &str) -> String {
        format!("{:016x}{text}", fingerprint(&[list, &[text]].concat()))
    }

    pub(crate) fn open<'t>(list: &[&str], token: &'t str) -> Result<&'t str, Refused> {
        let (_, text) = token.split_at_checked(16).ok_or(Refused::PageToken)?;
        if Self::seal(list, text) == token { Ok(text) } else { Err(Refused::PageToken) }
    }
}

/// FNV-1a, 64 bits: the same in every process and version, unlike the standard library's hashes.
pub(crate) fn fingerprint(list: &[&str]) -> u64 {
    let bytes = list.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    #[test]
    fn a_page_has_one_to_the_limit() {
        let size = |asked, max| size(asked, NonZeroU16::new(max).unwrap());
        assert_eq!([size(0, 1_000), size(1, 1_000), size(1_000, 1_000)], [Ok(100), Ok(1), Ok(1_000)]);
        assert_eq!(size(0, 10), Ok(10), "the default does not exceed the limit");
        for asked in [-1, 1_001, i32::MIN, i32::MAX] {
            assert_eq!(size(asked, 1_000), Err(Refused::PageSize { asked, max: 1_000 }));
        }
    }

    #[test]
    fn a_token_is_for_one_list() {
        let list = &["VN", "identity", "202211"];
        let token = token(list, &"01".parse().unwrap());
        // Written down: callers keep tokens over an upgrade.
        assert_eq!(token, "32eaccdd22f993e101");
        assert_eq!(after(list, &token), Ok(Some("01".parse().unwrap())));
        assert_eq!(after(list, ""), Ok(None));
        for other in [
            ["01", "identity", "202211"],
            ["VN", "organisation", "202211"],
            ["VN", "identity", "202212"],
            ["VN", "identity202211", ""],
        ] {
            assert_eq!(after(&other, &token), Err(Refused::PageToken));
        }
        assert_eq!(after(&["VN", "identity", "202211", "LATE"], &token), Err(Refused::PageToken));
        for malformed in ["01", &token[..16], &format!("{token} "), "đ", &token.to_uppercase()] {
            assert_eq!(after(list, malformed), Err(Refused::PageToken), "{malformed}");
        }
    }

    #[test]
    fn a_page_begins_after_the_last_unit_even_if_that_is_gone() {
        let catalogue = tiny::catalogue();
        let vintage = &catalogue.tree().vintages()[0];
        let children = &vintage.unit(vintage.find("01").unwrap()).children;
        let rest = |after: Option<&str>| {
            let after = after.map(|code| code.parse().unwrap());
            let rest = rest(vintage, children, after.as_ref());
            rest.iter().map(|unit| vintage.unit(*unit).code.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(rest(None), ["011", "012"]);
        assert_eq!(rest(Some("011")), ["012"]);
        assert_eq!(rest(Some("0115")), ["012"]);
        assert_eq!(rest(Some("012")), Vec::<&str>::new());
    }
}
