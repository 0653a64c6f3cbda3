//! Goal: whatever a collector does, each report is told of once, and sent again only where that may help.

use std::{
    collections::BTreeSet,
    future::{pending, ready},
    num::NonZeroUsize,
    pin::pin,
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpListener;

use client::fake::{Does, Fake};

use super::{
    session::Interrupt,
    tell::{Summary, Teller},
};
use crate::{
    Ended,
    args::{self, Lang},
    output::{Failure, tests::captured},
    report_file::{self, FileReport, Format},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A file with a report of each of the units 1 to `count`.
fn file(count: usize) -> Vec<FileReport> {
    let rows: String = (1..=count).map(|unit| format!("{unit},x,2022,5,6\n")).collect();
    let text = format!("org_unit,data_set,period,a,b[s03]\n{rows}");
    report_file::read(Format::Csv, &text, None).unwrap().reports
}

/// What the command is told where a test does not say otherwise.
fn submit(url: &str) -> args::Submit {
    args::Submit {
        file: "r.csv".into(),
        format: None,
        catalogue: None,
        collector: url.to_owned(),
        in_flight: NonZeroUsize::new(10).unwrap(),
        give_up_after: PATIENCE,
        wait: false,
        query: Some(url.to_owned()),
        credentials: args::fake_credentials(),
        spool: None,
    }
}

struct Sent {
    /// Whether it was interrupted.
    ended: Result<bool, Failure>,
    summary: Summary,
    stdout: String,
    stderr: String,
}

impl Sent {
    /// The objects on standard output, the summary apart.
    fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["summary"].is_null()).collect()
    }
}

async fn send(args: &args::Submit, reports: Vec<FileReport>, json: bool, interrupt: Interrupt<'_>) -> Sent {
    send_batch(args, "r", reports, json, interrupt).await
}

async fn send_batch(
    args: &args::Submit,
    batch: &str,
    reports: Vec<FileReport>,
    json: bool,
    interrupt: Interrupt<'_>,
) -> Sent {
    let (output, written) = captured(json, Lang::En);
    let teller = Teller { file: "r.csv", output: &output };
    let mut summary = Summary { reports: reports.len(), ..Summary::default() };
    let mut interrupt = interrupt;
    let ended = super::send(args, batch, reports, teller, &mut interrupt, &mut summary).await;
    teller.summary(&summary);
    let (stdout, stderr) = written();
    Sent { ended, summary, stdout, stderr }
}

#[tokio::test]
async fn each_report_is_told_of_once_whatever_becomes_of_it() {
    let fake = Fake::default();
    let does = [("2", Does::Refuses), ("3", Does::Postpones(2)), ("4", Does::Breaks(2)), ("6", Does::Poisoned)];
    fake.state().does = does.map(|(unit, does)| (unit.to_owned(), does)).into();
    let args = args::Submit { in_flight: NonZeroUsize::new(3).unwrap(), ..submit(&fake.clone().serve().await) };
    let sent = send(&args, file(8), true, pin!(pending())).await;

    let summary = &sent.summary;
    assert_eq!((summary.acknowledged, summary.refused, summary.unknown), (6, 2, 0), "{}", sent.stdout);
    assert!(!sent.ended.unwrap());
    assert_eq!(summary.ended(false), Ended::Badly);

    let lines: Vec<Value> = sent.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 9, "a line for each report and the summary: {}", sent.stdout);
    assert_eq!(lines[8]["summary"]["acknowledged"], 6);
    let of = |unit: &str| lines.iter().find(|line| line["org_unit"] == unit).unwrap();
    for unit in ["1", "3", "4", "5", "7", "8"] {
        assert_eq!(of(unit)["outcome"], "acknowledged");
    }
    assert_eq!(of("2")["outcome"], "refused");
    let violation = &of("2")["violations"][0];
    assert_eq!(
        (&violation["cell"], &violation["line"], &violation["column"]),
        (&"b[s03]".into(), &3.into(), &5.into())
    );
    assert_eq!((&of("6")["outcome"], &of("6")["code"]), (&"refused".into(), &"OUT_OF_RANGE".into()));

    let seen = &fake.state().seen;
    let ids: BTreeSet<_> = seen.iter().collect();
    assert_eq!(ids.len(), 8, "a report that is sent again keeps its submission id");
    assert_eq!(seen.iter().filter(|(unit, _)| unit == "3").count(), 3);
}

