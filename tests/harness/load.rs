//! A load of reports made from a seed, and what they must add up to: a third opinion beside the fold and `verify`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proto::pb::report::v1::{Report, Value, value};

use crate::{OrgUnits, Sums, flag, int, report};

/// Reports on three data sets from the communes, districts and provinces of six provinces: first revisions, corrections,
/// withdrawals, reports that break a rule, the same again; all in any order.
#[derive(Debug)]
pub struct Load {
    /// In the order in which they are sent.
    pub reports: Arc<[Report]>,
    /// The submissions that break a rule.
    pub broken: BTreeSet<String>,
    units: OrgUnits,
}

/// Kept with their unit and not added.
const KEPT: [&str; 2] = ["org_plan_tasks_assigned", "org_plan_tasks_completed"];

/// Names a report whatever its revision: data set, period, org unit.
type Key = (String, String, String);

/// The generator splitmix64: a few lines that give the same numbers for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Seven digits: a number counted twice shows.
    fn number(&mut self) -> i64 {
        1_000_000 + i64::try_from(self.below(9_000_000)).unwrap()
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place + 1));
        }
    }
}

impl Load {
    /// That many reports.
    #[must_use]
    pub fn of(count: usize, seed: u64) -> Self {
        let units = OrgUnits::read();
        let provinces = ["94", "01", "48", "79", "22", "77"];
        let all = |level: &str| provinces.iter().flat_map(|province| units.below(province, level)).collect::<Vec<_>>();
        let (communes, districts) = (all("commune"), all("district"));
        let mut random = Random(seed);
        let mut revisions: BTreeMap<Key, i64> = BTreeMap::new();
        let (mut reports, mut broken): (Vec<Report>, _) = (Vec::with_capacity(count), BTreeSet::new());
        while reports.len() < count {
            let lot = random.below(100);
            if lot < 6 && !reports.is_empty() {
                reports.push(reports[random.below(reports.len())].clone()); // sent again under the same id
                continue;
            }
            let commune = communes[random.below(communes.len())];
            let (data_set, period, unit) = match random.below(10) {
                0..4 => ("identity", "202211", commune),
                4..6 => ("identity", "202212", commune),
                6 => ("organisation", "2022Q4", districts[random.below(districts.len())]),
                7 => ("organisation", "2022Q4", commune),
                8 => ("online_services", "202211", provinces[random.below(provinces.len())]),
                _ => ("online_services", "202211", commune),
            };
            // Half of the reports correct one that is there.
            let (data_set, period, unit) = match revisions.keys().nth(random.below(revisions.len().max(1))) {
                Some((data_set, period, unit)) if lot >= 50 => (data_set.clone(), period.clone(), unit.clone()),
                _ => (data_set.to_owned(), period.to_owned(), unit.to_owned()),
            };
            let revision = revisions.entry((data_set.clone(), period.clone(), unit.clone())).or_default();
            *revision += 1;
            let (withdrawn, breaks) = ((90..94).contains(&lot), lot >= 96);
            let values =
                if withdrawn { Vec::new() } else { values(&mut random, &data_set, units.level(&unit), breaks) };
            let report = Report { data_set, period, withdrawn, ..report(&unit, *revision, values) };
            if breaks {
                broken.insert(report.submission_id.clone());
            }
            reports.push(report);
        }
        random.shuffle(&mut reports);
        Self { reports: reports.into(), broken, units }
    }

    /// The reports that count in the end, by key: of those that break no rule the highest revision.
    #[must_use]
    pub fn counting(&self) -> BTreeMap<Key, &Report> {
        let mut counting: BTreeMap<Key, &Report> = BTreeMap::new();
        for report in self.reports.iter().filter(|report| !self.broken.contains(&report.submission_id)) {
            let key = (report.data_set.clone(), report.period.clone(), report.org_unit.clone());
            let standing = counting.entry(key).or_insert(report);
            if report.revision > standing.revision {
                *standing = report;
            }
        }
        counting
    }

    /// What every unit's totals must be, with units from which everything was withdrawn.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<Key, Sums> {
        let mut totals: BTreeMap<Key, Sums> = BTreeMap::new();
        for ((data_set, period, unit), report) in self.counting() {
            for above in self.units.upwards(&unit) {
                let sums = totals.entry((data_set.clone(), period.clone(), above.to_owned())).or_default();
                if report.withdrawn {
                    continue;
                }
                let (reported, cells) = sums.entry(self.units.level(&unit).to_owned()).or_default();
                *reported += 1;
                for value in &report.values {
                    if above != unit && KEPT.contains(&value.data_element.as_str()) {
                        continue;
                    }
                    let number = match value.value {
                        Some(value::Value::Integer(number)) => number,
                        Some(value::Value::Flag(flag)) => i64::from(flag),
                        _ => panic!("{value:?}"),
                    };
                    let cell = cells.entry((value.data_element.clone(), value.option.clone())).or_default();
                    *cell = (cell.0 + number, cell.1 + 1);
                }
            }
        }
        totals
    }

    /// Whether a unit has units below it, and so totals of its own and events.
    #[must_use]
    pub fn has_units_below(&self, unit: &str) -> bool {
        self.units.level(unit) != "commune" && self.units.has_units_below(unit)
    }
}

fn values(random: &mut Random, data_set: &str, level: &str, breaks_a_rule: bool) -> Vec<Value> {
    let (less, more) = (random.number(), 10_000_000 + random.number());
    // At most one pair is the wrong way round.
    let (less, more) = if breaks_a_rule { (more, less) } else { (less, more) };
    let option = |option: &str, value: Value| Value { option: option.to_owned(), ..value };
    match (data_set, level) {
        ("identity", _) => vec![
            int("id_eligible_citizens", random.number()),
            flag("id_card_target_met", random.below(2) == 1),
            int("pop_records_verified", less),
            int("pop_records_total", more),
        ],
        ("organisation", "commune") => {
            vec![int("org_hamlets_total", more), int("org_hamlets_with_team", less), flag("org_plan_issued", true)]
        }
        ("organisation", _) => vec![
            flag("org_task_force_established", random.below(2) == 1),
            int("org_plan_tasks_assigned", more),
            int("org_plan_tasks_completed", less),
        ],
        _ => vec![
            int("rec_total", 100_000_000),
            int("rec_online", 99_999_999),
            option("s03", int("svc_total", more)),
            option("s03", int("svc_online", less)),
            option("s17", int("svc_total", random.number())),
        ],
    }
}
