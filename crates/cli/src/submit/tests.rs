//! Goal: whatever a collector does, each report is told of once, and sent again only where that may help.

use std::{
    future::{pending, ready},
    pin::pin,
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpListener;

use super::{
    fates, give_ids,
    send::{Interrupt, Left, Sender},
    tell::{Summary, Teller},
};
use crate::{
    Ended,
    args::Lang,
    fake::{Does, Fake},
    output::{Failure, tests::captured},
    report_file::{self, FileReport, Format},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A file with a report of each of the units 1 to `count`.
fn file(count: usize) -> Vec<FileReport> {
    let rows: String = (1..=count).map(|unit| format!("{unit},x,2022,5,6\n")).collect();
    let text = format!("org_unit,data_set,period,a,b[s03]\n{rows}");
    let mut reports = report_file::read(Format::Csv, &text, None).unwrap().reports;
    give_ids(&mut reports, &runtime::SystemClock);
    reports
}

struct Sent {
    left: Result<Left, Failure>,
    summary: Summary,
    stdout: String,
    stderr: String,
}

async fn send(
    url: &str,
    reports: &[FileReport],
    window: usize,
    patience: Duration,
    json: bool,
    interrupt: Interrupt<'_>,
) -> Sent {
    let (output, written) = captured(json, Lang::En);
    let teller = Teller { file: "r.csv", output: &output };
    let mut summary = Summary { reports: reports.len(), ..Summary::default() };
    let mut interrupt = interrupt;
    let left = Sender::new(url, reports, window, patience, teller).run(&mut interrupt, &mut summary).await;
    teller.summary(&summary);
    let (stdout, stderr) = written();
    Sent { left, summary, stdout, stderr }
}

#[tokio::test]
async fn each_report_is_told_of_once_whatever_becomes_of_it() {
    let fake = Fake::default();
    let does = [("2", Does::Refuses), ("3", Does::Postpones(2)), ("4", Does::Breaks(2)), ("6", Does::Poisoned)];
    fake.state().does = does.map(|(unit, does)| (unit.to_owned(), does)).into();
    let (url, reports) = (fake.clone().serve().await, file(8));
    let sent = send(&url, &reports, 3, PATIENCE, true, pin!(pending())).await;

    let summary = &sent.summary;
    assert_eq!((summary.acknowledged, summary.refused, summary.unknown), (6, 2, 0), "{}", sent.stdout);
    assert_eq!(sent.left.unwrap().acknowledged.into_iter().collect::<Vec<_>>(), [0, 2, 3, 4, 6, 7]);
    assert_eq!(summary.ended(false), Ended::Badly);

    let lines: Vec<Value> = sent.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 9, "a line for each report and the summary: {}", sent.stdout);
    assert_eq!(lines[8]["summary"]["acknowledged"], 6);
    let of = |unit: &str| lines.iter().find(|line| line["org_unit"] == unit).unwrap();
    assert_eq!(of("2")["outcome"], "refused");
    let violation = &of("2")["violations"][0];
    assert_eq!(
        (&violation["cell"], &violation["line"], &violation["column"]),
        (&"b[s03]".into(), &3.into(), &5.into())
    );
    assert_eq!((&of("6")["outcome"], &of("6")["code"]), (&"refused".into(), &"OUT_OF_RANGE".into()));

    let seen = &fake.state().seen;
    let ids: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(ids.len(), 8, "a report that is sent again keeps its submission id");
    assert_eq!(seen.iter().filter(|(unit, _)| unit == "3").count(), 3);
}

#[tokio::test]
async fn people_are_told_the_line_the_field_and_the_reason() {
    let fake = Fake::default();
    fake.state().does = [("2".to_owned(), Does::Refuses)].into();
    let (url, reports) = (fake.serve().await, file(2));
    let sent = send(&url, &reports, 10, PATIENCE, false, pin!(pending())).await;
    let ids: Vec<&str> = reports.iter().map(|report| report.report.submission_id.as_str()).collect();
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

#[tokio::test]
async fn thousands_of_reports_pass_through_a_small_window() {
    let fake = Fake::default();
    let (url, reports) = (fake.clone().serve().await, file(3_000));
    let sent = send(&url, &reports, 7, PATIENCE, false, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, fake.state().seen.len()), (3_000, 3_000));
    assert_eq!(sent.summary.ended(false), Ended::Well);
}

#[tokio::test]
async fn without_patience_a_report_that_is_put_off_is_given_up() {
    let fake = Fake::default();
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let (url, reports) = (fake.serve().await, file(2));
    let sent = send(&url, &reports, 10, Duration::ZERO, false, pin!(pending())).await;
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (1, 1));
    assert!(sent.stderr.contains("not known to be kept"), "{}", sent.stderr);
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_tried_again_until_patience_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sent = send(&url, &file(2), 10, Duration::from_millis(300), false, pin!(pending())).await;
    let sentence = format!("cannot connect to the collector at {url}: connection refused");
    assert_eq!(sent.left.err().unwrap().message.en, sentence);
    assert_eq!(sent.stderr.matches(&sentence).count(), 1, "{}", sent.stderr);
    assert_eq!((sent.summary.unknown, sent.summary.not_sent), (0, 2));
    assert!(sent.stdout.ends_with("0 unknown, 2 not sent\n"), "{}", sent.stdout);
}

