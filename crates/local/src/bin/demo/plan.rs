//! The reports of the demonstration, made up from a seed, and what their totals must be.
//!
//! Where the press published a province's figure for a cell, it is split over that province's communes so that the total
//! is the published number.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::Context as _;
use domain::{
    Catalogue, Period, UnitIx, Vintage,
    catalogue::{DataSet, SpaceAggregation, ValueType},
};
use proto::pb::report::v1::{Report, Value, value};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// The form and span that carry the demonstration.
pub(crate) const IDENTITY: (&str, &str) = ("identity", "202211");
/// The form that every level reports.
pub(crate) const ORGANISATION: (&str, &str) = ("organisation", "2022Q4");

/// One in so many reports is corrected, as many are repeated, as many are broken.
const ONE_IN: usize = 100;
const WITHDRAWN: usize = 7;

/// All reports, and the sums they must give.
#[derive(Debug)]
pub(crate) struct Plan {
    first: Vec<Report>,
    second: Vec<(&'static str, Vec<Report>)>,
    first_reports: BTreeMap<&'static str, i64>,
    national: BTreeMap<String, i64>,
}

impl Plan {
    pub(crate) fn new(catalogue: &Catalogue, figures: &Path, seed: u64) -> anyhow::Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let figures = read_figures(figures)?;
        let mut identity = form(catalogue, IDENTITY, &figures, &mut rng)?;
        let organisation = form(catalogue, ORGANISATION, &figures, &mut rng)?;
        let first_reports = BTreeMap::from([(IDENTITY.0, count(&identity)), (ORGANISATION.0, count(&organisation))]);
        let first: Vec<Report> = identity.iter().chain(&organisation).cloned().collect();

        let before = identity.clone();
        let corrections = corrections(&mut identity, &mut rng);
        let late = late(&before, &corrections);
        let some = |rng: &mut StdRng, of: &[Report], count: usize| of.sample(rng, count).cloned().collect::<Vec<_>>();
        let repeated = some(&mut rng, &first, first.len() / ONE_IN);
        let broken = some(&mut rng, &identity, first.len() / ONE_IN)
            .into_iter()
            .zip(0..)
            .map(|(report, way)| broken(report, way))
            .collect();
        let withdrawn = some(&mut rng, &organisation, WITHDRAWN).into_iter().map(withdrawal).collect();

        let mut national = BTreeMap::new();
        let is_added = |value: &&Value| !matches!(value.value, Some(value::Value::Date(_)));
        for value in identity.iter().flat_map(|report| &report.values).filter(is_added) {
            *national.entry(value.data_element.clone()).or_insert(0) += number(value);
        }
        let second = vec![
            ("sửa / corrections", corrections),
            ("đến muộn / late", late),
            ("gửi lại / repeated", repeated),
            ("lỗi / broken", broken),
            ("rút / withdrawn", withdrawn),
        ];
        Ok(Self { first, second, first_reports, national })
    }

    /// One report for every unit that reports.
    pub(crate) fn first(&self) -> Vec<Report> {
        self.first.clone()
    }

    /// How many of those each form has.
    pub(crate) fn first_reports(&self) -> BTreeMap<&'static str, i64> {
        self.first_reports.clone()
    }

    /// What comes after, kind by kind.
    pub(crate) fn second(&self) -> Vec<(&'static str, Vec<Report>)> {
        self.second.clone()
    }

    /// What the nation's identity cells must add up to in the end.
    pub(crate) fn national(&self) -> &BTreeMap<String, i64> {
        &self.national
    }
}

fn count(reports: &[Report]) -> i64 {
    i64::try_from(reports.len()).unwrap_or(i64::MAX)
}

/// A figure that the press published: province and cell to number.
type Figures = HashMap<(String, String), i64>;

fn read_figures(path: &Path) -> anyhow::Result<Figures> {
    #[derive(serde::Deserialize)]
    struct Row {
        indicator_code: String,
        dimension: String,
        unit_code: String,
        level: String,
        value: String,
        qualifier: String,
        kind: String,
    }
    let mut rows = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
    let mut figures = Figures::new();
    for row in rows.deserialize() {
        let Row { indicator_code, dimension, unit_code, level, value, qualifier, kind } = row?;
        let is_total = level == "province" && qualifier == "exact" && dimension.is_empty() && kind != "delta";
        if let (true, Ok(number)) = (is_total, value.parse()) {
            figures.insert((unit_code, indicator_code), number);
        }
    }
    Ok(figures)
}

