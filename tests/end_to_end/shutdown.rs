//! SIGTERM under load: a service finishes what it has taken, says goodbye, and ends with code 0.

use std::time::Instant;

use messaging::{Outgoing, Publisher};
use proto::pb::query::v1::WatchTotalsRequest;
use tests::{Events, Load, World, checks::all_is_well, int, report, shaken};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::StatusExt as _;

const REPORTS: usize = 2_000;

/// Goal: a collector that is asked to stop gives each report it has taken its receipt and ends its streams with
/// SHUTTING_DOWN; senders go on with the next collector and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_answers_what_it_took() {
    let world = World::start().await;
    let mut services = world.services().await;
    let events = Events::follow(&world).await;
    let load = Load::of(REPORTS, 11);
    let sending = services.send(&load.reports);
    let next = world.service("collector").await;
    sending.allow(REPORTS / 2);
    sending.acknowledged(1).await;
    // Frozen so that reports are in flight when the signal comes.
    services.collector.freeze_at_work(async || sending.in_flight() > 0).await;
    let before = sending.acknowledged_now();
    let mut leaving = services.replace_collector(next).await;
    leaving.terminate();
    leaving.thaw();
    assert_eq!(leaving.ended().await, Some(0));
    leaving.assert_quiet();
    sending.allow(REPORTS);
    sending.acknowledged(before + 1).await;
    let sent = sending.finish().await;
    let [goodbye] = &sent.broken[..] else { panic!("one stream ended early: {:?}", sent.broken) };
    assert_eq!(goodbye.code(), Code::Unavailable);
    assert_eq!(goodbye.get_error_details().error_info().unwrap().reason, "SHUTTING_DOWN", "{goodbye:?}");
    all_is_well(&world, &services, &events, &load, &sent).await;
    // Every report that was taken has its receipt: none was kept without its sender hearing of it.
    assert_eq!(world.store.fate_counts().await.unwrap().settled(), i64::try_from(REPORTS).unwrap());
}

/// Goal: validators and aggregators that are asked to stop under load end with code 0, and those that follow go on where
/// they stopped.
#[tokio::test(flavor = "multi_thread")]
async fn validator_and_aggregator_hand_over() {
    let world = World::start().await;
    let mut services = world.services().await;
    let events = Events::follow(&world).await;
    let load = Load::of(REPORTS, 12);
    let sending = services.send(&load.reports);
    let behind = async || {
        let acknowledged = i64::try_from(sending.acknowledged_now()).unwrap();
        acknowledged > world.store.fate_counts().await.unwrap().settled()
    };
    for _ in 0..2 {
        sending.allow(400);
        services.aggregator.freeze_at_work(behind).await;
        services.aggregator.terminate();
        services.aggregator.thaw();
        assert_eq!(services.aggregator.ended().await, Some(0));
        services.aggregator.assert_quiet();
        sending.allow(400);
        services.validator.freeze_at_work(behind).await;
        services.validator.terminate();
        services.validator.thaw();
        assert_eq!(services.validator.ended().await, Some(0));
        services.validator.assert_quiet();
        (services.validator, services.aggregator) =
            tokio::join!(world.service("validator"), world.service("aggregator"));
    }
    assert!(sending.acknowledged_now() < REPORTS);
    let sent = sending.finish().await;
    assert!(sent.broken.is_empty(), "{:?}", sent.broken);
    all_is_well(&world, &services, &events, &load, &sent).await;
}

/// Goal: whoever watches totals is told that the query service goes away, and it ends with code 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_says_goodbye() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let question = WatchTotalsRequest { org_unit: "VN".into(), data_set: "identity".into(), period: "202211".into() };
    let mut watch = services.reader().watch_totals(question).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().totals.unwrap().version, 1);
    services.query.terminate();
    let goodbye = watch.message().await.unwrap_err();
    assert_eq!(goodbye.code(), Code::Unavailable);
    assert_eq!(goodbye.get_error_details().error_info().unwrap().reason, "SHUTTING_DOWN");
    drop(watch);
    assert_eq!(services.query.ended().await, Some(0));
    services.assert_quiet();
}

/// Goal: a connection to NATS can be closed also while NATS is away and so much waits for it that the client takes no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_closes_while_nats_is_away() {
    let world = World::start().await;
    world.nats.kill_hard().await.unwrap();
    tests::eventually("the connection is away", async || match world.connection.probe("test").await {
        Err(_) => Ok(()),
        Ok(()) => Err("a message was taken"),
    })
    .await;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let publisher = Publisher::new(world.connection.clone());
        let (subject, message_id) = ("reports.submitted.0".to_owned(), number.to_string());
        let message = Outgoing { subject, message_id, content_type: None, payload: Vec::new().into() };
        waiting.spawn(async move { publisher.publish(&message).await.is_err() });
    }
    // As long as a publisher waits for its answer; those who found no place wait longer.
    assert!(waiting.join_next().await.unwrap().unwrap());
    tokio::time::timeout(tests::PATIENCE, world.connection.clone().close()).await.expect("the connection closes");
    waiting.shutdown().await;
}

/// Goal: a client that connected and says nothing does not hold a collector or a query service past its drain timeout of
/// ten seconds, and both end well: nobody is owed anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_does_not_hold_up_the_end() {
    let world = World::start().await;
    let mut services = world.services().await;
    let mut silent = Vec::new();
    for service in [&services.collector, &services.query] {
        // One says nothing at all, the other nothing after its first words.
        let address = service.address();
        let before_tls = TcpStream::connect(address.trim_start_matches("https://")).await.unwrap();
        let mut after_greeting = shaken(&service.door(), "h2").await;
        after_greeting.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut settings = [0; 9];
        after_greeting.read_exact(&mut settings).await.unwrap();
        silent.push((before_tls, after_greeting));
    }
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let began = Instant::now();
    services.collector.terminate();
    services.query.terminate();
    let (collector, query) = tokio::join!(services.collector.ended(), services.query.ended());
    assert!(began.elapsed() < tests::PATIENCE, "{:?}", began.elapsed());
    assert_eq!((collector, query), (Some(0), Some(0)));
    drop(silent);
    services.validator.assert_quiet();
    services.aggregator.assert_quiet();
}
