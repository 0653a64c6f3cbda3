//! The catalogue: the versioned definition of what may be reported, by whom, and how it adds up.

use std::fmt;

use rustc_hash::FxHashMap;

use crate::{
    Calendar, DataElementCode, DataSetCode, LevelCode, OptionCode, OrgTree, Period, PeriodType, UnitIx, Vintage,
    rule::Rule, tree::LevelIx,
};

/// Names one state of the catalogue's files, so that a report and a total can say by which they were judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueVersion(Box<str>);

impl CatalogueVersion {
    /// The version of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CatalogueVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A level of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The code.
    pub code: LevelCode,
    /// The name in Vietnamese.
    pub name_vi: String,
    /// The name in English.
    pub name_en: String,
    /// A unit of this level with nothing below it reports what units of that level report. Five island districts
    /// had no communes before July 2025: they report what communes do.
    pub stands_in_for: Option<LevelIx>,
}

/// What kind of number a data element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A whole number, zero or more.
    Count,
    /// A whole number that may be negative.
    Signed,
    /// A number with that many decimals, zero or more; kept as an integer scaled by ten to that power.
    Decimal(u8),
    /// Yes or no; kept as 1 or 0.
    Flag,
    /// Words. Kept with the report, never added.
    Text,
}

impl ValueType {
    /// Decimal places by which the kept integer is scaled.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        match self {
            Self::Decimal(places) => places,
            Self::Count | Self::Signed | Self::Flag | Self::Text => 0,
        }
    }
}

/// How a data element relates to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A level on the last day of the period.
    Stock,
    /// What happened within the period.
    Flow,
    /// Everything since the beginning, as of the last day of the period.
    Cumulative,
    /// Neither: words.
    None,
}

/// How a data element adds up over org units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceAggregation {
    /// The unit's own value and all below it.
    Sum,
    /// How many units say yes.
    Coverage,
    /// The average of the units that report; kept as a sum and a count.
    Mean,
    /// Kept with the unit, not added.
    None,
    /// Words, listed.
    Collect,
}

impl SpaceAggregation {
    /// Whether a unit's value goes into the totals of the units above it.
    #[must_use]
    pub const fn is_additive(self) -> bool {
        match self {
            Self::Sum | Self::Coverage | Self::Mean => true,
            Self::None | Self::Collect => false,
        }
    }
}

/// How a data element adds up over the periods of a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeAggregation {
    /// The periods' values are added.
    Sum,
    /// Each unit's latest value counts.
    Last,
    /// It does not.
    None,
}

/// One counted thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataElement {
    /// The code.
    pub code: DataElementCode,
    /// The name in Vietnamese.
    pub name_vi: String,
    /// The name in English.
    pub name_en: String,
    /// The family it is filed under: `id`, `org` …
    pub family: String,
    /// What kind of number it is.
    pub value_type: ValueType,
    /// How it relates to time.
    pub measure: Measure,
    /// How it adds up over periods.
    pub time_aggregation: TimeAggregation,
    /// How it adds up over org units.
    pub space_aggregation: SpaceAggregation,
    /// What is counted, in English and in the singular: `card`.
    pub unit_of_measure: String,
}

/// A value of a data element's disaggregation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryOption {
    /// The code.
    pub code: OptionCode,
    /// The name in Vietnamese.
    pub name_vi: String,
    /// The name in English.
    pub name_en: String,
}

/// A set of levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelSet(u32);

impl LevelSet {
    /// Whether the level is in the set.
    #[must_use]
    pub const fn contains(self, level: LevelIx) -> bool {
        self.0 & (1 << level.get()) != 0
    }

    /// The levels in the set, in the catalogue's order.
    pub fn iter(self) -> impl Iterator<Item = LevelIx> {
        (0..32).map(LevelIx::new).filter(move |level| self.contains(*level))
    }
}

