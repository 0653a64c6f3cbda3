//! Provisioning again, starting over, taking over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aggregator::Aggregator;
use cli::provision;
use futures_util::FutureExt as _;
use messaging::{Connection, ConnectionConfig, Outgoing, ProvisionError, PublishError, Publisher, Topology};
use prost::{Message as _, bytes::Bytes};
use proto::pb::event::v1::{JudgedBatch, JudgedBatches, RejectedReport};
use runtime::{Clock, Shutdown, SystemClock, telemetry::TelemetryConfig};
use sqlx::PgPool;
use store::StoreConfig;
use tests::{Events, Load, World, checks::all_is_well, small_topology};

const REPORTS: usize = 2_000;

/// Goal: provisioning what is there changes nothing; provisioning something else is refused by name, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn provisioning_twice_is_harmless_and_drift_is_refused() {
    let world = World::start().await;
    let services = world.services().await;
    let loaded = catalogue::load(&tests::catalogue_dir()).unwrap();
    let again = async |topology: Topology| {
        provision::provision(&world.connection, &world.store, &topology, &loaded, &SystemClock).await
    };
    services.submit(&tests::report("31498", 1, vec![tests::int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let before = world.stream("VERDICTS").await.unwrap();
    let done = again(small_topology()).await.unwrap();
    assert_eq!(done.streams.made, Vec::<&str>::new());
    assert_eq!(done.streams.kept, ["REPORTS", "VERDICTS", "TOTALS", "FATES", "PROBES", "AUDIT"]);
    assert!(!done.catalogue_is_new);

    for (topology, stream, setting) in [
        (Topology { partitions: 8, ..small_topology() }, "VERDICTS", "partitions"),
        (Topology { reports_max_bytes: 1 << 20, ..small_topology() }, "REPORTS", "max_bytes"),
        (Topology { max_age_days: 1, ..small_topology() }, "REPORTS", "max_age"),
    ] {
        match again(topology).await {
            Err(provision::Error::Streams(ProvisionError::Drift { stream: of, setting: differs, .. })) => {
                assert_eq!((of, differs), (stream, setting));
            }
            other => panic!("{setting}: {other:?}"),
        }
    }
    assert_eq!(world.stream("VERDICTS").await.unwrap(), before);
    again(small_topology()).await.unwrap();
    services.submit(&tests::report("31501", 1, vec![tests::int("id_eligible_citizens", 10)])).await.unwrap();
    world.settled(2).await;
    world.verified().await;
    services.assert_quiet();
}

/// Goal: when everything is killed at once, as in a power cut, and started again, it goes on where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_killed_and_started_again() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    let events = Events::follow(&world).await;
    let load = Load::of(REPORTS, 21);
    let sending = services.send(&load.reports);
    sending.allow(REPORTS / 2);
    sending.acknowledged(REPORTS / 4).await;
    world.nats.kill_hard().await.unwrap();
    world.postgres.kill_hard().await.unwrap();
    for service in [&mut services.collector, &mut services.validator, &mut services.aggregator, &mut services.query] {
        service.kill_hard().await;
        service.assert_quiet();
    }
    let before = sending.acknowledged_now();
    assert!(before < REPORTS);
    tokio::try_join!(world.nats.restart(), world.postgres.restart()).unwrap();
    let fresh = world.services().await;
    services.replace_all(fresh).await;
    sending.allow(REPORTS);
    sending.acknowledged(before + 1).await;
    let sent = sending.finish().await;
    assert!(!sent.broken.is_empty());
    all_is_well(&world, &services, &events, &load, &sent).await;
}

/// Goal: an aggregator that stands by takes over when the one at work is killed, at once and without counting anything
/// twice; the one that comes back stands by in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_aggregator_takes_over() {
    let world = World::start().await;
    let mut services = world.services().await;
    let events = Events::follow(&world).await;
    let load = Load::of(REPORTS, 22);
    let sending = services.send(&load.reports);
    for _ in 0..2 {
        let mut standby = world.standby_aggregator().await;
        assert_eq!(standby.said("took leases"), 0, "it stands by");
        sending.allow(600);
        let behind = async || {
            let acknowledged = i64::try_from(sending.acknowledged_now()).unwrap();
            acknowledged > world.store.fate_counts().await.unwrap().settled()
        };
        services.aggregator.kill_at_work(behind).await;
        services.aggregator.assert_quiet();
        standby.logged("took leases").await;
        services.aggregator = standby;
    }
    assert!(sending.acknowledged_now() < REPORTS);
    let sent = sending.finish().await;
    all_is_well(&world, &services, &events, &load, &sent).await;
}

