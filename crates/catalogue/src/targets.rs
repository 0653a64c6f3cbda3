//! `targets.csv`: what is to be reached, by whom and when.

use std::collections::HashMap;

use domain::{
    OrgUnitCode, Period, PeriodType, UnitVersion,
    catalogue::{DataElement, DataSetParts, Goal, SpaceAggregation, Target, TimeAggregation, ValueType},
};
use serde::Deserialize;

use crate::{
    csv_file,
    data_elements::{Element, Elements},
    data_sets::cells_of,
    day,
    fault::{Faults, Place, parsed},
    files::{Files, TARGETS},
};

const COLUMNS: [&str; 6] = ["org_unit", "period", "element", "option", "goal", "due"];

/// Ten times the whole, in hundredths of a per cent: more is a slip.
const MOST_SHARE: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    org_unit: Option<String>,
    period: Option<String>,
    element: String,
    option: Option<String>,
    goal: String,
    due: Option<String>,
}

/// A goal before its cell is known.
#[derive(Clone, Copy)]
enum Wanted<'e> {
    Value(i64),
    Of { share: u32, element: &'e Element },
    OfUnits { share: u32 },
}

/// A row whose fields are each right.
struct Aim<'e> {
    target: &'e Element,
    option: Option<String>,
    org_unit: Option<OrgUnitCode>,
    period: Option<Period>,
    wanted: Wanted<'e>,
    due: Option<time::Date>,
}

/// What is known of the rest of the catalogue.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) elements: &'a Elements,
    /// The rows of the tree by their codes; none where they have a fault.
    pub(crate) units: Option<HashMap<&'a str, Vec<&'a UnitVersion>>>,
    /// Whether all data sets were read: if not, what fits none may fit one of the others.
    pub(crate) whole: bool,
}

/// Gives each data set the targets of its cells.
pub(crate) fn read(files: &Files, known: &Known<'_>, data_sets: &mut [DataSetParts], faults: &mut Faults) {
    let Some(file) = files.text(TARGETS, faults) else { return };
    let mut seen: HashMap<(Option<OrgUnitCode>, Option<Period>, String), Place<'_>> = HashMap::new();
    for (place, row) in csv_file::rows::<Row>(file, &COLUMNS, faults) {
        let before = faults.count();
        let Some(aim) = read_row(place, row, known, faults).filter(|_| faults.count() == before) else { continue };
        let mut found = Found::Cell;
        for data_set in &mut *data_sets {
            let (targets, so_far) = aim.targets(data_set);
            found = found.max(so_far);
            for target in targets {
                let cell = data_set.cells[target.cell].to_string();
                let key = (aim.org_unit.clone(), aim.period, format!("{} {cell}", data_set.code));
                match seen.get(&key) {
                    Some(earlier) => {
                        let what = format!("the target of {cell} is set twice; first {earlier}");
                        faults.add(place, what);
                        break;
                    }
                    None => {
                        seen.insert(key, place);
                        aim.check_unit(place, &target, data_set, known, faults);
                        data_set.targets.push(target);
                    }
                }
            }
        }
        if found < Found::All && known.whole {
            faults.add(place, aim.missing(found));
        }
    }
}