#[tokio::test]
async fn people_are_told_the_line_the_field_and_the_reason() {
    let fake = Fake::default();
    fake.state().does = [("2".to_owned(), Does::Refuses)].into();
    let ids = ["0192f0c1-2b3c-7d4e-8f50-000000000001", "0192f0c1-2b3c-7d4e-8f50-000000000002"];
    let mut reports = file(2);
    for (report, id) in reports.iter_mut().zip(ids) {
        report.report.submission_id = id.to_owned();
    }
    let sent = send(&submit(&fake.serve().await), reports, false, pin!(pending())).await;
    assert_eq!(
        sent.stdout,
        format!(
            "r.csv:2  1 x 2022  {}: acknowledged, revision 1\n2 reports: 1 acknowledged, 1 refused, 0 unknown\n",
            ids[0]
        )
    );
    assert_eq!(
        sent.stderr,
        format!(
            "r.csv:3  2 x 2022  {}: refused\n  r.csv:3:5 b[s03], values[1]: error VALUE_TYPE_WRONG: must be a number\n",
            ids[1]
        )
    );
}

/// Goal: a fate names cells where a receipt numbers values; both have their place in the file.
#[test]
fn what_is_wrong_with_a_cell_has_its_place_however_it_is_named() {
    let (output, written) = captured(false, Lang::En);
    let teller = Teller { file: "r.csv", output: &output };
    let violations = ["b[s03]", "values[0]", "a_at_most_b"].map(|field| client::Violation {
        reason: "R".to_owned(),
        severity: client::Severity::Error.into(),
        field: field.to_owned(),
        message_vi: "sai".to_owned(),
        message_en: "wrong".to_owned(),
    });
    let fate = proto::pb::query::v1::Fate::Rejected.into();
    teller.fate(
        &file(1)[0],
        &client::GetSubmissionResponse { fate, violations: violations.into(), ..Default::default() },
    );
    let (_, stderr) = written();
    let expected = [
        "r.csv:2  1 x 2022  : rejected",
        "  r.csv:2:5 b[s03]: error R: wrong",
        "  r.csv:2:4 a, values[0]: error R: wrong",
        "  r.csv:2 a_at_most_b: error R: wrong",
    ];
    assert_eq!(stderr.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn thousands_of_reports_pass_through_a_small_window() {
    let fake = Fake::default();
    let args = args::Submit { in_flight: NonZeroUsize::new(7).unwrap(), ..submit(&fake.clone().serve().await) };
    let sent = send(&args, file(3_000), false, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, fake.state().seen.len()), (3_000, 3_000));
    assert_eq!(sent.summary.ended(false), Ended::Well);
}

#[tokio::test]
async fn without_patience_a_report_that_is_put_off_is_given_up() {
    let fake = Fake::default();
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let args = args::Submit { give_up_after: Duration::ZERO, ..submit(&fake.serve().await) };
    let sent = send(&args, file(2), false, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (1, 1));
    assert!(sent.stderr.contains("not known to be kept"), "{}", sent.stderr);
}

/// Goal: a report that waits for another of its unit does not keep the command waiting when that one is late.
#[tokio::test]
async fn what_waits_behind_a_late_report_is_not_waited_for() {
    let fake = Fake::default();
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let args = args::Submit { give_up_after: Duration::from_millis(300), ..submit(&fake.serve().await) };
    let reports = [file(2), file(1)].concat();
    let sent = tokio::time::timeout(PATIENCE, send(&args, reports, true, pin!(pending()))).await.expect("it ends");
    assert!(!sent.ended.unwrap());
    let Summary { acknowledged, unknown, not_sent, .. } = sent.summary;
    assert_eq!((acknowledged, unknown, not_sent), (1, 1, 1), "{}", sent.stdout);
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_tried_again_until_patience_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let args = args::Submit { give_up_after: Duration::from_millis(300), ..submit(&url) };
    let sent = send(&args, file(2), false, pin!(pending())).await;
    let sentence = format!("cannot connect to the collector at {url}: connection refused");
    assert_eq!(sent.ended.err().unwrap().message.en, sentence);
    assert_eq!(sent.stderr.matches(&sentence).count(), 1, "{}", sent.stderr);
    assert_eq!((sent.summary.unknown, sent.summary.not_sent), (0, 2));
    assert!(sent.stdout.ends_with("0 unknown, 2 not sent\n"), "{}", sent.stdout);
}

#[tokio::test]
async fn somebody_else_there_ends_the_command() {
    let url = Fake::default().serve_queries_alone().await;
    let sent = send(&submit(&url), file(1), false, pin!(pending())).await;
    assert_eq!(sent.ended.err().unwrap().reason, "UNIMPLEMENTED");
    assert_eq!(sent.summary.not_sent, 1);
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_untold() {
    let fake = Fake::default();
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let args = submit(&fake.serve().await);
    let interrupt = pin!(tokio::time::sleep(Duration::from_millis(800)));
    let sent = send(&args, file(2), false, interrupt).await;
    assert!(sent.ended.unwrap());
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (1, 1));
    let sent = send(&args, file(2), false, pin!(ready(()))).await;
    assert_eq!(sent.summary.not_sent, 2, "also before the first report");
}

#[tokio::test]
async fn fates_are_asked_for_until_they_are_known() {
    let fake = Fake::default();
    fake.state().not_found = 150;
    let args = args::Submit { wait: true, ..submit(&fake.clone().serve().await) };
    let sent = send(&args, file(100), false, pin!(pending())).await;
    assert!(!sent.ended.unwrap());
    let fates = sent.summary.fates.clone().unwrap();
    assert_eq!((fates.accepted, fates.rejected, fates.undecided), (99, 1, 0));
    assert_eq!(sent.summary.ended(false), Ended::Badly);
    assert_eq!(sent.stdout.matches("acknowledged, revision").count(), 100);
    assert!(sent.stderr.starts_with("r.csv:3  2 x 2022  ") && sent.stderr.ends_with(": rejected\n"), "{}", sent.stderr);

    fake.state().not_found = u32::MAX;
    let args = args::Submit { give_up_after: Duration::ZERO, ..args };
    let sent = send(&args, file(100), false, pin!(pending())).await;
    assert!(!sent.ended.unwrap());
    assert_eq!(sent.summary.fates.unwrap().undecided, 100);
}

#[tokio::test]
async fn an_id_that_is_none_or_has_two_contents_is_told_of_and_the_rest_is_sent() {
    let fake = Fake::default();
    let mut reports = file(4);
    let reused = "0192f0c1-2b3c-7d4e-8f50-112233445566";
    for (report, id) in reports.iter_mut().zip(["a-b", reused, reused]) {
        report.report.submission_id = id.to_owned();
    }
    let sent = send(&submit(&fake.clone().serve().await), reports, true, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, sent.summary.refused), (2, 2));
    let mut refused: Vec<_> = sent.lines().into_iter().filter(|line| line["outcome"] == "refused").collect();
    refused.sort_by_key(|line| line["line"].as_u64());
    let said = refused.iter().map(|line| (line["line"].as_u64().unwrap(), line["reason"].as_str().unwrap()));
    assert_eq!(said.collect::<Vec<_>>(), [(2, "SUBMISSION_ID_MALFORMED"), (4, "SUBMISSION_ID_REUSED")]);
    assert_eq!(refused[0]["violations"][0]["field"], "submission_id");
    assert_eq!(fake.state().seen.len(), 2);
}

