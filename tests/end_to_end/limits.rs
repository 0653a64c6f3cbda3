//! At a limit, or with NATS away, a sender is told to come again, in bounded time; what was acknowledged is kept.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use messaging::{Topology, progress::Progress};
use proto::pb::report::v1::Report;
use tests::{Services, World, eventually, int, report, small_topology, sum};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// By when a sender has its answer, whatever is away. The collector gives up after five seconds; the rest is for a busy
/// machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// For how long NATS stands still where that is only waited for.
const SLOW: Duration = Duration::from_secs(1);

fn citizens(unit: &str, number: i64) -> Report {
    report(unit, 1, vec![int("id_eligible_citizens", number)])
}

/// The status says under which reason, and when to come again.
fn assert_passing(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{status:?}"));
    assert_eq!((status.code(), info.reason.as_str()), (code, reason));
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    assert_eq!(details.localized_message().unwrap().locale, "vi-VN");
}

/// Submits, with the time it took.
async fn timed(services: &Services, report: &Report) -> Result<(), Status> {
    let began = Instant::now();
    let answer = services.submit(report).await;
    assert!(began.elapsed() < ANSWERED_WITHIN, "{:?}", began.elapsed());
    answer.map(|_| ())
}

/// Sends again under the same id until it is acknowledged, as a sender must.
async fn until_acknowledged(services: &Services, report: &Report) {
    eventually("a report is acknowledged", || async {
        let answer = services.submit(report).await;
        if let Err(status) = &answer {
            assert_passing(status, Code::Unavailable, "LOG_UNAVAILABLE");
        }
        answer
    })
    .await;
}

async fn nation(services: &Services) -> Option<i64> {
    sum(&services.totals("VN", "identity", "202211").await, "commune", "id_eligible_citizens")
}

/// Goal: when the log of reports is full, senders are told so and what was acknowledged before is counted, all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_is_told_and_loses_nothing() {
    let topology = Topology { reports_max_bytes: 32 * 1024, ..small_topology() };
    let world = World::with(topology, tests::small_nats()).await;
    let services = world.services().await;
    let communes = tests::OrgUnits::read();
    let (mut acknowledged, mut added) = (0, 0);
    let mut refused = None;
    for (number, unit) in (0..).zip(communes.below("VN", "commune")) {
        let value = 1_000_003 * number;
        match services.submit(&citizens(unit, value)).await {
            Ok(_) => (acknowledged, added) = (acknowledged + 1, added + value),
            Err(status) => {
                refused = Some((unit, status));
                break;
            }
        }
    }
    let (unit, status) = refused.expect("the log fills");
    assert_passing(&status, Code::Unavailable, "LOG_FULL");
    assert!(acknowledged >= 50, "{acknowledged} reports fit into 32 KiB");
    let status = timed(&services, &citizens(unit, 1)).await.unwrap_err();
    assert_passing(&status, Code::Unavailable, "LOG_FULL");
    world.settled(acknowledged).await;
    assert_eq!(nation(&services).await, Some(added));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: when the log of verdicts is full, validators wait: a report is done with only when its verdict is durable, also
/// if the validator that waits is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_of_verdicts_makes_validators_wait() {
    const REPORTS: i64 = 60;
    let topology = Topology { verdicts_max_bytes: 8 * 1024, ..small_topology() };
    let world = World::with(topology, tests::small_nats()).await;
    let mut services = world.services().await;
    let units = tests::OrgUnits::read();
    // One at a time: each is a message of its own, and has a verdict of its own.
    for unit in units.below("94", "commune").into_iter().take(usize::try_from(REPORTS).unwrap()) {
        services.submit(&citizens(unit, 1)).await.unwrap();
    }
    for _ in 0..2 {
        services.validator.logged("verdicts are not durable yet; trying again").await;
        services.validator.kill_hard().await;
        services.validator.assert_quiet();
        services.validator = world.service("validator").await;
    }
    services.validator.logged("verdicts are not durable yet; trying again").await;
    eventually("what has no verdict is not done with", || async {
        let settled = world.store.fate_counts().await.unwrap().settled();
        let (_, backlog) = world.stream("REPORTS").await?;
        let waiting = i64::try_from(backlog.waiting + backlog.being_judged).unwrap();
        let all_there = settled > 0 && waiting > 0 && settled + waiting == REPORTS;
        if all_there { Ok(()) } else { Err(format!("{settled} settled, {backlog:?}")) }
    })
    .await;
    world.verified().await;
    services.assert_quiet();
}

