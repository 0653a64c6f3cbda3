//! Org units by name: what people write beside a code, or instead of one. Spelling is folded (Hoà and Hòa, Đ and D, case), and
//! where there is a code it decides.

use std::collections::HashMap;

use catalogue::fold_name;
use domain::{Catalogue, Message, OrgUnit, Period, Vintage};

use crate::output::both;

/// The most units that are named where a name means several.
const NAMED: usize = 5;

/// The tree that reports a period of a form, where both are known.
pub(super) fn tree<'c>(catalogue: &'c Catalogue, data_set: &str, period: &str) -> Option<&'c Vintage> {
    let period: Period = period.parse().ok()?;
    Some(catalogue.vintage(catalogue.find_data_set(data_set)?, period))
}

/// The units of trees by their folded names, with their kinds and without. A tree's are folded once, when a name is first
/// looked up in it: there are more than ten thousand.
#[derive(Debug, Default)]
pub(super) struct Names<'c> {
    trees: Vec<(&'c Vintage, HashMap<String, Vec<&'c OrgUnit>>)>,
}

impl<'c> Names<'c> {
    /// What is odd about a name that stands beside a code: that the unit bears another.
    pub(super) fn contradiction(&mut self, tree: &'c Vintage, code: &str, name: &str) -> Option<Message> {
        let unit = tree.unit(tree.find(code)?);
        if folded(unit).any(|own| own == fold_name(name)) {
            return None;
        }
        let own = &unit.name;
        let (vi, en) = match self.bearers(tree, name) {
            [] => (String::new(), String::new()),
            others => (format!("; “{name}” là {}", listed(others)), format!("; `{name}` is {}", listed(others))),
        };
        Some(both(
            format!("mã {code} là {own}, không phải “{name}”; báo cáo được gửi theo mã{vi}"),
            format!("the code {code} is {own}, not `{name}`; the report goes by its code{en}"),
        ))
    }

    /// The code of the one unit that bears a name.
    pub(super) fn code_of(&mut self, tree: &'c Vintage, name: &str) -> Result<String, Message> {
        match self.bearers(tree, name) {
            [unit] => Ok(unit.code.to_string()),
            [] => Err(both(
                format!("không có đơn vị nào tên “{name}” trong kỳ này; hãy ghi mã vào cột org_unit"),
                format!("no unit is named `{name}` in this period; give its code in the column org_unit"),
            )),
            several => Err(both(
                format!("có nhiều đơn vị tên “{name}”: {}; hãy ghi mã vào cột org_unit", listed(several)),
                format!("several units are named `{name}`: {}; give the code in the column org_unit", listed(several)),
            )),
        }
    }

    /// The units that bear a name, in the order of the tree.
    fn bearers(&mut self, tree: &'c Vintage, name: &str) -> &[&'c OrgUnit] {
        let index = match self.trees.iter().position(|(known, _)| std::ptr::eq(*known, tree)) {
            Some(index) => index,
            None => {
                let mut by_name: HashMap<String, Vec<&OrgUnit>> = HashMap::new();
                for (_, unit) in tree.units() {
                    for name in folded(unit) {
                        by_name.entry(name).or_default().push(unit);
                    }
                }
                self.trees.push((tree, by_name));
                self.trees.len() - 1
            }
        };
        self.trees[index].1.get(&fold_name(name)).map_or(&[], Vec::as_slice)
    }
}

/// The folded names of a unit: with its kind and, where that leaves something else, without.
fn folded(unit: &OrgUnit) -> impl Iterator<Item = String> {
    let (whole, kind) = (fold_name(&unit.name), fold_name(&unit.kind));
    let short = whole.strip_prefix(&kind).map(str::trim_start).filter(|short| *short != whole).map(str::to_owned);
    [Some(whole), short].into_iter().flatten().filter(|name| !name.is_empty())
}

/// `01234 Xã Tân Tiến, 04321 Xã Tân Tiến …`
fn listed(units: &[&OrgUnit]) -> String {
    let named = units.iter().take(NAMED).map(|unit| format!("{} {}", unit.code, unit.name));
    let more = if units.len() > NAMED { " …" } else { "" };
    format!("{}{more}", named.collect::<Vec<_>>().join(", "))
}
