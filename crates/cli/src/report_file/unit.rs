//! Org units by name: what people write beside a code, or instead of one. Spelling is folded (Hoà and Hòa, Đ and D, case), and
//! where there is a code it decides.

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

/// What is odd about a name that stands beside a code: that the unit bears another.
pub(super) fn contradiction(tree: &Vintage, code: &str, name: &str) -> Option<Message> {
    let unit = tree.unit(tree.find(code)?);
    if bears(unit, &fold_name(name)) {
        return None;
    }
    let own = &unit.name;
    let (vi, en) = match &bearers(tree, name)[..] {
        [] => (String::new(), String::new()),
        others => (format!("; “{name}” là {}", listed(others)), format!("; `{name}` is {}", listed(others))),
    };
    Some(both(
        format!("mã {code} là {own}, không phải “{name}”; báo cáo được gửi theo mã{vi}"),
        format!("the code {code} is {own}, not `{name}`; the report goes by its code{en}"),
    ))
}

/// The code of the one unit that bears a name.
pub(super) fn code_of(tree: &Vintage, name: &str) -> Result<String, Message> {
    match &bearers(tree, name)[..] {
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

fn bearers<'v>(tree: &'v Vintage, name: &str) -> Vec<&'v OrgUnit> {
    let name = fold_name(name);
    tree.units().map(|(_, unit)| unit).filter(|unit| bears(unit, &name)).collect()
}

/// Whether a unit bears a folded name, with its kind or without.
fn bears(unit: &OrgUnit, name: &str) -> bool {
    let (whole, kind) = (fold_name(&unit.name), fold_name(&unit.kind));
    let short = whole.strip_prefix(&kind).map(str::trim_start).filter(|short| !short.is_empty());
    !name.is_empty() && (whole == name || short == Some(name))
}

/// `01234 Xã Tân Tiến, 04321 Xã Tân Tiến …`
fn listed(units: &[&OrgUnit]) -> String {
    let named = units.iter().take(NAMED).map(|unit| format!("{} {}", unit.code, unit.name));
    let more = if units.len() > NAMED { " …" } else { "" };
    format!("{}{more}", named.collect::<Vec<_>>().join(", "))
}
