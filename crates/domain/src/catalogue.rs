//! The catalogue: the versioned definition of what may be reported, by whom, and how it adds up.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustc_hash::FxHashMap;
use time::{Date, Duration, Time, UtcOffset};

use crate::{
    Calendar, DataElementCode, DataSetCode, IndicatorCode, Layout, LevelCode, OptionCode, OrgTree, OrgUnitCode, Period,
    PeriodType, Timestamp, UnitIx, Vintage, rule::Rule, tree::LevelIx,
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

impl Level {
    /// The Vietnamese name within a sentence: `cấp xã`, `bộ, ngành`.
    #[must_use]
    pub fn in_sentence_vi(&self) -> String {
        let mut rest = self.name_vi.chars();
        rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
    }
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
    /// A day; kept as the number its digits make, `20220601`. Never added.
    Date,
    /// Words. Kept with the report, never added; its number is 0 where there are any.
    Text,
}

impl ValueType {
    /// Decimal places by which the kept integer is scaled.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        match self {
            Self::Decimal(places) => places,
            Self::Count | Self::Signed | Self::Flag | Self::Date | Self::Text => 0,
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
    /// Whether a unit's value goes into the totals of the units above it. Of words only how many units gave some does: their
    /// number is 0.
    #[must_use]
    pub const fn is_additive(self) -> bool {
        match self {
            Self::Sum | Self::Coverage | Self::Mean | Self::Collect => true,
            Self::None => false,
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

impl TimeAggregation {
    /// The name used in catalogue files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Last => "last",
            Self::None => "none",
        }
    }
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

/// Options that are counted together: `svc_total[police]` is the sum over the services the police are in charge of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellGroup {
    /// The data element.
    pub element: DataElementCode,
    /// The group, its code and names.
    pub group: CategoryOption,
    /// The cells and the days on which they belong to the group.
    pub members: Vec<GroupMember>,
}

/// A cell of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The cell's place.
    pub cell: usize,
    /// The first day it belongs to the group, none where the beginning is unknown.
    pub valid_from: Option<Date>,
    /// The first day it belongs no more, none while it does.
    pub valid_to: Option<Date>,
}

/// Computed from totals: 100 × numerator ÷ denominator, each summed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indicator {
    /// The code.
    pub code: IndicatorCode,
    /// The option, where its parts are disaggregated.
    pub option: Option<CategoryOption>,
    /// The name in Vietnamese.
    pub name_vi: String,
    /// The name in English.
    pub name_en: String,
    /// The place of the cell that is divided.
    pub numerator: usize,
    /// The place of the cell that divides.
    pub denominator: usize,
}

/// What is to be reached, by one unit or by each, in one period or in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The unit whose target it is; none for every unit's.
    pub org_unit: Option<OrgUnitCode>,
    /// The period (one of the data set's own or a longer one) for which it is set; none for every period.
    pub period: Option<Period>,
    /// The place of the cell that has to reach it.
    pub cell: usize,
    /// How much.
    pub goal: Goal,
    /// The day by which; the period's last where none is named.
    pub due: Option<Date>,
}

/// How much a target asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// That number, scaled by the cell's decimals.
    Value(i64),
    /// So many hundredths of a per cent of another cell's total: 10,000 is all of it.
    Of {
        /// Hundredths of a per cent.
        share: u32,
        /// The other cell's place.
        cell: usize,
    },
    /// So many hundredths of a per cent of the units that are expected to report. For flags.
    OfUnits {
        /// Hundredths of a per cent.
        share: u32,
    },
}

/// When reports of a data set come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// For each level, how many days after the period's last the deadline is: the end of that day.
    pub deadlines: Vec<(LevelIx, u16)>,
    /// How many days after the period's last it closes, at the end of the day; none if it never does.
    pub closes_after: Option<u16>,
}

