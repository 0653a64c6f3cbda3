//! The laws of consolidation, over random trees, catalogues, periods, reports and orders of arrival.
//!
//! The reference is a model of a few lines that knows nothing of the fold: the highest revision of each key counts, and
//! a total is the sum over the units whose path upwards leads through the unit. Over a longer period it takes every unit's
//! reports in it, adds what happened and takes the latest of the rest.

#![expect(clippy::unwrap_used, reason = "a test whose example cannot be made has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Calendar, Catalogue, CatalogueVersion, Catalogues, Content, ContentDigest, Key, LevelIx, OrgTree, PeriodType,
    Report, Revision, SubmissionId, Timestamp, UnitVersion, Violations,
    catalogue::{
        Cell, DataElement, DataSet, DataSetParts, Level, LevelSet, Measure, Schedule, SpaceAggregation,
        TimeAggregation, ValueType,
    },
    fold::Tally,
    recount,
    settle::{self, Accepted, Book, Cause, Changes, Fate, Judged, Known, Origin, Position, Provenance, SeriesOf},
};
use proptest::prelude::*;
use time::{Date, macros::date};

const CELLS: usize = 5;

/// How each cell adds up over units and over time: a flow, a level, a level that is kept and not added, something that no
/// longer period knows, and a level that only the second version of the catalogue has.
const KINDS: [(SpaceAggregation, TimeAggregation); CELLS] = [
    (SpaceAggregation::Sum, TimeAggregation::Sum),
    (SpaceAggregation::Sum, TimeAggregation::Last),
    (SpaceAggregation::None, TimeAggregation::Last),
    (SpaceAggregation::Mean, TimeAggregation::None),
    (SpaceAggregation::Sum, TimeAggregation::Last),
];
const CELLS_OF: [usize; 2] = [4, 5];

/// In the second version a commune of the first province begins on this day.
const FOUNDING: Date = date!(2022 - 11 - 01);
const FOUNDED: &str = "C0-9";
/// The first commune of every province is no more from this day on.
const MERGER: Date = date!(2022 - 12 - 01);

/// Months before and after these days, with all longer periods they lie in, by version: `latest` begins anew with the tree.
const PERIODS: [(&str, [[&str; 5]; 2]); 5] = [
    ("202209", [["202209", "2022Q3", "2022S2", "2022", "latest"]; 2]),
    ("202210", [["202210", "2022Q4", "2022S2", "2022", "latest"]; 2]),
    (
        "202211",
        [["202211", "2022Q4", "2022S2", "2022", "latest"], ["202211", "2022Q4", "2022S2", "2022", "latest20221101"]],
    ),
    ("202212", [["202212", "2022Q4", "2022S2", "2022", "latest20221201"]; 2]),
    ("202301", [["202301", "2023Q1", "2023S1", "2023", "latest20221201"]; 2]),
];

/// All periods that some total is of.
fn all_periods() -> BTreeSet<&'static str> {
    PERIODS.iter().flat_map(|(_, windows)| windows.iter().flatten()).copied().collect()
}

/// A day on which the tree that a period is added on stands.
fn day_of(period: &str) -> Date {
    match period {
        "202209" | "202210" | "2022Q3" | "latest" => Date::MIN,
        "202211" | "latest20221101" => FOUNDING,
        _ => MERGER,
    }
}

