//! Quarantine: what could not be read is judged again when its cause is mended, and counts once.

use messaging::{Partitions, Publisher, SubmittedBatches, quarantined_message};
use proto::pb::event::v1::QuarantinedMessage;
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
    assert_eq!(left, [gone]);
    let all = list(&["--all"]).await;
    let done = all.iter().find(|kept| kept["id"].as_i64() == id.parse().ok()).unwrap();
    assert_eq!((&done["settled"], &done["retried_by"]), (&1.into(), &"lan".into()));
    let audited = tonghop(0, &["audit", "show", "--principal", "lan", "--database", &url, "--json"]).await.objects();
    assert_eq!(audited.len(), 3, "{audited:?}");
    world.verified().await;
    services.validator.assert_quiet();
}
