//! What stands in a field of a table of totals.

use domain::catalogue::{Cell, ValueType};
use proto::pb::query::v1::{Aggregation, CellTotal, GroupTotal, Indicator, LevelTotals, Target};

use crate::{
    number::{count, grouped, mean, percent},
    output::Output,
};

/// What stands where no unit gave a value: absent is not zero.
pub(crate) const ABSENT: &str = "–";

/// `svc_online[s03]`
pub(crate) fn name_of(cell: &CellTotal) -> String {
    name(&cell.data_element, &cell.option)
}

/// `svc_online[police]`
pub(crate) fn group_name(group: &GroupTotal) -> String {
    name(&group.data_element, &group.group)
}

/// `svc_online_rate[s03]`
pub(crate) fn indicator_name(indicator: &Indicator) -> String {
    name(&indicator.code, &indicator.option)
}

pub(crate) fn name(code: &str, option: &str) -> String {
    if option.is_empty() { code.to_owned() } else { format!("{code}[{option}]") }
}

/// Who has reported: `109/109`.
pub(crate) fn completeness(level: &LevelTotals) -> String {
    format!("{}/{}", count(level.reported), count(level.expected))
}

/// Who has reported before the deadline, of those who have reported: `100/109`.
pub(crate) fn punctuality(level: &LevelTotals) -> String {
    format!("{}/{}", count(level.on_time), count(level.reported))
}

/// A cell's total as people read it. What is known of the cell tells a day from a number.
pub(crate) fn cell_value(cell: &CellTotal, known: Option<&Cell>, output: &Output) -> String {
    let Some(sum) = cell.sum else { return ABSENT.to_owned() };
    if known.is_some_and(|known| known.element.value_type == ValueType::Date) {
        return format!("{:04}-{:02}-{:02}", sum / 10_000, sum / 100 % 100, sum % 100);
    }
    match cell.aggregation() {
        Aggregation::Mean => format!("≈ {}", mean(sum, cell.decimals, cell.contributing)),
        // How many say yes, out of how many should say.
        Aggregation::Coverage => format!("{}/{}", count(sum), count(cell.expected)),
        // How many said something: `tonghop reports` shows what.
        Aggregation::Collect => format!("{} {}", count(cell.contributing), output.lang().of("đơn vị", "units")),
        Aggregation::Sum | Aggregation::None | Aggregation::Unspecified => grouped(sum, cell.decimals),
    }
}

/// A group's total as people read it.
pub(crate) fn group_value(group: &GroupTotal) -> String {
    let Some(sum) = group.sum else { return ABSENT.to_owned() };
    match group.aggregation() {
        Aggregation::Mean => format!("≈ {}", mean(sum, group.decimals, group.contributing)),
        _ => grouped(sum, group.decimals),
    }
}

/// `92,3%`
pub(crate) fn share(value: Option<&String>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| percent(value))
}

/// An indicator with the two totals it is made of: `92,3% (1.205.627/1.306.217)`.
pub(crate) fn indicator_value(indicator: &Indicator) -> String {
    let Indicator { code: _, option: _, numerator, numerator_decimals, denominator, denominator_decimals, value } =
        indicator;
    if (numerator, denominator) == (&None, &None) {
        return ABSENT.to_owned();
    }
    let part = |number: &Option<i64>, decimals| number.map_or(ABSENT.to_owned(), |number| grouped(number, decimals));
    let (numerator, denominator) = (part(numerator, *numerator_decimals), part(denominator, *denominator_decimals));
    format!("{} ({numerator}/{denominator})", share(value.as_ref()))
}

/// Whether a target is reached, and how far before or after its day.
pub(crate) fn target_state(target: &Target, output: &Output) -> String {
    let of = |vi: String, en: String| output.lang().of(&vi, &en);
    let days = target.days.unwrap_or(0);
    let far = days.unsigned_abs();
    let day = &target.reached_on;
    match (target.reached, target.days) {
        (true, _) if day.is_empty() => of("đã đạt".to_owned(), "reached".to_owned()),
        (true, None) => of(format!("đạt ngày {day}"), format!("reached on {day}")),
        (true, Some(1..)) => {
            of(format!("đạt ngày {day}, sớm {far} ngày"), format!("reached on {day}, {far} days ahead"))
        }
        (true, Some(0)) => of(format!("đạt ngày {day}, đúng hạn"), format!("reached on {day}, in time")),
        (true, Some(_)) => of(format!("đạt ngày {day}, muộn {far} ngày"), format!("reached on {day}, {far} days late")),
        (false, _) if target.value.is_none() || target.goal.is_none() => {
            of("chưa có số liệu".to_owned(), "no figures yet".to_owned())
        }
        (false, Some(..0)) => of(format!("chưa đạt, quá hạn {far} ngày"), format!("not reached, {far} days late")),
        (false, _) => of("chưa đạt".to_owned(), "not reached".to_owned()),
    }
}