#[tokio::test]
async fn somebody_else_there_ends_the_command() {
    let url = Fake::default().serve_queries_alone().await;
    let sent = send(&url, &file(1), 10, PATIENCE, false, pin!(pending())).await;
    assert_eq!(sent.left.err().unwrap().reason, "UNIMPLEMENTED");
    assert_eq!(sent.summary.not_sent, 1);
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_untold() {
    let fake = Fake::default();
    fake.state().does = [("1".to_owned(), Does::Postpones(u32::MAX))].into();
    let (url, reports) = (fake.serve().await, file(2));
    let interrupt = pin!(tokio::time::sleep(Duration::from_millis(500)));
    let sent = send(&url, &reports, 10, PATIENCE, false, interrupt).await;
    assert!(sent.left.unwrap().interrupted);
    assert_eq!((sent.summary.acknowledged, sent.summary.unknown), (1, 1));
    let sent = send(&url, &reports, 10, PATIENCE, false, pin!(ready(()))).await;
    assert_eq!(sent.summary.not_sent, 2, "also before the first report");
}

#[tokio::test]
async fn fates_are_asked_for_until_they_are_known() {
    let fake = Fake::default();
    let (url, reports) = (fake.clone().serve().await, file(100));
    send(&url, &reports, 50, PATIENCE, false, pin!(pending())).await;
    fake.state().not_found = 150;

    let (output, written) = captured(false, Lang::En);
    let teller = Teller { file: "r.csv", output: &output };
    let mut summary = Summary { reports: 100, acknowledged: 100, ..Summary::default() };
    let mut interrupt: Interrupt<'_> = pin!(pending());
    let interrupted = fates::ask(&url, reports.iter().collect(), PATIENCE, teller, &mut interrupt, &mut summary).await;
    assert!(!interrupted.unwrap());
    let fates = summary.fates.clone().unwrap();
    assert_eq!((fates.accepted, fates.rejected, fates.undecided), (99, 1, 0));
    assert_eq!(summary.ended(false), Ended::Badly);
    let (stdout, stderr) = written();
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("r.csv:3  2 x 2022  ") && stderr.ends_with(": rejected\n"), "{stderr}");

    fake.state().not_found = u32::MAX;
    let mut summary = Summary::default();
    let asked = fates::ask(&url, reports.iter().collect(), Duration::ZERO, teller, &mut interrupt, &mut summary).await;
    assert!(!asked.unwrap());
    assert_eq!(summary.fates.unwrap().undecided, 100);
}