/// Goal: one that stands by also takes over from one that is frozen, whose connections stay open; when that one goes on, it counts and
/// publishes nothing that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_aggregator_takes_over_from_a_frozen_one() {
    let world = World::start().await;
    let mut services = world.services().await;
    let events = Events::follow(&world).await;
    let load = Load::of(REPORTS, 23);
    let sending = services.send(&load.reports);
    let mut standby = world.standby_aggregator().await;
    sending.allow(600);
    let behind = async || {
        let acknowledged = i64::try_from(sending.acknowledged_now()).unwrap();
        acknowledged > world.store.fate_counts().await.unwrap().settled()
    };
    services.aggregator.freeze_at_work(behind).await;
    standby.logged("took leases").await;
    let sent = sending.finish().await;
    let mut frozen = std::mem::replace(&mut services.aggregator, standby);
    frozen.thaw();
    frozen.logged("the leases are lost; other aggregators may go on").await;
    frozen.terminate();
    assert_eq!(frozen.ended().await, Some(0));
    all_is_well(&world, &services, &events, &load, &sent).await;
}

/// Goal: positions never repeat. When the log of verdicts is lost and made again, its positions go on above those that the
/// database knows, and the services at work go on by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_made_again_goes_on_above_the_old_one() {
    let world = World::start().await;
    let services = world.services().await;
    let events = Events::follow(&world).await;
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        services.submit(&tests::report(unit, 1, vec![tests::int("id_eligible_citizens", value)])).await.unwrap();
    }
    world.settled(3).await;
    let (before, _) = world.stream("VERDICTS").await.unwrap();
    let version = services.totals("VN", "identity", "202211").await.version;

    let client = async_nats::connect(world.nats.url()).await.unwrap();
    let deleted = async_nats::jetstream::new(client).delete_stream("VERDICTS").await.unwrap();
    assert!(deleted.success);
    let done = world.provision(&small_topology()).await;
    assert_eq!(
        (done.streams.made, done.streams.kept),
        (vec!["VERDICTS"], vec!["REPORTS", "TOTALS", "FATES", "PROBES", "AUDIT"])
    );
    let (made, _) = world.stream("VERDICTS").await.unwrap();
    assert!(made.messages == 0 && made.last > before.last, "{before:?} {made:?}");

    services.submit(&tests::report("31504", 1, vec![tests::int("id_eligible_citizens", 1_000)])).await.unwrap();
    // A correction takes the place of what was counted before.
    services.submit(&tests::report("31498", 2, vec![tests::int("id_eligible_citizens", 20_000)])).await.unwrap();
    world.settled(5).await;
    world.quiet().await;
    let (after, _) = world.stream("VERDICTS").await.unwrap();
    assert!(after.messages == 2 && after.last > made.last, "{made:?} {after:?}");
    let totals = services.totals("VN", "identity", "202211").await;
    assert_eq!(tests::sum(&totals, "commune", "id_eligible_citizens"), Some(21_110));
    assert!(totals.version > version && totals.log_position == after.last, "{totals:?}");
    events.agree_with(&totals).await;
    world.verified().await;
    assert_eq!(services.aggregator.said("took leases"), 1, "it went on and did not start over");
    services.assert_quiet();
}

