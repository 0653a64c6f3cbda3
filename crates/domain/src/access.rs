//! Who may do what, where, and when: the decision, without the files it is made from.
//!
//! A [`Grant`] names a unit by its code and means it with everything below it, in the tree of the period that a report or a
//! total is of: a province sends late figures for the communes it had then. A code is that of the unit which had it on the
//! grant's first day. Where codes were given anew between that day and the period, it names another unit by now, and the grant
//! does not cover it; the tree's root always goes on.

use std::{borrow::Borrow, fmt, str::FromStr};

use rustc_hash::FxHashMap;
use time::Date;

use crate::{
    Catalogue, DataSetCode, Key, Message, OrgTree, OrgUnitCode, Timestamp,
    catalogue::DataSet,
    judge::{day_of, day_vi},
};

/// The name of somebody who sends, reads or operates; from a certificate or a token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalName(Box<str>);

/// A text is not a principal's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters of a-z, 0-9, '.', '_' or '-', beginning with a letter or digit")]
pub struct PrincipalNameError;

impl PrincipalName {
    /// The most characters.
    pub const LIMIT: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrincipalName {
    type Err = PrincipalNameError;
    fn from_str(text: &str) -> Result<Self, PrincipalNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let safe = |byte: u8| plain(byte) || matches!(byte, b'.' | b'_' | b'-');
        let good = text.len() <= Self::LIMIT && text.bytes().next().is_some_and(plain) && text.bytes().all(safe);
        if good { Ok(Self(text.into())) } else { Err(PrincipalNameError) }
    }
}

impl Borrow<str> for PrincipalName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrincipalName({})", self.0)
    }
}

/// What a grant lets somebody do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Send, correct and withdraw reports.
    Submit,
    /// See reports and totals.
    Read,
    /// What operators do.
    Operate,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Submit, Self::Read, Self::Operate];

    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    const fn in_sentence_vi(self) -> &'static str {
        match self {
            Self::Submit => "gửi báo cáo",
            Self::Read => "xem số liệu",
            Self::Operate => "vận hành hệ thống",
        }
    }
}

/// A text is not an action's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be submit, read or operate")]
pub struct ActionError;

impl FromStr for Action {
    type Err = ActionError;
    fn from_str(text: &str) -> Result<Self, ActionError> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(ActionError)
    }
}

/// One row of who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub principal: PrincipalName,
    /// What.
    pub action: Action,
    /// For which unit and everything below it; none for all units there are.
    pub org_unit: Option<OrgUnitCode>,
    /// For which data sets; none for all there are.
    pub data_sets: Option<Vec<DataSetCode>>,
    /// The first day.
    pub from: Date,
    /// The last day, none where no end is known.
    pub until: Option<Date>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What.
    pub action: Action,
    /// For which unit.
    pub org_unit: &'a str,
    /// For which data set; none where the question is of none in particular.
    pub data_set: Option<&'a str>,
    /// The day whose tree the unit is of: the last of the period.
    pub of: Date,
    /// The day on which it is wished.
    pub on: Date,
}

impl<'a> Wish<'a> {
    /// To submit a report about `key`, which came in at an instant.
    #[must_use]
    pub fn to_submit(catalogue: &Catalogue, data_set: &DataSet, key: &'a Key, received_at: Timestamp) -> Self {
        Self {
            action: Action::Submit,
            org_unit: key.org_unit.as_str(),
            data_set: Some(key.data_set.as_str()),
            of: data_set.last_day(key.period),
            on: day_of(catalogue, received_at),
        }
    }
}

/// Why somebody may not, by the grant that comes nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// No grant for the action.
    Action,
    /// No grant for the unit, or there is no such unit.
    OrgUnit,
    /// No grant for the data set.
    DataSet,
    /// The grant has ended; its last day.
    Ended(Date),
    /// The grant has not begun; its first day.
    NotBegun(Date),
}