fn read_row<'e>(place: Place<'_>, row: Row, known: &Known<'e>, faults: &mut Faults) -> Option<Aim<'e>> {
    let Row { org_unit, period, element, option, goal, due } = row;
    let org_unit = org_unit.and_then(|code| parsed::<OrgUnitCode>((place, "org_unit"), &code, faults));
    if let (Some(code), Some(units)) = (&org_unit, &known.units)
        && !units.contains_key(code.as_str())
    {
        faults.add(place, format!("unknown org unit `{code}`; org_units.csv has none of that code"));
    }
    let period = period.and_then(|text| parsed::<Period>((place, "period"), &text, faults));
    if period.is_some_and(|period| period.kind() == PeriodType::Latest) {
        faults.add(place, "period `latest` never ends; name one that does, or leave it empty for every period");
    }
    let due = due.and_then(|text| day::read((place, "due"), &text, faults));
    let target = known.elements.find(place, &element, faults)?;
    if due.is_some() && period.is_none() && target.element.time_aggregation == TimeAggregation::Sum {
        // Whether all there ever was is to reach the goal by then, or each period's own, nobody could tell.
        faults.add(place, format!("`{element}` is added up over time; with due name the period whose sum is meant"));
    }
    check_target(place, target, option.as_deref(), faults)?;
    let wanted = read_goal(place, &goal, &target.element, known.elements, faults)?;
    if let Wanted::Of { element, .. } = wanted {
        check_other(place, target, element, faults);
    }
    Some(Aim { target, option, org_unit, period, wanted, due })
}

/// Whether something can be reached in a data element's cells.
fn check_target(place: Place<'_>, target: &Element, option: Option<&str>, faults: &mut Faults) -> Option<()> {
    let code = &target.element.code;
    let what = match (target.element.value_type, target.element.space_aggregation) {
        (ValueType::Date, _) => format!("`{code}` is a day; a target is for numbers and flags"),
        (ValueType::Text, _) => format!("`{code}` is words; a target is for numbers and flags"),
        (_, SpaceAggregation::Mean) => format!("`{code}` is averaged; a target is for what is counted"),
        _ if option.is_some() && target.options.is_none() => format!("`{code}` has no options; leave option empty"),
        _ => return Some(()),
    };
    faults.add(place, what);
    None
}

/// Whether a share of the other can be asked of the first.
fn check_other(place: Place<'_>, target: &Element, other: &Element, faults: &mut Faults) {
    let (one, two) = (&target.element, &other.element);
    let number = |element: &DataElement| {
        matches!(element.value_type, ValueType::Count | ValueType::Signed | ValueType::Decimal(_))
    };
    let what = if one.code == two.code {
        format!("the goal of `{}` is a share of itself; name another data element", one.code)
    } else if !number(one) {
        format!("`{}` is a flag; its goal is a share of the units, such as 100% of units", one.code)
    } else if !number(two) || two.space_aggregation == SpaceAggregation::Mean {
        format!("a share of `{}` is no number; name a data element that is counted", two.code)
    } else if one.space_aggregation.is_additive() != two.space_aggregation.is_additive() {
        format!(
            "of `{}` and `{}` only one is added up over org units: give both the same space_agg",
            one.code, two.code
        )
    } else if other.options.is_some() && other.options != target.options {
        format!("`{}` is broken down and `{}` not by the same list: a goal would have no cell", two.code, one.code)
    } else {
        return;
    };
    faults.add(place, what);
}

/// `1283830`, `92.5`, `100% of id_eligible_citizens` or `100% of units`.
fn read_goal<'e>(
    place: Place<'_>,
    text: &str,
    target: &DataElement,
    elements: &'e Elements,
    faults: &mut Faults,
) -> Option<Wanted<'e>> {
    let Some((share, of)) = text.split_once("% of ") else {
        let value = plain(text, target.value_type.decimals())
            .filter(|value| *value >= 0 || target.value_type == ValueType::Signed);
        if value.is_none() {
            let what = format!(
                "goal `{text}` must be a number such as 1283830 (digits, and a point before the {} decimals of `{}`), or a \
                 share such as 100% of units or 92.5% of a data element",
                target.value_type.decimals(),
                target.code
            );
            faults.add(place, what);
        }
        return value.map(Wanted::Value);
    };
    let hundredths = plain(share, 2).and_then(|share| u32::try_from(share).ok());
    let Some(share) = hundredths.filter(|share| (1..=MOST_SHARE).contains(share)) else {
        let what =
            format!("goal `{text}` must have a share from 0.01% to 1000% with at most two decimals, such as 92.5%");
        faults.add(place, what);
        return None;
    };
    if of == "units" {
        if target.value_type != ValueType::Flag {
            faults.add(place, format!("`{}` is no flag; a share of the units is a goal for flags", target.code));
            return None;
        }
        return Some(Wanted::OfUnits { share });
    }
    elements.find(place, of, faults).map(|element| Wanted::Of { share, element })
}