/// One report of a form for every unit that reports it.
fn form(
    catalogue: &Catalogue,
    (code, period): (&str, &str),
    figures: &Figures,
    rng: &mut StdRng,
) -> anyhow::Result<Vec<Report>> {
    let data_set = catalogue.find_data_set(code).with_context(|| format!("the catalogue has no data set {code}"))?;
    let period: Period = period.parse()?;
    let vintage = catalogue.vintage(data_set, period);
    let units: Vec<UnitIx> =
        vintage.units().map(|(ix, _)| ix).filter(|ix| catalogue.reports(data_set, vintage, *ix)).collect();
    let people: Vec<i64> = units.iter().map(|_| rng.random_range(2_000..18_000)).collect();
    let published = split_figures(data_set, vintage, &units, &people, figures);
    let reports = units.iter().zip(people).enumerate().map(|(place, (unit, people))| {
        let published = |cell: &str| published.get(cell).and_then(|parts| parts[place]);
        let numbers = if code == IDENTITY.0 { identity(people, published, rng) } else { organisation(published, rng) };
        let fills = |cell: &&domain::catalogue::Cell| catalogue.fills(cell, vintage, *unit);
        let values = data_set.cells().iter().filter(fills).filter_map(|cell| {
            let number = *numbers.get(cell.element.code.as_str())?;
            let value = match cell.element.value_type {
                ValueType::Flag => value::Value::Flag(number > 0),
                ValueType::Date => value::Value::Date(format!("2022-11-{number:02}")),
                _ => value::Value::Integer(number),
            };
            Some(Value { data_element: cell.element.code.to_string(), option: String::new(), value: Some(value) })
        });
        Report {
            submission_id: uuid::Uuid::now_v7().to_string(),
            org_unit: vintage.unit(*unit).code.to_string(),
            data_set: code.to_owned(),
            period: period.to_string(),
            revision: Some(1),
            values: values.collect(),
            withdrawn: false,
            dense: None,
        }
    });
    Ok(reports.collect())
}

/// For each cell with published figures, what each unit reports; none for units of provinces without one.
fn split_figures<'c>(
    data_set: &'c DataSet,
    vintage: &Vintage,
    units: &[UnitIx],
    people: &[i64],
    figures: &Figures,
) -> HashMap<&'c str, Vec<Option<i64>>> {
    let mut published = HashMap::new();
    for cell in data_set.cells() {
        let element = &cell.element;
        if element.value_type != ValueType::Count || element.space_aggregation != SpaceAggregation::Sum {
            continue;
        }
        let parts = published.entry(element.code.as_str()).or_insert_with(|| vec![None; units.len()]);
        for ((province, _), figure) in figures.iter().filter(|((_, code), _)| code == element.code.as_str()) {
            let communes: Vec<usize> = (0..units.len())
                .filter(|place| vintage.unit(units[*place]).is_leaf())
                .filter(|place| {
                    vintage
                        .with_ancestors(units[*place])
                        .any(|above| vintage.unit(above).code.as_str() == province.as_str())
                })
                .collect();
            let weights: Vec<i64> = communes.iter().map(|place| people[*place]).collect();
            for (place, part) in communes.iter().zip(split(*figure, &weights)) {
                parts[*place] = Some(part);
            }
        }
    }
    published
}

/// Splits a number by weights, exactly: what rounding leaves over goes to the first parts.
fn split(number: i64, weights: &[i64]) -> Vec<i64> {
    let all: i64 = weights.iter().sum();
    let mut parts: Vec<i64> = weights.iter().map(|weight| number * weight / all.max(1)).collect();
    let left = number - parts.iter().sum::<i64>();
    for part in parts.iter_mut().take(usize::try_from(left).unwrap_or(0)) {
        *part += 1;
    }
    parts
}

type Numbers = HashMap<&'static str, i64>;

fn share(of: i64, from: i64, to: i64, rng: &mut StdRng) -> i64 {
    of * rng.random_range(from..=to) / 100
}

fn identity(people: i64, published: impl Fn(&str) -> Option<i64>, rng: &mut StdRng) -> Numbers {
    let records = published("id_card_records_collected").unwrap_or_else(|| share(people, 60, 72, rng));
    let eligible = records.max(records * 1000 / rng.random_range(900..=990));
    let population = eligible.max(people);
    let issued = published("id_cards_issued").unwrap_or_else(|| share(records, 85, 99, rng));
    let level_1 = published("eid_l1_activated").unwrap_or_else(|| share(eligible, 1, 6, rng));
    let level_2 = published("eid_l2_collected").unwrap_or_else(|| share(eligible, 5, 25, rng));
    let accounts = published("eid_accounts_activated").unwrap_or_else(|| level_1 + share(level_2, 30, 80, rng));
    let mut numbers = HashMap::from([
        ("id_eligible_citizens", eligible),
        ("id_card_records_collected", records),
        ("id_card_records_collected_new", share(records, 0, 5, rng)),
        ("id_cards_issued", issued),
        ("id_card_target_met", i64::from(rng.random_range(0..100) < 30)),
        ("id_pin_notified", share(population, 50, 95, rng)),
        ("eid_l1_activated", level_1),
        ("eid_l2_collected", level_2),
        ("eid_records_collected", (level_1 + level_2).max(accounts)),
        ("eid_accounts_activated", accounts),
        ("eid_target_met", i64::from(rng.random_range(0..100) < 20)),
        ("pop_records_total", population),
        ("pop_records_verified", share(population, 80, 100, rng)),
        ("pop_records_corrected", share(population, 0, 3, rng)),
    ]);
    // Whoever has met a target says on which day of the month.
    for (met, on) in [("id_card_target_met", "id_card_target_met_on"), ("eid_target_met", "eid_target_met_on")] {
        if numbers[met] > 0 {
            numbers.insert(on, rng.random_range(1..=14));
        }
    }
    numbers
}