impl Denied {
    /// The sentence for whoever is refused.
    #[must_use]
    pub fn message(self, principal: &str, wish: &Wish<'_>) -> Message {
        let (vi, en) = (wish.action.in_sentence_vi(), wish.action.as_str());
        let unit = wish.org_unit;
        let data_set = wish.data_set.unwrap_or_default();
        let (vi, en) = match self {
            Self::Action => (format!("không được cấp quyền {vi}"), format!("has no grant to {en}")),
            Self::OrgUnit => {
                (format!("không được cấp quyền {vi} của đơn vị {unit}"), format!("may not {en} for org unit {unit}"))
            }
            Self::DataSet => (
                format!("không được cấp quyền {vi} theo biểu {data_set} của đơn vị {unit}"),
                format!("may not {en} data set {data_set} for org unit {unit}"),
            ),
            Self::Ended(day) => (
                format!("đã hết quyền {vi} của đơn vị {unit} từ sau ngày {}", day_vi(day)),
                format!("may no longer {en} for org unit {unit}: the grant ended on {day}"),
            ),
            Self::NotBegun(day) => (
                format!("có quyền {vi} của đơn vị {unit}, nhưng quyền đó chỉ có hiệu lực từ ngày {}", day_vi(day)),
                format!("may not yet {en} for org unit {unit}: the grant begins on {day}"),
            ),
        };
        Message {
            vi: format!("Tài khoản “{principal}” {vi}. Hãy liên hệ người quản trị hệ thống nếu cần quyền này."),
            en: format!("{principal} {en}; ask the system's operator if it should"),
        }
    }
}

/// Every grant there is.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    by_principal: FxHashMap<PrincipalName, Vec<Grant>>,
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut by_principal: FxHashMap<PrincipalName, Vec<Grant>> = FxHashMap::default();
        for grant in grants {
            by_principal.entry(grant.principal.clone()).or_default().push(grant);
        }
        Self { by_principal }
    }
}

impl Grants {
    /// Somebody's grants.
    #[must_use]
    pub fn of(&self, principal: &PrincipalName) -> &[Grant] {
        self.by_principal.get(principal).map_or(&[], Vec::as_slice)
    }

    /// Whether somebody may do what they wish.
    ///
    /// # Errors
    /// When no grant covers it.
    pub fn may(&self, principal: &PrincipalName, wish: &Wish<'_>, tree: &OrgTree) -> Result<(), Denied> {
        let mut nearest = Denied::Action;
        for grant in self.of(principal) {
            match grant.covers(wish, tree) {
                Ok(()) => return Ok(()),
                Err(denied) => nearest = nearest.max(denied),
            }
        }
        Err(nearest)
    }
}

impl Grant {
    /// Whether the grant covers a wish.
    ///
    /// # Errors
    /// When it does not.
    pub fn covers(&self, wish: &Wish<'_>, tree: &OrgTree) -> Result<(), Denied> {
        if self.action != wish.action {
            return Err(Denied::Action);
        }
        if !self.org_unit.as_ref().is_none_or(|granted| self.reaches(granted, wish, tree)) {
            return Err(Denied::OrgUnit);
        }
        let among = |data_sets: &Vec<DataSetCode>| {
            wish.data_set.is_none_or(|wished| data_sets.iter().any(|data_set| data_set.as_str() == wished))
        };
        if !self.data_sets.as_ref().is_none_or(among) {
            return Err(Denied::DataSet);
        }
        if wish.on < self.from {
            return Err(Denied::NotBegun(self.from));
        }
        match self.until {
            Some(until) if until < wish.on => Err(Denied::Ended(until)),
            _ => Ok(()),
        }
    }