/// Goal: while NATS stands still, senders are told to come again in bounded time; when it goes on, everything does.
#[tokio::test(flavor = "multi_thread")]
async fn nats_standing_still_is_told_and_passes() {
    let world = World::start().await;
    let services = world.services().await;
    timed(&services, &citizens("31498", 1)).await.unwrap();
    world.nats.pause().unwrap();
    let (first, second) = (citizens("31501", 10), citizens("31504", 100));
    let (answer, other) = tokio::join!(timed(&services, &first), timed(&services, &second));
    assert_passing(&answer.unwrap_err(), Code::Unavailable, "LOG_UNAVAILABLE");
    assert_passing(&other.unwrap_err(), Code::Unavailable, "LOG_UNAVAILABLE");
    world.nats.resume().unwrap();
    for report in [&first, &second] {
        until_acknowledged(&services, report).await;
    }
    timed(&services, &citizens("31507", 1_000)).await.unwrap();
    world.quiet().await;
    assert_eq!(nation(&services).await, Some(1_111));
    let ledger = world.store.fate_counts().await.unwrap();
    assert_eq!((ledger.accepted, ledger.rejected, ledger.superseded), (4, 0, 0), "{ledger:?}");
    world.verified().await;
    services.assert_quiet();
}

/// Goal: the same while NATS is gone altogether, until it is back.
#[tokio::test(flavor = "multi_thread")]
async fn nats_being_away_is_told_and_passes() {
    let mut world = World::start().await;
    let services = world.services().await;
    timed(&services, &citizens("31498", 1)).await.unwrap();
    world.nats.kill_hard().await.unwrap();
    let waiting = citizens("31501", 10);
    for _ in 0..2 {
        let status = timed(&services, &waiting).await.unwrap_err();
        assert_passing(&status, Code::Unavailable, "LOG_UNAVAILABLE");
    }
    world.nats.restart().await.unwrap();
    until_acknowledged(&services, &waiting).await;
    world.quiet().await;
    assert_eq!(nation(&services).await, Some(11));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: reports that wait for their acknowledgement are bounded; one more is refused at once and not kept in memory.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_in_flight_are_refused() {
    let world = World::start().await;
    let services = world.services_with("[limits]\nmax_in_flight = 2\n").await;
    timed(&services, &citizens("31498", 1)).await.unwrap();
    world.nats.pause().unwrap();
    let waiting = [citizens("31501", 10), citizens("31504", 100)];
    let (refused, first, second) = tokio::join!(
        eventually("a third report is refused", || async {
            // Which of the three is the third is not said: this one gives way until the others are in.
            match tokio::time::timeout(Duration::from_millis(100), services.submit(&citizens("31507", 1_000))).await {
                Ok(Err(status)) if status.code() == Code::ResourceExhausted => Ok(status),
                other => Err(format!("{other:?}")),
            }
        }),
        timed(&services, &waiting[0]),
        timed(&services, &waiting[1]),
    );
    assert_passing(&refused, Code::ResourceExhausted, "TOO_MANY_IN_FLIGHT");
    drop((first, second));
    world.nats.resume().unwrap();
    for report in &waiting {
        eventually("a report is acknowledged", || services.submit(report)).await;
    }
    world.quiet().await;
    let ledger = world.store.fate_counts().await.unwrap();
    assert!(ledger.accepted >= 3 && ledger.rejected + ledger.superseded == 0, "{ledger:?}");
    for report in &waiting {
        assert!(services.submission(&report.submission_id).await.unwrap().counts);
    }
    services.assert_quiet();
}

/// Goal: when counting is behind, no more is let in than is counted, and whoever comes too much is told to come again; when nobody says so
/// any more, everything is taken.
#[tokio::test(flavor = "multi_thread")]
async fn reports_that_come_faster_than_they_are_counted_are_refused() {
    let world = World::start().await;
    let services = world.services_with("[limits]\nbehind = \"1h\"\n").await;
    let units = tests::OrgUnits::read();
    let reports: Vec<_> =
        units.below("VN", "commune").into_iter().take(200).map(|unit| citizens(unit, 1_000_003)).collect();
    let at_once = || join_all(reports.iter().map(|report| services.submit(report)));
    let refused = eventually("a report is refused", || async {
        // Something was counted that was received half a century ago.
        world.connection.tell(Progress { partition: 7, counted: 1, received_at_micros: 0 });
        at_once().await.into_iter().find_map(Result::err).ok_or("all were taken")
    })
    .await;
    assert_passing(&refused, Code::ResourceExhausted, "COUNTING_BEHIND");
    eventually("all are taken", || async { at_once().await.into_iter().collect::<Result<Vec<_>, _>>() }).await;
    world.quiet().await;
    assert_eq!(nation(&services).await, Some(200 * 1_000_003));
    world.verified().await;
    services.assert_quiet();
}

/// Goal: the time after which a sender is told to come again runs from when it came, also for those who wait behind others:
/// twenty reports that must go out one by one are given up together, not one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_behind_others_is_answered_in_time() {
    let world = World::start().await;
    let services = world.services_with("[limits]\nlanes = 1\nmax_group = 1\ngive_up_after = \"2s\"\n").await;
    let units = tests::OrgUnits::read();
    let communes = units.below("94", "commune");
    let reports: Vec<_> = communes.into_iter().take(21).map(|unit| citizens(unit, 1_000_003)).collect();
    let (first, waiting) = reports.split_first().unwrap();
    timed(&services, first).await.unwrap();
    world.nats.pause().unwrap();
    for answer in join_all(waiting.iter().map(|report| timed(&services, report))).await {
        assert_passing(&answer.unwrap_err(), Code::Unavailable, "LOG_UNAVAILABLE");
    }
    world.nats.resume().unwrap();
    join_all(waiting.iter().map(|report| until_acknowledged(&services, report))).await;
    world.quiet().await;
    assert_eq!(nation(&services).await, Some(21 * 1_000_003));
    for report in &reports {
        assert!(services.submission(&report.submission_id).await.unwrap().counts);
    }
    let ledger = world.store.fate_counts().await.unwrap();
    assert_eq!((ledger.accepted, ledger.rejected, ledger.superseded), (21, 0, 0), "{ledger:?}");
    world.verified().await;
    services.assert_quiet();
}

/// Goal: when NATS stands still for less long than the collector has patience, a sender only waits: its report is
/// acknowledged, and kept once however often it was handed over.
#[tokio::test(flavor = "multi_thread")]
async fn nats_being_slow_is_only_waited_for() {
    let world = World::start().await;
    let services = world.services_with("[limits]\ngive_up_after = \"30s\"\n").await;
    timed(&services, &citizens("31498", 1)).await.unwrap();
    world.nats.pause().unwrap();
    let report = citizens("31501", 10);
    let mut submitting = Box::pin(services.submit(&report));
    let early = tokio::time::timeout(SLOW, submitting.as_mut()).await;
    assert!(early.is_err(), "nothing is acknowledged while NATS stands still: {early:?}");
    world.nats.resume().unwrap();
    submitting.await.unwrap();
    world.settled(2).await;
    world.quiet().await;
    assert_eq!(world.stream("REPORTS").await.unwrap().0.messages, 2);
    let told = services.submission(&report.submission_id).await.unwrap();
    assert!(told.counts && told.repeated == 0, "{told:?}");
    assert_eq!(nation(&services).await, Some(11));
    world.verified().await;
    services.assert_quiet();
}
