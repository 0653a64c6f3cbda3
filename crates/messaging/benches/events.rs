//! How fast one core writes the event of a total of 40 cells, and packs such events for the outbox; and makes the message of a batch of
//! verdicts, with the digest in its id.

#![expect(clippy::unwrap_used, reason = "a benchmark whose example cannot be made has failed")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use messaging::{
    Exact, Outgoing, Partitions, accepted_message, outbox,
    totals::{Cause, CausingReport, CellTotal, LevelTotals, TotalsData, TotalsEvent},
};
use proto::pb::event::v1::{AcceptedReport, JudgedBatch, JudgedBatches};

const CELLS: usize = 40;
/// Verdicts in a message, and events of a transaction.
const BATCH: usize = 180;

/// The event of one unit or another.
fn event(unit: i64) -> TotalsEvent {
    let cell = |place: i64| CellTotal {
        data_element: format!("id_card_records_collected_{place}"),
        option: None,
        sum: Exact((1_205_627 + 37 * place) * (unit + 1)),
        decimals: 0,
        contributing: 109,
    };
    let level = LevelTotals {
        level: "commune".to_owned(),
        reported: 109,
        expected: 109,
        on_time: 100,
        warned: 3,
        cells: (0..).take(CELLS).map(cell).collect(),
    };
    let report = CausingReport {
        org_unit: "31498".to_owned(),
        period: "202211".to_owned(),
        revision: Exact(1),
        submission_id: "0192f0c1-2b3c-7d4e-8f50-112233445566".to_owned(),
        log_sequence: 1_700_000_000_000_000,
        log_index: 7,
    };
    let data = TotalsData {
        org_unit: unit.to_string(),
        level: "province".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        version: 17,
        previous_version: 16,
        epoch: 0,
        log_position: 1_700_000_000_000_000,
        catalogue_version: "2022.1-0011".to_owned(),
        cause: Cause { reports: 50, listed: vec![report; Cause::LIMIT] },
        levels: vec![level],
    };
    let subject = format!("totals.v1.province.{unit}.identity.202211");
    TotalsEvent::of(subject, "2023-01-01T00:00:00.123456Z".to_owned(), data)
}

/// As a validator packs it: 40 values that are all given.
fn verdict() -> AcceptedReport {
    AcceptedReport {
        log_index: 7,
        received_at_micros: 1_672_531_200_000_000,
        principal: "commune-31498".to_owned(),
        submission_id: vec![7; 16],
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        org_unit: "31498".to_owned(),
        revision: 1,
        digest: vec![9; 16],
        present: vec![0xff; CELLS / 8],
        values: (0..).take(CELLS).map(|place| 1_000 + 37 * place).collect(),
        cells: u32::try_from(CELLS).unwrap(),
        on_time: Some(true),
        ..AcceptedReport::default()
    }
}

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let one = event(94);
    group.throughput(Throughput::Elements(1));
    group.bench_function("event", |bencher| bencher.iter(|| black_box(&one).message().unwrap()));
    group.throughput(Throughput::Elements(u64::try_from(BATCH).unwrap()));
    let waiting: Vec<Outgoing> = (0..).take(BATCH).map(|unit| event(unit).message().unwrap()).collect();
    group.bench_function("outbox", |bencher| bencher.iter(|| outbox::pack(black_box(&waiting))));
    let partition = Partitions::new(32).unwrap().of("identity");
    let judged = JudgedBatch {
        log_sequence: 1_700_000_000_000_000,
        catalogue_version: "2022.1-0011".to_owned(),
        accepted: vec![verdict(); BATCH],
        rejected: Vec::new(),
    };
    let judged = JudgedBatches { batches: vec![judged] };
    group.bench_function("verdicts message", |bencher| {
        bencher.iter(|| accepted_message(partition, black_box(&judged)));
    });
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
