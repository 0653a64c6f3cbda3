//! The laws of consolidation, over random trees, reports and orders of arrival.
//!
//! The reference is a model of a few lines that knows nothing of the fold: the highest revision of each key counts, and
//! a total is the sum over the units whose path upwards leads through the unit.

#![expect(clippy::unwrap_used, reason = "a test whose example cannot be made has failed")]

use std::collections::BTreeMap;

use domain::{
    Calendar, Catalogue, CatalogueVersion, Content, ContentDigest, Key, LevelIx, OrgTree, PeriodType, Report, Revision,
    SubmissionId, Timestamp, UnitVersion, Violations,
    catalogue::{
        Cell, DataElement, DataSet, DataSetParts, Level, LevelSet, Measure, Schedule, SpaceAggregation,
        TimeAggregation, ValueType,
    },
    fold::Tally,
    settle::{Accepted, Book, Changes, Fate, Judged, Known, Origin, Position, Provenance},
};
use proptest::prelude::*;

const CELLS: usize = 3;
/// The last cell is kept and not added.
const ADDED: usize = 2;

/// VN, provinces below it, communes below those; every level reports.
fn catalogue(communes_of: &[usize]) -> Catalogue {
    let level = |code: &str| Level {
        code: code.parse().unwrap(),
        name_vi: String::new(),
        name_en: String::new(),
        stands_in_for: None,
    };
    let unit = |code: String, level, parent: Option<&str>| UnitVersion {
        code: code.parse().unwrap(),
        name: code.clone(),
        level: LevelIx::new(level),
        kind: String::new(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        valid_from: None,
        valid_to: None,
    };
    let mut rows = vec![unit("VN".to_owned(), 0, None)];
    for (province, communes) in communes_of.iter().enumerate() {
        let code = format!("P{province}");
        rows.push(unit(code.clone(), 1, Some("VN")));
        rows.extend((0..*communes).map(|commune| unit(format!("C{province}-{commune}"), 2, Some(&code))));
    }
    let levels: LevelSet = (0..3).map(LevelIx::new).collect();
    let cell = |place: usize| Cell {
        element: DataElement {
            code: format!("cell{place}").parse().unwrap(),
            name_vi: String::new(),
            name_en: String::new(),
            family: String::new(),
            value_type: ValueType::Signed,
            measure: Measure::Flow,
            time_aggregation: TimeAggregation::Sum,
            space_aggregation: if place < ADDED { SpaceAggregation::Sum } else { SpaceAggregation::None },
            unit_of_measure: String::new(),
        },
        option: None,
        levels,
    };
    let data_set = DataSet::new(DataSetParts {
        code: "form".parse().unwrap(),
        name_vi: String::new(),
        name_en: String::new(),
        period_type: PeriodType::Month,
        calendar: Calendar::Gregorian,
        levels,
        cells: (0..CELLS).map(cell).collect(),
        rules: Vec::new(),
        schedule: Schedule::default(),
        groups: Vec::new(),
        outliers: Vec::new(),
        indicators: Vec::new(),
        targets: Vec::new(),
    })
    .unwrap();
    let tree = OrgTree::new(&rows, Vec::new()).unwrap();
    Catalogue::new(
        CatalogueVersion::new("test"),
        ["national", "province", "commune"].map(level).to_vec(),
        tree,
        vec![data_set],
        time::UtcOffset::UTC,
    )
}

/// A report of the unit at a place of the tree (taken modulo its size): content, revision, and which submission it is.
#[derive(Clone, Debug)]
struct Sent {
    unit: usize,
    revision: i64,
    content: Option<[Option<i64>; CELLS]>,
    submission: u128,
}

fn sent() -> impl Strategy<Value = Sent> {
    let cell = proptest::option::weighted(0.8, -1_000_000..1_000_000_i64);
    let content = proptest::option::weighted(0.85, [cell.clone(), cell.clone(), cell]);
    (0..12_usize, 0..6_i64, content, 1..60_u128).prop_map(|(unit, revision, content, submission)| Sent {
        unit,
        revision,
        content,
        submission,
    })
}

fn accepted(catalogue: &Catalogue, sent: &Sent, sequence: u64) -> Accepted {
    let data_set = &catalogue.data_sets()[0];
    let period = "202211".parse().unwrap();
    let vintage = catalogue.vintage(data_set, period);
    let units: Vec<_> = vintage.units().map(|(_, unit)| unit.code.clone()).collect();
    let key = Key { data_set: data_set.code().clone(), period, org_unit: units[sent.unit % units.len()].clone() };
    let content = sent.content.map_or(Content::Withdrawn, |cells| Content::Values(cells.to_vec().into()));
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
        on_time: true,
        warnings: Violations::default(),
    }
}

/// What a database would hold.
#[derive(Default)]
struct World {
    standing: BTreeMap<Key, Accepted>,
    known: Vec<Known>,
    settled: Vec<Origin>,
    totals: BTreeMap<(String, usize), Tally>,
    fates: Vec<Fate>,
}