/// A form: an ordered list of cells, the periods it is for, and the levels that report it.
#[derive(Clone, Debug)]
pub struct DataSet {
    parts: DataSetParts,
    /// Data element, then option (empty without disaggregation), to the cell's place.
    by_name: FxHashMap<DataElementCode, FxHashMap<Box<str>, usize>>,
    /// By which cells reports may be packed.
    layout: Layout,
    /// What the layout was before each cell came to it: at place `n` that of the first `n` cells.
    layouts_before: Vec<Layout>,
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
    /// The kinds of longer period that have totals too, from the shortest to the longest.
    pub longer_periods: Vec<PeriodType>,
    /// The levels whose units report it.
    pub levels: LevelSet,
    /// When its reports come in.
    pub schedule: Schedule,
    /// The cells, in the order in which values are kept.
    pub cells: Vec<Cell>,
    /// Cells that are counted together.
    pub groups: Vec<CellGroup>,
    /// The rules; their cells are places in `cells`.
    pub rules: Vec<Rule>,
    /// The places of the cells whose values are held against the unit's own history.
    pub outliers: Vec<usize>,
    /// What is computed from its totals.
    pub indicators: Vec<Indicator>,
    /// What is to be reached.
    pub targets: Vec<Target>,
}

impl DataSet {
    /// A data set of these parts.
    ///
    /// # Errors
    /// When a cell occurs twice, or something names a place that has no cell.
    pub fn new(parts: DataSetParts) -> Result<Self, DataSetError> {
        let DataSetParts { cells, groups, rules, outliers, indicators, targets, .. } = &parts;
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
        let named = (groups.iter().flat_map(|group| group.members.iter().map(|member| member.cell)))
            .chain(outliers.iter().copied())
            .chain(indicators.iter().flat_map(|indicator| [indicator.numerator, indicator.denominator]))
            .chain(targets.iter().flat_map(|target| match target.goal {
                Goal::Of { cell, .. } => [target.cell, cell],
                Goal::Value(_) | Goal::OfUnits { .. } => [target.cell; 2],
            }));
        if let Some(place) = named.into_iter().find(|place| *place >= cells.len()) {
            return Err(DataSetError::NoCell { place });
        }
        let (layout, layouts_before) = Layout::all(&parts.code, cells);
        Ok(Self { parts, by_name, layout, layouts_before })
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &DataSetParts {
        &self.parts
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &DataSetCode {
        &self.parts.code
    }

    /// The name in Vietnamese.
    #[must_use]
    pub fn name_vi(&self) -> &str {
        &self.parts.name_vi
    }

    /// The name in English.
    #[must_use]
    pub fn name_en(&self) -> &str {
        &self.parts.name_en
    }

    /// The kind of period it is reported for.
    #[must_use]
    pub fn period_type(&self) -> PeriodType {
        self.parts.period_type
    }

    /// The calendar that cuts its periods.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.parts.calendar
    }

    /// The kinds of longer period that have totals too, from the shortest to the longest.
    #[must_use]
    pub fn longer_periods(&self) -> &[PeriodType] {
        &self.parts.longer_periods
    }

    /// The levels whose units report it.
    #[must_use]
    pub fn levels(&self) -> LevelSet {
        self.parts.levels
    }

    /// The cells, in the order in which values are kept.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.parts.cells
    }

