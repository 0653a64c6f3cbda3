//! The command `tonghop` as its users run it: operators who set up and check, senders, officials.

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{World, tonghop, tonghop_with};
use tokio::net::TcpSocket;

/// Writes a file for a command to read, and gives its path.
fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What stands under these keys.
fn picked<'v>(object: &'v Value, keys: &[&str]) -> Vec<&'v Value> {
    keys.iter().map(|key| &object[key]).collect()
}

/// Goal: from servers with nothing on them to a verified total, with the command line alone: every answer is JSON and says
/// what happened, and every exit code whether it is good news.
#[tokio::test(flavor = "multi_thread")]
async fn from_bare_servers_to_a_verified_total() {
    let world = World::bare(tests::small_nats()).await;
    let catalogue = tests::catalogue_dir();
    let catalogue = catalogue.to_str().unwrap();
    let checked = tonghop(0, &["catalogue", "check", catalogue, "--json"]).await.object();
    assert_eq!(picked(&checked, &["faults", "data_sets"]), [&json!([]), &json!(world.catalogue.data_sets().len())]);

    let dir = tempfile::tempdir().unwrap();
    let (nats, database) = (world.nats.url(), world.postgres.url());
    let mut provision = vec!["provision", "--json", "--catalogue", catalogue, "--nats", &nats, "--database", &database];
    provision.extend([
        "--reports-max-bytes",
        "1GiB",
        "--verdicts-max-bytes",
        "1GiB",
        "--totals-max-bytes",
        "256MiB",
        "--fates-max-bytes",
        "256MiB",
    ]);
    provision.push("--partitions");
    let all = json!(["REPORTS", "VERDICTS", "TOTALS", "FATES", "PROBES", "AUDIT"]);
    for (made, kept, is_new) in [(&all, &json!([]), true), (&json!([]), &all, false)] {
        let done = tonghop(0, &[&provision[..], &["4"]].concat()).await.object();
        let said = picked(&done, &["streams_made", "streams_kept", "catalogue_is_new", "catalogue_version"]);
        assert_eq!(said, [made, kept, &json!(is_new), &checked["version"]]);
    }
    let drift = tonghop(1, &[&provision[..], &["8"]].concat()).await;
    assert_eq!(drift.object()["error"]["reason"], "DRIFT", "{drift:?}");

    let services = world.services().await;
    let (collector, query) = (services.collector.address(), services.query.address());
    let submit = async |code, file: &str| {
        let arguments = ["submit", file, "--collector", &collector, "--query", &query, "--wait", "--json"];
        tonghop_with(&world.credentials, code, &arguments).await.objects()
    };
    let table = "org_unit,data_set,period,revision,id_eligible_citizens,pop_records_total,pop_records_verified\n\
                 31498,identity,202211,1,412,,\n\
                 31501,identity,202211,1,5000,10,20\n\
                 99999,identity,202211,1,60000,,\n";
    let told = submit(1, &file(&dir, "reports.csv", table)).await;
    let (summary, told) = told.split_last().unwrap();
    let mut outcomes: Vec<_> =
        told.iter().map(|told| (told["line"].as_u64().unwrap(), told["outcome"].as_str().unwrap())).collect();
    outcomes.sort_unstable();
    let expected = [(2, "accepted"), (2, "acknowledged"), (3, "acknowledged"), (3, "rejected"), (4, "refused")];
    assert_eq!(outcomes, expected);
    let of = |outcome: &str| told.iter().find(|told| told["outcome"] == outcome).unwrap();
    assert_eq!(picked(of("refused"), &["code", "reason"]), ["INVALID_ARGUMENT", "ORG_UNIT_UNKNOWN"]);
    assert_eq!(of("rejected")["violations"][0]["reason"], "RULE_BROKEN");
    let fates = json!({"accepted": 1, "rejected": 1, "duplicate": 0, "superseded": 0, "undecided": 0});
    let counts = json!({"reports": 3, "acknowledged": 2, "refused": 1, "unknown": 0, "not_sent": 0, "fates": fates});
    assert_eq!(summary["summary"], counts);

    let id = uuid::Uuid::now_v7().to_string();
    let report = json!({
        "submission_id": id, "org_unit": "31504", "data_set": "identity", "period": "202211", "revision": 1,
        "values": {"id_eligible_citizens": 1_000, "id_card_target_met": true},
    });
    let told = submit(0, &file(&dir, "report.json", &report.to_string())).await;
    let outcomes: Vec<_> = told.iter().filter_map(|told| told["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["acknowledged", "accepted"]);
    assert!(told[..2].iter().all(|told| told["submission_id"] == *id), "{told:?}");
    assert_eq!(told[2]["summary"]["fates"]["accepted"], 1);

    let totals = ["--json", "--query", &query, "VN", "identity", "202211"];
    let total = tonghop_with(&world.credentials, 0, &[&["totals"], &totals[..]].concat()).await.object();
    let communes = total["levels"].as_array().unwrap().iter().find(|level| level["level"] == "commune").unwrap();
    assert_eq!(picked(communes, &["level", "reported", "expected"]), [&json!("commune"), &json!(2), &json!(10_599)]);
    let cells = communes["cells"].as_array().unwrap();
    let citizens = cells.iter().find(|cell| cell["data_element"] == "id_eligible_citizens").unwrap();
    let said = picked(citizens, &["value", "sum", "contributing"]);
    assert_eq!(said, [&json!("1412"), &json!(1_412), &json!(2)]);
    assert_eq!(total["catalogue_version"], checked["version"]);

    let watched =
        tonghop_with(&world.credentials, 0, &[&["watch", "--count", "1"], &totals[..]].concat()).await.objects();
    assert_eq!(watched, [total, json!({"summary": {"lines": 1}})]);

    let told = tonghop_with(&world.credentials, 0, &["submission", &id, "--query", &query, "--json"]).await.object();
    let said = picked(&told, &["submission_id", "fate", "org_unit", "counts", "repeated"]);
    assert_eq!(said, [&json!(id), &json!("accepted"), &json!("31504"), &json!(true), &json!(0)]);
    let unknown = uuid::Uuid::now_v7().to_string();
    let told =
        tonghop_with(&world.credentials, 1, &["submission", &unknown, "--query", &query, "--json"]).await.object();
    assert!(told["error"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{told}");

    let verified = tonghop(0, &["verify", "--database", &database, "--json"]).await.object();
    // The nation, the province and its one district, each for the month, the quarter, the half-year, the year and `latest`.
    assert_eq!(picked(&verified, &["totals_checked", "reports", "mismatches"]), [15, 2, 0]);
    world.verified().await;
    services.assert_quiet();
}

/// Goal: where nobody listens, whoever asks is told so in one sentence with the address, in bounded time and with exit code
/// 1; with `--json` as an object as well.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_one_clear_sentence() {
    // The port is taken and nobody listens at it.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let [service, nats, database] = ["https", "nats", "postgres"].map(|scheme| format!("{scheme}://{address}"));
    let catalogue = tests::catalogue_dir();
    let catalogue = catalogue.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = file(&dir, "report.json", r#"{"org_unit": "31498", "data_set": "identity", "period": "202211"}"#);
    let unit = ["VN", "identity", "202211"];
    let submit = ["submit", &file, "--collector", &service, "--give-up-after", "1s"];
    for arguments in [
        &[&["totals", "--query", &service], &unit[..]].concat()[..],
        &[&["watch", "--query", &service], &unit[..]].concat(),
        &["submission", "--query", &service, "0192f0c1-2b3c-7d4e-8f50-112233445566"],
        &submit,
        &["verify", "--database", &database],
        &["provision", "--catalogue", catalogue, "--nats", &nats, "--database", &database],
    ] {
        let ran = tonghop(1, &[arguments, &["--json", "--lang", "en"]].concat()).await;
        let lines: Vec<_> = ran.stderr.lines().collect();
        let Some((sentence, before)) = lines.split_last() else { panic!("{ran:#?}") };
        // What takes a while says at the beginning that it tries again.
        assert_eq!(before.len(), usize::from(arguments == submit), "{ran:#?}");
        assert!(sentence.starts_with("tonghop: cannot ") && sentence.contains(&address), "{sentence}");
        assert!(sentence.to_lowercase().contains("connection refused"), "{sentence}");
        let objects = ran.objects();
        let error = &objects.last().unwrap()["error"];
        let said = error["message_en"].as_str().unwrap();
        assert!(sentence.contains(said) && !error["message_vi"].as_str().unwrap().is_empty(), "{error}");
        assert!(objects.len() == 1 || arguments == submit, "{objects:?}");
    }
}
