//! Goal: the catalogue that ships loads, and says of the country what the statistics office says.

#![expect(clippy::unwrap_used, reason = "what is missing from the shipped catalogue fails the test")]

use std::{path::Path, sync::LazyLock};

use catalogue::Loaded;
use domain::{
    OrgUnitCode, Severity,
    catalogue::{Catalogue, DataSet},
};
use time::{Date, macros::date};

static DE06: LazyLock<Loaded> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
    catalogue::load(&dir).unwrap_or_else(|faults| panic!("{faults}"))
});

fn de06() -> &'static Catalogue {
    &DE06.catalogue
}

fn data_set(code: &str) -> &'static DataSet {
    de06().find_data_set(code).unwrap()
}

/// How many units of a level there are on a day.
fn count(level: &str, day: Date) -> usize {
    let level = de06().find_level(level).unwrap();
    de06().tree().on(day).units().filter(|(_, unit)| unit.level == level).count()
}

/// How many units are expected to report, in the whole country, by level.
fn expected(data_set: &DataSet, period: &str) -> Vec<(&'static str, u32)> {
    let vintage = de06().vintage(data_set, period.parse().unwrap());
    let expected = de06().expected(data_set, vintage, vintage.root());
    expected.into_iter().map(|(level, count)| (de06().level(level).code.as_str(), count)).collect()
}

#[test]
fn the_tree_has_as_many_units_as_the_country() {
    let counts = |day| ["province", "district", "commune"].map(|level| count(level, day));
    assert_eq!(counts(date!(2022 - 10 - 01)), [63, 705, 10_599]);
    assert_eq!(counts(date!(2025 - 06 - 30)), [63, 696, 10_035]);
    assert_eq!(counts(date!(2025 - 07 - 01)), [34, 0, 3_321]);
    assert_eq!(count("ministry", date!(2022 - 10 - 01)), 23);
    assert_eq!(count("national", date!(2022 - 10 - 01)), 1);
    assert_eq!(DE06.org_units.len(), 15_413);
}

#[test]
fn five_island_districts_stand_in_for_communes_and_nobody_else() {
    let identity = data_set("identity");
    assert_eq!(expected(identity, "202211"), [("district", 5), ("commune", 10_599)]);
    let vintage = de06().vintage(identity, "202211".parse().unwrap());
    let commune = de06().find_level("commune").unwrap();
    let reporting =
        vintage.units().filter(|(ix, unit)| unit.level != commune && de06().reports(identity, vintage, *ix));
    let standing_in: Vec<&OrgUnitCode> = reporting.map(|(_, unit)| &unit.code).collect();
    assert_eq!(standing_in.iter().map(|code| code.as_str()).collect::<Vec<_>>(), ["318", "471", "498", "536", "755"]);
    // The month of July 2025 ends on 14 July: who exists then reports it.
    assert_eq!(expected(identity, "202507"), [("commune", 3_321)]);
}

#[test]
fn other_data_sets_are_reported_by_their_levels() {
    assert_eq!(
        expected(data_set("online_services"), "202211"),
        [("province", 63), ("district", 5), ("commune", 10_599)]
    );
    let organisation = expected(data_set("organisation"), "2022Q3");
    assert_eq!(organisation, [("ministry", 23), ("province", 63), ("district", 705), ("commune", 10_599)]);
}

#[test]
fn cells_are_the_forms() {
    let cells = |code| data_set(code).cells().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(cells("identity").len(), 14);
    assert_eq!(cells("organisation").len(), 11);
    let online = cells("online_services");
    assert_eq!(online.len(), 52);
    assert_eq!(
        [&online[0], &online[2], &online[26], &online[51]],
        ["rec_total", "svc_total[s01]", "svc_total[s25]", "svc_online[s25]"]
    );
}

#[test]
fn a_cell_is_filled_by_its_own_levels() {
    let organisation = data_set("organisation");
    let vintage = de06().vintage(organisation, "2022Q3".parse().unwrap());
    let fills = |cell: &str, unit: &str| {
        let cell = &organisation.cells()[organisation.find_cell(cell, "").unwrap()];
        de06().fills(cell, vintage, vintage.find(unit).unwrap())
    };
    // A commune, an island district, a district, a province, a ministry.
    let units = ["31498", "536", "941", "94", "BCA"];
    assert_eq!(units.map(|unit| fills("org_task_force_established", unit)), [true; 5]);
    assert_eq!(units.map(|unit| fills("org_hamlets_total", unit)), [true, true, false, false, false]);
    assert_eq!(units.map(|unit| fills("org_pilot_models_planned", unit)), [false, false, false, true, false]);
}

#[test]
fn rules_are_expanded_and_weighed() {
    let count = |code, severity| data_set(code).rules().iter().filter(|rule| rule.severity == severity).count();
    let counts = |code| (count(code, Severity::Error), count(code, Severity::Warning));
    assert_eq!(counts("identity"), (3, 5));
    assert_eq!(counts("online_services"), (26, 1));
    assert_eq!(counts("organisation"), (3, 0));
    let rule =
        data_set("online_services").rules().iter().find(|rule| rule.id == "service_online_at_most_total[s03]").unwrap();
    assert!(rule.message.vi.starts_with("Đăng ký thường trú: "), "{}", rule.message.vi);
}

#[test]
fn the_version_is_that_of_the_contents() {
    let version = de06().version().as_str();
    let fingerprint = version.strip_prefix("2022.1-").unwrap();
    assert!(fingerprint.len() == 8 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
}