/// Goal: a command that was interrupted goes on where it was, under the same ids, and then has forgotten the file.
#[tokio::test]
async fn with_a_spool_an_interrupted_command_goes_on() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    fake.state().not_found = u32::MAX;
    let spool = Some(dir.path().join("spool"));
    let args = args::Submit { wait: true, spool, ..submit(&fake.clone().serve().await) };
    let interrupt = pin!(tokio::time::sleep(Duration::from_millis(800)));
    let sent = send(&args, file(2), true, interrupt).await;
    assert!(sent.ended.as_ref().is_ok_and(|interrupted| *interrupted));
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (1, 1));
    assert!(sent.stderr.contains("2 reports stay in the spool"), "{}", sent.stderr);
    let ids =
        |sent: &Sent| sent.lines().into_iter().map(|line| line["submission_id"].to_string()).collect::<BTreeSet<_>>();

    fake.state().does.clear();
    fake.state().not_found = 0;
    let again = send(&args, file(2), true, pin!(pending())).await;
    assert!(!again.ended.as_ref().unwrap());
    assert_eq!((again.summary.acknowledged, again.summary.unknown), (2, 0));
    let fates = again.summary.fates.clone().unwrap();
    assert_eq!((fates.accepted, fates.rejected, fates.undecided), (1, 1, 0));
    assert_eq!((ids(&again), ids(&again).len()), (ids(&sent), 2));
    assert_eq!(fake.state().seen.iter().filter(|(unit, _)| unit == "2").count(), 1, "it was acknowledged before");

    let anew = send(&args, file(2), true, pin!(pending())).await;
    assert!(ids(&anew).is_disjoint(&ids(&sent)), "what was told is forgotten: the file is sent anew");
}

