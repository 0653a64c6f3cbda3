//! Goal: another programme is another directory, and no code.

#![expect(clippy::unwrap_used, reason = "what the fixture lacks fails the test")]

use std::{path::Path, sync::LazyLock};

use catalogue::Loaded;
use domain::{
    Severity, Values,
    catalogue::{Catalogue, DataSet, Goal},
};
use time::macros::{date, datetime, offset};

static MEALS: LazyLock<Loaded> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/school_meals");
    catalogue::load(&dir).unwrap_or_else(|faults| panic!("{faults}"))
});

fn catalogue() -> &'static Catalogue {
    &MEALS.catalogue
}

fn weekly() -> &'static DataSet {
    catalogue().find_data_set("weekly_meals").unwrap()
}

fn inspection() -> &'static DataSet {
    catalogue().find_data_set("inspection").unwrap()
}

/// Values of some cells of the weekly form.
fn values(given: &[(&str, i64)]) -> Values {
    let cells = weekly().cells().iter().map(ToString::to_string);
    cells.map(|cell| given.iter().find(|(name, _)| *name == cell).map(|(_, value)| *value)).collect::<Vec<_>>().into()
}

/// What the weekly form's rules say of a week, the one before given, in Vietnamese.
fn said(week: &[(&str, i64)], before: &[(&str, i64)]) -> Vec<(Severity, String)> {
    let (week, before) = (values(week), values(before));
    let said = weekly().rules().iter().map(|rule| Some((rule.severity, rule.check(&week, Some(&before))?.vi)));
    said.flatten().collect()
}

#[test]
fn another_programme_has_its_own_tree() {
    assert_eq!(MEALS.about.title_en, "School meals");
    assert_eq!(catalogue().utc_offset(), offset!(+7));
    let week = "2025W40".parse().unwrap();
    let vintage = catalogue().vintage(weekly(), week);
    assert_eq!(vintage.unit(vintage.find("A1").unwrap()).name, "Trường Mầm non Hoa Sen");
    // Two schools, and a cluster without any that stands in for one.
    let [cluster, school] = ["cluster", "school"].map(|level| catalogue().find_level(level).unwrap());
    assert_eq!(catalogue().expected(weekly(), vintage, vintage.root()), [(cluster, 1), (school, 2)]);
    // A1 is another school since codes were given anew; the cluster's row goes on over that day.
    let (before, after) = (date!(2025 - 08 - 31), date!(2025 - 09 - 01));
    let a1 = catalogue().tree().on(before).find("A1").unwrap();
    let (stands, same) = catalogue().tree().continued(a1, before, after);
    assert_eq!((catalogue().tree().on(after).unit(stands).code.as_str(), same), ("BAC", false));
}

#[test]
fn another_programme_has_its_own_forms() {
    let cells: Vec<String> = weekly().cells().iter().map(ToString::to_string).collect();
    let named = [
        "pupils_present",
        "meals_served[lunch]",
        "meals_served[breakfast]",
        "food_bought",
        "food_wasted",
        "kitchen_inspected",
        "kitchen_inspected_on",
        "meals_planned[lunch]",
        "meals_planned[breakfast]",
        "cooks",
        "drinking_water_ph",
        "remarks",
    ];
    assert_eq!(cells, named);
    let outliers: Vec<&str> = weekly().outliers().iter().map(|place| cells[*place].as_str()).collect();
    assert_eq!(outliers, ["pupils_present", "meals_served[lunch]", "meals_served[breakfast]"]);

    let week = "2025W40".parse().unwrap();
    let school = catalogue().find_level("school").unwrap();
    // The week ends on Sunday, 5 October; two days later is Tuesday, and four weeks later 2 November.
    let deadline = catalogue().deadline(weekly(), week, school, false).unwrap();
    assert_eq!(deadline, datetime!(2025-10-08 00:00 +7).into());
    assert_eq!(catalogue().closes_at(weekly(), week), Some(datetime!(2025-11-03 00:00 +7).into()));
    assert_eq!(catalogue().closes_at(inspection(), "2025S2".parse().unwrap()), None);
    assert_eq!(inspection().schedule().deadlines.iter().map(|(_, days)| *days).collect::<Vec<_>>(), [20, 5]);
}

#[test]
fn another_programme_has_its_own_rules() {
    let rules: Vec<&str> = weekly().rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(
        rules,
        [
            "meals_at_most_pupils[lunch]",
            "meals_at_most_pupils[breakfast]",
            "wasted_at_most_bought",
            "inspected_on_a_day",
            "meals_at_least_half[lunch]",
            "meals_at_least_half[breakfast]",
            "cooks_not_fewer",
        ]
    );
    // 12.5 kg bought, 12.51 kg wasted: one more decimal on one side of the rule.
    let week = [
        ("pupils_present", 100),
        ("meals_served[lunch]", 100),
        ("meals_served[breakfast]", 101),
        ("food_bought", 125),
        ("food_wasted", 1_251),
        ("kitchen_inspected", 1),
    ];
    assert_eq!(
        said(&week, &[]),
        [
            (Severity::Error, "Bữa sáng: số suất ăn (101) lớn hơn số lượt học sinh (100)".to_owned()),
            (Severity::Warning, "Thực phẩm bỏ đi (12,51 kg) nhiều hơn đã mua (12,50 kg)".to_owned()),
            (Severity::Error, "Đã kiểm tra bếp ăn thì phải ghi ngày".to_owned()),
        ]
    );
    let inspected = [("kitchen_inspected", 1), ("kitchen_inspected_on", 20_251_001)];
    assert_eq!(said(&inspected, &[]), []);
}