impl FromIterator<LevelIx> for LevelSet {
    fn from_iter<I: IntoIterator<Item = LevelIx>>(levels: I) -> Self {
        Self(levels.into_iter().fold(0, |set, level| set | 1 << level.get()))
    }
}

/// One number of a form: a data element, for one option where it is disaggregated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The data element.
    pub element: DataElement,
    /// The option, where the data element is disaggregated.
    pub option: Option<CategoryOption>,
    /// The levels that fill the cell; a part of the data set's.
    pub levels: LevelSet,
}

impl fmt::Display for Cell {
    /// `rec_total`, or `svc_total[s03]` with an option.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.option {
            None => write!(f, "{}", self.element.code),
            Some(option) => write!(f, "{}[{}]", self.element.code, option.code),
        }
    }
}

/// A form: an ordered list of cells, the periods it is for, and the levels that report it.
#[derive(Clone, Debug)]
pub struct DataSet {
    code: DataSetCode,
    name_vi: String,
    name_en: String,
    period_type: PeriodType,
    calendar: Calendar,
    levels: LevelSet,
    cells: Vec<Cell>,
    rules: Vec<Rule>,
    /// Data element, then option (empty without disaggregation), to the cell's place.
    by_name: FxHashMap<DataElementCode, FxHashMap<Box<str>, usize>>,
}

/// What a data set is made of; [`DataSet::new`] takes it.
#[derive(Clone, Debug)]
pub struct DataSetParts {
    /// The code.
    pub code: DataSetCode,
    /// The name in Vietnamese.
    pub name_vi: String,
    /// The name in English.
    pub name_en: String,
    /// The kind of period it is reported for.
    pub period_type: PeriodType,
    /// The calendar that cuts the periods.
    pub calendar: Calendar,
    /// The levels whose units report it.
    pub levels: LevelSet,
    /// The cells, in the order in which values are kept.
    pub cells: Vec<Cell>,
    /// The rules; their cells are places in `cells`.
    pub rules: Vec<Rule>,
}

impl DataSet {
    /// A data set of these parts.
    ///
    /// # Errors
    /// When a cell occurs twice, or a rule names a place that has no cell.
    pub fn new(parts: DataSetParts) -> Result<Self, DataSetError> {
        let DataSetParts { code, name_vi, name_en, period_type, calendar, levels, cells, rules } = parts;
        let mut by_name: FxHashMap<_, FxHashMap<_, _>> = FxHashMap::default();
        for (place, cell) in cells.iter().enumerate() {
            let option = cell.option.as_ref().map_or("", |option| option.code.as_str());
            if by_name.entry(cell.element.code.clone()).or_default().insert(option.into(), place).is_some() {
                return Err(DataSetError::CellTwice { cell: cell.to_string() });
            }
        }
        if let Some(rule) = rules.iter().find(|rule| rule.cells().any(|place| place >= cells.len())) {
            return Err(DataSetError::RuleWithoutCell { rule: rule.id.clone() });
        }
        Ok(Self { code, name_vi, name_en, period_type, calendar, levels, cells, rules, by_name })
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &DataSetCode {
        &self.code
    }

    /// The name in Vietnamese.
    #[must_use]
    pub fn name_vi(&self) -> &str {
        &self.name_vi
    }

    /// The name in English.
    #[must_use]
    pub fn name_en(&self) -> &str {
        &self.name_en
    }

    /// The kind of period it is reported for.
    #[must_use]
    pub fn period_type(&self) -> PeriodType {
        self.period_type
    }

    /// The calendar that cuts its periods.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// The levels whose units report it.
    #[must_use]
    pub fn levels(&self) -> LevelSet {
        self.levels
    }

    /// The cells, in the order in which values are kept.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The place of a cell; `option` is empty for a data element without disaggregation.
    #[must_use]
    pub fn find_cell(&self, element: &str, option: &str) -> Option<usize> {
        self.by_name.get(element)?.get(option).copied()
    }
}

/// What keeps parts from being a data set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataSetError {
    /// A cell occurs twice.
    #[error("cell {cell} occurs twice")]
    CellTwice {
        /// The cell.
        cell: String,
    },
    /// A rule names a cell the data set has not.
    #[error("rule {rule} names a cell that the data set has not")]
    RuleWithoutCell {
        /// The rule.
        rule: String,
    },
}