/// A number written plainly, scaled by its decimals.
fn plain(text: &str, decimals: u8) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let places = usize::from(decimals);
    if whole.is_empty() || digits.ends_with('.') || !only_digits(whole) || !only_digits(part) || part.len() > places {
        return None;
    }
    let number: i64 = format!("{whole}{part:0<places$}").parse().ok()?;
    Some(if negative { -number } else { number })
}

/// How far a row got in fitting a data set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// Not to a cell of its data element.
    Cell,
    /// To a cell of the data element, but not to one of its option.
    Option,
    /// To its cell, but not to one of the data element of which it asks a share.
    Other,
    /// To both, but not to periods of its kind.
    Period,
    All,
}

impl Aim<'_> {
    /// The targets this is in a data set, and how far it got.
    fn targets(&self, data_set: &DataSetParts) -> (Vec<Target>, Found) {
        let option = |place: usize| data_set.cells[place].option.as_ref().map(|option| option.code.as_str());
        let mut cells: Vec<usize> = cells_of(data_set, self.target.element.code.as_str()).collect();
        if cells.is_empty() {
            return (Vec::new(), Found::Cell);
        }
        cells.retain(|place| self.option.is_none() || option(*place) == self.option.as_deref());
        if cells.is_empty() {
            return (Vec::new(), Found::Option);
        }
        let goal = |cell: usize| match self.wanted {
            Wanted::Value(value) => Some(Goal::Value(value)),
            Wanted::OfUnits { share } => Some(Goal::OfUnits { share }),
            Wanted::Of { share, element } => {
                let own = if element.options.is_some() { option(cell) } else { None };
                let mut others = cells_of(data_set, element.element.code.as_str());
                others.find(|other| option(*other) == own).map(|cell| Goal::Of { share, cell })
            }
        };
        let goals: Vec<(usize, Goal)> = cells.into_iter().filter_map(|cell| Some((cell, goal(cell)?))).collect();
        if goals.is_empty() {
            return (Vec::new(), Found::Other);
        }
        if !self.period.is_none_or(|period| is_added_up(data_set.period_type, period.kind())) {
            return (Vec::new(), Found::Period);
        }
        let target =
            |(cell, goal)| Target { org_unit: self.org_unit.clone(), period: self.period, cell, goal, due: self.due };
        (goals.into_iter().map(target).collect(), Found::All)
    }

    /// What no data set has.
    fn missing(&self, found: Found) -> String {
        let code = &self.target.element.code;
        match (found, &self.option, self.wanted, self.period) {
            (Found::Option, Some(option), ..) => format!("no data set has a cell {code}[{option}]"),
            (Found::Other, _, Wanted::Of { element, .. }, _) => {
                format!("no data set has cells of both `{code}` and `{}`", element.element.code)
            }
            (Found::Period, _, _, Some(period)) => format!(
                "period `{period}` is a {}; no data set with `{code}` is reported for one or added up over one",
                period.kind()
            ),
            _ => format!("no data set has a cell of `{code}`"),
        }
    }

    /// The unit exists when the period ends.
    fn check_unit(
        &self,
        place: Place<'_>,
        target: &Target,
        data_set: &DataSetParts,
        known: &Known<'_>,
        faults: &mut Faults,
    ) {
        let (Some(code), Some(period), Some(units)) = (&target.org_unit, target.period, &known.units) else { return };
        let last = period.span(data_set.calendar).last;
        let exists = |unit: &UnitVersion| {
            unit.valid_from.is_none_or(|from| from <= last) && unit.valid_to.is_none_or(|to| last < to)
        };
        if !units.get(code.as_str()).is_some_and(|rows| rows.iter().any(|unit| exists(unit))) {
            faults.add(place, format!("org unit `{code}` does not exist on {last}, the last day of {period}"));
        }
    }
}

