//! `option_groups/*.csv`: options of a list that are counted together, and on which days they are.

use std::collections::BTreeMap;

use domain::{
    OptionCode,
    catalogue::{CategoryOption, Cell, CellGroup, GroupMember, ValueType},
};
use serde::Deserialize;
use time::Date;

use crate::{
    csv_file, day,
    fault::{Faults, Place, filled, listed, parsed},
    files::{Files, OPTION_GROUPS},
    options::OptionLists,
};

const COLUMNS: [&str; 6] = ["group", "name_vi", "name_en", "option", "valid_from", "valid_to"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    group: String,
    name_vi: String,
    name_en: String,
    option: String,
    valid_from: Option<String>,
    valid_to: Option<String>,
}

/// An option for as long as it belongs to a group.
#[derive(Debug)]
struct Member<'a> {
    place: Place<'a>,
    option: String,
    valid_from: Option<Date>,
    valid_to: Option<Date>,
}

impl Member<'_> {
    /// Whether both are the same option's, on some day.
    fn overlaps(&self, other: &Self) -> bool {
        let begins_before_end = |one: &Self, two: &Self| match (one.valid_from, two.valid_to) {
            (Some(from), Some(to)) => from < to,
            _ => true,
        };
        self.option == other.option && begins_before_end(self, other) && begins_before_end(other, self)
    }
}

/// Options that are counted together.
#[derive(Debug)]
struct Group<'a> {
    place: Place<'a>,
    group: CategoryOption,
    members: Vec<Member<'a>>,
}

/// The groups of each list, in the order of their files.
#[derive(Debug)]
pub(crate) struct OptionGroups<'a>(BTreeMap<String, Vec<Group<'a>>>);

impl<'a> OptionGroups<'a> {
    /// Every group, without the rows that have a fault.
    pub(crate) fn read(files: &'a Files, lists: &OptionLists, faults: &mut Faults) -> Self {
        let mut groups = BTreeMap::new();
        for (name, path) in files.of(OPTION_GROUPS) {
            match lists.get(name) {
                Some(list) => {
                    groups.insert(name.to_owned(), read_file(files, path, (name, list), faults));
                }
                None => {
                    let what = format!("there is no option list `{name}`; the files in options/ are {}", lists.names());
                    faults.add(Place::file(path), what);
                }
            }
        }
        Self(groups)
    }

    /// The groups of a form's cells: for each data element those of its list, whose name `list_of` gives.
    pub(crate) fn of_cells(&self, cells: &[Cell], list_of: impl Fn(&str) -> Option<String>) -> Vec<CellGroup> {
        let mut elements: Vec<&Cell> = Vec::new();
        for cell in cells {
            if !elements.iter().any(|known| known.element.code == cell.element.code) {
                elements.push(cell);
            }
        }
        // Words and days have no sum.
        elements.retain(|cell| !matches!(cell.element.value_type, ValueType::Text | ValueType::Date));
        let groups = elements.into_iter().flat_map(|cell| {
            let groups = list_of(cell.element.code.as_str()).and_then(|list| self.0.get(&list));
            groups.into_iter().flatten().map(|group| group.of_element(cell, cells))
        });
        groups.filter(|group| !group.members.is_empty()).collect()
    }
}

impl Group<'_> {
    /// The cells of a data element that belong to the group.
    fn of_element(&self, of: &Cell, cells: &[Cell]) -> CellGroup {
        let place_of = |option: &str| {
            let is_it = |cell: &Cell| {
                cell.element.code == of.element.code
                    && cell.option.as_ref().is_some_and(|own| own.code.as_str() == option)
            };
            cells.iter().position(is_it)
        };
        let members = self.members.iter().filter_map(|member| {
            let cell = place_of(&member.option)?;
            Some(GroupMember { cell, valid_from: member.valid_from, valid_to: member.valid_to })
        });
        CellGroup { element: of.element.code.clone(), group: self.group.clone(), members: members.collect() }
    }
}

fn read_file<'a>(
    files: &'a Files,
    path: &'a str,
    (name, list): (&str, &[CategoryOption]),
    faults: &mut Faults,
) -> Vec<Group<'a>> {
    let before = faults.count();
    let mut groups: Vec<Group<'a>> = Vec::new();
    let Some(file) = files.text(path, faults) else { return groups };
    for (place, row) in csv_file::rows::<Row>(file, &COLUMNS, faults) {
        let Row { group: code, name_vi, name_en, option, valid_from, valid_to } = row;
        let Some(code) = parsed::<OptionCode>((place, "group"), &code, faults) else { continue };
        if list.iter().any(|option| option.code == code) {
            faults
                .add(place, format!("group `{code}` has the code of an option of options/{name}.csv; give it another"));
        }
        if !list.iter().any(|known| known.code.as_str() == option) {
            let codes = listed(list.iter().map(|option| option.code.as_str()));
            faults.add(place, format!("unknown option `{option}`; options/{name}.csv has {codes}"));
        }
        let whose = format!("option `{option}`");
        let (valid_from, valid_to) = day::read_span(place, valid_from.as_deref(), valid_to.as_deref(), &whose, faults);
        let member = Member { place, option, valid_from, valid_to };
        if let Some(group) = groups.iter_mut().find(|group| group.group.code == code) {
            check_names(place, group, [("name_vi", &name_vi), ("name_en", &name_en)], faults);
            if let Some(other) = group.members.iter().find(|other| other.overlaps(&member)) {
                let what = format!(
                    "option `{}` is also in group `{code}` {} on some of these days; end one before the other begins",
                    member.option, other.place
                );
                faults.add(place, what);
            }
            group.members.push(member);
        } else {
            filled(place, [("name_vi", &name_vi), ("name_en", &name_en)], faults);
            groups.push(Group { place, group: CategoryOption { code, name_vi, name_en }, members: vec![member] });
        }
    }
    if groups.is_empty() && faults.count() == before {
        faults.add(Place::file(path), "has no group; a row puts an option into one");
    }
    groups
}