/// Goal: a place of the log is settled once, however often it is judged: by a second message of verdicts that comes while the
/// aggregator is at work, and by one that comes after it was killed, together with what is new. Also by one that holds a batch
/// alone, as validators wrote them before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_judged_once_more_is_settled_once() {
    let world = World::start().await;
    let mut services = world.services().await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(world.nats.url()).await.unwrap());
    services.submit(&tests::report("31498", 1, vec![tests::int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let (verdicts, _) = world.stream("VERDICTS").await.unwrap();
    let stream = jetstream.get_stream("VERDICTS").await.unwrap();
    let judged = stream.get_raw_message(verdicts.last).await.unwrap();
    let [accepted] = &JudgedBatches::decode(judged.payload.clone()).unwrap().batches[..] else { panic!("one batch") };
    // As another catalogue might have judged it.
    let report = &accepted.accepted[0];
    let rejected = RejectedReport {
        log_index: report.log_index,
        received_at_micros: report.received_at_micros,
        principal: report.principal.clone(),
        submission_id: report.submission_id.clone(),
        data_set: report.data_set.clone(),
        period: report.period.clone(),
        org_unit: report.org_unit.clone(),
        revision: report.revision,
        digest: report.digest.clone(),
        ..RejectedReport::default()
    };
    let rejected = JudgedBatch { accepted: Vec::new(), rejected: vec![rejected], ..accepted.clone() };
    let again = async || {
        let rejected_on = judged.subject.replace("accepted", "rejected");
        let together = JudgedBatches { batches: vec![rejected.clone()] };
        for (subject, payload) in [
            (judged.subject.to_string(), accepted.encode_to_vec()),
            (judged.subject.to_string(), judged.payload.to_vec()),
            (rejected_on, together.encode_to_vec()),
        ] {
            jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
        }
    };

    again().await;
    services.submit(&tests::report("31501", 1, vec![tests::int("id_eligible_citizens", 10)])).await.unwrap();
    world.settled(2).await;
    services.aggregator.kill_hard().await;
    again().await;
    services.submit(&tests::report("31504", 1, vec![tests::int("id_eligible_citizens", 100)])).await.unwrap();
    services.aggregator = world.service("aggregator").await;
    world.settled(3).await;
    world.quiet().await;
    let totals = services.totals("VN", "identity", "202211").await;
    assert_eq!(tests::sum(&totals, "commune", "id_eligible_citizens"), Some(111));
    let counts = world.store.fate_counts().await.unwrap();
    assert_eq!((counts.accepted, counts.settled()), (3, 3));
    world.verified().await;
    services.assert_quiet();
}

/// The operating system's clock, put ahead.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> time::OffsetDateTime {
        SystemClock.now() + time::Duration::seconds(self.0.load(Ordering::Relaxed))
    }
}

/// Goal: totals that were committed while NATS was away, for longer than they may wait to be published, are published once it is back,
/// though nothing else comes to count.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_while_nats_was_away_is_published() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    services.aggregator.terminate();
    services.aggregator.ended().await;
    let config = aggregator::Config {
        catalogue: tests::catalogue_dir(),
        admin: runtime::admin::AdminConfig::default(),
        nats: ConnectionConfig::to(world.nats.url()),
        store: StoreConfig::to(world.postgres.url()),
        limits: aggregator::Limits::default(),
        telemetry: TelemetryConfig::default(),
    };
    let clock = Arc::new(Ahead::default());
    let counting = Aggregator::start(&config, Arc::clone(&world.catalogue), Arc::clone(&clock) as _).await.unwrap();
    let shutdown = Shutdown::new();
    let counting = tokio::spawn(counting.run(shutdown.clone()));
    services.submit(&tests::report("31498", 1, vec![tests::int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;

    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    let mut held = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE total").execute(&mut *held).await.unwrap();
    services.submit(&tests::report("31501", 1, vec![tests::int("id_eligible_citizens", 10)])).await.unwrap();
    tests::eventually("the transaction waits", async || {
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted").fetch_one(&database).await.unwrap();
        if waiting > 0 { Ok(()) } else { Err("nobody waits") }
    })
    .await;
    world.nats.kill_hard().await.unwrap();
    held.commit().await.unwrap();
    tests::eventually("it is committed", async || match world.store.outbox_length().await {
        Ok(1) => Ok(()),
        other => Err(other),
    })
    .await;
    clock.0.store(61, Ordering::Relaxed);
    world.nats.restart().await.unwrap();
    world.settled(2).await;
    let totals = services.totals("VN", "identity", "202211").await;
    let subject = "totals.v1.national.VN.identity.202211";
    assert_eq!(world.connection.last_total_version(subject).await.unwrap(), Some(totals.version));
    assert_eq!(tests::sum(&totals, "commune", "id_eligible_citizens"), Some(11));
    shutdown.request();
    counting.await.unwrap().unwrap();
}

/// Goal: whoever waits for an answer that went down with the connection tries again at once, and not when the time for answers is up.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_went_down_with_the_connection_is_not_waited_for() {
    let world = World::start().await;
    let an_hour = 60 * 60 * 1_000;
    let config = ConnectionConfig { answer_within_ms: an_hour, ..ConnectionConfig::to(world.nats.url()) };
    let publisher = Publisher::new(Connection::open("test", &config).await.unwrap());
    world.nats.pause().unwrap();
    let message = Outgoing {
        subject: "reports.submitted.0".to_owned(),
        message_id: "unanswered".to_owned(),
        content_type: None,
        payload: Bytes::from_static(b"nothing"),
    };
    let mut publishing = std::pin::pin!(publisher.publish(&message));
    assert!(publishing.as_mut().now_or_never().is_none(), "a paused server answered");
    world.nats.kill_hard().await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(60), publishing).await;
    assert!(matches!(answered, Ok(Err(PublishError::Lost))), "{answered:?}");
}

