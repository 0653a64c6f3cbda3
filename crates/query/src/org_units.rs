//! Lists of units: the tree of a day, all of it, a part, a level, or by name.

use catalogue::fold_name;
use domain::{Catalogue, LevelIx, Message, OrgUnitCode, Reason, Severity, UnitIx, Vintage, Violation, Violations};
use proto::pb::query::v1 as pb;
use time::{Date, macros::format_description};

use crate::{breakdown::level_of, page, refused::Refused};

/// The longest name that is looked for, in characters.
const LONGEST_NAME: usize = 100;

/// Which units.
#[derive(Debug)]
pub(crate) struct Wanted<'c> {
    vintage: &'c Vintage,
    root: UnitIx,
    level: Option<LevelIx>,
    /// Folded, with a space before it; empty for every name.
    name: String,
}

impl<'c> Wanted<'c> {
    pub(crate) fn read(catalogue: &'c Catalogue, request: &pb::ListOrgUnitsRequest) -> Result<Self, Refused> {
        let pb::ListOrgUnitsRequest { date, org_unit, level, name, .. } = request;
        let day = if date.is_empty() { Some(Date::MAX) } else { read_day(date) };
        let vintage = catalogue.tree().on(day.ok_or_else(|| {
            Refused::invalid(
                "DATE_MALFORMED",
                "date",
                "Ngày phải được viết như 2022-11-30.".to_owned(),
                "must be a day, written 2022-11-30".to_owned(),
            )
        })?);
        let root = if org_unit.is_empty() { Some(vintage.root()) } else { vintage.find(org_unit) };
        let root = root.ok_or_else(|| {
            let cut: String = org_unit.chars().take(64).collect();
            let violations = Violations::from(Violation {
                reason: Reason::OrgUnitUnknown,
                severity: Severity::Error,
                field: "org_unit".to_owned(),
                message: Message {
                    vi: format!("Không có đơn vị nào mang mã “{cut}” vào ngày đó."),
                    en: format!("no unit has the code `{cut}` on that day"),
                },
            });
            if OrgUnitCode::new(org_unit).is_ok() {
                Refused::Unknown(violations)
            } else {
                Refused::Malformed(violations)
            }
        })?;
        let level = if level.is_empty() { None } else { Some(level_of(catalogue, level, "level")?) };
        let folded = fold_name(name);
        if name.chars().count() > LONGEST_NAME || (folded.is_empty() && !name.is_empty()) {
            return Err(Refused::invalid(
                "NAME_MALFORMED",
                "name",
                format!("Tên cần tìm có từ 1 đến {LONGEST_NAME} ký tự và phải có chữ."),
                format!("a name to look for has 1 to {LONGEST_NAME} characters and some letters"),
            ));
        }
        let name = if folded.is_empty() { folded } else { format!(" {folded}") };
        Ok(Self { vintage, root, level, name })
    }

    /// Units after one of them, by code, so many at most; and whether there are more.
    pub(crate) fn page(
        &self,
        catalogue: &Catalogue,
        after: Option<&OrgUnitCode>,
        size: usize,
    ) -> (Vec<pb::OrgUnitEntry>, bool) {
        let mut units: Vec<_> = self.vintage.subtree(self.root).collect();
        units.sort_unstable(); // the places of a tree's units are by code
        let wanted = page::rest(self.vintage, &units, after).iter().filter(|unit| self.is_wanted(**unit));
        let mut listed: Vec<_> = wanted.take(size + 1).map(|unit| entry(catalogue, self.vintage, *unit)).collect();
        let more = listed.len() > size;
        listed.truncate(size);
        (listed, more)
    }

    fn is_wanted(&self, unit: UnitIx) -> bool {
        let unit = self.vintage.unit(unit);
        self.level.is_none_or(|level| unit.level == level)
            && (self.name.is_empty() || format!(" {}", fold_name(&unit.name)).contains(&self.name))
    }
}

fn read_day(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

fn entry(catalogue: &Catalogue, vintage: &Vintage, unit: UnitIx) -> pb::OrgUnitEntry {
    let unit = vintage.unit(unit);
    pb::OrgUnitEntry {
        code: unit.code.to_string(),
        name: unit.name.clone(),
        level: catalogue.level(unit.level).code.to_string(),
        kind: unit.kind.clone(),
        parent: unit.parent.map(|parent| vintage.unit(parent).code.to_string()).unwrap_or_default(),
        valid_from: unit.valid_from.map(|day| day.to_string()).unwrap_or_default(),
        children: u32::try_from(unit.children.len()).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    fn ask(date: &str, org_unit: &str, level: &str, name: &str) -> Result<Vec<String>, Refused> {
        let [date, org_unit, level, name] = [date, org_unit, level, name].map(str::to_owned);
        let request = pb::ListOrgUnitsRequest { date, org_unit, level, name, ..Default::default() };
        let catalogue = tiny::catalogue();
        let (listed, more) = Wanted::read(&catalogue, &request)?.page(&catalogue, None, 100);
        assert!(!more);
        Ok(listed.into_iter().map(|unit| unit.code).collect())
    }

    #[test]
    fn the_tree_of_a_day_is_listed_by_code_by_level_and_by_name() {
        assert_eq!(ask("", "01", "", "").unwrap(), ["00001", "01"], "the newest tree");
        assert_eq!(ask("2025-06-30", "01", "", "").unwrap(), ["00001", "00002", "01", "011", "012"]);
        assert_eq!(ask("2025-06-30", "", "district", "").unwrap(), ["011", "012", "021"]);
        assert_eq!(ask("", "", "", "DON VỊ 0000").unwrap(), ["00001", "00003"], "the beginning of a word");
        assert_eq!(ask("", "", "", "vi vn").unwrap(), ["VN"]);
        assert_eq!(ask("", "", "", "n").unwrap(), Vec::<String>::new(), "not the middle of one");
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        assert!(matches!(ask("30/11/2022", "", "", ""), Err(Refused::Invalid { reason: "DATE_MALFORMED", .. })));
        assert!(matches!(ask("", "", "ward", ""), Err(Refused::Invalid { reason: "LEVEL_UNKNOWN", .. })));
        assert!(matches!(ask("", "", "", "!?"), Err(Refused::Invalid { reason: "NAME_MALFORMED", .. })));
        assert!(matches!(ask("", "", "", &"a".repeat(101)), Err(Refused::Invalid { reason: "NAME_MALFORMED", .. })));
        assert!(matches!(ask("", "011", "", ""), Err(Refused::Unknown(_))), "there are no districts any more");
        assert!(matches!(ask("", "0 1", "", ""), Err(Refused::Malformed(_))));
    }

    #[test]
    fn pages_go_on_after_the_last() {
        let catalogue = tiny::catalogue();
        let wanted = Wanted::read(&catalogue, &pb::ListOrgUnitsRequest::default()).unwrap();
        let (first, more) = wanted.page(&catalogue, None, 3);
        let (rest, none) = wanted.page(&catalogue, Some(&first[2].code.parse().unwrap()), 3);
        let codes: Vec<_> = first.iter().chain(&rest).map(|unit| unit.code.as_str()).collect();
        assert_eq!((codes, more, none), (vec!["00001", "00003", "01", "02", "VN"], true, false));
    }
}