fn organisation(published: impl Fn(&str) -> Option<i64>, rng: &mut StdRng) -> Numbers {
    let with_team = published("org_hamlets_with_team").unwrap_or_else(|| rng.random_range(3..15));
    let assigned = rng.random_range(8..30);
    let planned = rng.random_range(10..26);
    HashMap::from([
        ("org_task_force_established", 1),
        ("org_hamlets_total", with_team + i64::from(rng.random_range(0..100) < 4)),
        ("org_hamlets_with_team", with_team),
        ("org_plan_issued", i64::from(rng.random_range(0..100) < 98)),
        ("org_rules_issued", i64::from(rng.random_range(0..100) < 90)),
        ("org_plan_tasks_assigned", assigned),
        ("org_plan_tasks_completed", share(assigned, 50, 100, rng)),
        ("org_pilot_models_planned", planned),
        ("org_pilot_models_deployed", share(planned, 40, 100, rng)),
        ("org_inspections", rng.random_range(0..9)),
        ("org_police_units_engaged", i64::from(rng.random_range(0..100) < 95)),
    ])
}

/// Gives some reports a second revision in which more records were corrected.
fn corrections(reports: &mut [Report], rng: &mut StdRng) -> Vec<Report> {
    let mut places: Vec<usize> =
        (0..reports.len()).collect::<Vec<_>>().sample(rng, reports.len() / ONE_IN).copied().collect();
    places.sort_unstable();
    for place in &places {
        let report = &mut reports[*place];
        report.submission_id = uuid::Uuid::now_v7().to_string();
        report.revision = Some(2);
        for value in report.values.iter_mut().filter(|value| value.data_element == "pop_records_corrected") {
            value.value = Some(value::Value::Integer(number(value) + rng.random_range(1..50)));
        }
    }
    places.into_iter().map(|place| reports[place].clone()).collect()
}

/// For some of the corrected reports, what they said before, under a new submission id: it comes too late to count.
fn late(before: &[Report], corrections: &[Report]) -> Vec<Report> {
    let corrected = corrections
        .iter()
        .step_by(10)
        .filter_map(|correction| before.iter().find(|report| report.org_unit == correction.org_unit));
    corrected
        .map(|report| {
            let mut report = report.clone();
            report.submission_id = uuid::Uuid::now_v7().to_string();
            report.revision = Some(0);
            report
        })
        .collect()
}

/// A report with something wrong: some ways are refused at once, some are judged and rejected.
fn broken(mut report: Report, way: usize) -> Report {
    report.submission_id = uuid::Uuid::now_v7().to_string();
    report.revision = Some(9);
    let int = |data_element: &str, number| Value {
        data_element: data_element.to_owned(),
        option: String::new(),
        value: Some(value::Value::Integer(number)),
    };
    match way % 8 {
        0 => report.org_unit = "99999".to_owned(),
        1 => report.period = "2022Q4".to_owned(),
        2 => report.values.push(int("id_cards_lost", 1)),
        3 => report.values = vec![int("id_cards_issued", -5)],
        4 => report.values = vec![int("eid_l2_collected", 10), int("eid_records_collected", 9)],
        5 => report.values = vec![int("pop_records_verified", 1_001), int("pop_records_total", 1_000)],
        6 => report.values = vec![int("id_pin_notified", 2), int("pop_records_total", 1)],
        _ => report.submission_id = "báo cáo số 1".to_owned(),
    }
    report
}

fn withdrawal(report: Report) -> Report {
    Report {
        submission_id: uuid::Uuid::now_v7().to_string(),
        revision: Some(3),
        values: Vec::new(),
        withdrawn: true,
        ..report
    }
}

fn number(value: &Value) -> i64 {
    match value.value {
        Some(value::Value::Integer(number)) => number,
        Some(value::Value::Flag(flag)) => i64::from(flag),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_adds_up_to_the_published_number() {
        let weights = [3, 1, 7, 7, 2];
        for number in [0, 1, 6, 1_205_627] {
            assert_eq!(split(number, &weights).iter().sum::<i64>(), number);
        }
        assert_eq!(split(20, &weights), [3, 1, 7, 7, 2]);
    }
}
