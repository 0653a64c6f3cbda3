//! What operators are given fits together: alerts, their pages and tests, metrics, the dashboard, logs.

#![expect(
    clippy::unwrap_used,
    reason = "what does not hold has failed the test, also in the functions that tests share"
)]

mod logs;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yml");
const CASES: &str = include_str!("../../deploy/prometheus/alerts_test.yml");
const METRICS: &str = include_str!("../../deploy/prometheus/METRICS.md");
const DASHBOARD: &str = include_str!("../../deploy/grafana/tonghop.json");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each alert, with the lines that belong to it.
fn alerts() -> BTreeMap<&'static str, &'static str> {
    let rules = ALERTS.split("- alert: ").skip(1);
    rules.map(|rule| rule.split_once('\n').unwrap()).collect()
}

/// The pages of the runbook, by the alert they are for.
fn pages() -> BTreeMap<String, String> {
    let files = std::fs::read_dir(repository().join("deploy/runbook")).unwrap().map(|file| file.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let pages = files.filter(|path| !path.ends_with("README.md"));
    pages.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
}

/// The metrics that a text names; the parts of a histogram are the histogram.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let in_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("tonghop_").map(|(at, _)| &text[at..]);
    let names = starts.map(|rest| &rest[..rest.find(|c| !in_name(c)).unwrap_or(rest.len())]);
    let whole = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
    };
    names.map(whole).collect()
}

fn listed() -> BTreeSet<String> {
    METRICS
        .lines()
        .filter(|line| line.starts_with("| `tonghop_"))
        .flat_map(|line| metrics_in(line).into_iter().take(1))
        .collect()
}

#[test]
fn nats_waits_for_the_disk_before_it_acknowledges() {
    let nats = |name: &str| std::fs::read_to_string(repository().join("deploy/nats").join(name)).unwrap();
    assert!(nats("nats.conf").lines().any(|line| line.trim() == "sync_interval: always"));
    // One of three too.
    assert!(nats("cluster.conf").lines().any(|line| line == r#"include "nats.conf""#));
}

#[test]
fn each_alert_says_how_bad_in_both_languages_and_where_to_read_on() {
    let alerts = alerts();
    assert!(alerts.len() > 15, "{alerts:?}");
    for (alert, rule) in &alerts {
        let said = |key: &str| rule.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_default().trim();
        let severity = ["{ severity: critical }", "{ severity: warning }"];
        assert!(severity.contains(&said("labels:")), "{alert}: {rule}");
        assert!(said("summary_vi:").len() > 10 && said("summary_en:").len() > 10, "{alert}: {rule}");
        assert_eq!(said("runbook:"), format!("deploy/runbook/{alert}.md"));
        assert!(!metrics_in(said("expr:")).is_empty() || said("expr:").contains("up{"), "{alert}: {rule}");
    }
}

#[test]
fn each_alert_has_its_page_and_each_page_its_alert() {
    let (alerts, pages) = (alerts(), pages());
    assert_eq!(pages.keys().map(String::as_str).collect::<Vec<_>>(), alerts.keys().copied().collect::<Vec<_>>());
    for (alert, page) in &pages {
        for part in ["**What it means.** ", "**What users see.** ", "## What to do\n\n1. ", "## It is over when\n\n"] {
            assert!(page.contains(part), "{alert} lacks {part:?}");
        }
        for linked in page.split("](").skip(1).filter_map(|rest| rest.split_once(".md)")).map(|(name, _)| name) {
            assert!(pages.contains_key(linked), "{alert} sends to {linked}, which is no page");
        }
    }
}

#[test]
fn each_alert_is_tested_where_it_fires_and_where_it_does_not() {
    for alert in alerts().keys() {
        assert!(CASES.contains(&format!("alertname: {alert}\n        exp_alerts:\n")), "{alert} is never seen to fire");
        assert!(CASES.contains(&format!("alertname: {alert}, exp_alerts: [] }}")), "{alert} is never seen quiet");
    }
}

#[test]
fn what_alerts_pages_and_dashboard_ask_for_is_in_the_list() {
    let listed = listed();
    let pages = pages().into_values().collect::<String>();
    for (what, text) in [("an alert", ALERTS), ("a page", &pages), ("the dashboard", DASHBOARD)] {
        let unknown: Vec<_> = metrics_in(text).difference(&listed).cloned().collect();
        assert!(unknown.is_empty(), "{what} asks for {unknown:?}, which METRICS.md does not list");
    }
}

#[test]
fn every_panel_asks_for_something_and_the_dashboard_shows_every_metric() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        let asks = targets.iter().all(|target| !metrics_in(target["expr"].as_str().unwrap()).is_empty());
        assert!(asks && !targets.is_empty(), "{panel}");
    }
    // What is a matter of alerts alone, or the denominator of what is shown.
    let elsewhere = [
        "tonghop_aggregator_quarantined_total",
        "tonghop_audit_chain_broken",
        "tonghop_database_archive_failures",
        "tonghop_partitions",
        "tonghop_reconciled_timestamp_seconds",
        "tonghop_stream_messages",
        "tonghop_validator_quarantined_total",
        "tonghop_validator_reports_total",
    ];
    let shown = metrics_in(DASHBOARD);
    let missing: Vec<_> = listed().into_iter().filter(|name| !shown.contains(name)).collect();
    assert_eq!(missing, elsewhere);
}

#[test]
fn a_metric_is_found_where_it_is_named() {
    let found = metrics_in(r#"sum(rate(tonghop_x_seconds_bucket{le="1"}[5m])) / tonghop_y"#);
    assert_eq!(Vec::from_iter(found), ["tonghop_x_seconds", "tonghop_y"]);
}
