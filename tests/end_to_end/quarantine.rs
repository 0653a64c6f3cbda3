//! Quarantine: what could not be read is judged again when its cause is mended, and counts once.

use std::collections::BTreeMap;

use domain::{Timestamp, settle::Changes};
use messaging::{Body, Partitions, Publisher, SubmittedBatches, Verdicts, quarantined_message};
use proto::pb::event::v1::QuarantinedMessage;
use runtime::{Clock as _, SystemClock};
use store::{Quarantined, Write};
use tests::{World, eventually, int, report, small_topology, sum, tonghop};

/// Does what a validator does that cannot read a message: one of an older version, or without the key it is sealed with.
async fn quarantine(world: &World, made_up: Option<u64>) {
    let publisher = Publisher::new(world.connection.clone());
    let partition = Partitions::new(small_topology().partitions).unwrap().of("");
    let message = |log_sequence, subject: &str, payload: &[u8]| QuarantinedMessage {
        log_sequence,
        subject: subject.to_owned(),
        error: "a newer program wrote it".to_owned(),
        payload: payload.to_vec(),
        payload_length: u64::try_from(payload.len()).unwrap(),
    };
    if let Some(sequence) = made_up {
        let message = message(sequence, "reports.submitted.0", b"gone");
        publisher.publish(&quarantined_message(partition, &message)).await.unwrap();
        return;
    }
    let mut batches = SubmittedBatches::join(&world.connection, 1).await.unwrap();
    let taken = batches.next().await.unwrap();
    let message = message(taken.sequence, &taken.subject, taken.payload());
    publisher.publish(&quarantined_message(partition, &message)).await.unwrap();
    taken.acknowledge().await;
}

/// Goal: a message in quarantine is shown, and judged again on an operator's word; its reports have one fate each, at the places
/// they were acknowledged at, however often that is done. One that the log has let go of is told so.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_quarantine_is_judged_again_and_counts_once() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.validator.kill_hard().await;
    let kept = services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    quarantine(&world, None).await;
    quarantine(&world, Some(1)).await;
    services.validator = world.service("validator").await;
    services.submit(&report("31501", 1, vec![int("id_eligible_citizens", 10)])).await.unwrap();
    world.settled(1).await;
    let (url, as_provision) = (world.postgres.url(), world.as_provision());
    let as_provision: Vec<_> = as_provision.iter().map(String::as_str).collect();
    let list = async |more: &[&str]| {
        tonghop(0, &[&["quarantine", "list", "--database", &url, "--json"], more].concat()).await.objects()
    };
    let found = eventually("both are in quarantine", async || match &list(&[]).await[..] {
        [gone, first] => Ok([gone.clone(), first.clone()]),
        other => Err(format!("{other:?}")),
    })
    .await;
    let [gone, id] = found.each_ref().map(|kept| kept["id"].to_string());
    assert_eq!((&found[1]["log_sequence"], &found[1]["settled"]), (&kept.log_sequence.into(), &0.into()));
    let shown = tonghop(0, &["quarantine", "show", &id, "--database", &url, "--lang", "en"]).await.stdout;
    assert!(shown.contains("a newer program wrote it") && shown.contains("31498"), "{shown}");

    let retry = async |code: i32, id: &str| {
        let retry = ["quarantine", "retry", id, "--as", "lan", "--lang", "en"];
        tonghop(code, &[&retry, &as_provision[..]].concat()).await
    };
    for _ in 0..2 {
        retry(0, &id).await;
        world.settled(2).await;
        world.quiet().await;
        let totals = services.totals("VN", "identity", "202211").await;
        assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(11));
    }
    let refused = retry(1, &gone).await.stderr;
    assert!(refused.contains("the log does not have 1 any more"), "{refused}");
    assert!(retry(1, "99").await.stderr.contains("there is no message 99 in quarantine"));

    let left: Vec<_> = list(&[]).await.iter().map(|kept| kept["id"].to_string()).collect();
    assert_eq!(left, [gone.as_str()]);
    let all = list(&["--all"]).await;
    let done = all.iter().find(|kept| kept["id"].as_i64() == id.parse().ok()).unwrap();
    assert_eq!((&done["settled"], &done["retried_by"]), (&1.into(), &"lan".into()));
    let audited = tonghop(0, &["audit", "show", "--principal", "lan", "--database", &url, "--json"]).await.objects();
    assert_eq!(audited.len(), 3, "{audited:?}");

    // Of the other nothing is left to do; kept it is.
    assert_eq!(world.store.state().await.unwrap().quarantined, 1);
    let close = ["quarantine", "close", &gone, "--database", &url, "--as", "lan", "--lang", "en"];
    assert!(tonghop(0, &close).await.stdout.contains("is closed"));
    assert_eq!(list(&[]).await.len(), 0);
    assert_eq!(world.store.state().await.unwrap().quarantined, 0);
    let closed = list(&["--all"]).await;
    let gone = gone.parse::<i64>().unwrap();
    assert!(closed.iter().any(|kept| kept["id"] == gone && kept["closed_by"] == "lan"), "{closed:?}");
    world.verified().await;
    services.validator.assert_quiet();
}

