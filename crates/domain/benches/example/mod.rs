//! What the benchmarks of several crates judge, fold and pack: a report of 40 cells with names as long as those of the shipped
//! catalogue, for a form of 20 rules, of one commune among 10,000.

use domain::{
    Calendar, Catalogue, CatalogueVersion, LevelIx, Message, OrgTree, PeriodType, Severity, Timestamp, UnitVersion,
    catalogue::{
        Cell, DataElement, DataSet, DataSetParts, Level, Measure, Schedule, SpaceAggregation, TimeAggregation,
        ValueType,
    },
    rule::{Check, Comparison, Condition, Linear, Of, Rule, Term},
};

pub(crate) const CELLS: usize = 40;
const RULES: usize = 20;
const NATION: LevelIx = LevelIx::new(0);
const PROVINCE: LevelIx = LevelIx::new(1);
const DISTRICT: LevelIx = LevelIx::new(2);
const COMMUNE: LevelIx = LevelIx::new(3);
/// Who sends it, of which 100 are in a district and 1,000 in a province.
pub(crate) const UNIT: &str = "05123";
/// What it is about.
pub(crate) const PERIOD: &str = "202211";
/// Its submission id.
pub(crate) const ID: &str = "0192f0c1-2b3c-7d4e-8f50-112233445566";
/// When it came in: 2023-01-01.
pub(crate) const RECEIVED_AT: Timestamp = Timestamp::from_unix_micros(1_672_531_200_000_000);

/// A nation of 10 provinces, 100 districts and 10,000 communes; forms `plain`, and `watched` with half of the rules looking back
/// and half of the cells watched.
pub(crate) fn catalogue() -> Catalogue {
    let level = |code: &str| Level {
        code: code.parse().unwrap(),
        name_vi: code.to_owned(),
        name_en: code.to_owned(),
        stands_in_for: None,
    };
    let unit = |code: &str, level, parent: Option<&str>| UnitVersion {
        code: code.parse().unwrap(),
        name: code.to_owned(),
        level,
        kind: String::new(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        valid_from: None,
        valid_to: None,
    };
    let mut rows = vec![unit("VN", NATION, None)];
    rows.extend((0..10).map(|province| unit(&format!("{province:02}"), PROVINCE, Some("VN"))));
    rows.extend(
        (0..100).map(|district| unit(&format!("{district:03}"), DISTRICT, Some(&format!("{:02}", district / 10)))),
    );
    rows.extend(
        (0..10_000).map(|commune| unit(&format!("{commune:05}"), COMMUNE, Some(&format!("{:03}", commune / 100)))),
    );
    let cell = |place: usize| Cell {
        element: DataElement {
            code: name(place).parse().unwrap(),
            name_vi: name(place),
            name_en: name(place),
            family: String::new(),
            value_type: ValueType::Count,
            measure: Measure::Stock,
            time_aggregation: TimeAggregation::Last,
            space_aggregation: SpaceAggregation::Sum,
            unit_of_measure: String::new(),
        },
        option: None,
        levels: [COMMUNE].into_iter().collect(),
    };
    let side = |cells: &[usize], of| Linear {
        terms: cells.iter().map(|cell| Term { factor: 1, cell: *cell, of }).collect(),
        constant: 0,
    };
    let rule = |place: usize, of| Rule {
        id: format!("rule_{place}"),
        severity: Severity::Error,
        when: None,
        check: Check::Compare(Condition {
            left: side(&[2 * place], of),
            comparison: Comparison::AtMost,
            right: side(&[2 * place, 2 * place + 1], Of::This),
        }),
        decimals: 0,
        message: Message { vi: "{left} > {right}".to_owned(), en: "{left} > {right}".to_owned() },
    };
    let data_set = |code: &str, rules, outliers| {
        DataSet::new(DataSetParts {
            code: code.parse().unwrap(),
            name_vi: code.to_owned(),
            name_en: code.to_owned(),
            period_type: PeriodType::Month,
            calendar: Calendar::Decree09,
            longer_periods: domain::window::kinds(PeriodType::Month).collect(),
            levels: [COMMUNE].into_iter().collect(),
            schedule: Schedule { deadlines: vec![(COMMUNE, 60)], closes_after: Some(90) },
            cells: (0..CELLS).map(cell).collect(),
            groups: Vec::new(),
            rules,
            outliers,
            indicators: Vec::new(),
            targets: Vec::new(),
        })
        .unwrap()
    };
    let plain = (0..RULES).map(|place| rule(place, Of::This)).collect();
    let back = (0..RULES).map(|place| rule(place, if place % 2 == 0 { Of::Previous } else { Of::This })).collect();
    let data_sets =
        vec![data_set("plain", plain, Vec::new()), data_set("watched", back, (0..CELLS).step_by(2).collect())];
    Catalogue::new(
        CatalogueVersion::new("bench"),
        ["national", "province", "district", "commune"].map(level).to_vec(),
        OrgTree::new(&rows, Vec::new()).unwrap(),
        data_sets,
        time::UtcOffset::UTC,
    )
}

/// The name of a cell.
pub(crate) fn name(place: usize) -> String {
    format!("id_card_records_collected_{place}")
}

/// What it says of a cell.
pub(crate) fn number(place: usize) -> i64 {
    i64::try_from(1_000 + 37 * place).unwrap()
}
