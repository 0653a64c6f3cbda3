//! The audit log: what is done is in it, and what is done to it is seen.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tests::{EVERYBODY, World, eventually, int, report, tonghop};

/// Statements by which somebody with all rights over the database changes what must not be changed.
async fn tamper(database: &PgPool, statements: &[&str]) -> u64 {
    let mut transaction = database.begin().await.unwrap();
    // What an ordinary statement is refused, a superuser can do.
    sqlx::query("SET LOCAL session_replication_role = replica").execute(&mut *transaction).await.unwrap();
    let mut rows = 0;
    for statement in statements {
        rows = sqlx::query(AssertSqlSafe(*statement)).execute(&mut *transaction).await.unwrap().rows_affected();
    }
    transaction.commit().await.unwrap();
    rows
}

/// What `tonghop audit verify` finds: the faults' codes with what they say.
async fn faults(world: &World, more: &[&str]) -> Vec<(String, String)> {
    let url = world.postgres.url();
    let found = world.store.audit_verify(&[]).await.unwrap();
    let arguments = [&["audit", "verify", "--database", &url, "--json"], more].concat();
    // With anchors there may be more, never less.
    let code = if found.faults.is_empty() && more.is_empty() { 0 } else { 1 };
    let object = tonghop(code, &arguments).await.object();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    object["faults"].as_array().unwrap().iter().map(|fault| (text(&fault["fault"]), text(&fault["message"]))).collect()
}