/// Does what an aggregator does that cannot read the next verdict: one of an older version. Gives the verdict's position.
async fn quarantine_verdict(world: &World) -> u64 {
    let partition = Partitions::new(small_topology().partitions).unwrap().of("identity");
    let after = world.store.fence(partition.number()).await.unwrap();
    let verdict = Verdicts::after(world.connection.clone(), partition, after.position).next().await;
    assert!(matches!(verdict.body, Body::Judged(_)), "{verdict:?}");
    let quarantined = Quarantined {
        position: verdict.position,
        log_sequence: verdict.position.0,
        subject: format!("reports.accepted.{partition}"),
        error: "a newer program wrote it".to_owned(),
        payload: Vec::new(),
    };
    let write = Write {
        changes: &Changes::default(),
        totals: &[],
        events: None,
        quarantined: &[quarantined],
        position: verdict.position,
        now: Timestamp::from(SystemClock.now()),
    };
    world.store.begin(partition.number(), after).await.unwrap().commit(&write).await.unwrap();
    verdict.position.0
}

/// Goal: a verdict in quarantine is counted on an operator's word, once, however often that is done, and the reports after it,
/// a correction among them, stand as they would have.
#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_in_quarantine_is_counted_again_and_once() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.aggregator.kill_hard().await;
    let value = |unit, revision, value| report(unit, revision, vec![int("id_eligible_citizens", value)]);
    services.submit(&value("31498", 1, 1)).await.unwrap();
    let position = quarantine_verdict(&world).await;
    services.submit(&value("31501", 1, 100)).await.unwrap();
    let second = quarantine_verdict(&world).await;
    services.aggregator = world.service("aggregator").await;
    services.submit(&value("31501", 2, 10)).await.unwrap();
    world.settled(1).await;
    let (url, as_provision) = (world.postgres.url(), world.as_provision());
    let as_provision: Vec<_> = as_provision.iter().map(String::as_str).collect();
    let list = async || {
        let arguments = ["quarantine", "list", "--all", "--database", &url, "--json"];
        let kept = tonghop(0, &arguments).await.objects();
        kept.iter().map(|kept| (kept["log_sequence"].as_u64().unwrap(), kept.clone())).collect::<BTreeMap<_, _>>()
    };
    let found = list().await;
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [position, second]);
    let id = |position: u64| found[&position]["id"].to_string();
    let total = async || sum(&services.totals("VN", "identity", "202211").await, "commune", "id_eligible_citizens");
    assert_eq!(total().await, Some(10));

    for (id, settled, expected) in
        [(id(position), 2, 11), (id(position), 2, 11), (id(second), 3, 11), (id(second), 3, 11)]
    {
        let retry = ["quarantine", "retry", &id, "--as", "lan", "--lang", "en"];
        tonghop(0, &[&retry, &as_provision[..]].concat()).await;
        world.settled(settled).await;
        world.quiet().await;
        assert_eq!(total().await, Some(expected), "{id}");
    }
    let counts = world.store.fate_counts().await.unwrap();
    assert_eq!((counts.accepted, counts.superseded), (2, 1), "the first revision came after the second");
    assert!(list().await.values().all(|kept| kept["retried_by"] == "lan"), "{:?}", list().await);
    world.verified().await;
    services.aggregator.assert_quiet();
}
