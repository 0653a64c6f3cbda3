//! What those who watch the pipeline see: readiness, metrics, the status in one screen.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Timestamp, settle::Position};
use messaging::{Connection, Judging};
use proto::pb::collector::v1::{SubmitRequest, collector_service_client::CollectorServiceClient};
use runtime::{Clock as _, SystemClock, admin::LIVENESS, health::is_serving};
use serde_json::Value;
use tests::{Service, World, eventually, get, int, metrics, organisation, report, tonghop};

/// Goal: a service that cannot publish or write says so, lives on, and is ready again without anybody's help.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_what_is_depended_on_and_recovers_unaided() {
    let mut world = World::start().await;
    let services = world.services().await;
    let all = [&services.collector, &services.validator, &services.aggregator, &services.query].map(Service::admin);
    let [collector, validator, aggregator, query] = &all;
    for admin in &all {
        until(admin, "", true).await;
    }

    world.nats.stop().await.unwrap();
    for admin in [collector, validator, aggregator] {
        until(admin, "", false).await;
        until(admin, "nats", false).await;
    }
    let (status, why) = get(collector, "/readyz").await;
    assert!(status == 503 && why.starts_with("nats: "), "{status} {why}");
    assert_eq!(metrics(collector).await[r#"tonghop_ready{service="collector",check="nats"}"#], 0.0);
    let said = tonghop(1, &["health", collector, "--lang", "en"]).await.stderr;
    assert!(said.contains("is not ready"), "{said}");
    for admin in &all {
        assert_eq!(is_serving(admin, LIVENESS).await.unwrap(), Some(true), "an outage must not end the process");
        assert_eq!(get(admin, "/livez").await, (200, "ok\n".to_owned()));
    }
    assert_eq!(is_serving(query, "").await.unwrap(), Some(true), "it reads on without NATS");
    world.nats.restart().await.unwrap();
    for admin in &all {
        until(admin, "", true).await;
    }

    world.postgres.stop().await.unwrap();
    for admin in [validator, aggregator, query] {
        until(admin, "", false).await;
        until(admin, "database", false).await;
    }
    assert_eq!(is_serving(collector, "").await.unwrap(), Some(true), "reports are taken while nothing can be counted");
    world.postgres.restart().await.unwrap();
    for admin in &all {
        until(admin, "", true).await;
    }
    assert_eq!(get(aggregator, "/readyz").await, (200, "database: ok\nnats: ok\n".to_owned()));
    assert_eq!(tonghop(0, &["health", aggregator, "--lang", "en"]).await.stdout, "ready\n");

    // What it is ready for works.
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
}

async fn until(admin: &str, part: &str, serving: bool) {
    eventually("readiness changes", || async {
        match is_serving(admin, part).await {
            Ok(Some(found)) if found == serving => Ok(()),
            other => Err(format!("{admin} {part}: {other:?}")),
        }
    })
    .await;
}

/// Goal: what a running system exposes is what the list says, and the numbers are those of what was done.
#[tokio::test(flavor = "multi_thread")]
async fn every_number_is_listed_and_every_listed_number_is_there() {
    let world = World::start().await;
    let services = world.services().await;
    let cells = |eligible| vec![int("id_eligible_citizens", eligible)];
    services.submit(&report("31498", 1, cells(5))).await.unwrap();
    services.submit(&report("31498", 1, cells(5))).await.unwrap();
    let broken = vec![int("org_hamlets_total", 7), int("org_hamlets_with_team", 8)];
    services.submit(&organisation("31498", 1, broken)).await.unwrap();
    services.submit(&report("no-such-unit", 1, cells(5))).await.unwrap_err();
    world.settled(3).await;
    services.totals("94", "identity", "202211").await;

    let [collector, validator, aggregator, query] =
        [&services.collector, &services.validator, &services.aggregator, &services.query].map(Service::admin);
    let listed = listed();
    let mut found: BTreeMap<&str, BTreeMap<String, f64>> = BTreeMap::new();
    for (service, admin) in
        [("collector", &collector), ("validator", &validator), ("aggregator", &aggregator), ("query", &query)]
    {
        let there = eventually("the look at the pipeline has told its numbers", || async {
            let there = metrics(admin).await;
            let names: BTreeSet<_> = there.keys().map(|sample| name_of(sample)).collect();
            let missing: Vec<_> =
                listed.iter().filter(|row| row.is_always_of(service) && !names.contains(&*row.name)).collect();
            if missing.is_empty() { Ok(there) } else { Err(format!("{service} lacks {missing:?}")) }
        })
        .await;
        for sample in there.keys() {
            let row = listed.iter().find(|row| row.name == name_of(sample) && row.services.contains(service));
            assert!(row.is_some(), "{sample} of {service} is not in METRICS.md");
        }
        found.insert(service, there);
    }

    let number = |service: &str, sample: &str| {
        found[service].get(sample).copied().unwrap_or_else(|| panic!("{sample}: {found:#?}"))
    };
    assert_eq!(number("collector", "tonghop_collector_acknowledged_total"), 3.0);
    assert_eq!(number("collector", r#"tonghop_collector_refused_total{reason="ORG_UNIT_UNKNOWN"}"#), 1.0);
    assert_eq!(number("collector", r#"tonghop_grpc_calls_total{service="collector",method="Submit",code="Ok"}"#), 3.0);
    assert_eq!(number("collector", "tonghop_collector_in_flight"), 0.0);
    assert_eq!(number("validator", r#"tonghop_validator_reports_total{verdict="accepted"}"#), 2.0);
    assert_eq!(number("validator", r#"tonghop_validator_reports_total{verdict="rejected"}"#), 1.0);
    for (fate, reports) in [("ACCEPTED", 1.0), ("DUPLICATE", 1.0), ("REJECTED", 1.0), ("SUPERSEDED", 0.0)] {
        assert_eq!(number("aggregator", &format!(r#"tonghop_fates_total{{fate="{fate}"}}"#)), reports);
    }
    assert_eq!(number("aggregator", r#"tonghop_rejections_total{reason="RULE_BROKEN"}"#), 1.0);
    assert_eq!(number("aggregator", "tonghop_freshness_seconds_count"), 3.0);
    assert_eq!(number("aggregator", "tonghop_aggregator_leases"), 4.0);
    assert!(number("aggregator", r#"tonghop_stream_max_bytes{stream="REPORTS"}"#) > 1e9);

    status(&world, &[&collector, &validator, &aggregator, &query]).await;
}

/// Goal: what waits is seen with its age, by whom it is for and by whoever only watches, each with the rights of its own user.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_look_sees_what_waits_and_since_when() {
    let world = World::start().await;
    let open = async |user: &str| Connection::open(user, &world.keys.nats(user, &world.nats)).await.unwrap();
    let collector = world.service("collector").await;
    let before = Timestamp::from(SystemClock.now());
    let report = Some(report("31498", 1, vec![int("id_eligible_citizens", 5)]));
    CollectorServiceClient::new(collector.channel().await).submit(SubmitRequest { report }).await.unwrap();
    let since = |found: Option<Timestamp>| {
        let now = Timestamp::from(SystemClock.now());
        found.is_some_and(|found| before.unix_micros() - 1_000_000 < found.unix_micros() && found <= now)
    };
    for user in ["validator", "monitor"] {
        let Judging { waiting, in_hand, oldest, .. } = open(user).await.judging().await.unwrap();
        assert!((waiting, in_hand) == (1, 0) && since(oldest), "{user}: {waiting} {in_hand} {oldest:?}");
    }

    let _validator = world.service("validator").await;
    let partitions = world.connection.partitions().await.unwrap();
    for user in ["aggregator", "monitor"] {
        let connection = open(user).await;
        let waits = eventually("the verdict is there", || async {
            let found = connection.verdict_after(partitions.of("identity"), Position(0)).await;
            found.map_err(|error| error.to_string())?.ok_or_else(|| format!("{user} sees none"))
        })
        .await;
        assert!(since(Some(waits)), "{user}: {waits:?}");
        let streams = connection.streams().await.unwrap();
        let reports = streams.iter().find(|stream| stream.name == "REPORTS").unwrap();
        assert!(reports.messages == 1 && reports.bytes > 0 && reports.max_bytes > reports.bytes, "{reports:?}");
    }
    eventually("nothing waits to be judged", || async {
        let judging = world.connection.judging().await.unwrap();
        if judging.oldest.is_none() && judging.in_hand == 0 { Ok(()) } else { Err(judging) }
    })
    .await;
}

/// Goal: one command shows everything, in words and as JSON, and says what is wrong.
async fn status(world: &World, admins: &[&String]) {
    let (nats, database) = (world.nats.url(), world.postgres.url());
    let mut arguments = vec!["status", "--nats", &nats, "--database", &database];
    arguments.extend(admins.iter().flat_map(|admin| ["--admin", admin.as_str()]));
    let screen = tonghop(0, &arguments).await.stdout;
    assert!(screen.contains("không có gì bất thường / nothing is wrong"), "{screen}");
    for told in ["REPORTS", "VERDICTS", "TOTALS", "FATES", "PROBES", "sẵn sàng / ready", admins[0]] {
        assert!(screen.contains(told), "{told} in {screen}");
    }

    arguments.extend(["--admin", "http://127.0.0.1:1", "--json"]);
    let all = tonghop(1, &arguments).await.object();
    assert_eq!(all["problems"].as_array().unwrap().len(), 1, "{all:#}");
    assert_eq!(all["services"][0]["checks"]["nats"], true);
    assert_eq!(all["judging"]["behind_seconds"], 0);
    assert_eq!((&all["reconciliation"]["all"], &all["reconciliation"]["is_old"]), (&Value::Null, &false.into()));
    world.store.reconcile(None, Timestamp::from(SystemClock.now())).await.unwrap();
    let reconciled = tonghop(1, &arguments).await.object()["reconciliation"].clone();
    assert!(reconciled["all"]["totals"].as_u64() > Some(0) && reconciled["all"]["mismatches"] == 0, "{reconciled}");
    assert_eq!(reconciled["all"]["at"], reconciled["latest"]);
    let partitions = all["counting"]["partitions"].as_array().unwrap();
    assert!(
        partitions.len() == 4 && partitions.iter().all(|partition| partition["held_by"]["pid"].is_i64()),
        "{all:#}"
    );
}

/// A row of the list.
#[derive(Debug)]
struct Row {
    name: String,
    services: BTreeSet<String>,
    /// Whether it is there from the start, or from the first time that it occurs.
    always: bool,
}

impl Row {
    fn is_always_of(&self, service: &str) -> bool {
        self.always && self.services.contains(service)
    }
}

fn listed() -> Vec<Row> {
    let list = include_str!("../../deploy/prometheus/METRICS.md");
    let rows = list.lines().filter(|line| line.starts_with("| `tonghop_"));
    let rows = rows.map(|line| {
        let fields: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _kind, services, _labels, _unit, since, _meaning] = &fields[..] else {
            panic!("seven columns: {line}")
        };
        Row {
            name: name.trim_matches('`').to_owned(),
            services: services.split(", ").map(str::to_owned).collect(),
            always: *since == "start",
        }
    });
    rows.collect()
}

/// The metric that a sample belongs to.
fn name_of(sample: &str) -> &str {
    let name = sample.split('{').next().unwrap();
    ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}