    /// Whether the unit wished for is the granted one or below it.
    fn reaches(&self, granted: &OrgUnitCode, wish: &Wish<'_>, tree: &OrgTree) -> bool {
        let vintage = tree.on(wish.of);
        let (Some(unit), Some(top)) = (vintage.find(wish.org_unit), vintage.find(granted.as_str())) else {
            return false;
        };
        vintage.with_ancestors(unit).any(|above| above == top) && tree.is_named_alike(granted, self.from, wish.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LevelIx, UnitVersion};
    use time::macros::date;

    const REFORM: Date = date!(2025 - 07 - 01);
    const BEFORE: Date = date!(2022 - 11 - 30);
    const AFTER: Date = date!(2026 - 10 - 31);
    const TODAY: Date = date!(2026 - 11 - 22);

    /// VN over provinces 94 and 95, and ministry BCA that no reform touches; below 94 the communes 31498 and 31501. At the
    /// reform codes were given anew: 31498 is another commune, now below 95.
    fn tree() -> OrgTree {
        let row = |code: &str, parent: &str, level, from, to| UnitVersion {
            code: code.parse().unwrap(),
            name: code.to_owned(),
            level: LevelIx::new(level),
            kind: String::new(),
            parent: (!parent.is_empty()).then(|| parent.parse().unwrap()),
            valid_from: from,
            valid_to: to,
        };
        let rows = [
            row("VN", "", 0, None, None),
            row("BCA", "VN", 1, None, None),
            row("94", "VN", 1, None, Some(REFORM)),
            row("95", "VN", 1, None, Some(REFORM)),
            row("95", "VN", 1, Some(REFORM), None),
            row("31498", "94", 2, None, Some(REFORM)),
            row("31501", "94", 2, None, Some(REFORM)),
            row("31498", "95", 2, Some(REFORM), None),
        ];
        OrgTree::new(&rows, vec![REFORM]).unwrap()
    }

    fn grant(principal: &str, org_unit: &str, from: Date) -> Grant {
        Grant {
            principal: principal.parse().unwrap(),
            action: Action::Submit,
            org_unit: (org_unit != "*").then(|| org_unit.parse().unwrap()),
            data_sets: None,
            from,
            until: None,
        }
    }

    fn wish(org_unit: &str, of: Date) -> Wish<'_> {
        Wish { action: Action::Submit, org_unit, data_set: Some("identity"), of, on: TODAY }
    }

    fn decide(grant: Grant, wish: &Wish<'_>) -> Result<(), Denied> {
        let principal = grant.principal.clone();
        Grants::from_iter([grant]).may(&principal, wish, &tree())
    }

    #[test]
    fn a_grant_is_for_a_unit_and_everything_below_it() {
        let commune = || grant("commune", "31498", date!(2022 - 01 - 01));
        assert_eq!(decide(commune(), &wish("31498", BEFORE)), Ok(()));
        assert_eq!(decide(commune(), &wish("31501", BEFORE)), Err(Denied::OrgUnit));
        assert_eq!(decide(commune(), &wish("94", BEFORE)), Err(Denied::OrgUnit), "not for the unit above");
        let province = || grant("province", "94", date!(2022 - 01 - 01));
        for unit in ["94", "31498", "31501"] {
            assert_eq!(decide(province(), &wish(unit, BEFORE)), Ok(()), "{unit}");
        }
        assert_eq!(decide(province(), &wish("95", BEFORE)), Err(Denied::OrgUnit));
        assert_eq!(decide(grant("all", "*", TODAY), &wish("31498", BEFORE)), Ok(()));
    }

    #[test]
    fn a_unit_that_is_not_there_is_in_no_grant_but_that_for_all() {
        assert_eq!(decide(grant("a", "VN", TODAY), &wish("99999", BEFORE)), Err(Denied::OrgUnit));
        assert_eq!(decide(grant("a", "99999", TODAY), &wish("31498", BEFORE)), Err(Denied::OrgUnit));
    }

