//! How fast one core judges: a report of 40 cells against 20 rules, read and weighed, as a validator does; and read alone, as
//! a collector does. `dense` is `plain` with packed values.

#![expect(clippy::unwrap_used, reason = "a benchmark whose example cannot be made has failed")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    Calendar, Catalogue, CatalogueVersion, LevelIx, Message, OrgTree, PeriodType, Severity, Timestamp, UnitVersion,
    Values,
    catalogue::{
        Cell, DataElement, DataSet, DataSetParts, Level, Measure, Schedule, SpaceAggregation, TimeAggregation,
        ValueType,
    },
    draft::{Dense, Draft, DraftValue, Given},
    judge::{Context, Verdict, read, weigh},
    rule::{Check, Comparison, Condition, Linear, Of, Rule, Term},
};

const CELLS: usize = 40;
const RULES: usize = 20;
const COMMUNE: LevelIx = LevelIx::new(1);
/// 2023-01-01
const RECEIVED_AT: Timestamp = Timestamp::from_unix_micros(1_672_531_200_000_000);

/// A nation of 10,000 communes; `plain`, and `watched` with half of the rules looking back and half of the cells watched.
fn catalogue() -> Catalogue {
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
    let communes = (0..10_000).map(|commune| unit(&format!("{commune:05}"), COMMUNE, Some("VN")));
    let rows: Vec<_> = std::iter::once(unit("VN", LevelIx::new(0), None)).chain(communes).collect();
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
        vec![level("national"), level("commune")],
        OrgTree::new(&rows, Vec::new()).unwrap(),
        data_sets,
        time::UtcOffset::UTC,
    )
}

/// As long as the shipped catalogue's names.
fn name(place: usize) -> String {
    format!("id_card_records_collected_{place}")
}

fn judge(criterion: &mut Criterion) {
    let catalogue = catalogue();
    let names: Vec<String> = (0..CELLS).map(name).collect();
    let number = |place: usize| i64::try_from(1_000 + 37 * place).unwrap();
    let draft = |data_set| Draft {
        submission_id: "0192f0c1-2b3c-7d4e-8f50-112233445566",
        org_unit: "05123",
        data_set,
        period: "202211",
        revision: 1,
        withdrawn: false,
        values: (0..CELLS)
            .map(|place| DraftValue { element: &names[place], option: "", given: Given::Integer(number(place)) })
            .collect(),
        dense: None,
    };
    let layout = catalogue.find_data_set("plain").unwrap().layout().to_string();
    let packed: Vec<i64> = (0..CELLS).map(number).collect();
    let dense = Dense { catalogue_version: &layout, present: &[0xff; CELLS / 8], values: &packed };
    let dense = Draft { values: Vec::new(), dense: Some(dense), ..draft("plain") };
    let history: Vec<Values> = (0..12_i64)
        .map(|month| Values::from((0..CELLS).map(|place| Some(number(place) - month)).collect::<Vec<_>>()))
        .collect();
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(1));
    for (name, draft) in [("plain", draft("plain")), ("dense", dense.clone()), ("watched", draft("watched"))] {
        let context = Context { previous: history.first(), history: &history, ..Context::at(RECEIVED_AT) };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (report, data_set) = read(&catalogue, black_box(&draft), RECEIVED_AT).unwrap();
                let verdict = weigh(&catalogue, data_set, report, &context);
                assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
                verdict
            });
        });
    }
    // The longest words there may be, full of what must be looked at.
    let words = "Sóc Trăng đạt 1.205.627 hồ sơ, 92,3% (09/06/2023); ".repeat(80);
    let words: String = words.chars().take(domain::words::MOST_CHARACTERS).collect();
    group.bench_function("words", |bencher| bencher.iter(|| domain::words::read(black_box(&words)).unwrap()));
    group.finish();

    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    for (name, draft) in [("plain", draft("plain")), ("dense", dense)] {
        group
            .bench_function(name, |bencher| bencher.iter(|| read(&catalogue, black_box(&draft), RECEIVED_AT).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
