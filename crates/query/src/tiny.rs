//! A catalogue for tests: two provinces, an island district without communes, and a reform that does away with districts.

use std::sync::Arc;

use domain::{
    Calendar, Catalogue, CatalogueVersion, Catalogues, LevelIx, OrgTree, Period, PeriodType, UnitVersion,
    catalogue::{
        CategoryOption, Cell, CellGroup, DataElement, DataSet, DataSetParts, Goal, GroupMember, Indicator, Level,
        LevelSet, Measure, Schedule, SpaceAggregation, Target, TimeAggregation, ValueType,
    },
};
use time::{Date, macros::date};

use crate::question::Asked;

const NATIONAL: LevelIx = LevelIx::new(0);
const PROVINCE: LevelIx = LevelIx::new(1);
const DISTRICT: LevelIx = LevelIx::new(2);
const COMMUNE: LevelIx = LevelIx::new(3);
const REFORM: Option<Date> = Some(date!(2025 - 07 - 01));

/// The places of the cells of `services`.
pub(crate) const RECEIVED_S01: usize = 0;
pub(crate) const RECEIVED_S02: usize = 1;
pub(crate) const ONLINE_S01: usize = 2;
pub(crate) const ONLINE_S02: usize = 3;
pub(crate) const PEOPLE: usize = 4;
pub(crate) const PLAN: usize = 5;
pub(crate) const MET: usize = 6;
pub(crate) const NOTE: usize = 7;
pub(crate) const OPENED: usize = 8;
pub(crate) const CELLS: usize = 9;

/// A month before the reform.
pub(crate) fn period() -> Period {
    "202211".parse().unwrap()
}

/// A question about `identity` in that month.
pub(crate) fn asked(org_unit: &str) -> Asked<'_> {
    Asked { org_unit, data_set: "identity", period: "202211" }
}

pub(crate) fn catalogue() -> Catalogue {
    catalogue_of("tiny-1", REFORM)
}

/// It alone.
pub(crate) fn catalogues() -> Catalogues {
    Catalogues::new(Arc::new(catalogue()))
}

/// The same of another version, with codes given anew on another day or never.
pub(crate) fn catalogue_of(version: &str, recoded: Option<Date>) -> Catalogue {
    let levels = [("national", None), ("province", None), ("district", Some(COMMUNE)), ("commune", None)];
    let tree = OrgTree::new(
        &[
            unit("VN", "", NATIONAL, None, None),
            unit("01", "VN", PROVINCE, None, None),
            unit("011", "01", DISTRICT, None, REFORM),
            unit("012", "01", DISTRICT, None, REFORM),
            unit("00001", "011", COMMUNE, None, REFORM),
            unit("00002", "011", COMMUNE, None, REFORM),
            unit("00001", "01", COMMUNE, REFORM, None),
            unit("02", "VN", PROVINCE, None, None),
            unit("021", "02", DISTRICT, None, REFORM),
            unit("00003", "021", COMMUNE, None, REFORM),
            unit("00004", "021", COMMUNE, None, REFORM),
            unit("00003", "02", COMMUNE, REFORM, None),
        ],
        recoded.into_iter().collect(),
    );
    Catalogue::new(
        CatalogueVersion::new(version),
        levels.map(|(code, stands_in_for)| level(code, stands_in_for)).to_vec(),
        tree.unwrap(),
        vec![data_set("identity", [COMMUNE]), data_set("organisation", [PROVINCE, COMMUNE]), services()],
        time::macros::offset!(+7),
    )
}

fn level(code: &str, stands_in_for: Option<LevelIx>) -> Level {
    Level { code: code.parse().unwrap(), name_vi: code.to_owned(), name_en: code.to_owned(), stands_in_for }
}

fn unit(code: &str, parent: &str, level: LevelIx, valid_from: Option<Date>, valid_to: Option<Date>) -> UnitVersion {
    UnitVersion {
        code: code.parse().unwrap(),
        name: format!("Đơn vị {code}"),
        level,
        kind: String::new(),
        parent: (!parent.is_empty()).then(|| parent.parse().unwrap()),
        valid_from,
        valid_to,
    }
}

