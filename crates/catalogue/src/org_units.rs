//! `org_units.csv`: the tree over all time, a row for each span in which a unit stayed the same.

use std::collections::{HashMap, HashSet};

use domain::{OrgTree, UnitVersion};
use serde::Deserialize;
use time::Date;

use crate::{
    csv_file, day,
    fault::{Faults, Place, filled, parsed},
    files::{Files, ORG_UNITS},
    levels::Levels,
};

const COLUMNS: [&str; 7] = ["code", "name", "level", "kind", "parent_code", "valid_from", "valid_to"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    name: String,
    level: String,
    kind: String,
    parent_code: Option<String>,
    valid_from: Option<String>,
    valid_to: Option<String>,
}

/// A unit's row and where it is.
struct Placed<'a> {
    place: Place<'a>,
    unit: UnitVersion,
}

impl Placed<'_> {
    /// The first day.
    fn start(&self) -> Date {
        self.unit.valid_from.unwrap_or(Date::MIN)
    }

    /// The first day it is no more.
    fn end(&self) -> Date {
        self.unit.valid_to.unwrap_or(Date::MAX)
    }
}

/// The rows in the file's order, and the tree they make; none where there is a fault. `recoded` are the days on which
/// codes were given anew.
pub(crate) fn read(
    files: &Files,
    levels: &Levels<'_>,
    recoded: &[(Place<'_>, Date)],
    faults: &mut Faults,
) -> Option<(Vec<UnitVersion>, OrgTree)> {
    let before = faults.count();
    let mut placed = Vec::new();
    // Codes with a row that cannot be used: what hangs from them is not judged.
    let mut broken = HashSet::new();
    for (place, row) in csv_file::rows::<Row>(files.text(ORG_UNITS, faults)?, &COLUMNS, faults) {
        let code = row.code.clone();
        match read_row(place, row, levels, faults) {
            Some(unit) => placed.push(Placed { place, unit }),
            None => {
                broken.insert(code);
            }
        }
    }

    let mut by_code: HashMap<&str, Vec<&Placed<'_>>> = HashMap::new();
    for row in &placed {
        by_code.entry(row.unit.code.as_str()).or_default().push(row);
    }
    for versions in by_code.values_mut() {
        versions.sort_by_key(|row| row.start());
        refuse_overlaps(versions, faults);
    }
    for row in &placed {
        if let Some(parent) = row.unit.parent.as_ref().filter(|parent| !broken.contains(parent.as_str())) {
            let parents = by_code.get(parent.as_str()).map_or(&[][..], Vec::as_slice);
            check_parent(row, parent.as_str(), parents, levels, faults);
        }
    }
    if faults.count() == before {
        check_roots(&placed, faults);
        check_recoded(&placed, recoded, faults);
        check_levels(&placed, levels, faults);
    }
    if faults.count() > before {
        return None;
    }
    let units: Vec<UnitVersion> = placed.into_iter().map(|row| row.unit).collect();
    // The tree checks again, without lines, what was checked above with them.
    match OrgTree::new(&units, recoded.iter().map(|(_, day)| *day).collect()) {
        Ok(tree) => Some((units, tree)),
        Err(error) => {
            faults.add(Place::file(ORG_UNITS), error.to_string());
            None
        }
    }
}

fn read_row(place: Place<'_>, row: Row, levels: &Levels<'_>, faults: &mut Faults) -> Option<UnitVersion> {
    let Row { code, name, level, kind, parent_code, valid_from, valid_to } = row;
    let before = faults.count();
    filled(place, [("name", &name)], faults);
    let code = parsed((place, "code"), &code, faults);
    let level = levels.find(place, &level, faults);
    let parent = parent_code.and_then(|parent| parsed((place, "parent_code"), &parent, faults));
    let (valid_from, valid_to) = day::read_span(place, valid_from.as_deref(), valid_to.as_deref(), "the unit", faults);
    if faults.count() > before {
        return None;
    }
    Some(UnitVersion { code: code?, name, level: level?, kind, parent, valid_from, valid_to })
}

/// Pairs of rows that are both valid on some day. The rows come by their first day.
fn overlaps<'r, 'a>(rows: &[&'r Placed<'a>]) -> Vec<(&'r Placed<'a>, &'r Placed<'a>)> {
    let mut pairs = Vec::new();
    let mut rows = rows.iter().copied();
    let Some(mut longest) = rows.next() else { return pairs };
    for row in rows {
        if longest.end() > row.start() {
            // The one that stands later in the file is the one to be told of.
            pairs.push(if longest.place.is_before(row.place) { (longest, row) } else { (row, longest) });
        }
        if row.end() > longest.end() {
            longest = row;
        }
    }
    pairs
}

/// A code means one unit on any one day. The versions come by their first day.
fn refuse_overlaps(versions: &[&Placed<'_>], faults: &mut Faults) {
    for (first, second) in overlaps(versions) {
        let what = format!(
            "org unit `{}` is also defined {} {}; end one before the other begins",
            second.unit.code,
            first.place,
            common_days(first, second)
        );
        faults.add(second.place, what);
    }
}

/// The days on which both rows are valid, in words.
fn common_days(one: &Placed<'_>, other: &Placed<'_>) -> String {
    let (from, to) = (one.start().max(other.start()), one.end().min(other.end()));
    match (from == Date::MIN, to == Date::MAX) {
        (true, true) => "for the same days".to_owned(),
        (true, false) => format!("for the days before {to}"),
        (false, true) => format!("for the days from {from}"),
        (false, false) => format!("for the days from {from} to before {to}"),
    }
}

/// The parent exists on every day its child does, and is of a level above, so that no unit is its own ancestor.
fn check_parent(row: &Placed<'_>, parent: &str, parents: &[&Placed<'_>], levels: &Levels<'_>, faults: &mut Faults) {
    let child = &row.unit.code;
    if parents.is_empty() {
        faults.add(row.place, format!("org unit `{child}` has the parent `{parent}`, which has no row"));
        return;
    }
    let during: Vec<&&Placed<'_>> = parents.iter().filter(|p| p.end() > row.start() && p.start() < row.end()).collect();
    if let Some(day) = first_gap(during.iter().map(|parent| (parent.start(), parent.end())), row.start(), row.end()) {
        let when = match during.first() {
            _ if day > Date::MIN => format!("on {day}"),
            Some(first) => format!("before {}", first.start()),
            None => format!("before {}", row.end()),
        };
        faults.add(row.place, format!("org unit `{child}` has the parent `{parent}`, which does not exist {when}"));
    }
    if let Some(wrong) = during.iter().find(|parent| parent.unit.level >= row.unit.level) {
        let what = format!(
            "org unit `{child}` of level {} has the parent `{parent}` of level {} ({}); a parent is of a level above, so \
             that no unit is its own ancestor",
            levels.code(row.unit.level),
            levels.code(wrong.unit.level),
            wrong.place
        );
        faults.add(row.place, what);
    }
}

/// Codes are given anew only when units change.
fn check_recoded(rows: &[Placed<'_>], recoded: &[(Place<'_>, Date)], faults: &mut Faults) {
    let changed = |day| rows.iter().any(|row| row.unit.valid_from == Some(day) || row.unit.valid_to == Some(day));
    for (place, day) in recoded.iter().filter(|(_, day)| !changed(*day)) {
        let what = format!("no unit begins or ends on {day}; recoded names days that are a valid_from or a valid_to");
        faults.add(*place, what);
    }
}

/// A level without units is a slip: nobody would ever report what is asked of it.
fn check_levels(rows: &[Placed<'_>], levels: &Levels<'_>, faults: &mut Faults) {
    for (place, level) in levels.placed().filter(|(_, level)| rows.iter().all(|row| row.unit.level != *level)) {
        let code = levels.code(level);
        faults
            .add(place, format!("no org unit is ever of level `{code}`; take it out, or give it units in {ORG_UNITS}"));
    }
}

/// The first day from `start` to before `end` that no span covers. The spans come by their first day.
fn first_gap(spans: impl Iterator<Item = (Date, Date)>, start: Date, end: Date) -> Option<Date> {
    let mut covered = start;
    for (from, to) in spans {
        if from > covered {
            break;
        }
        covered = covered.max(to);
    }
    (covered < end).then_some(covered)
}

/// One unit without a parent, on every day.
fn check_roots(rows: &[Placed<'_>], faults: &mut Faults) {
    let mut roots: Vec<&Placed<'_>> = rows.iter().filter(|row| row.unit.parent.is_none()).collect();
    roots.sort_by_key(|row| row.start());
    for (first, second) in overlaps(&roots) {
        let what = format!(
            "org unit `{}` has no parent_code, nor has `{}` {}; exactly one unit has none",
            second.unit.code, first.unit.code, first.place
        );
        faults.add(second.place, what);
    }
    if let Some(day) = first_gap(roots.iter().map(|root| (root.start(), root.end())), Date::MIN, Date::MAX) {
        let when = if day == Date::MIN { "at the beginning of time".to_owned() } else { format!("on {day}") };
        let what = format!(
            "no unit is without a parent_code {when}; exactly one must be, the whole country, with valid_from and valid_to empty"
        );
        faults.add(Place::file(ORG_UNITS), what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_rows(rows: &str) -> (Option<(Vec<UnitVersion>, OrgTree)>, String) {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set(crate::files::LEVELS, "code,name_vi,name_en,stands_in_for\nland,N,L,\ncity,T,C,\nward,X,W,\n");
        // A unit of each level, so that none is without.
        let all = format!("{}\nV,Land,land,,,,\n{rows}Z,Z,city,,V,,\nZZ,Z,ward,,Z,,\n", COLUMNS.join(","));
        files.set(ORG_UNITS, &all);
        let levels = Levels::read(&files, &mut faults).unwrap();
        let read = read(&files, &levels, &[], &mut faults);
        (read, faults.to_string())
    }

    fn faults(rows: &str) -> String {
        read_rows(rows).1
    }

    #[test]
    fn a_code_may_pass_to_another_unit() {
        let (read, faults) = read_rows("1,Old,city,,V,,2025-07-01\n1,New,city,,V,2025-07-01,\n11,W,ward,,1,,\n");
        assert_eq!(faults, "");
        let (units, tree) = read.unwrap();
        assert_eq!(units.len(), 6);
        assert_eq!(units[1].valid_to, Some(time::macros::date!(2025 - 07 - 01)));
        assert_eq!(tree.vintages().len(), 2);
    }

    #[test]
    fn wrong_fields_are_told() {
        assert_eq!(
            faults("1 1,,town,,V,2025-7-1,2025-02-30\n"),
            "org_units.csv:3: name is empty; every name needs a text\n\
             org_units.csv:3: code `1 1` must be 1 to 16 characters of A-Z, a-z, 0-9, '_' or '-'\n\
             org_units.csv:3: unknown level `town`; the levels are land, city, ward\n\
             org_units.csv:3: valid_from `2025-7-1` must be a day written as 2025-07-01\n\
             org_units.csv:3: valid_to `2025-02-30` must be a day written as 2025-07-01"
        );
        assert_eq!(
            faults("1,A,city,,V,2025-07-01,2025-07-01\n"),
            "org_units.csv:3: valid_to 2025-07-01 must be after valid_from 2025-07-01: it is the first day the unit is no more"
        );
    }

    #[test]
    fn a_code_defined_twice_on_a_day_is_told_on_the_later_row() {
        assert_eq!(
            faults("1,New,city,,V,2025-07-01,\n1,Old,city,,V,,2025-08-01\n"),
            "org_units.csv:4: org unit `1` is also defined on line 3 for the days from 2025-07-01 to before 2025-08-01; \
             end one before the other begins"
        );
        assert_eq!(
            faults("1,A,city,,V,,\n1,A,city,,V,,\n"),
            "org_units.csv:4: org unit `1` is also defined on line 3 for the same days; end one before the other begins"
        );
    }

    #[test]
    fn a_long_row_overlaps_every_later_one() {
        let faults = faults("1,A,city,,V,,\n1,B,city,,V,2024-01-01,2025-01-01\n1,C,city,,V,2025-01-01,\n");
        assert_eq!(faults.lines().count(), 2, "{faults}");
        assert!(faults.contains("org_units.csv:4: ") && faults.contains("org_units.csv:5: "), "{faults}");
    }

    #[test]
    fn an_orphan_is_told_with_the_day() {
        assert_eq!(faults("1,A,city,,W,,\n"), "org_units.csv:3: org unit `1` has the parent `W`, which has no row");
        let with_parent = |spans: &str| faults(&format!("11,B,ward,,1,2024-01-01,2026-01-01\n{spans}"));
        let orphan = "org_units.csv:3: org unit `11` has the parent `1`, which does not exist on";
        assert_eq!(with_parent("1,A,city,,V,,2025-07-01\n"), format!("{orphan} 2025-07-01"));
        assert_eq!(with_parent("1,A,city,,V,2024-05-01,\n"), format!("{orphan} 2024-01-01"));
        assert_eq!(with_parent("1,A,city,,V,,2024-01-01\n"), format!("{orphan} 2024-01-01"));
        assert_eq!(with_parent("1,A,city,,V,,2025-01-01\n1,A,city,,V,2025-02-01,\n"), format!("{orphan} 2025-01-01"));
        assert_eq!(with_parent("1,A,city,,V,,2025-01-01\n1,A,city,,V,2025-01-01,\n"), "");
        assert_eq!(
            faults("1,A,city,,V,2025-01-01,\n11,B,ward,,1,,\n"),
            "org_units.csv:4: org unit `11` has the parent `1`, which does not exist before 2025-01-01"
        );
    }

    #[test]
    fn a_cycle_is_told_on_the_row_that_closes_it() {
        let above = "a parent is of a level above, so that no unit is its own ancestor";
        assert_eq!(
            faults("1,A,city,,11,,\n11,B,ward,,1,,\n"),
            format!(
                "org_units.csv:3: org unit `1` of level city has the parent `11` of level ward (on line 4); {above}"
            )
        );
        assert_eq!(
            faults("1,A,city,,1,,\n"),
            format!(
                "org_units.csv:3: org unit `1` of level city has the parent `1` of level city (on line 3); {above}"
            )
        );
    }

    #[test]
    fn exactly_one_unit_has_no_parent_on_every_day() {
        assert_eq!(
            faults("1,A,city,,,,\n"),
            "org_units.csv:3: org unit `1` has no parent_code, nor has `V` on line 2; exactly one unit has none"
        );
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set(ORG_UNITS, &format!("{}\nV,Land,city,,,2020-01-01,\nS,S,school,,V,2020-01-01,\n", COLUMNS.join(",")));
        let levels = Levels::read(&files, &mut faults).unwrap();
        assert!(read(&files, &levels, &[], &mut faults).is_none());
        assert_eq!(
            faults.to_string(),
            "org_units.csv: no unit is without a parent_code at the beginning of time; exactly one must be, the whole \
             country, with valid_from and valid_to empty"
        );
    }

    #[test]
    fn codes_are_given_anew_only_when_the_tree_changes() {
        let mut files = Files::sample();
        files.edit(
            ORG_UNITS,
            "S1,Hoa Mai,school,,C,,\n",
            "S1,Hoa Mai,school,,C,,2025-01-01\nS1,Hoa Sen,school,,C,2025-01-01,\n",
        );
        let read = |day| {
            let mut faults = Faults::default();
            let levels = Levels::read(&files, &mut faults).unwrap();
            let tree = read(&files, &levels, &[(Place::line("catalogue.toml", 3), day)], &mut faults);
            (tree.map(|(_, tree)| tree), faults.to_string())
        };
        let (old, new) = (time::macros::date!(2024 - 06 - 01), time::macros::date!(2025 - 01 - 01));
        let tree = read(new).0.unwrap();
        let school = tree.on(old).find("S1").unwrap();
        assert!(!tree.continued(school, old, new).1, "the same code is another school");
        assert_eq!(
            read(time::macros::date!(2025 - 02 - 01)).1,
            "catalogue.toml:3: no unit begins or ends on 2025-02-01; recoded names days that are a valid_from or a valid_to"
        );
    }

    #[test]
    fn a_level_has_units() {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.edit(crate::files::LEVELS, "school,", "class,Lớp,Class,\nschool,");
        let levels = Levels::read(&files, &mut faults).unwrap();
        assert!(read(&files, &levels, &[], &mut faults).is_none());
        assert_eq!(
            faults.to_string(),
            "levels.csv:3: no org unit is ever of level `class`; take it out, or give it units in org_units.csv"
        );
    }

    #[test]
    fn what_hangs_from_a_faulty_row_is_not_judged() {
        assert_eq!(
            faults("1,A,town,,V,,\n11,B,ward,,1,,\n"),
            "org_units.csv:3: unknown level `town`; the levels are land, city, ward"
        );
    }
}