/// Goal: who sends without waiting for fates, and is interrupted, can wait for them afterwards.
#[tokio::test]
async fn with_a_spool_fates_can_be_waited_for_afterwards() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let spool = Some(dir.path().join("spool"));
    let args = args::Submit { give_up_after: Duration::from_secs(1), spool, ..submit(&fake.clone().serve().await) };
    let sent = send(&args, file(3), true, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (2, 1), "{}", sent.stdout);

    fake.state().does.clear();
    let args = args::Submit { wait: true, give_up_after: PATIENCE, ..args };
    let again = send(&args, file(3), true, pin!(pending())).await;
    let fates = again.summary.fates.clone().unwrap();
    assert_eq!((fates.accepted, fates.rejected, fates.undecided), (2, 1, 0), "{}", again.stdout);
}

/// Goal: who sends a file hears that reports of another go out with it.
#[tokio::test]
async fn what_is_left_of_other_files_in_the_spool_is_told() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let spool = Some(dir.path().join("spool"));
    let args = args::Submit { give_up_after: Duration::from_secs(1), spool, ..submit(&fake.clone().serve().await) };
    let first = send(&args, file(1), true, pin!(pending())).await;
    assert!(!first.stderr.contains("of other files"), "{}", first.stderr);

    fake.state().does.clear();
    let other = send_batch(&args, "other", file(2).split_off(1), true, pin!(pending())).await;
    assert!(other.stderr.contains("1 reports of other files, which were left in the spool"), "{}", other.stderr);
}

/// Goal: a file from which nothing can be sent is no success, and its sender reads what to do.
#[tokio::test]
async fn a_file_without_a_report_and_one_in_another_encoding_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.csv");
    for (bytes, told) in [
        (&b"org_unit,data_set,period,a\n"[..], "There is no report in the file."),
        (b"org_unit,data_set,period,a\n1,\xff,2022,5\n", "save it as UTF-8"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (output, _) = captured(true, Lang::En);
        let args = args::Submit { file: path.clone(), ..submit("https://localhost:9") };
        let refused = super::run(&args, &output).await.unwrap_err();
        assert!(refused.message.en.contains(told), "{}", refused.message.en);
    }
}

/// Goal: what finished after it was told as unknown is told by the next run, and not forgotten before.
#[tokio::test]
async fn the_spool_keeps_outcomes_that_nobody_was_told() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    // The third answer comes when the second report of unit 1 has: by then the spool has the outcome of the first.
    fake.state().does = [("1".to_owned(), Does::Postpones(1)), ("2".to_owned(), Does::WaitsFor(4))].into();
    let spool = Some(dir.path().join("spool"));
    let args = args::Submit { give_up_after: Duration::ZERO, spool, ..submit(&fake.clone().serve().await) };
    let reports = [file(2), file(1)].concat();
    let sent = send(&args, reports.clone(), true, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (2, 1), "{}", sent.stdout);
    assert!(sent.stderr.contains("1 reports stay in the spool"), "{}", sent.stderr);
    let again = send(&args, reports, true, pin!(pending())).await;
    assert_eq!((again.summary.acknowledged, again.summary.unknown), (3, 0), "{}", again.stdout);
    let seen = &fake.state().seen;
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (4, 3), "nothing was sent anew");
}
