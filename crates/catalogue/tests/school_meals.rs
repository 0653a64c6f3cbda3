//! Goal: another programme is another directory, and no code.

use std::path::Path;

use domain::{Severity, Values};

#[test]
fn another_programme_loads_without_code() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/school_meals");
    let loaded = catalogue::load(&dir).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(loaded.about.title_en, "School meals");

    let catalogue = loaded.catalogue;
    let data_set = catalogue.find_data_set("weekly_meals").unwrap();
    let vintage = catalogue.vintage(data_set, "2025W40".parse().unwrap());
    assert_eq!(vintage.unit(vintage.find("A1").unwrap()).name, "Trường Mầm non Hoa Sen");
    let school = catalogue.find_level("school").unwrap();
    assert_eq!(catalogue.expected(data_set, vintage, vintage.root()), [(school, 2)]);

    let cells: Vec<String> = data_set.cells().iter().map(ToString::to_string).collect();
    let named = [
        "pupils_present",
        "meals_served[lunch]",
        "meals_served[breakfast]",
        "food_bought",
        "food_wasted",
        "kitchen_inspected",
    ];
    assert_eq!(cells, named);

    let rules: Vec<&str> = data_set.rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(rules, ["meals_at_most_pupils[lunch]", "meals_at_most_pupils[breakfast]", "wasted_at_most_bought"]);
    // 12.5 kg bought, 12.51 kg wasted: one more decimal on one side of the rule.
    let values = Values::from(vec![Some(100), Some(100), Some(101), Some(125), Some(1251), Some(1)]);
    let said: Vec<_> =
        data_set.rules().iter().filter_map(|rule| Some((rule.severity, rule.check(&values, None)?.vi))).collect();
    assert_eq!(
        said,
        [
            (Severity::Error, "Bữa sáng: số suất ăn (101) lớn hơn số lượt học sinh (100)".to_owned()),
            (Severity::Warning, "Thực phẩm bỏ đi (12,51 kg) nhiều hơn đã mua (12,50 kg)".to_owned()),
        ]
    );
}