/// What is published about a province that reported once.
fn total(unit: usize, period: &str) -> Outgoing {
    let subject = format!("totals.v1.province.{unit}.identity.{period}");
    let about = format!(r#""data_set":"identity","period":"{period}","org_unit":"{unit}""#);
    Outgoing {
        message_id: format!("{subject}@1"),
        subject,
        content_type: None,
        payload: format!(r#"{{"data":{{{about},"version":1,"log_position":0,"levels":[]}}}}"#).into(),
    }
}

/// Goal: a batch that came through is not taken a second time, and a message that came through by itself does not stand for those that
/// are published together with it later.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_known_by_an_id_of_its_own() {
    let world = World::start().await;
    let publisher = Publisher::new(world.connection.clone());
    let events: Vec<_> = (0..20).map(|unit| total(unit, "202201")).collect();
    publisher.publish_all(&events[15..]).await.unwrap();
    let published = async || {
        publisher.publish_all(&events).await.unwrap();
        let (stream, _) = world.stream("TOTALS").await.unwrap();
        (stream.messages, stream.last)
    };
    let (messages, last) = published().await;
    assert_eq!(messages, 20, "those before the five");
    assert_eq!(published().await, (20, last), "again");
}

/// Goal: what an aggregator that is gone has published before it could say so is not published again, whether its events went out
/// together or, being few, one after the other; what it has not is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_the_outbox_is_published_once() {
    let world = World::start().await;
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    let identity = world.connection.partitions().await.unwrap().of("identity").number();
    let publisher = Publisher::new(world.connection.clone());
    let mut published = 0;
    // How many there are; which of them were published; how many are to be published then.
    for (period, (count, there, left)) in ["202201", "202202", "202203", "202204"].into_iter().zip([
        (3, 1..2, 2),
        (3, 0..3, 0),
        (100, 0..100, 0),
        (100, 0..0, 100),
    ]) {
        let event = |unit: usize| total(unit, period);
        let events: Vec<_> = (0..count).map(event).collect();
        for event in &events[there] {
            // Under another id: by the time somebody looks JetStream has forgotten those of events.
            let forgotten = Outgoing { message_id: format!("{}?", event.message_id), ..event.clone() };
            publisher.publish(&forgotten).await.unwrap();
            published += 1;
        }
        sqlx::query("INSERT INTO outbox (partition, position, events) VALUES ($1, $2, $3)")
            .bind(i32::from(identity))
            .bind(period.parse::<i64>().unwrap())
            .bind(messaging::outbox::pack(&events))
            .execute(&database)
            .await
            .unwrap();
        published += left;
    }
    let (before, _) = world.stream("TOTALS").await.unwrap();
    let services = world.services().await;
    tests::eventually("the outbox is empty", async || match world.store.outbox_length().await {
        Ok(0) => Ok(()),
        other => Err(other),
    })
    .await;
    let (after, _) = world.stream("TOTALS").await.unwrap();
    assert_eq!((after.messages, after.last - before.last), (published, 102));
    services.assert_quiet();
}