/// All of it, at one version.
#[derive(Clone, Debug)]
pub struct Catalogue {
    version: CatalogueVersion,
    levels: Vec<Level>,
    tree: OrgTree,
    data_sets: Vec<DataSet>,
}

impl Catalogue {
    /// A catalogue of these parts. Data sets are kept by code.
    #[must_use]
    pub fn new(version: CatalogueVersion, levels: Vec<Level>, tree: OrgTree, mut data_sets: Vec<DataSet>) -> Self {
        data_sets.sort_by(|a, b| a.code.cmp(&b.code));
        Self { version, levels, tree, data_sets }
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &CatalogueVersion {
        &self.version
    }

    /// The levels, from the root down.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// A level.
    #[must_use]
    pub fn level(&self, ix: LevelIx) -> &Level {
        &self.levels[ix.get()]
    }

    /// The place of a level.
    #[must_use]
    pub fn find_level(&self, code: &str) -> Option<LevelIx> {
        let place = self.levels.iter().position(|level| level.code.as_str() == code)?;
        u8::try_from(place).ok().map(LevelIx::new)
    }

    /// The tree over all time.
    #[must_use]
    pub fn tree(&self) -> &OrgTree {
        &self.tree
    }

    /// The data sets, by code.
    #[must_use]
    pub fn data_sets(&self) -> &[DataSet] {
        &self.data_sets
    }

    /// The data set with a code.
    #[must_use]
    pub fn find_data_set(&self, code: &str) -> Option<&DataSet> {
        let place = self.data_sets.binary_search_by(|data_set| data_set.code.as_str().cmp(code)).ok()?;
        Some(&self.data_sets[place])
    }

    /// The tree that reports a period of a data set: the one in force on the period's last day.
    ///
    /// Decided once, here: a period that straddles a reform is reported by the units that exist when it ends.
    #[must_use]
    pub fn vintage(&self, data_set: &DataSet, period: Period) -> &Vintage {
        self.tree.on(period.span(data_set.calendar).last)
    }

    /// Whether units of a level fill cells meant for `levels`, either being of one of them or standing in for one.
    fn serves(&self, levels: LevelSet, vintage: &Vintage, unit: UnitIx) -> bool {
        let unit = vintage.unit(unit);
        levels.contains(unit.level)
            || (unit.is_leaf() && self.level(unit.level).stands_in_for.is_some_and(|level| levels.contains(level)))
    }

    /// Whether a unit reports a data set.
    #[must_use]
    pub fn reports(&self, data_set: &DataSet, vintage: &Vintage, unit: UnitIx) -> bool {
        self.serves(data_set.levels, vintage, unit)
    }

    /// Whether a unit fills a cell.
    #[must_use]
    pub fn fills(&self, cell: &Cell, vintage: &Vintage, unit: UnitIx) -> bool {
        self.serves(cell.levels, vintage, unit)
    }

    /// How many units of each level are expected to report a data set, in the subtree of a unit. Levels with none are left out.
    #[must_use]
    pub fn expected(&self, data_set: &DataSet, vintage: &Vintage, unit: UnitIx) -> Vec<(LevelIx, u32)> {
        let mut counts = vec![0_u32; self.levels.len()];
        for unit in vintage.subtree(unit).filter(|unit| self.reports(data_set, vintage, *unit)) {
            counts[vintage.unit(unit).level.get()] += 1;
        }
        let levels = (0..).map(LevelIx::new).zip(counts);
        levels.filter(|(_, count)| *count > 0).collect()
    }
}