impl World {
    fn settle(&mut self, catalogue: &Catalogue, batch: &[Accepted]) {
        let standing = self.standing.values().cloned().collect();
        let mut book = Book::open(catalogue, standing, self.known.clone(), self.settled.clone());
        for accepted in batch {
            book.settle(Judged::Accepted(accepted.clone())).unwrap();
        }
        let Changes { new, replacing, superseded: _, ledger, sheets } = book.close();
        for accepted in new.into_iter().chain(replacing) {
            self.standing.insert(accepted.report.key.clone(), accepted);
        }
        for settled in ledger {
            self.fates.push(settled.fate);
            self.settled.push(settled.provenance.origin);
            if settled.fate != Fate::Rejected {
                self.known.push(Known { submission_id: settled.claim.submission_id.unwrap(), digest: settled.digest });
            }
        }
        for sheet in sheets {
            for ((unit, level), delta) in sheet.deltas {
                let name = (sheet.vintage.unit(unit).code.to_string(), level.get());
                self.totals.entry(name).or_insert_with(|| Tally::zero(CELLS)).add(&delta).unwrap();
            }
        }
        self.totals.retain(|_, tally| !tally.is_zero());
    }
}

/// Sums over the paths upwards, from what counts.
fn recomputed(catalogue: &Catalogue, standing: &BTreeMap<Key, Accepted>) -> BTreeMap<(String, usize), Tally> {
    let mut totals: BTreeMap<(String, usize), Tally> = BTreeMap::new();
    for accepted in standing.values() {
        let Content::Values(values) = &accepted.report.content else { continue };
        let own = accepted.report.key.org_unit.to_string();
        let vintage = catalogue.vintage(&catalogue.data_sets()[0], accepted.report.key.period);
        let level = vintage.unit(vintage.find(&own).unwrap()).level.get();
        // A commune is `C0-3`, its province `P0`: the path is in the codes.
        let path = match own.split_once('-') {
            Some((province, _)) => vec![own.clone(), province.replace('C', "P"), "VN".to_owned()],
            None if own == "VN" => vec![own.clone()],
            None => vec![own.clone(), "VN".to_owned()],
        };
        for above in path.iter().filter(|above| !vintage.unit(vintage.find(above).unwrap()).is_leaf()) {
            let total = totals.entry((above.clone(), level)).or_insert_with(|| Tally::zero(CELLS));
            total.reported += 1;
            for (place, value) in values.as_slice().iter().enumerate() {
                if let Some(value) = value.filter(|_| place < ADDED || *above == own) {
                    total.sums[place] += value;
                    total.contributing[place] += 1;
                }
            }
        }
    }
    totals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes in, in whatever batches, with whatever said twice: totals are what the standing reports add up to,
    /// and each report that came in has one fate.
    #[test]
    fn incremental_equals_recomputed(
        communes in proptest::collection::vec(0..4_usize, 1..4),
        reports in proptest::collection::vec(sent(), 1..60),
        cuts in proptest::collection::vec(1..9_usize, 1..20),
    ) {
        let catalogue = catalogue(&communes);
        let all: Vec<_> = reports.iter().zip(1..).map(|(sent, sequence)| accepted(&catalogue, sent, sequence)).collect();
        let mut world = World::default();
        let mut rest = &all[..];
        for cut in cuts.iter().cycle() {
            let (batch, later) = rest.split_at((*cut).min(rest.len()));
            world.settle(&catalogue, batch);
            prop_assert_eq!(&world.totals, &recomputed(&catalogue, &world.standing));
            rest = later;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(world.fates.len(), all.len());
        // A validator that judged a message twice changes nothing.
        let before = world.totals.clone();
        world.settle(&catalogue, &all);
        prop_assert_eq!(world.totals, before);
        prop_assert_eq!(world.fates.len(), all.len());
    }

    /// Senders that keep the rules (one content a revision, one id a submission) get the same totals in every order of
    /// arrival and with every repetition.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        communes in proptest::collection::vec(0..4_usize, 1..4),
        reports in proptest::collection::vec(sent(), 1..30),
        shuffle in proptest::collection::vec(any::<proptest::sample::Index>(), 1..120),
    ) {
        let catalogue = catalogue(&communes);
        let mut by_revision = BTreeMap::new();
        for sent in &reports {
            let report = accepted(&catalogue, sent, 0).report;
            by_revision.entry((report.key, report.revision)).or_insert_with(|| sent.clone());
        }
        let kept: Vec<Sent> = by_revision.into_values().zip(1..).map(|(sent, submission)| Sent { submission, ..sent }).collect();
        let mut in_order = World::default();
        let all: Vec<_> = kept.iter().zip(1..).map(|(sent, sequence)| accepted(&catalogue, sent, sequence)).collect();
        in_order.settle(&catalogue, &all);

        // Some of them repeated, in any order, one batch each; then whatever was left out.
        let arrivals = shuffle.iter().map(|index| index.get(&kept)).chain(&kept);
        let mut shuffled = World::default();
        for (sent, sequence) in arrivals.zip(1..) {
            shuffled.settle(&catalogue, &[accepted(&catalogue, sent, sequence)]);
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
        let catalogue = catalogue(&[2]);
        let mut world = World::default();
        let all: Vec<_> =
            reports.iter().zip(1..).map(|(sent, sequence)| accepted(&catalogue, sent, sequence)).collect();
        world.settle(&catalogue, &all);
        world.fates
    }

    fn report(revision: i64, value: i64, submission: u128) -> Sent {
        Sent { unit: 0, revision, content: Some([Some(value), None, None]), submission }
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

/// A form got a cell at its end after totals were stored: what is reported for it counts, and nothing is lost.
#[test]
fn a_stored_total_grows_with_its_form() {
    let mut stored = Tally { reported: 1, sums: vec![5], contributing: vec![1], ..Tally::zero(0) };
    stored.add(&Tally { reported: 1, sums: vec![2, 7], contributing: vec![1, 1], ..Tally::zero(0) }).unwrap();
    assert_eq!(stored, Tally { reported: 2, sums: vec![7, 7], contributing: vec![2, 1], ..Tally::zero(0) });
}