/// VN, provinces below it, communes below those; every level reports. In the second version of the catalogue the second
/// commune of the first province lies in the second province, a commune is founded, and the form has one more cell.
fn catalogue(communes_of: &[usize], version: usize, longer: bool) -> Catalogue {
    let level = |code: &str| Level {
        code: code.parse().unwrap(),
        name_vi: String::new(),
        name_en: String::new(),
        stands_in_for: None,
    };
    let unit = |code: String, level, parent: Option<&str>, valid_from, valid_to| UnitVersion {
        code: code.parse().unwrap(),
        name: code.clone(),
        level: LevelIx::new(level),
        kind: String::new(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        valid_from,
        valid_to,
    };
    let mut rows = vec![unit("VN".to_owned(), 0, None, None, None)];
    for (province, communes) in communes_of.iter().enumerate() {
        rows.push(unit(format!("P{province}"), 1, Some("VN"), None, None));
        for commune in 0..*communes {
            let code = format!("C{province}-{commune}");
            let parent = parent_of(&code, communes_of.len(), version).unwrap();
            rows.push(unit(code, 2, Some(&parent), None, (commune == 0).then_some(MERGER)));
        }
    }
    if version == 1 {
        rows.push(unit(FOUNDED.to_owned(), 2, Some("P0"), Some(FOUNDING), None));
    }
    let levels: LevelSet = (0..3).map(LevelIx::new).collect();
    let cell = |(place, (space_aggregation, time_aggregation))| Cell {
        element: DataElement {
            code: format!("cell{place}").parse().unwrap(),
            name_vi: String::new(),
            name_en: String::new(),
            family: String::new(),
            value_type: ValueType::Signed,
            measure: Measure::Flow,
            time_aggregation,
            space_aggregation,
            unit_of_measure: String::new(),
        },
        option: None,
        levels,
    };
    let cells: Vec<_> = KINDS.into_iter().take(CELLS_OF[version]).enumerate().map(cell).collect();
    let data_set = |code: &str, period_type| DataSetParts {
        code: code.parse().unwrap(),
        name_vi: String::new(),
        name_en: String::new(),
        period_type,
        calendar: Calendar::Gregorian,
        longer_periods: domain::window::kinds(period_type).filter(|_| longer).collect(),
        levels,
        cells: cells.clone(),
        rules: Vec::new(),
        schedule: Schedule::default(),
        groups: Vec::new(),
        outliers: Vec::new(),
        indicators: Vec::new(),
        targets: Vec::new(),
    };
    let data_sets = [("form", PeriodType::Month), ("weeks", PeriodType::Week)];
    Catalogue::new(
        CatalogueVersion::new(["first", "second"][version]),
        ["national", "province", "commune"].map(level).to_vec(),
        OrgTree::new(&rows, Vec::new()).unwrap(),
        data_sets.map(|(code, kind)| DataSet::new(data_set(code, kind)).unwrap()).to_vec(),
        time::UtcOffset::UTC,
    )
}

/// A commune is `C0-3`, its province `P0`: the path is in the codes.
fn parent_of(code: &str, provinces: usize, version: usize) -> Option<String> {
    match code.split_once('-') {
        Some(("C0", "1")) if version == 1 && provinces > 1 => Some("P1".to_owned()),
        Some((province, _)) => Some(province.replace('C', "P")),
        None if code == "VN" => None,
        None => Some("VN".to_owned()),
    }
}

/// Both versions; the second is in use.
struct Setting {
    provinces: usize,
    catalogues: Catalogues,
    versions: [Arc<Catalogue>; 2],
    /// Whether the forms have longer periods, by version.
    longer: [bool; 2],
}

impl Setting {
    fn new(communes_of: &[usize]) -> Self {
        Self::with(communes_of, [true; 2])
    }

    fn with(communes_of: &[usize], longer: [bool; 2]) -> Self {
        let versions = [0, 1].map(|version| Arc::new(catalogue(communes_of, version, longer[version])));
        let mut catalogues = Catalogues::new(Arc::clone(&versions[1]));
        catalogues.add(Arc::clone(&versions[0]));
        Self { provinces: communes_of.len(), catalogues, versions, longer }
    }

    /// The month that a report is for, and the longer periods in which it counts.
    fn periods_of<'w>(&self, report: &Accepted, windows: &'w [[&'static str; 5]; 2]) -> &'w [&'static str] {
        let version = version_of(report);
        &windows[version][..if self.longer[version] { 5 } else { 1 }]
    }
}

/// A report of the unit at a place of the tree (taken modulo its size): period, content, revision, which submission it is,
/// and which catalogue it was judged by.
#[derive(Clone, Debug)]
struct Sent {
    unit: usize,
    period: usize,
    revision: i64,
    content: Option<[Option<i64>; CELLS]>,
    submission: u128,
    version: usize,
    on_time: bool,
    warned: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let cell = || proptest::option::weighted(0.7, -1_000_000..1_000_000_i64);
    // Now and then two say the same.
    let said = prop_oneof![4 => [cell(), cell(), cell(), cell(), cell()], 1 => Just([Some(1); CELLS])];
    let content = proptest::option::weighted(0.85, said);
    (0..8_usize, 0..PERIODS.len(), 0..5_i64, content, 1..200_u128, 0..2_usize, any::<(bool, bool)>()).prop_map(
        |(unit, period, revision, content, submission, version, (on_time, warned))| Sent {
            unit,
            period,
            revision,
            on_time: on_time && content.is_some(),
            content,
            submission,
            version,
            warned,
        },
    )
}

fn accepted(setting: &Setting, sent: &Sent, sequence: u64) -> Accepted {
    let catalogue = &setting.versions[sent.version];
    let data_set = &catalogue.data_sets()[0];
    let period = PERIODS[sent.period].0.parse().unwrap();
    let vintage = catalogue.vintage(data_set, period);
    let units: Vec<_> = vintage.units().map(|(_, unit)| unit.code.clone()).collect();
    let key = Key { data_set: data_set.code().clone(), period, org_unit: units[sent.unit % units.len()].clone() };
    let content = sent
        .content
        .map_or(Content::Withdrawn, |cells| Content::Values(cells[..CELLS_OF[sent.version]].to_vec().into()));
    Accepted {
        digest: ContentDigest::of(data_set, &key, &content),
        report: Report {
            submission_id: SubmissionId(uuid::Uuid::from_u128(sent.submission)),
            key,
            revision: Revision::new(sent.revision).unwrap(),
            content,
        },
        provenance: Provenance {
            origin: Origin { sequence, index: 0 },
            received_at: Timestamp::from_unix_micros(0),
            principal: "".into(),
            catalogue: catalogue.version().clone(),
            position: Position(sequence),
        },
        on_time: sent.on_time,
        warnings: Violations::restore(Vec::new(), u32::from(sent.warned)),
    }
}

/// What a database would hold.
#[derive(Default)]
struct World {
    standing: BTreeMap<Key, Accepted>,
    known: Vec<Known>,
    settled: Vec<Origin>,
    totals: BTreeMap<TotalName, Tally>,
    fates: Vec<Fate>,
    /// Where the revisions stand that are kept: those that count, and those that do not any more or never did.
    revisions: Vec<Origin>,
}

/// Period, unit and reporting level.
type TotalName = (String, String, usize);

impl World {
    /// What the store gives: of each series the reports from a period on, and the last with values before it; or those of some periods.
    fn load(&self, series: &[SeriesOf]) -> Vec<Accepted> {
        let mut loaded = Vec::new();
        for SeriesOf { data_set, org_unit, from, to, .. } in series {
            let is_mine = |a: &&Accepted| (&a.report.key.data_set, &a.report.key.org_unit) == (data_set, org_unit);
            let mine = || self.standing.values().filter(is_mine);
            let before = mine().filter(|a| a.report.key.period < *from && a.report.content.values().is_some());
            loaded.extend(before.filter(|_| to.is_none()).max_by_key(|a| a.report.key.period).cloned());
            let is_in = |a: &&Accepted| a.report.key.period >= *from && to.is_none_or(|to| a.report.key.period <= to);
            loaded.extend(mine().filter(is_in).cloned());
        }
        loaded
    }

    fn settle(&mut self, setting: &Setting, batch: &[Accepted]) {
        let needed = settle::needed(&setting.catalogues, batch);
        let mut standing = self.load(&needed);
        let further = settle::needed_further(&setting.catalogues, &needed, &standing).unwrap();
        standing.extend(self.load(&further));
        let mut book = Book::open(&setting.catalogues, standing, self.known.clone(), self.settled.clone()).unwrap();
        for accepted in batch {
            book.settle(Judged::Accepted(accepted.clone())).unwrap();
        }
        let Changes { new, replacing, superseded, ledger, sheets } = book.close();
        self.revisions.extend(superseded.iter().map(|superseded| superseded.accepted.provenance.origin));
        self.revisions.extend(new.iter().chain(&replacing).map(|accepted| accepted.provenance.origin));
        for accepted in new.into_iter().chain(replacing) {
            self.standing.insert(accepted.report.key.clone(), accepted);
        }
        for sheet in &sheets {
            let moved = sheet.deltas.iter().filter(|(_, delta)| !delta.is_zero());
            for ((unit, _), _) in moved {
                let below = |cause: &Cause| cause.units(sheet.vintage).any(|moved| moved == *unit);
                assert!(sheet.causes.iter().any(below), "what moves has a cause");
            }
            let mut causes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
            for cause in &sheet.causes {
                for unit in cause.units(sheet.vintage) {
                    causes.entry(unit).or_default().push(cause.place);
                }
            }
            for (unit, mut places) in causes {
                // As they are counted: what one report does in several ways stands together.
                places.dedup();
                assert!(places.is_sorted_by(|a, b| a < b), "a report moves {unit:?} once: {places:?}");
            }
            for cause in &sheet.causes {
                assert_ne!(ledger[cause.place].fate, Fate::Rejected, "{cause:?}");
            }
        }
        for settled in ledger {
            self.fates.push(settled.fate);
            self.settled.push(settled.provenance.origin);
            if settled.fate != Fate::Rejected {
                self.known.push(Known { submission_id: settled.claim.submission_id.unwrap(), digest: settled.digest });
            }
        }
        let mut written = BTreeSet::new();
        for sheet in sheets {
            for ((unit, level), delta) in sheet.deltas {
                let name = (sheet.period.to_string(), sheet.vintage.unit(unit).code.to_string(), level.get());
                assert!(written.insert(name.clone()), "{name:?} is in two sheets");
                self.totals.entry(name).or_insert_with(|| Tally::zero(CELLS)).add(&delta).unwrap();
            }
        }
        self.totals.retain(|_, tally| !tally.is_zero());
    }
}

/// Sums over the paths upwards, from what counts.
fn recomputed(setting: &Setting, standing: &BTreeMap<Key, Accepted>) -> BTreeMap<TotalName, Tally> {
    let mut model = Model { setting, totals: BTreeMap::new() };
    let units: BTreeSet<&str> = standing.keys().map(|key| key.org_unit.as_str()).collect();
    for period in all_periods() {
        for own in &units {
            // Its reports in the period, by time.
            let reports = PERIODS.iter().filter_map(|(month, windows)| {
                let is_in = |a: &&Accepted| setting.periods_of(a, windows).contains(&period);
                let mut mine = standing.values().filter(|a| a.report.key.org_unit.as_str() == *own);
                mine.find(|a| a.report.key.period.to_string() == **month).filter(is_in)
            });
            let reports: Vec<&Accepted> = reports.filter(|a| a.report.content.values().is_some()).collect();
            if PERIODS.iter().any(|(month, _)| *month == period) {
                model.add_month(period, own, &reports);
            } else {
                model.add_window(period, own, &reports);
            }
        }
    }
    model.totals.retain(|_, tally| !tally.is_zero());
    model.totals
}

fn version_of(accepted: &Accepted) -> usize {
    usize::from(accepted.provenance.catalogue.as_str() == "second")
}

struct Model<'a> {
    setting: &'a Setting,
    totals: BTreeMap<TotalName, Tally>,
}

impl Model<'_> {
    fn add_month(&mut self, period: &str, own: &str, reports: &[&Accepted]) {
        for report in reports {
            self.at_path(period, own, report, |tally, _| {
                tally.reported += 1;
                tally.on_time += i64::from(report.on_time);
                tally.warned += i64::from(report.warnings.omitted() > 0);
            });
            for cell in 0..CELLS {
                self.add_value(period, own, report, cell);
            }
        }
    }

    fn add_window(&mut self, period: &str, own: &str, reports: &[&Accepted]) {
        let is_gone = day_of(period) == MERGER && own.ends_with("-0");
        for (cell, (_, over_time)) in KINDS.into_iter().enumerate() {
            let given: Vec<_> =
                reports.iter().filter(|a| a.report.content.values().unwrap().get(cell).is_some()).collect();
            let counting = match over_time {
                TimeAggregation::Sum => &given[..],
                TimeAggregation::Last if !is_gone => &given[given.len().saturating_sub(1)..],
                _ => &[],
            };
            for report in counting {
                self.add_value(period, own, report, cell);
            }
        }
        if let Some(report) = reports.last().filter(|_| !is_gone) {
            self.at_path(period, own, report, |tally, _| tally.reported += 1);
        }
    }

    fn add_value(&mut self, period: &str, own: &str, report: &Accepted, cell: usize) {
        let Some(value) = report.report.content.values().unwrap().get(cell) else { return };
        self.at_path(period, own, report, |tally, is_own| {
            if is_own || KINDS[cell].0 != SpaceAggregation::None {
                tally.sums[cell] += value;
                tally.contributing[cell] += 1;
            }
        });
    }

    /// Each unit of the period's tree that the report counts at and has something below it.
    fn at_path(&mut self, period: &str, own: &str, report: &Accepted, add: impl Fn(&mut Tally, bool)) {
        let version = version_of(report);
        let tree = self.setting.versions[version].tree().on(day_of(period));
        let level = if own == "VN" { 0 } else { usize::from(own.starts_with('C')) + 1 };
        let path = std::iter::successors(Some(own.to_owned()), |code| parent_of(code, self.setting.provinces, version));
        for above in path.filter(|code| tree.find(code).is_some_and(|ix| !tree.unit(ix).is_leaf())) {
            let name = (period.to_owned(), above.clone(), level);
            add(self.totals.entry(name).or_insert_with(|| Tally::zero(CELLS)), above == own);
        }
    }
}

proptest! {
    // Each case counts every total after each of its batches.
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Totals as they stood after each batch follow from the revisions that were there by then, in whatever order they are
    /// looked at; and what the reports give to a cell is what the cell has.
    #[test]
    fn what_was_is_recounted_from_the_revisions_and_explained_by_reports(
        communes in communes(),
        reports in proptest::collection::vec(sent(), 1..40),
        cut in 1..9_usize,
        longer in any::<[bool; 2]>(),
    ) {
        let setting = Setting::with(&communes, longer);
        let all: Vec<_> = reports.iter().zip(1..).map(|(sent, sequence)| accepted(&setting, sent, sequence)).collect();
        let (mut world, mut stood) = (World::default(), Vec::new());
        for batch in all.chunks(cut) {
            world.settle(&setting, batch);
            stood.push((batch.last().unwrap().provenance.position, world.totals.clone()));
        }
        let revisions = || all.iter().rev().filter(|a| world.revisions.contains(&a.provenance.origin));
        for (position, totals) in stood {
            let standing = recount::standing(revisions().filter(|a| a.provenance.position <= position).cloned());
            prop_assert_eq!(recounted(&setting, &standing), totals);
            own_totals_are_explained(&setting, &standing);
        }
    }
}

/// The totals of every unit with something below it, for every period, each counted by itself; what the reports give to each
/// cell adds up to it.
fn recounted(setting: &Setting, standing: &[Accepted]) -> BTreeMap<TotalName, Tally> {
    let mut totals = BTreeMap::new();
    let data_set = "form".parse().unwrap();
    for period in all_periods() {
        let trees = setting
            .versions
            .iter()
            .map(|catalogue| catalogue.vintage(catalogue.find_data_set("form").unwrap(), period.parse().unwrap()));
        let units = trees.flat_map(|tree| tree.units().filter(|(_, unit)| !unit.is_leaf()).map(|(_, unit)| &unit.code));
        for org_unit in units.collect::<BTreeSet<_>>() {
            let of = recount::Of { data_set: &data_set, period: period.parse().unwrap(), org_unit };
            // Reports of units that no catalogue knows below it are not needed.
            let codes: Vec<_> = setting.versions.iter().map(|catalogue| recount::may_count(catalogue, of)).collect();
            let is_needed = |a: &&Accepted| {
                codes.iter().any(|codes| codes.as_ref().is_none_or(|codes| codes.contains(&a.report.key.org_unit)))
            };
            let standing: Vec<_> = standing.iter().filter(is_needed).cloned().collect();
            let mut cells = vec![BTreeMap::<String, (i64, i64)>::new(); CELLS];
            let tree = setting.versions[1].tree().on(day_of(period));
            // The totals of a unit with nothing below it are its reports.
            let is_explained = tree.find(org_unit.as_str()).is_some_and(|unit| !tree.unit(unit).is_leaf());
            for (cell, sums) in cells.iter_mut().enumerate() {
                for given in recount::contributions(&setting.catalogues, of, cell, &standing).unwrap() {
                    let (sum, count) = sums.entry(given.level.to_string()).or_default();
                    (*sum, *count) = (*sum + given.value, *count + 1);
                }
            }
            for (level, counted) in recount::totals(&setting.catalogues, of, &standing).unwrap() {
                // As many cells as the newest form has, like what is stored.
                let mut tally = Tally::zero(CELLS);
                tally.add(&counted).unwrap();
                for (cell, sums) in cells.iter_mut().enumerate().filter(|_| is_explained) {
                    let given = sums.remove(level.as_str()).unwrap_or_default();
                    assert_eq!(given, (tally.sums[cell], tally.contributing[cell]), "{of:?} {level} {cell}");
                }
                let place = setting.catalogues.current().find_level(level.as_str()).unwrap().get();
                totals.insert((period.to_owned(), org_unit.to_string(), place), tally);
            }
            assert!(!is_explained || cells.iter().all(BTreeMap::is_empty), "{of:?}: {cells:?}");
        }
    }
    totals
}

/// What the totals of each unit with nothing below it have of each cell is what its reports are said to give to it; and it has
/// reported if one of them is its own by the catalogue it was judged by.
fn own_totals_are_explained(setting: &Setting, standing: &[Accepted]) {
    let data_set = "form".parse().unwrap();
    for period in all_periods() {
        let tree = setting.versions[1].tree().on(day_of(period));
        for (_, unit) in tree.units().filter(|(_, unit)| unit.is_leaf()) {
            let of = recount::Of { data_set: &data_set, period: period.parse().unwrap(), org_unit: &unit.code };
            let mut mine: Vec<_> = standing.iter().filter(|a| a.report.key.org_unit == unit.code).cloned().collect();
            mine.sort_by_key(|a| a.report.key.period);
            let own = |a: &&Accepted| {
                let windows = PERIODS.iter().find(|(month, _)| *month == a.report.key.period.to_string()).unwrap().1;
                setting.periods_of(a, &windows).contains(&period)
            };
            let reports = mine.iter().map(|a| recount::Own {
                period: a.report.key.period,
                values: a.report.content.values(),
                on_time: a.on_time,
                warned: false,
                catalogue: &a.provenance.catalogue,
            });
            let is_own = |report: &recount::Own<'_>| recount::is_own(&setting.catalogues, of, *report).unwrap();
            let totals =
                recount::own_totals(&setting.catalogues, of, &reports.filter(is_own).collect::<Vec<_>>()).unwrap();
            let mut all = Tally::zero(CELLS);
            totals.iter().for_each(|(_, tally)| all.add(tally).unwrap());
            let has_reported = mine.iter().filter(own).any(|a| a.report.content.values().is_some());
            assert_eq!(all.reported, i64::from(has_reported), "{of:?}");
            for cell in 0..CELLS {
                let given = recount::contributions(&setting.catalogues, of, cell, &mine).unwrap();
                let sum: i64 = given.iter().map(|given| given.value).sum();
                assert_eq!(
                    (all.sums[cell], all.contributing[cell]),
                    (sum, i64::try_from(given.len()).unwrap()),
                    "{of:?} {cell}"
                );
            }
        }
    }
}

/// How many communes each province has. The first has one at least, so that there is a merger.
fn communes() -> impl Strategy<Value = Vec<usize>> {
    (1..4_usize, proptest::collection::vec(0..4_usize, 0..3)).prop_map(|(first, rest)| [vec![first], rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes in, in whatever batches, with whatever said twice: totals are what the standing reports add up to,
    /// and each report that came in has one fate.
    #[test]
    fn incremental_equals_recomputed(
        communes in communes(),
        reports in proptest::collection::vec(sent(), 1..60),
        cuts in proptest::collection::vec(1..9_usize, 1..20),
        longer in any::<[bool; 2]>(),
    ) {
        let setting = Setting::with(&communes, longer);
        let all: Vec<_> = reports.iter().zip(1..).map(|(sent, sequence)| accepted(&setting, sent, sequence)).collect();
        let mut world = World::default();
        let mut rest = &all[..];
        for cut in cuts.iter().cycle() {
            let (batch, later) = rest.split_at((*cut).min(rest.len()));
            world.settle(&setting, batch);
            prop_assert_eq!(&world.totals, &recomputed(&setting, &world.standing));
            rest = later;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(world.fates.len(), all.len());
        // A validator that judged a message twice changes nothing.
        let before = world.totals.clone();
        world.settle(&setting, &all);
        prop_assert_eq!(world.totals, before);
        prop_assert_eq!(world.fates.len(), all.len());
    }

    /// Senders that keep the rules (one content a revision, one id a submission) get the same totals in every order of
    /// arrival and with every repetition.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        communes in communes(),
        reports in proptest::collection::vec(sent(), 1..30),
        shuffle in proptest::collection::vec(any::<proptest::sample::Index>(), 1..120),
    ) {
        let setting = Setting::new(&communes);
        let mut by_revision = BTreeMap::new();
        for sent in &reports {
            let report = accepted(&setting, sent, 0).report;
            by_revision.entry((report.key, report.revision)).or_insert_with(|| sent.clone());
        }
        let kept: Vec<Sent> = by_revision.into_values().zip(1..).map(|(sent, submission)| Sent { submission, ..sent }).collect();
        let mut in_order = World::default();
        let all: Vec<_> = kept.iter().zip(1..).map(|(sent, sequence)| accepted(&setting, sent, sequence)).collect();
        in_order.settle(&setting, &all);

        // Some of them repeated, in any order, one batch each; then whatever was left out.
        let arrivals = shuffle.iter().map(|index| index.get(&kept)).chain(&kept);
        let mut shuffled = World::default();
        for (sent, sequence) in arrivals.zip(1..) {
            shuffled.settle(&setting, &[accepted(&setting, sent, sequence)]);
        }
        prop_assert_eq!(&shuffled.totals, &in_order.totals);
        let content = |world: &World| world.standing.iter().map(|(key, a)| (key.clone(), a.report.revision, a.report.content.clone())).collect::<Vec<_>>();
        prop_assert_eq!(content(&shuffled), content(&in_order));
        prop_assert!(!shuffled.fates.contains(&Fate::Rejected));
    }

    /// Tallies are a commutative group: order does not matter, and what was added can be taken away.
    #[test]
    fn tallies_are_a_commutative_group(a in tally(), b in tally(), c in tally()) {
        let sum = |parts: &[&Tally]| {
            let mut sum = Tally::zero(CELLS);
            for part in parts { sum.add(part).unwrap() }
            sum
        };
        prop_assert_eq!(sum(&[&a, &b]), sum(&[&b, &a]));
        prop_assert_eq!(sum(&[&sum(&[&a, &b]), &c]), sum(&[&a, &sum(&[&b, &c])]));
        let negated = Tally { reported: -a.reported, on_time: -a.on_time, warned: -a.warned, sums: a.sums.iter().map(|n| -n).collect(), contributing: a.contributing.iter().map(|n| -n).collect() };
        prop_assert!(sum(&[&a, &negated]).is_zero());
        prop_assert_eq!(sum(&[&a]), a);
    }
}

fn tally() -> impl Strategy<Value = Tally> {
    let numbers = || proptest::collection::vec(-1_000_000_000..1_000_000_000_i64, CELLS);
    (-100..100_i64, numbers(), numbers()).prop_map(|(reported, sums, contributing)| Tally {
        reported,
        on_time: reported / 2,
        warned: reported / 3,
        sums,
        contributing,
    })
}

#[test]
fn a_total_that_would_overflow_is_an_error_and_not_a_wrapped_number() {
    let mut total = Tally::zero(1);
    let most = Tally { reported: 1, sums: vec![i64::MAX], contributing: vec![1], ..Tally::zero(0) };
    total.add(&most).unwrap();
    assert!(total.add(&most).is_err());
}

mod fates {
    use super::*;

    fn fates(reports: &[Sent]) -> Vec<Fate> {
        let setting = Setting::new(&[2]);
        let mut world = World::default();
        let all: Vec<_> = reports.iter().zip(1..).map(|(sent, sequence)| accepted(&setting, sent, sequence)).collect();
        world.settle(&setting, &all);
        world.fates
    }

    fn report(revision: i64, value: i64, submission: u128) -> Sent {
        Sent {
            unit: 0,
            period: 0,
            revision,
            content: Some([Some(value), None, None, None, None]),
            submission,
            version: 1,
            on_time: true,
            warned: false,
        }
    }

    /// Goal: a unit was on time if anything it sent was, in whatever order a report, its repetitions and its corrections are
    /// settled; and that can be counted again from what is kept.
    #[test]
    fn whatever_came_in_on_time_counts_as_on_time() {
        let setting = Setting::new(&[2]);
        let sent = |on_time, sent: Sent| Sent { on_time, ..sent };
        let (on_time, late) = (sent(true, report(1, 5, 1)), sent(false, report(1, 5, 1)));
        let (same_elsewhere, correction) = (sent(true, report(1, 5, 2)), sent(false, report(2, 6, 3)));
        for order in [
            vec![&on_time, &late],
            vec![&late, &on_time],
            vec![&late, &same_elsewhere],
            vec![&late, &correction, &on_time],
            vec![&correction, &on_time, &late],
        ] {
            let all: Vec<_> =
                order.into_iter().zip(1..).map(|(sent, sequence)| accepted(&setting, sent, sequence)).collect();
            for batch in [all.len(), 1] {
                let mut world = World::default();
                all.chunks(batch).for_each(|batch| world.settle(&setting, batch));
                let total = &world.totals[&("202209".to_owned(), "VN".to_owned(), 2)];
                assert_eq!((total.reported, total.on_time), (1, 1), "{all:?}");
                let kept = all.iter().filter(|a| world.revisions.contains(&a.provenance.origin)).cloned();
                assert_eq!(recounted(&setting, &recount::standing(kept)), world.totals, "{all:?}");
            }
        }
    }

    /// Goal: of a revision that was sent twice the first is told as the one that counts, in whatever order they are read.
    #[test]
    fn of_equal_revisions_the_first_counts() {
        let setting = Setting::new(&[2]);
        let sent = [report(1, 5, 1), report(1, 5, 2)];
        let mut all: Vec<_> = sent.iter().zip(1..).map(|(sent, sequence)| accepted(&setting, sent, sequence)).collect();
        for _ in 0..2 {
            let standing = recount::standing(all.clone());
            assert_eq!(standing.iter().map(|a| a.provenance.position).collect::<Vec<_>>(), [Position(1)]);
            all.reverse();
        }
    }

    #[test]
    fn each_way_of_arriving_has_its_fate() {
        use Fate::{Accepted, Duplicate, Rejected, Superseded};
        assert_eq!(fates(&[report(1, 5, 1), report(2, 6, 2)]), [Accepted, Accepted]);
        assert_eq!(fates(&[report(1, 5, 1), report(1, 5, 1)]), [Accepted, Duplicate], "the same submission again");
        assert_eq!(
            fates(&[report(1, 5, 1), report(1, 5, 2)]),
            [Accepted, Duplicate],
            "the same content under another id"
        );
        assert_eq!(fates(&[report(1, 5, 1), report(1, 6, 2)]), [Accepted, Rejected], "same revision, other content");
        assert_eq!(fates(&[report(1, 5, 1), report(2, 6, 1)]), [Accepted, Rejected], "an id used for other content");
        assert_eq!(fates(&[report(2, 6, 2), report(1, 5, 1)]), [Accepted, Superseded], "a late lower revision");
        // A sender without revisions sends again what was corrected since: the collector's newer revision must not bring it back.
        assert_eq!(
            fates(&[report(1, 5, 1), report(2, 6, 2), report(3, 5, 1)]),
            [Accepted, Accepted, Duplicate],
            "a late retry"
        );
    }
}

/// The first `latest` begins on 1 January 2000, a day in the last week of 1999, which is no period: what was reported since
/// is looked for all the same.
#[test]
fn the_latest_value_is_found_before_a_week_without_one() {
    let setting = Setting::new(&[2]);
    let mut world = World::default();
    for (week, value, sequence) in [("2022W40", Some(10), 1), ("2022W41", None, 2), ("2022W42", Some(12), 3)] {
        let content = Some([None, value, None, None, None]);
        let sent = Sent {
            unit: 1, // remains after the merger
            period: 0,
            revision: 1,
            content,
            submission: sequence.into(),
            version: 0,
            on_time: true,
            warned: false,
        };
        let mut report = accepted(&setting, &sent, sequence);
        report.report.key.data_set = "weeks".parse().unwrap();
        report.report.key.period = week.parse().unwrap();
        world.settle(&setting, &[report]);
    }
    for period in ["202210", "2022Q4", "2022", "latest"] {
        let name = (period.to_owned(), "VN".to_owned(), 2);
        let total = world.totals.get(&name).unwrap_or_else(|| panic!("no {name:?} in {:?}", world.totals.keys()));
        assert_eq!((total.reported, total.sums[1], total.contributing[1]), (1, 12, 1), "{period}");
    }
}

/// How many are expected at a unit is how many of its subtree report.
#[test]
fn who_is_expected_is_who_reports() {
    for catalogue in Setting::new(&[3, 0, 1]).versions {
        for data_set in catalogue.data_sets() {
            for vintage in catalogue.tree().vintages() {
                for (unit, _) in vintage.units() {
                    let mut counted = BTreeMap::new();
                    for below in vintage.subtree(unit).filter(|below| catalogue.reports(data_set, vintage, *below)) {
                        *counted.entry(vintage.unit(below).level).or_insert(0) += 1;
                    }
                    let counted: Vec<_> = counted.into_iter().collect();
                    assert_eq!(catalogue.expected(data_set, vintage, unit), counted);
                }
            }
        }
    }
}

/// A form got a cell at its end after totals were stored: what is reported for it counts, and nothing is lost.
#[test]
fn a_stored_total_grows_with_its_form() {
    let mut stored = Tally { reported: 1, sums: vec![5], contributing: vec![1], ..Tally::zero(0) };
    stored.add(&Tally { reported: 1, sums: vec![2, 7], contributing: vec![1, 1], ..Tally::zero(0) }).unwrap();
    assert_eq!(stored, Tally { reported: 2, sums: vec![7, 7], contributing: vec![2, 1], ..Tally::zero(0) });
}
