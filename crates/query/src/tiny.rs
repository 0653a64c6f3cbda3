//! A catalogue for tests: two provinces, an island district without communes, and a reform that does away with districts.

use domain::{
    Calendar, Catalogue, CatalogueVersion, LevelIx, OrgTree, Period, PeriodType, UnitVersion,
    catalogue::{
        CategoryOption, Cell, DataElement, DataSet, DataSetParts, Level, LevelSet, Measure, Schedule, SpaceAggregation,
        TimeAggregation, ValueType,
    },
};
use time::{Date, macros::date};

use crate::question::Asked;

const NATIONAL: LevelIx = LevelIx::new(0);
const PROVINCE: LevelIx = LevelIx::new(1);
const DISTRICT: LevelIx = LevelIx::new(2);
const COMMUNE: LevelIx = LevelIx::new(3);
const REFORM: Option<Date> = Some(date!(2025 - 07 - 01));

/// A month before the reform.
pub(crate) fn period() -> Period {
    "202211".parse().unwrap()
}

/// A question about `identity` in that month.
pub(crate) fn asked(org_unit: &str) -> Asked<'_> {
    Asked { org_unit, data_set: "identity", period: "202211" }
}

pub(crate) fn catalogue() -> Catalogue {
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
        REFORM.into_iter().collect(),
    );
    Catalogue::new(
        CatalogueVersion::new("tiny-1"),
        levels.map(|(code, stands_in_for)| level(code, stands_in_for)).to_vec(),
        tree.unwrap(),
        vec![data_set("identity", [COMMUNE]), data_set("organisation", [PROVINCE, COMMUNE])],
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
    let option = CategoryOption { code: "s03".parse().unwrap(), name_vi: String::new(), name_en: String::new() };
    let cell = |code, value_type, space_aggregation, option| Cell {
        element: element(code, value_type, space_aggregation),
        option,
        levels,
    };
    let cells = vec![
        cell("issued", ValueType::Count, SpaceAggregation::Sum, None),
        cell("share", ValueType::Decimal(1), SpaceAggregation::Mean, None),
        cell("met", ValueType::Flag, SpaceAggregation::Coverage, Some(option)),
    ];
    let (code, period_type, calendar) = (code.parse().unwrap(), PeriodType::Month, Calendar::Gregorian);
    let (name_vi, name_en) = (String::new(), String::new());
    DataSet::new(DataSetParts {
        code,
        name_vi,
        name_en,
        period_type,
        calendar,
        levels,
        schedule: Schedule::default(),
        cells,
        groups: Vec::new(),
        rules: Vec::new(),
        outliers: Vec::new(),
        indicators: Vec::new(),
        targets: Vec::new(),
    })
    .unwrap()
}

fn element(code: &str, value_type: ValueType, space_aggregation: SpaceAggregation) -> DataElement {
    DataElement {
        code: code.parse().unwrap(),
        name_vi: code.to_owned(),
        name_en: code.to_owned(),
        family: "id".to_owned(),
        value_type,
        measure: Measure::Stock,
        time_aggregation: TimeAggregation::Last,
        space_aggregation,
        unit_of_measure: "card".to_owned(),
    }
}