    #[test]
    fn a_code_given_anew_is_not_the_unit_that_was_granted() {
        let old = || grant("old", "31498", date!(2022 - 01 - 01));
        let new = || grant("new", "31498", REFORM);
        assert_eq!((decide(old(), &wish("31498", BEFORE)), decide(new(), &wish("31498", AFTER))), (Ok(()), Ok(())));
        assert_eq!(decide(old(), &wish("31498", AFTER)), Err(Denied::OrgUnit));
        assert_eq!(decide(new(), &wish("31498", BEFORE)), Err(Denied::OrgUnit));
        for unit in ["VN", "BCA"] {
            assert_eq!(decide(grant("a", unit, TODAY), &wish(unit, BEFORE)), Ok(()), "{unit} goes on");
        }
    }

    #[test]
    fn a_grant_begins_and_ends_with_its_days() {
        let on = |on| {
            let grant = Grant { until: Some(date!(2026 - 11 - 22)), ..grant("a", "*", date!(2026 - 11 - 20)) };
            decide(grant, &Wish { on, ..wish("31498", BEFORE) })
        };
        assert_eq!(on(date!(2026 - 11 - 19)), Err(Denied::NotBegun(date!(2026 - 11 - 20))));
        assert_eq!(on(date!(2026 - 11 - 20)), Ok(()));
        assert_eq!(on(date!(2026 - 11 - 22)), Ok(()));
        assert_eq!(on(date!(2026 - 11 - 23)), Err(Denied::Ended(date!(2026 - 11 - 22))));
    }

    #[test]
    fn a_grant_is_for_an_action_and_data_sets() {
        let data_sets = Some(vec!["organisation".parse().unwrap(), "campaign".parse().unwrap()]);
        let grants = Grants::from_iter([Grant { data_sets, ..grant("a", "94", date!(2022 - 01 - 01)) }]);
        let principal = "a".parse().unwrap();
        let may = |wish: Wish<'_>| grants.may(&principal, &wish, &tree());
        assert_eq!(may(wish("31498", BEFORE)), Err(Denied::DataSet));
        assert_eq!(may(Wish { data_set: Some("campaign"), ..wish("31498", BEFORE) }), Ok(()));
        assert_eq!(may(Wish { data_set: None, ..wish("31498", BEFORE) }), Ok(()));
        assert_eq!(may(Wish { action: Action::Read, ..wish("31498", BEFORE) }), Err(Denied::Action));
        assert_eq!(grants.may(&"b".parse().unwrap(), &wish("31498", BEFORE), &tree()), Err(Denied::Action));
    }

    #[test]
    fn of_several_grants_one_is_enough_and_the_nearest_gives_the_reason() {
        let ended = |unit| Grant { until: Some(date!(2024 - 01 - 01)), ..grant("a", unit, date!(2022 - 01 - 01)) };
        let principal: PrincipalName = "a".parse().unwrap();
        let grants = Grants::from_iter([ended("94"), grant("a", "95", date!(2022 - 01 - 01))]);
        let denied = grants.may(&principal, &wish("31498", BEFORE), &tree()).unwrap_err();
        assert_eq!(denied, Denied::Ended(date!(2024 - 01 - 01)));
        let message = denied.message(principal.as_str(), &wish("31498", BEFORE));
        assert!(message.en.starts_with("a may no longer submit for org unit 31498: the grant ended on 2024-01-01"));
        assert!(
            message.vi.starts_with("Tài khoản “a” đã hết quyền gửi báo cáo của đơn vị 31498 từ sau ngày 01/01/2024")
        );
        let grants = Grants::from_iter([ended("94"), grant("a", "31498", date!(2022 - 01 - 01))]);
        assert_eq!(grants.may(&principal, &wish("31498", BEFORE), &tree()), Ok(()));
    }

    #[test]
    fn names_of_principals_are_plain() {
        for good in ["a", "xa-31498", "ubnd.soc_trang", "0", &"a".repeat(64)] {
            assert_eq!(good.parse::<PrincipalName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "xã", "a\n", &"a".repeat(65)] {
            assert_eq!(bad.parse::<PrincipalName>(), Err(PrincipalNameError), "{bad:?}");
        }
    }
}
