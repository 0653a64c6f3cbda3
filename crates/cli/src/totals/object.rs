//! Totals as JSON has them: numbers as programs write them, `null` for what is absent.

use proto::pb::query::v1::{Aggregation, CellTotal, GroupTotal, Indicator, LevelTotals, OrgUnit, Target, Totals};
use serde_json::{Value, json};

use crate::number::{plain, rfc3339};

/// Totals as JSON has them.
pub(crate) fn object(totals: &Totals) -> Value {
    let Totals { org_unit, data_set, period, levels, version, log_position, catalogue_version, changed_at, overall } =
        totals;
    json!({
        "org_unit": org_unit.as_ref().map(unit),
        "data_set": data_set, "period": period,
        "levels": levels.iter().map(level).collect::<Vec<_>>(), "overall": overall.as_ref().map(level),
        "version": version, "log_position": log_position, "catalogue_version": catalogue_version,
        "changed_at": changed_at.map(|at| rfc3339(at.seconds, at.nanos)),
    })
}

pub(crate) fn unit(OrgUnit { code, name, level }: &OrgUnit) -> Value {
    json!({ "code": code, "name": name, "level": level })
}

fn level(totals: &LevelTotals) -> Value {
    let LevelTotals { level, reported, expected, cells, on_time, warned, deadline, indicators, groups, targets } =
        totals;
    json!({
        "level": level, "reported": reported, "expected": expected, "on_time": on_time, "warned": warned,
        "deadline": deadline.map(|at| rfc3339(at.seconds, at.nanos)),
        "cells": cells.iter().map(cell).collect::<Vec<_>>(),
        "indicators": indicators.iter().map(indicator).collect::<Vec<_>>(),
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
    })
}

fn cell(total: &CellTotal) -> Value {
    let CellTotal { data_element, option, sum, decimals, contributing, aggregation: _, expected } = total;
    json!({
        "data_element": data_element, "option": option,
        "value": sum.map(|sum| plain(sum, *decimals)), "sum": sum, "decimals": decimals,
        "contributing": contributing, "expected": expected, "aggregation": word(total.aggregation()),
    })
}

fn indicator(of: &Indicator) -> Value {
    let Indicator { code, option, numerator, numerator_decimals, denominator, denominator_decimals, value } = of;
    json!({
        "code": code, "option": option,
        "numerator": numerator.map(|number| plain(number, *numerator_decimals)),
        "denominator": denominator.map(|number| plain(number, *denominator_decimals)),
        "value": value,
    })
}

fn group(total: &GroupTotal) -> Value {
    let GroupTotal { data_element, group, sum, decimals, contributing, options, aggregation: _ } = total;
    json!({
        "data_element": data_element, "group": group,
        "value": sum.map(|sum| plain(sum, *decimals)), "sum": sum, "decimals": decimals,
        "contributing": contributing, "options": options, "aggregation": word(total.aggregation()),
    })
}

fn target(of: &Target) -> Value {
    let Target {
        data_element,
        option,
        period,
        goal,
        value,
        decimals,
        achieved,
        remaining,
        reached,
        due,
        reached_on,
        days,
    } = of;
    let number = |scaled: &Option<i64>| scaled.map(|scaled| plain(scaled, *decimals));
    let day = |text: &String| (!text.is_empty()).then(|| text.clone());
    json!({
        "data_element": data_element, "option": option, "period": day(period),
        "goal": number(goal), "value": number(value), "remaining": number(remaining), "achieved": achieved,
        "reached": reached, "due": day(due), "reached_on": day(reached_on), "days": days,
    })
}

fn word(aggregation: Aggregation) -> Option<&'static str> {
    match aggregation {
        Aggregation::Unspecified => None,
        Aggregation::Sum => Some("sum"),
        Aggregation::Coverage => Some("coverage"),
        Aggregation::Mean => Some("mean"),
        Aggregation::None => Some("none"),
        Aggregation::Collect => Some("collect"),
    }
}