#[test]
fn another_programme_looks_back() {
    let before = [("meals_served[lunch]", 300), ("meals_served[breakfast]", 100), ("cooks", 3)];
    let lunch =
        |served, planned: &[(&str, i64)]| said(&[&[("meals_served[lunch]", served)], planned].concat(), &before);
    let fewer = "Bữa trưa: hai lần số suất ăn tuần này (298) ít hơn tuần trước (300)".to_owned();
    assert_eq!(lunch(149, &[("meals_planned[lunch]", 300)]), [(Severity::Warning, fewer)]);
    assert_eq!(lunch(150, &[("meals_planned[lunch]", 300)]), []);
    assert_eq!(lunch(149, &[]), [], "a week for which nothing was planned");
    let cooks = |breakfast| {
        said(&[("meals_served[lunch]", 300), ("meals_served[breakfast]", breakfast), ("cooks", 2)], &before)
    };
    let left = "Số cấp dưỡng giảm từ 3 xuống 2 tuy số suất ăn không giảm".to_owned();
    assert_eq!((cooks(100), cooks(99)), (vec![(Severity::Warning, left)], vec![]));
}

#[test]
fn another_programme_has_its_own_groups() {
    let members = |group: &str, period: &str| {
        let last = weekly().last_day(period.parse().unwrap());
        let of = weekly().groups().iter().filter(|own| own.group.code.as_str() == group);
        let members = of.flat_map(|group| &group.members).filter(|member| {
            member.valid_from.is_none_or(|from| from <= last) && member.valid_to.is_none_or(|to| last < to)
        });
        members.map(|member| weekly().cells()[member.cell].to_string()).collect::<Vec<_>>()
    };
    let groups: Vec<(&str, &str)> =
        weekly().groups().iter().map(|group| (group.element.as_str(), group.group.name_en.as_str())).collect();
    let [hot, small] = ["Hot meals", "Small meals"];
    assert_eq!(
        groups,
        [("meals_served", hot), ("meals_served", small), ("meals_planned", hot), ("meals_planned", small)]
    );
    assert_eq!(members("hot", "2025W39"), ["meals_served[lunch]", "meals_planned[lunch]"]);
    assert_eq!(members("small", "2025W39"), ["meals_served[breakfast]", "meals_planned[breakfast]"]);
    assert_eq!(members("hot", "2025W40").len(), 4);
    assert_eq!(members("small", "2025W40"), [""; 0], "the form has no snacks");
}

#[test]
fn another_programme_has_its_own_indicators() {
    let named = |data_set: &DataSet| {
        let cell = |place: usize| data_set.cells()[place].to_string();
        let named = |indicator: &domain::catalogue::Indicator| {
            format!("{} = {} / {}", indicator.code, cell(indicator.numerator), cell(indicator.denominator))
        };
        data_set.indicators().iter().map(named).collect::<Vec<_>>()
    };
    assert_eq!(
        named(weekly()),
        [
            "waste_rate = food_wasted / food_bought",
            "served_rate = meals_served[lunch] / meals_planned[lunch]",
            "served_rate = meals_served[breakfast] / meals_planned[breakfast]",
        ]
    );
    assert_eq!(named(inspection()), ["paid_rate = rooms_paid / rooms_rented"]);
}

#[test]
fn another_programme_has_its_own_targets() {
    let targets = weekly().targets();
    let goals: Vec<(String, Goal)> =
        targets.iter().map(|target| (weekly().cells()[target.cell].to_string(), target.goal)).collect();
    assert_eq!(
        goals,
        [
            ("kitchen_inspected".to_owned(), Goal::OfUnits { share: 9_550 }),
            ("meals_served[lunch]".to_owned(), Goal::Value(12_000)),
            ("meals_served[lunch]".to_owned(), Goal::Of { share: 10_000, cell: 7 }),
            ("meals_served[breakfast]".to_owned(), Goal::Of { share: 10_000, cell: 8 }),
            ("food_bought".to_owned(), Goal::Value(125)),
        ]
    );
    assert_eq!((targets[0].due, &targets[0].org_unit, targets[0].period), (Some(date!(2025 - 12 - 31)), &None, None));
    assert_eq!(targets[1].org_unit.as_ref().map(|unit| unit.as_str()), Some("BAC"));
    assert_eq!(targets[1].period, "2025Q4".parse().ok());
    assert!(inspection().targets().is_empty());
}
