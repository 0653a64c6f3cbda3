//! How fast one core judges: a report of 40 cells against 20 rules, read and weighed, as a validator does; and read alone, as
//! a collector does. `dense` is `plain` with packed values. How fast it folds: the difference that the report makes, added to the
//! totals of its district, its province and the nation.

#![expect(clippy::unwrap_used, reason = "a benchmark whose example cannot be made has failed")]

mod example;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    Values,
    draft::{Dense, Draft, DraftValue, Given},
    fold::{Entry, Tally, fold as add_up},
    judge::{Context, Verdict, read, weigh},
};
use rustc_hash::FxHashMap;

use example::{CELLS, ID, PERIOD, RECEIVED_AT, UNIT, catalogue, name, number};

fn judge(criterion: &mut Criterion) {
    let catalogue = catalogue();
    let names: Vec<String> = (0..CELLS).map(name).collect();
    let draft = |data_set| Draft {
        submission_id: ID,
        org_unit: UNIT,
        data_set,
        period: PERIOD,
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

fn fold(criterion: &mut Criterion) {
    let catalogue = catalogue();
    let data_set = catalogue.find_data_set("plain").unwrap();
    let vintage = catalogue.vintage(data_set, PERIOD.parse().unwrap());
    let unit = vintage.find(UNIT).unwrap();
    let entry = Entry { unit, is_own: true, level: vintage.unit(unit).level };
    let difference = Tally {
        reported: 1,
        on_time: 1,
        warned: 0,
        sums: (0..CELLS).map(number).collect(),
        contributing: vec![1; CELLS],
    };
    let mut totals = FxHashMap::default();
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain", |bencher| {
        bencher.iter(|| add_up(&mut totals, data_set, vintage, entry, black_box(&difference)));
    });
    group.finish();
    assert_eq!(totals.len(), 3);
}

criterion_group!(benches, judge, fold);
criterion_main!(benches);
