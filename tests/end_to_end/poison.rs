//! Input that no sender of ours makes: it is answered or kept aside with its reason, and the line goes on.

use domain::{
    Revision,
    settle::{Fate, Position},
};
use messaging::{Body, Outgoing, Partitions, Verdicts, subjects};
use proto::pb::{
    collector::v1::{SubmitStreamRequest, submit_stream_response::Outcome},
    event::v1::SubmittedReport,
    report::v1::{Report, Value, value},
};
use tests::{EVERYBODY, Services, World, int, report, small_topology, sum, withdrawal};
use tonic::Code;

/// Publishes bytes where collectors publish their batches.
async fn publish(world: &World, payload: Vec<u8>) {
    let message_id = uuid::Uuid::now_v7().to_string();
    let message = Outgoing { subject: subjects::submitted(0), message_id, content_type: None, payload: payload.into() };
    world.publish_sealed(&message).await;
}

fn submitted(report: Option<Report>) -> SubmittedReport {
    SubmittedReport {
        report,
        received_at_micros: 1_700_000_000_000_000,
        principal: EVERYBODY.to_owned(),
        traceparent: String::new(),
    }
}

fn batch(reports: &[SubmittedReport]) -> Vec<u8> {
    reports.iter().flat_map(proto::event::encode_submitted).collect()
}

/// Good reports count before and after.
async fn counts_on(world: &World, services: &Services, unit: &str, value: i64, nation: i64) {
    services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
    world.quiet().await;
    let totals = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(nation));
}

/// What the log of verdicts has in quarantine: the bytes.
async fn quarantined(world: &World) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let partition = Partitions::new(small_topology().partitions).unwrap().of("");
    let mut verdicts = Verdicts::after(world.connection.clone(), partition, Position(0));
    let last = world.store.progress(partition.number()).await.unwrap();
    loop {
        let verdict = verdicts.next().await;
        if let Body::Quarantined { payload, .. } = verdict.body {
            found.push(payload.to_vec());
        }
        if verdict.position >= last {
            return found;
        }
    }
}

/// Goal: bytes that are no batch of reports are kept in quarantine and told of once; what comes after them counts.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_batch_are_quarantined() {
    let world = World::start().await;
    let services = world.services().await;
    counts_on(&world, &services, "31498", 1, 1).await;
    let mut not_utf8 = batch(&[submitted(Some(report("31501", 1, vec![int("id_eligible_citizens", 500)])))]);
    let place = not_utf8.windows(8).position(|bytes| bytes == b"identity").unwrap();
    not_utf8[place] = 0xff;
    let truncated = batch(&[submitted(Some(withdrawal("31501", 1)))]);
    let poison = [vec![0xff; 100], not_utf8, truncated[..truncated.len() - 3].to_vec(), vec![0x0f; 700_000]];
    for bytes in &poison {
        publish(&world, bytes.clone()).await;
    }
    counts_on(&world, &services, "31504", 10, 11).await;

    let mut kept = quarantined(&world).await;
    let mut expected: Vec<_> = poison.iter().map(|bytes| bytes[..bytes.len().min(64 * 1024)].to_vec()).collect();
    kept.sort();
    expected.sort();
    assert!(kept == expected, "{} of {} are in quarantine", kept.len(), expected.len());
    let ledger = world.store.fate_counts().await.unwrap();
    assert_eq!((ledger.accepted, ledger.settled()), (2, 2), "no report was read from them");
    let told = services.validator.said("a submitted batch cannot be read; it is quarantined");
    assert_eq!((told, services.validator.errors().len()), (4, 4), "{:?}", services.validator.errors());
    let told = services.aggregator.said("a message could not be read; it is kept in quarantine");
    assert_eq!((told, services.aggregator.errors().len()), (4, 4), "{:?}", services.aggregator.errors());
    world.verified().await;
    services.collector.assert_quiet();
    services.query.assert_quiet();
}