/// A group is named on its first row; on the others the name is left out or the same.
fn check_names(place: Place<'_>, group: &Group<'_>, names: [(&str, &str); 2], faults: &mut Faults) {
    let known = [&group.group.name_vi, &group.group.name_en];
    for ((column, name), known) in names.into_iter().zip(known) {
        if !name.is_empty() && name != known {
            let what = format!(
                "{column} `{name}` of group `{}` is `{known}` {}; leave it empty here, or write the same",
                group.group.code, group.place
            );
            faults.add(place, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::assemble;

    const KINDS: &str = "option_groups/kinds.csv";

    fn faults(rows: &str) -> String {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set(KINDS, &format!("{}\n{rows}", COLUMNS.join(",")));
        let lists = OptionLists::read(&files, &mut faults);
        OptionGroups::read(&files, &lists, &mut faults);
        faults.to_string()
    }

    #[test]
    fn a_form_gets_the_groups_of_its_options() {
        let groups =
            |files: &Files| assemble(files, Faults::default()).unwrap().catalogue.data_sets()[0].groups().to_vec();
        let mut files = Files::sample();
        let rice = GroupMember { cell: 1, valid_from: None, valid_to: None };
        let soup = GroupMember { cell: 2, valid_from: Some(date!(2025 - 01 - 01)), valid_to: None };
        let group = CategoryOption {
            code: "warm".parse().unwrap(),
            name_vi: "Món nóng".to_owned(),
            name_en: "Warm".to_owned(),
        };
        let warm = |members| CellGroup { element: "by_kind".parse().unwrap(), group: group.clone(), members };
        assert_eq!(groups(&files), [warm(vec![rice, soup])]);
        // A form without the rice has no place for it; one without both has no such group.
        files.edit("data_sets/meals.toml", "\"by_kind\" }", "\"by_kind\", options = [\"soup\"] }");
        assert_eq!(groups(&files), [warm(vec![GroupMember { cell: 1, ..soup }])]);
        files.edit(KINDS, "warm,,,soup,2025-01-01,\n", "");
        assert_eq!(groups(&files), []);
    }

    #[test]
    fn an_option_may_leave_and_come_back() {
        assert_eq!(
            faults(
                "warm,Nóng,Warm,rice,,2024-01-01\nwarm,Nóng,Warm,rice,2024-01-01,2024-06-01\nwarm,,,rice,2025-01-01,\n"
            ),
            ""
        );
    }

    #[test]
    fn wrong_rows_are_told() {
        assert_eq!(
            faults("warm 1,Nóng,Warm,rice,,\nsoup,Nóng,Warm,fish,,\n"),
            "option_groups/kinds.csv:2: group `warm 1` must be 1 to 40 characters of A-Z, a-z, 0-9, '_' or '-'\n\
             option_groups/kinds.csv:3: group `soup` has the code of an option of options/kinds.csv; give it another\n\
             option_groups/kinds.csv:3: unknown option `fish`; options/kinds.csv has rice, soup"
        );
        assert_eq!(
            faults("warm,,Warm,rice,2025-02-01,2025-01-01\nwarm,,Hot,soup,1/1/2025,\n"),
            "option_groups/kinds.csv:2: valid_to 2025-01-01 must be after valid_from 2025-02-01: it is the first day option \
             `rice` is no more\n\
             option_groups/kinds.csv:2: name_vi is empty; every name_vi needs a text\n\
             option_groups/kinds.csv:3: valid_from `1/1/2025` must be a day written as 2025-07-01\n\
             option_groups/kinds.csv:3: name_en `Hot` of group `warm` is `Warm` on line 2; leave it empty here, or write the same"
        );
        assert_eq!(faults(""), "option_groups/kinds.csv: has no group; a row puts an option into one");
    }

    #[test]
    fn an_option_is_in_a_group_once_on_a_day() {
        assert_eq!(
            faults("warm,Nóng,Warm,rice,,2025-01-02\nwarm,,,soup,,\nwarm,,,rice,2025-01-01,\n"),
            "option_groups/kinds.csv:4: option `rice` is also in group `warm` on line 2 on some of these days; end one before \
             the other begins"
        );
    }

    #[test]
    fn a_file_is_named_like_the_list_it_groups() {
        let (mut files, mut faults) = (Files::sample(), Faults::default());
        files.set("option_groups/kind.csv", "");
        let lists = OptionLists::read(&files, &mut faults);
        OptionGroups::read(&files, &lists, &mut faults);
        assert_eq!(
            faults.to_string(),
            "option_groups/kind.csv: there is no option list `kind`; the files in options/ are kinds"
        );
    }
}