/// Goal: each report that got a fate is in the log with who sent it and what it said; so is each that a collector refused, and
/// what an operator did. Ordinary statements cannot change any of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_written_down_for_good() {
    let world = World::start().await;
    let services = world.services().await;
    let url = world.postgres.url();
    let counted = report("31498", 1, vec![int("id_eligible_citizens", 1)]);
    let refused = report("99999", 1, vec![int("id_eligible_citizens", 1)]);
    services.submit(&counted).await.unwrap();
    services.submit(&refused).await.unwrap_err();
    world.settled(1).await;
    tonghop(
        0,
        &["reopen", "--database", &url, "--data-set", "identity", "--period", "202211", "--until", "2099-12-31"]
            .into_iter()
            .chain(["--reason", "mạng hỏng", "--as", "lan"])
            .collect::<Vec<_>>(),
    )
    .await;

    let entries = async |filter: &[&str]| {
        let arguments = [&["audit", "show", "--database", &url, "--json"], filter].concat();
        let shown = tonghop(0, &arguments).await.objects();
        shown.into_iter().map(|entry| entry["fields"].clone()).collect::<Vec<_>>()
    };
    let of_counted = entries(&["--submission", &counted.submission_id]).await;
    let [fields] = &of_counted[..] else { panic!("{of_counted:?}") };
    assert_eq!(fields[2], counted.submission_id);
    let [principal, unit, data_set, period] = [3, 4, 5, 6].map(|place: usize| fields[place].as_str().unwrap());
    assert_eq!((principal, unit, data_set, period), (EVERYBODY, "31498", "identity", "202211"));
    assert_eq!((&fields[7], &fields[9]), (&Value::from("1"), &Value::from("ACCEPTED")));

    let of_refused = eventually("the refusal is written down", async || {
        match &entries(&["--submission", &refused.submission_id]).await[..] {
            [fields] => Ok(fields.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let [principal, reasons, unit] = [1, 2, 4].map(|place: usize| of_refused[place].as_str().unwrap());
    assert_eq!((principal, reasons, unit), (EVERYBODY, "ORG_UNIT_UNKNOWN", "99999"));

    let of_lan = entries(&["--principal", "lan", "--only", "operated"]).await;
    assert_eq!((of_lan.len(), &of_lan[0][1]), (1, &Value::from("reopen")), "{of_lan:?}");
    assert!(of_lan[0][2].as_str().unwrap().contains("mạng hỏng"), "{of_lan:?}");
    assert_eq!(faults(&world, &[]).await, []);

    let database = PgPool::connect(&url).await.unwrap();
    for statement in [
        "UPDATE audit SET entries = ''",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE submission SET fate = 'REJECTED'",
        "DELETE FROM submission",
        "DELETE FROM report_history",
        "TRUNCATE reopening",
    ] {
        let error = sqlx::query(AssertSqlSafe(statement)).execute(&database).await.unwrap_err();
        assert!(error.to_string().contains("are added, never changed or removed"), "{statement}: {error}");
    }
    assert_eq!(faults(&world, &[]).await, []);
    services.assert_quiet();
}

/// Goal: whoever changes, removes or adds rows in spite of it is found out, with the first row named; who cuts the end off or
/// writes everything anew is found out by what was anchored before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_the_log_is_seen() {
    let world = World::start().await;
    let services = world.services().await;
    for (unit, value) in [("31498", 1), ("31501", 10), ("31504", 100), ("31507", 1_000)] {
        services.submit(&report(unit, 1, vec![int("id_eligible_citizens", value)])).await.unwrap();
        world.settled(i64::from(value.ilog10()) + 1).await;
    }
    let url = world.postgres.url();
    let dir = tempfile::tempdir().unwrap();
    let [key, anchors] = ["key", "anchors"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let public = tonghop(0, &["audit", "key", &key]).await.stdout.trim().to_owned();
    tonghop(0, &["audit", "anchor", &anchors, "--key", &key, "--database", &url]).await;
    let anchored = ["--anchors", &anchors, "--public-key", &public];
    let verify = [&["audit", "verify", "--database", &url], &anchored[..]].concat();
    let before = tonghop(0, &verify).await.stdout;
    assert!(before.contains("4 fates of reports, 1 anchors: all is as it was written"), "{before}");

    let database = PgPool::connect(&url).await.unwrap();
    let counted: String = sqlx::query_scalar("SELECT chain FROM audit WHERE starts_with(chain, 'counted.') LIMIT 1")
        .fetch_one(&database)
        .await
        .unwrap();
    let keep = ["CREATE TABLE kept_audit AS TABLE audit", "CREATE TABLE kept_submission AS TABLE submission"];
    tamper(&database, &keep).await;
    let bring_back = [
        "TRUNCATE audit, submission",
        "INSERT INTO audit TABLE kept_audit",
        "INSERT INTO submission TABLE kept_submission",
    ];
    // As the server itself makes links: all hashes are right afterwards.
    let anew = "DO $$ DECLARE one record; BEGIN
        DELETE FROM audit;
        FOR one IN SELECT * FROM kept_audit ORDER BY chain, number LOOP
            PERFORM audit_append(one.chain, one.at, one.position, replace(one.entries, 'everybody', 'somebody'));
        END LOOP;
        UPDATE submission SET principal = 'somebody'; END $$";
    let row = |verb: &str| format!("{verb} audit WHERE number = 2 AND chain = '{counted}'");
    let restate = "UPDATE audit SET entries = replace(entries, '31501', '31502') WHERE starts_with(chain, 'counted.') AND number = 2";
    let backdate = "UPDATE audit SET at = at - interval '1 day' WHERE starts_with(chain, 'counted.') AND number = 2";
    let (remove, cut) = (row("DELETE FROM"), format!("DELETE FROM audit WHERE number >= 3 AND chain = '{counted}'"));
    let fate = "UPDATE submission SET fate = 'REJECTED' WHERE org_unit = '31504'";
    let lose = "DELETE FROM submission WHERE org_unit = '31504'";
    let make_up = "INSERT INTO submission SELECT (jsonb_populate_record(submission, '{\"log_index\": 77}')).* FROM submission LIMIT 1";
    let both = |say: &str| -> String { format!("chain {counted}{say}") };
    for (deeds, with, without) in [
        (&[restate][..], &["CHANGED", "LEDGER_DIFFERS"][..], &["CHANGED", "LEDGER_DIFFERS"][..]),
        (&[backdate], &["CHANGED"], &["CHANGED"]),
        (&[&remove], &["MISSING", "FATES_DIFFER"], &["MISSING", "FATES_DIFFER"]),
        (&[fate], &["LEDGER_DIFFERS"], &["LEDGER_DIFFERS"]),
        (&[lose], &["LEDGER_DIFFERS", "FATES_DIFFER"], &["LEDGER_DIFFERS", "FATES_DIFFER"]),
        (&[make_up], &["FATES_DIFFER"], &["FATES_DIFFER"]),
        // The ledger still tells; where it is cut as well, only the anchor does.
        (&[&cut], &["CUT", "FATES_DIFFER"], &["FATES_DIFFER"]),
        (&[&cut, "DELETE FROM submission WHERE org_unit IN ('31504', '31507')"], &["CUT"], &[]),
        (&[anew], &["REPLACED"], &[]),
        (&["TRUNCATE audit, submission"], &["CUT"], &[]),
    ] {
        tamper(&database, deeds).await;
        let codes = |found: Vec<(String, String)>| found.into_iter().map(|(code, _)| code).collect::<BTreeSet<_>>();
        let named = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<BTreeSet<_>>();
        let found = faults(&world, &anchored).await;
        let says = |text: &str| found.iter().any(|(_, message)| message.starts_with(text));
        match deeds[0] {
            deed if deed == restate || deed == backdate => assert!(says(&both(": row 2 was changed")), "{found:?}"),
            deed if deed == remove => assert!(says(&both(": row 2 is missing")), "{found:?}"),
            deed if deed == cut => assert!(says(&both(" ends at row 2, but row 4 was anchored")), "{found:?}"),
            _ => {}
        }
        assert_eq!((codes(found), codes(faults(&world, &[]).await)), (named(with), named(without)), "{deeds:?}");
        tamper(&database, &bring_back).await;
        assert_eq!(tonghop(0, &verify).await.stdout, before);
    }
    services.assert_quiet();
}

/// Goal: what is done to the keys is in a log beside them, checked with the database's or alone; a changed line is named, and an end
/// that was cut off is found beside an anchor that holds both.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_the_keys_is_written_down_too() {
    let world = World::start().await;
    let url = world.postgres.url();
    let keys = world.keys.layout().dir().to_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let [key, anchors] = ["key", "anchors"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let of_94 = ["--principal", "tinh-94", "--org-unit", "94", "--keys", &keys, "--as", "lan"];
    tonghop(0, &[&["auth", "grant", "--action", "read"], &of_94[..]].concat()).await;
    tonghop(0, &[&["auth", "ungrant"], &of_94[..]].concat()).await;
    tonghop(0, &["auth", "revoke", "principal", "tinh-94", "--why", "chuyển công tác", "--keys", &keys]).await;

    let both = ["--database", &url, "--keys", &keys];
    let of_lan = tonghop(0, &[&["audit", "show", "--principal", "lan", "--json"], &both[..]].concat()).await.objects();
    let done: Vec<_> = of_lan.iter().map(|entry| format!("{} {}", entry["chain"], entry["fields"][1])).collect();
    assert_eq!(done, [r#""keys" "auth ungrant""#, r#""keys" "auth grant""#]);
    let public = tonghop(0, &["audit", "key", &key]).await.stdout.trim().to_owned();
    tonghop(0, &[&["audit", "anchor", &anchors, "--key", &key], &both[..]].concat()).await;
    let verify = async |code: i32, of: &[&str]| {
        let anchored = ["audit", "verify", "--anchors", &anchors, "--public-key", &public, "--json"];
        let found = tonghop(code, &[&anchored[..], of].concat()).await.object();
        let faults = found["faults"].as_array().unwrap().clone();
        faults.iter().map(|fault| fault["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let alone = ["--keys", &keys];
    for of in [&both[..], &alone, &both[..2]] {
        assert_eq!(verify(0, of).await, [""; 0], "{of:?}");
    }

    let log = world.keys.layout().operated_log();
    let whole = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, whole.replace("tinh-94", "tinh-01")).unwrap();
    assert_eq!(verify(1, &both).await, ["chain keys: row 1 was changed"]);
    std::fs::write(&log, whole.lines().next().unwrap().to_owned() + "\n").unwrap();
    assert_eq!(verify(1, &alone).await, ["chain keys ends at row 1, but row 3 was anchored: its end was cut off"]);
    assert_eq!(verify(0, &both[..2]).await, [""; 0], "the database's are as they were");
}

/// Goal: an aggregator looks by itself, and says what is not as it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_log_is_noticed_by_itself() {
    let world = World::start().await;
    let mut services = world.services().await;
    services.aggregator.kill_hard().await;
    let often = "[limits]\nreconcile_every = \"50ms\"\nreconcile_all_every = \"50ms\"\n";
    services.aggregator = world.service_with("aggregator", often).await;
    services.submit(&report("31498", 1, vec![int("id_eligible_citizens", 1)])).await.unwrap();
    world.settled(1).await;
    let checked = world.store.reconciled_at().await.unwrap();
    eventually("all is looked at", async || match world.store.reconciled_at().await.unwrap() {
        again if again > checked => Ok(()),
        other => Err(other),
    })
    .await;
    services.assert_quiet();
    let database = PgPool::connect(&world.postgres.url()).await.unwrap();
    tamper(&database, &["UPDATE submission SET principal = 'somebody'"]).await;
    services.aggregator.logged("the audit log is not as it was written; `tonghop audit verify` says more").await;
}