/// Three cells: a count, a decimal number and, for an option, a flag.
fn data_set<const N: usize>(code: &str, levels: [LevelIx; N]) -> DataSet {
    let levels = LevelSet::from_iter(levels);
    let cell = |code, value_type, space_aggregation, option| Cell {
        element: element(code, value_type, space_aggregation, TimeAggregation::Last),
        option,
        levels,
    };
    DataSet::new(parts(
        code,
        levels,
        vec![
            cell("issued", ValueType::Count, SpaceAggregation::Sum, None),
            cell("share", ValueType::Decimal(1), SpaceAggregation::Mean, None),
            cell("met", ValueType::Flag, SpaceAggregation::Coverage, Some(option("s03"))),
        ],
    ))
    .unwrap()
}

/// What two services received and how much of it online, by month; the people there are; the province's plan; whether a
/// commune met it; words and a day. Due on the 5th. The second service is the police's since the reform.
fn services() -> DataSet {
    let both = LevelSet::from_iter([PROVINCE, COMMUNE]);
    let (communes, province) = (LevelSet::from_iter([COMMUNE]), LevelSet::from_iter([PROVINCE]));
    let flow = |code, of: &str| Cell {
        element: element(code, ValueType::Count, SpaceAggregation::Sum, TimeAggregation::Sum),
        option: Some(option(of)),
        levels: communes,
    };
    let last = |code, value_type, space_aggregation, levels| Cell {
        element: element(code, value_type, space_aggregation, TimeAggregation::Last),
        option: None,
        levels,
    };
    let cells = vec![
        flow("received", "s01"),
        flow("received", "s02"),
        flow("online", "s01"),
        flow("online", "s02"),
        last("people", ValueType::Count, SpaceAggregation::Sum, both),
        last("plan", ValueType::Count, SpaceAggregation::None, province),
        last("met", ValueType::Flag, SpaceAggregation::Coverage, communes),
        last("note", ValueType::Text, SpaceAggregation::Collect, both),
        last("opened", ValueType::Date, SpaceAggregation::None, both),
    ];
    let police = |element: &str, cells: [usize; 2]| CellGroup {
        element: element.parse().unwrap(),
        group: option("police"),
        members: vec![
            GroupMember { cell: cells[0], valid_from: None, valid_to: None },
            GroupMember { cell: cells[1], valid_from: REFORM, valid_to: None },
        ],
    };
    let indicator = |code: &str, of: Option<&str>, numerator, denominator| Indicator {
        code: code.parse().unwrap(),
        option: of.map(option),
        name_vi: code.to_owned(),
        name_en: code.to_owned(),
        numerator,
        denominator,
    };
    let target = |cell, goal| Target { org_unit: None, period: None, cell, goal, due: None };
    DataSet::new(DataSetParts {
        schedule: Schedule { deadlines: vec![(COMMUNE, 5)], closes_after: None },
        groups: vec![police("received", [RECEIVED_S01, RECEIVED_S02])],
        indicators: vec![
            indicator("online_rate", Some("s01"), ONLINE_S01, RECEIVED_S01),
            indicator("online_rate", Some("s02"), ONLINE_S02, RECEIVED_S02),
            indicator("plan_rate", None, PEOPLE, PLAN),
        ],
        targets: vec![
            target(MET, Goal::OfUnits { share: 10_000 }),
            Target {
                org_unit: Some("01".parse().unwrap()),
                period: Some("2022".parse().unwrap()),
                due: Some(date!(2022 - 11 - 20)),
                ..target(PEOPLE, Goal::Value(300))
            },
        ],
        ..parts("services", both, cells)
    })
    .unwrap()
}

fn parts(code: &str, levels: LevelSet, cells: Vec<Cell>) -> DataSetParts {
    DataSetParts {
        code: code.parse().unwrap(),
        name_vi: String::new(),
        name_en: String::new(),
        period_type: PeriodType::Month,
        calendar: Calendar::Gregorian,
        longer_periods: domain::window::kinds(PeriodType::Month).collect(),
        levels,
        schedule: Schedule::default(),
        cells,
        groups: Vec::new(),
        rules: Vec::new(),
        outliers: Vec::new(),
        indicators: Vec::new(),
        targets: Vec::new(),
    }
}

fn option(code: &str) -> CategoryOption {
    CategoryOption { code: code.parse().unwrap(), name_vi: String::new(), name_en: String::new() }
}

fn element(
    code: &str,
    value_type: ValueType,
    space_aggregation: SpaceAggregation,
    time_aggregation: TimeAggregation,
) -> DataElement {
    DataElement {
        code: code.parse().unwrap(),
        name_vi: code.to_owned(),
        name_en: code.to_owned(),
        family: "id".to_owned(),
        value_type,
        measure: Measure::Stock,
        time_aggregation,
        space_aggregation,
        unit_of_measure: "card".to_owned(),
    }
}