/// Goal: a batch that can be read, with reports that cannot count in it, gives each of them its fate; numbers and times at
/// the ends of their range break nothing.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_batch_is_rejected_report_by_report() {
    let world = World::start().await;
    let services = world.services().await;
    let number = |unit, number| report(unit, 1, vec![int("id_eligible_citizens", number)]);
    let odd_words =
        Report { data_set: "a\0b\u{202e}".repeat(1_000), period: "\0".to_owned(), ..number("\0\u{1f4a5}", 1) };
    let named = |text: &str, value| Value { data_element: text.to_owned(), option: text.to_owned(), value };
    let odd_cells = report(
        "31510",
        1,
        vec![
            named("\0", None),
            named(&"ộ".repeat(500), Some(value::Value::Text("\0".into()))),
            named("id_eligible_citizens", Some(value::Value::Decimal("-".to_owned() + &"9".repeat(5_000)))),
        ],
    );
    let timed = |unit, number_of, received_at_micros| SubmittedReport {
        received_at_micros,
        ..submitted(Some(number(unit, number_of)))
    };
    let timed_for = |data_set: &str, received_at_micros| SubmittedReport {
        received_at_micros,
        ..submitted(Some(Report { data_set: data_set.to_owned(), ..number("31504", 10) }))
    };
    let bad = [
        submitted(None),
        submitted(Some(Report::default())),
        submitted(Some(odd_words)),
        submitted(Some(odd_cells)),
        submitted(Some(number("31501", i64::MIN))),
        submitted(Some(number("31501", i64::MAX))),
        submitted(Some(Report { revision: Some(i64::MIN), ..number("31501", 1) })),
        submitted(Some(Report { revision: Some(i64::MAX), ..number("31501", 1) })),
        submitted(Some(Report { revision: None, ..number("31501", 1) })),
        submitted(Some(Report { submission_id: uuid::Uuid::nil().to_string(), ..number("31501", 1) })),
        // Before November 2022 began.
        timed("31504", 10, 0),
        timed("31504", 10, i64::MIN),
        // No data set, at the first and the last instant there are: on which day that was is not asked of a calendar.
        timed_for("x", i64::MAX),
        timed_for("x", i64::MIN),
        SubmittedReport { principal: "x\0".repeat(10_000), ..submitted(Some(number("31510", 1_000))) },
    ];
    // The largest number there may be, and the last instant there is.
    let good = [
        submitted(Some(number("31501", 1_000_000_000_000))),
        timed("31507", 100, i64::MAX),
        submitted(Some(Report { revision: Some(Revision::MOST), ..number("31513", 10_000) })),
    ];
    publish(&world, batch(&[&bad[..], &good[..]].concat())).await;
    counts_on(&world, &services, "31498", 1, 1_000_000_010_101).await;

    let ledger = world.store.fate_counts().await.unwrap();
    assert_eq!((ledger.accepted, ledger.rejected, ledger.settled()), (4, 15, 19));
    let of = |submitted: &SubmittedReport| submitted.report.as_ref().unwrap().submission_id.parse().unwrap();
    for (place, reason) in [
        (4, "VALUE_OUT_OF_RANGE"),
        (5, "VALUE_OUT_OF_RANGE"),
        (6, "REVISION_OUT_OF_RANGE"),
        (7, "REVISION_OUT_OF_RANGE"),
        (10, "PERIOD_NOT_STARTED"),
        (11, "PERIOD_NOT_STARTED"),
        (12, "DATA_SET_UNKNOWN"),
        (13, "DATA_SET_UNKNOWN"),
        (14, "NOT_GRANTED"),
    ] {
        let submission = world.store.submission(domain::SubmissionId(of(&bad[place])), "").await.unwrap().unwrap();
        assert_eq!(submission.fate, Fate::Rejected);
        assert_eq!(submission.violations.list()[0].reason.code(), reason);
    }
    for submitted in &good {
        let told = services.submission(&submitted.report.as_ref().unwrap().submission_id).await.unwrap();
        assert!(told.counts, "{told:?}");
    }
    world.verified().await;
    services.assert_quiet();
}

/// Goal: verdicts that take many times more room than the reports they judge are spread over messages, and every report
/// has its fate with all its reasons.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_many_thousand_violations_is_judged() {
    const REPORTS: usize = 250;
    const FAULTS: usize = 52; // as many values as the form has cells
    let world = World::start().await;
    let services = world.services().await;
    let faulty = || {
        let values = (0..FAULTS).map(|place| int(&format!("an_unknown_data_element_{place:016}"), 1)).collect();
        Report { data_set: "online_services".to_owned(), ..report("31498", 1, values) }
    };
    let reports: Vec<_> = (0..REPORTS).map(|_| submitted(Some(faulty()))).collect();
    let payload = batch(&reports);
    assert!(payload.len() > 500_000, "{} bytes", payload.len());
    for _ in 0..3 {
        publish(&world, payload.clone()).await;
    }
    counts_on(&world, &services, "31501", 10, 10).await;
    let ledger = world.store.fate_counts().await.unwrap();
    assert_eq!((ledger.rejected, ledger.accepted), (3 * i64::try_from(REPORTS).unwrap(), 1));
    let told = services.submission(&reports[REPORTS - 1].report.as_ref().unwrap().submission_id).await.unwrap();
    assert_eq!((told.violations.len(), told.violations_omitted, told.repeated), (FAULTS, 0, 2));
    let (verdicts, _) = world.stream("VERDICTS").await.unwrap();
    assert!(verdicts.messages >= 3 * 5, "{verdicts:?}: spread over several messages");
    services.assert_quiet();
}

/// Goal: a report that is too large is refused to whoever sends it: alone with a status, on a stream by ending the stream
/// with one after everything before it has its receipt.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_too_large_is_refused() {
    let world = World::start().await;
    let services = world.services().await;
    let good = |unit, value| report(unit, 1, vec![int("id_eligible_citizens", value)]);
    let large = Report { org_unit: "1".repeat(200_000), ..good("31498", 1_000) };
    let status = services.submit(&large).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    let requests = [good("31498", 1), good("31501", 10), large, good("31504", 100)];
    let requests = requests.map(|report| SubmitStreamRequest { report: Some(report) });
    let mut receipts = services.sender().submit_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut acknowledged = Vec::new();
    let ended = loop {
        match receipts.message().await {
            Ok(Some(receipt)) => {
                assert!(matches!(receipt.outcome, Some(Outcome::Acknowledgement(_))), "{receipt:?}");
                acknowledged.push(receipt.index);
            }
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, [0, 1]);
    let status = ended.expect("a sender whose report was not read is told so");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    counts_on(&world, &services, "31507", 1_000_000, 1_000_011).await;
    services.assert_quiet();
}