/// Whether a data set of periods of one kind has totals for periods of another: its own, and from the month up longer ones.
fn is_added_up(own: PeriodType, other: PeriodType) -> bool {
    own == other || (other > own && other >= PeriodType::Month && other <= PeriodType::Year)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::assemble;

    fn read(rows: &str) -> Result<Vec<Target>, String> {
        let mut files = Files::sample();
        files.edit(
            "data_elements.csv",
            "served,",
            "rooms,Phòng,Rooms,meal,count,stock,last,none,room,school,\n\
             heat,Nhiệt,Heat,meal,decimal:1,flow,none,mean,degree,school,\n\
             change,Tăng,Change,meal,signed,flow,sum,sum,meal,school,\n\
             planned,Kế hoạch,Planned,meal,count,flow,sum,sum,meal,school,kinds\n\
             clean,Sạch,Clean,meal,flag,stock,last,coverage,,school,\n\
             unused,Thừa,Unused,meal,count,flow,sum,sum,meal,school,\nserved,",
        );
        let more =
            ["rooms", "heat", "change", "planned", "clean"].map(|code| format!("    {{ element = \"{code}\" }},\n"));
        let weight = "    { element = \"weight\" },\n";
        files.edit("data_sets/meals.toml", weight, &format!("{weight}{}", more.concat()));
        files.set(TARGETS, &format!("{}\n{rows}", COLUMNS.join(",")));
        let loaded = assemble(&files, Faults::default()).map_err(|faults| faults.to_string())?;
        Ok(loaded.catalogue.data_sets()[0].targets().to_vec())
    }

    fn fault(row: &str) -> String {
        let faults = read(&format!("{row}\n")).unwrap_err();
        let only = faults.strip_prefix("targets.csv:2: ").unwrap_or(&faults);
        only.to_owned()
    }

    #[test]
    fn goals_are_numbers_and_shares() {
        let goals =
            |rows: &str| read(rows).unwrap().into_iter().map(|target| (target.cell, target.goal)).collect::<Vec<_>>();
        assert_eq!(goals(",,served,,1283830,\n"), [(0, Goal::Value(1_283_830))]);
        assert_eq!(goals(",,weight,,92.5,\n,2025,weight,,92,\n"), [(3, Goal::Value(925)), (3, Goal::Value(920))]);
        assert_eq!(goals(",,change,,-5,\n"), [(6, Goal::Value(-5))]);
        assert_eq!(goals(",,clean,,95% of units,\n"), [(9, Goal::OfUnits { share: 9_500 })]);
        assert_eq!(goals(",,clean,,2,\n"), [(9, Goal::Value(2))], "so many units");
        assert_eq!(goals(",,weight,,0.25% of served,\n"), [(3, Goal::Of { share: 25, cell: 0 })]);
        let planned = |share, cell| Goal::Of { share, cell };
        assert_eq!(goals(",,by_kind,,100% of planned,\n"), [(1, planned(10_000, 7)), (2, planned(10_000, 8))]);
        assert_eq!(goals(",,by_kind,soup,100% of served,\n"), [(2, planned(10_000, 0))]);
    }

    #[test]
    fn a_target_is_one_units_or_everyones_for_a_period_or_every_one() {
        let [target] = &read("S1,2025W40,served,,100,2025-10-31\n").unwrap()[..] else { panic!("one target") };
        assert_eq!(target.org_unit.as_ref().unwrap().as_str(), "S1");
        assert_eq!((target.period, target.due), ("2025W40".parse().ok(), Some(date!(2025 - 10 - 31))));
        let [target] = &read(",,served,,100,\n").unwrap()[..] else { panic!("one target") };
        assert_eq!((&target.org_unit, target.period, target.due), (&None, None, None));
    }

    #[test]
    fn wrong_units_periods_and_days_are_told() {
        assert_eq!(fault("S9,,served,,1,"), "unknown org unit `S9`; org_units.csv has none of that code");
        assert_eq!(fault("S 1,,served,,1,"), "org_unit `S 1` must be 1 to 16 characters of A-Z, a-z, 0-9, '_' or '-'");
        assert_eq!(fault("S2,2025,served,,1,"), "org unit `S2` does not exist on 2025-12-31, the last day of 2025");
        assert!(fault(",2025-10,served,,1,").starts_with("period `2025-10` must look like "));
        assert_eq!(
            fault(",latest,served,,1,"),
            "period `latest` never ends; name one that does, or leave it empty for every period"
        );
        assert_eq!(
            fault(",20251001,served,,1,"),
            "period `20251001` is a day; no data set with `served` is reported for one or added up over one"
        );
        assert_eq!(fault(",,served,,1,31/12/2025"), "due `31/12/2025` must be a day written as 2025-07-01");
    }

    #[test]
    fn wrong_cells_are_told() {
        assert_eq!(fault(",,meals,,1,"), "unknown data element `meals`; define it in data_elements.csv");
        assert_eq!(fault(",,unused,,1,"), "no data set has a cell of `unused`");
        assert_eq!(fault(",,by_kind,fish,1,"), "no data set has a cell by_kind[fish]");
        assert_eq!(fault(",,served,soup,1,"), "`served` has no options; leave option empty");
        assert_eq!(fault(",,note,,1,"), "`note` is words; a target is for numbers and flags");
        assert_eq!(fault(",,day,,1,"), "`day` is a day; a target is for numbers and flags");
        assert_eq!(fault(",,heat,,1,"), "`heat` is averaged; a target is for what is counted");
    }

    #[test]
    fn wrong_goals_are_told() {
        let number = |text: &str, decimals: u8, code: &str| {
            format!(
                "goal `{text}` must be a number such as 1283830 (digits, and a point before the {decimals} decimals of \
                 `{code}`), or a share such as 100% of units or 92.5% of a data element"
            )
        };
        for text in ["", "1.283.830", "1.5", "1.", ".5", "-1", "100%", "100%of units", "99999999999999999999"] {
            assert_eq!(fault(&format!(",,served,,{text},")), number(text, 0, "served"));
        }
        assert_eq!(fault(",,weight,,1.25,"), number("1.25", 1, "weight"));
        for text in ["0% of served", "1000.01% of served", "1.234% of served", "-1% of served", "x% of served"] {
            assert_eq!(
                fault(&format!(",,weight,,{text},")),
                format!("goal `{text}` must have a share from 0.01% to 1000% with at most two decimals, such as 92.5%")
            );
        }
        let told = |element: &str, of: &str, what: &str| assert_eq!(fault(&format!(",,{element},,50% of {of},")), what);
        told("served", "units", "`served` is no flag; a share of the units is a goal for flags");
        told("clean", "served", "`clean` is a flag; its goal is a share of the units, such as 100% of units");
        told("served", "meals", "unknown data element `meals`; define it in data_elements.csv");
        told("served", "served", "the goal of `served` is a share of itself; name another data element");
        told("served", "heat", "a share of `heat` is no number; name a data element that is counted");
        told("served", "clean", "a share of `clean` is no number; name a data element that is counted");
        told(
            "served",
            "rooms",
            "of `served` and `rooms` only one is added up over org units: give both the same space_agg",
        );
        told(
            "served",
            "by_kind",
            "`by_kind` is broken down and `served` not by the same list: a goal would have no cell",
        );
        told("served", "unused", "no data set has cells of both `served` and `unused`");
    }

    #[test]
    fn a_target_is_set_once() {
        assert_eq!(
            read(",,by_kind,,5,\n,2025,by_kind,,5,\n,,by_kind,soup,6,\n").unwrap_err(),
            "targets.csv:4: the target of by_kind[soup] is set twice; first on line 2"
        );
    }
}