    /// When its reports come in.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.parts.schedule
    }

    /// Cells that are counted together.
    #[must_use]
    pub fn groups(&self) -> &[CellGroup] {
        &self.parts.groups
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.parts.rules
    }

    /// The places of the cells whose values are held against the unit's own history.
    #[must_use]
    pub fn outliers(&self) -> &[usize] {
        &self.parts.outliers
    }

    /// What is computed from its totals.
    #[must_use]
    pub fn indicators(&self) -> &[Indicator] {
        &self.parts.indicators
    }

    /// What is to be reached.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.parts.targets
    }

    /// The last day of one of its periods, or of a longer one that is made of them.
    #[must_use]
    pub fn last_day(&self, period: Period) -> Date {
        period.span(self.parts.calendar).last
    }

    /// Names the cells and their order.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The layout of the first cells: what the form's was when it had no more.
    #[must_use]
    pub fn layout_of_first(&self, cells: usize) -> Layout {
        self.layouts_before.get(cells).copied().unwrap_or(self.layout)
    }

    /// How many of the first cells a layout is of; none where it is no beginning of this form's. A form gets cells at its end
    /// alone, so one that was packed by fewer can still be read.
    #[must_use]
    pub fn cells_of(&self, layout: Layout) -> Option<usize> {
        if layout == self.layout {
            return Some(self.cells().len());
        }
        self.layouts_before.iter().position(|before| *before == layout)
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
    /// A group, an indicator, a target or the list of watched cells names a cell the data set has not.
    #[error("place {place} is named and has no cell")]
    NoCell {
        /// The place.
        place: usize,
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
    utc_offset: UtcOffset,
    /// How many units of each level are expected, for every unit; by data set and vintage, counted when first asked for.
    expected: Vec<OnceLock<Box<[u32]>>>,
}

impl Catalogue {
    /// A catalogue of these parts. Data sets are kept by code. Days begin and end at midnight of `utc_offset`: Vietnam has
    /// not changed its clocks since 1975.
    #[must_use]
    pub fn new(
        version: CatalogueVersion,
        levels: Vec<Level>,
        tree: OrgTree,
        mut data_sets: Vec<DataSet>,
        utc_offset: UtcOffset,
    ) -> Self {
        data_sets.sort_by(|a, b| a.code().cmp(b.code()));
        let expected = vec![OnceLock::new(); data_sets.len() * tree.vintages().len()];
        Self { version, levels, tree, data_sets, utc_offset, expected }
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
        let place = self.data_sets.binary_search_by(|data_set| data_set.code().as_str().cmp(code)).ok()?;
        Some(&self.data_sets[place])
    }

    /// The tree that reports a period of a data set: the one in force on the period's last day. Of `latest`, the one it is
    /// since.
    ///
    /// Decided once, here: a period that straddles a reform is reported by the units that exist when it ends.
    #[must_use]
    pub fn vintage(&self, data_set: &DataSet, period: Period) -> &Vintage {
        if period.kind() == PeriodType::Latest {
            // Of trees of one shape the last has the names in force.
            let named = |vintage: &&Vintage| Period::latest_since(vintage.since()) == period;
            if let Some(vintage) = self.tree.vintages().iter().rev().find(named) {
                return vintage;
            }
            return self.tree.on(period.span(data_set.calendar()).first);
        }
        self.tree.on(data_set.last_day(period))
    }

    /// The longer periods in whose totals the reports of one of a data set's periods count: of the kinds that the data set has
    /// those that its last day lies in; `latest` begins anew whenever the shape of the tree changes.
    #[must_use]
    pub fn windows(&self, data_set: &DataSet, period: Period) -> Vec<Period> {
        let last = data_set.last_day(period);
        let longer = data_set.longer_periods().iter().filter_map(|kind| match kind {
            PeriodType::Latest => Some(Period::latest_since(self.tree.on(last).since())),
            kind => Period::containing(*kind, data_set.calendar(), last),
        });
        longer.collect()
    }

    /// Where a unit's report of a period counts in the totals of a longer one: the unit of the longer period's tree, and
    /// whether it is that very unit. Where it is not, the unit has gone, and only what happened while it was there counts,
    /// at the nearest unit above it that remains.
    #[must_use]
    pub fn counts_at(&self, data_set: &DataSet, unit: UnitIx, period: Period, window: Period) -> (UnitIx, bool) {
        if period == window || window.kind() == PeriodType::Latest {
            return (unit, true); // one shape: one place for each unit
        }
        self.tree.continued(unit, data_set.last_day(period), data_set.last_day(window))
    }

    /// The instant before which a period has not begun.
    #[must_use]
    pub fn starts_at(&self, data_set: &DataSet, period: Period) -> Timestamp {
        self.midnight(period.span(data_set.calendar()).first)
    }

    /// The instant from which the report of a unit of a level is late. Where the form has no deadline for the level, that of the
    /// level it stands in for, if the unit does; none where there is none of either.
    #[must_use]
    pub fn deadline(&self, data_set: &DataSet, period: Period, level: LevelIx, stands_in: bool) -> Option<Timestamp> {
        let of = |level| data_set.schedule().deadlines.iter().find(|(of, _)| *of == level);
        let instead = || of(self.level(level).stands_in_for.filter(|_| stands_in)?);
        let (_, days) = of(level).or_else(instead)?;
        Some(self.midnight(data_set.last_day(period).saturating_add(Duration::days(i64::from(*days) + 1))))
    }

    /// The instant from which a period is closed; none if it never is.
    #[must_use]
    pub fn closes_at(&self, data_set: &DataSet, period: Period) -> Option<Timestamp> {
        let days = data_set.schedule().closes_after?;
        Some(self.midnight(data_set.last_day(period).saturating_add(Duration::days(i64::from(days) + 1))))
    }

    /// The instant at which a day begins.
    fn midnight(&self, day: Date) -> Timestamp {
        Timestamp::from(day.with_time(Time::MIDNIGHT).assume_offset(self.utc_offset))
    }

    /// The offset from UTC of the place whose days are meant.
    #[must_use]
    pub fn utc_offset(&self) -> UtcOffset {
        self.utc_offset
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
        self.serves(data_set.levels(), vintage, unit)
    }

    /// Whether a unit fills a cell.
    #[must_use]
    pub fn fills(&self, cell: &Cell, vintage: &Vintage, unit: UnitIx) -> bool {
        self.serves(cell.levels, vintage, unit)
    }

    /// How many units of each level are expected to report a data set, in the subtree of a unit. Levels with none are left out.
    /// Both are this catalogue's: of a tree or a form of another nothing is expected.
    #[must_use]
    pub fn expected(&self, data_set: &DataSet, vintage: &Vintage, unit: UnitIx) -> Vec<(LevelIx, u32)> {
        let form = self.data_sets.iter().position(|own| std::ptr::eq(own, data_set));
        let tree = self.tree.vintages().iter().position(|own| std::ptr::eq(own, vintage));
        let Some((form, tree)) = form.zip(tree) else { return Vec::new() };
        let table = &self.expected[form * self.tree.vintages().len() + tree];
        let table = table.get_or_init(|| self.count_expected(data_set, vintage));
        let levels = self.levels.len();
        let counts = table[unit.get() * levels..][..levels].iter().copied();
        (0..).map(LevelIx::new).zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Counts each unit that reports at itself and at every unit above it: one walk for all, where the nation alone would be a
    /// walk over eleven thousand units.
    fn count_expected(&self, data_set: &DataSet, vintage: &Vintage) -> Box<[u32]> {
        let levels = self.levels.len();
        let mut table = vec![0; vintage.units().count() * levels];
        for (reporting, unit) in vintage.units().filter(|(ix, _)| self.reports(data_set, vintage, *ix)) {
            for above in vintage.with_ancestors(reporting) {
                table[above.get() * levels + unit.level.get()] += 1;
            }
        }
        table.into()
    }
}

/// The catalogue in use and those that reports were judged by before it.
///
/// A report counts by the catalogue it was judged by, for as long as it counts: a new one does not move what is there.
#[derive(Clone, Debug)]
pub struct Catalogues {
    current: Arc<Catalogue>,
    earlier: FxHashMap<CatalogueVersion, Arc<Catalogue>>,
}

impl Catalogues {
    /// One catalogue, and none before it.
    #[must_use]
    pub fn new(current: Arc<Catalogue>) -> Self {
        Self { current, earlier: FxHashMap::default() }
    }

    /// The one in use.
    #[must_use]
    pub fn current(&self) -> &Catalogue {
        &self.current
    }

    /// The catalogue of a version.
    #[must_use]
    pub fn find(&self, version: &CatalogueVersion) -> Option<&Catalogue> {
        if self.current.version() == version { Some(&self.current) } else { self.earlier.get(version).map(|c| &**c) }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Catalogue> {
        std::iter::once(&*self.current).chain(self.earlier.values().map(|catalogue| &**catalogue))
    }

    /// Adds one that reports were judged by.
    pub fn add(&mut self, catalogue: Arc<Catalogue>) {
        self.earlier.insert(catalogue.version().clone(), catalogue);
    }
}
