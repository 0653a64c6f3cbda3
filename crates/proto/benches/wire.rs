//! How fast one core reads and writes what goes over the wire and between the services, for a report of 40 cells: by name, and packed
//! (`dense`). Between the services reports go in batches; the time is that of one report.

#![expect(clippy::unwrap_used, reason = "a benchmark whose example cannot be made has failed")]

#[path = "../../domain/benches/example/mod.rs"]
mod example;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    judge::{Context, Verdict, read, weigh},
    settle::{Accepted, Origin, Position, Provenance},
};
use prost::Message as _;
use proto::{
    event::{decode, encode_accepted, encode_submitted},
    pb::{
        collector::v1::{Acknowledgement, SubmitRequest, SubmitStreamResponse, submit_stream_response::Outcome},
        event::v1::{JudgedBatch, SubmittedBatch, SubmittedReport},
        report::v1::{DenseValues, Report, Value, value},
    },
    report::draft,
};

use example::{CELLS, ID, PERIOD, RECEIVED_AT, UNIT, catalogue, name, number};

/// Reports in a message between the services: as many as a busy collector makes it.
const BATCH: usize = 180;

/// The report by name.
fn report() -> Report {
    let value = |place| Value {
        data_element: name(place),
        option: String::new(),
        value: Some(value::Value::Integer(number(place))),
    };
    Report {
        submission_id: ID.to_owned(),
        org_unit: UNIT.to_owned(),
        data_set: "plain".to_owned(),
        period: PERIOD.to_owned(),
        revision: Some(1),
        values: (0..CELLS).map(value).collect(),
        withdrawn: false,
        dense: None,
    }
}

fn wire(criterion: &mut Criterion) {
    let catalogue = catalogue();
    let layout = catalogue.find_data_set("plain").unwrap().layout().to_string();
    let packed = DenseValues {
        catalogue_version: layout,
        present: vec![0xff; CELLS / 8],
        values: (0..CELLS).map(number).collect(),
    };
    let dense = Report { values: Vec::new(), dense: Some(packed), ..report() };
    let submitted = |report| SubmittedReport {
        report: Some(report),
        received_at_micros: RECEIVED_AT.unix_micros(),
        principal: "commune-05123".to_owned(),
        traceparent: String::new(),
    };

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, report) in [("submit", report()), ("submit dense", dense.clone())] {
        let bytes = SubmitRequest { report: Some(report) }.encode_to_vec();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let request = SubmitRequest::decode(black_box(&bytes[..])).unwrap();
                black_box(draft(request.report.as_ref().unwrap(), 1));
            });
        });
    }
    group.throughput(Throughput::Elements(u64::try_from(BATCH).unwrap()));
    for (name, report) in [("submitted batch", report()), ("submitted batch dense", dense.clone())] {
        let bytes = SubmittedBatch { reports: vec![submitted(report); BATCH] }.encode_to_vec();
        group.bench_function(name, |bencher| {
            bencher.iter(|| SubmittedBatch::decode(black_box(&bytes[..])).unwrap());
        });
    }
    let (read, data_set) = read(&catalogue, &draft(&report(), 1), RECEIVED_AT).unwrap();
    let Verdict::Accepted { report: accepted, digest, on_time, warnings } =
        weigh(&catalogue, data_set, read, &Context::at(RECEIVED_AT))
    else {
        panic!("the example breaks no rule");
    };
    let provenance = Provenance {
        origin: Origin { sequence: 1_700_000_000_000_000, index: 7 },
        received_at: RECEIVED_AT,
        principal: "commune-05123".into(),
        catalogue: catalogue.version().clone(),
        position: Position::default(),
    };
    let accepted = Accepted { provenance, report: accepted, digest, on_time, warnings };
    let judged = |reports: usize| JudgedBatch {
        log_sequence: accepted.provenance.origin.sequence,
        catalogue_version: catalogue.version().to_string(),
        accepted: vec![encode_accepted(&accepted); reports],
        rejected: Vec::new(),
    };
    let bytes = judged(BATCH).encode_to_vec();
    group.bench_function("judged batch", |bencher| {
        bencher.iter(|| decode(vec![JudgedBatch::decode(black_box(&bytes[..])).unwrap()], Position(1)).unwrap());
    });
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    for (name, report) in [("submitted", report()), ("submitted dense", dense)] {
        let submitted = submitted(report);
        group.bench_function(name, |bencher| bencher.iter(|| encode_submitted(black_box(&submitted))));
    }
    group.bench_function("receipt", |bencher| {
        bencher.iter(|| {
            let acknowledgement = Acknowledgement {
                submission_id: black_box(ID).to_owned(),
                revision: 1,
                received_at: Some(proto::timestamp(RECEIVED_AT)),
                log_sequence: 1_700_000_000_000_000,
                log_index: 7,
            };
            let outcome = Some(Outcome::Acknowledgement(acknowledgement));
            SubmitStreamResponse { submission_id: ID.to_owned(), index: 9, outcome }.encode_to_vec()
        });
    });
    group.throughput(Throughput::Elements(u64::try_from(BATCH).unwrap()));
    group.bench_function("judged batch", |bencher| {
        bencher.iter(|| {
            let verdicts = (0..BATCH).map(|_| encode_accepted(black_box(&accepted)));
            JudgedBatch { accepted: verdicts.collect(), ..judged(0) }.encode_to_vec()
        });
    });
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
