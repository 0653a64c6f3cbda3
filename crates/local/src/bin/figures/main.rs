//! `cargo figures`: published figures through the running pipeline.
//!
//! 1. `row` reads the figures: unit, time, value.
//! 2. `express` makes for each the reports of the units below whose total it is.
//! 3. They are pushed to the collector, judged and counted; `read` reads the figure back from the query service.
//! 4. Then the reports are withdrawn, so that one figure's do not stand in another's.
//!
//! A figure that cannot be expressed is a failure like one that comes back otherwise.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

mod express;
mod read;
mod row;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use client::Channel;
use indicatif::ProgressBar;
use local::{Stack, StackOptions, send};
use messaging::Topology;
use proto::pb::{
    query::v1::{GetSubmissionRequest, GetTotalsRequest, Totals, query_service_client::QueryServiceClient},
    report::v1::Report,
};
use runtime::telemetry::{self, Format, TelemetryConfig};
use serde_json::json;
use tokio::time::Instant;

use crate::{express::Expressed, row::Row};

/// Đưa các số liệu đã công bố qua hệ thống rồi đọc lại. / Sends published figures through the system and reads them back.
#[derive(Debug, Parser)]
#[command(name = "cargo figures --")]
struct Arguments {
    /// The figures, a CSV file; those that are shipped if not given
    file: Option<PathBuf>,
    /// Print one JSON object a figure
    #[arg(long)]
    json: bool,
    /// What to log, as `info` or `aggregator=debug`
    #[arg(long, default_value = "warn")]
    log: telemetry::Filter,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&arguments));
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("figures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether every figure came out.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    telemetry::init(&TelemetryConfig {
        format: Format::Compact,
        filter: arguments.log.clone(),
        ..TelemetryConfig::default()
    })?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = arguments.file.clone().unwrap_or_else(|| root.join("deploy/demo/published_figures.csv"));
    let rows = row::read(&file)?;
    let options = StackOptions {
        catalogue: root.join("deploy/catalogue/de06"),
        topology: Topology::default(),
        collector_port: 0,
        query_port: 0,
    };
    let stack = Stack::start(options).await?;
    let query = QueryServiceClient::new(stack.query.connect().await?);
    let mut figures = Figures { stack: &stack, query, acknowledged: 0, revision: 0 };
    let mut same = 0;
    for row in &rows {
        let outcome = figures.try_out(row).await;
        same += usize::from(outcome.is_same());
        tell(arguments.json, row, &outcome);
    }
    let verification = stack.store.verify().await?;
    stack.stop().await?;
    if !arguments.json {
        println!(
            "{same}/{} số liệu đúng như đã công bố / figures as published; {} tổng tính lại, {} sai khác / totals recomputed, differences",
            rows.len(),
            verification.totals_checked,
            verification.mismatches
        );
    }
    anyhow::ensure!(verification.mismatches == 0, "verification found differences: {:#?}", verification.listed);
    Ok(same == rows.len())
}

/// What became of a figure.
struct Outcome {
    published: String,
    obtained: anyhow::Result<String>,
}

impl Outcome {
    fn is_same(&self) -> bool {
        self.obtained.as_ref().is_ok_and(|obtained| *obtained == self.published)
    }
}

fn tell(as_json: bool, row: &Row, outcome: &Outcome) {
    let Outcome { published, obtained } = outcome;
    let same = outcome.is_same();
    if as_json {
        let (obtained, error) = match obtained {
            Ok(obtained) => (Some(obtained), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        // "11/11" is the figure 11 and what it is out of.
        let parts = |text: &str| text.split_once('/').map(|(figure, of)| (figure.to_owned(), of.to_owned()));
        let figure = |text: &str| parts(text).map_or_else(|| text.to_owned(), |(figure, _)| figure);
        let mut object = json!({
            "id": row.id, "published": figure(published), "obtained": obtained.map(|text| figure(text)), "same": same,
        });
        if let Some((_, of)) = parts(published) {
            object["published_of"] = json!(of);
            object["obtained_of"] = json!(obtained.and_then(|text| parts(text)).map(|(_, of)| of));
        }
        if let Some(error) = error {
            object["error"] = json!(error);
        }
        return println!("{object}");
    }
    let obtained = obtained.as_ref().map_or_else(|error| format!("{error:#}"), Clone::clone);
    let verdict = if same { "đúng / same" } else { "KHÔNG ĐÚNG / NOT THE SAME" };
    let what = format!("{} {}", row.indicator_code, row.dimension);
    println!("{:<8} {what:<44} {:>4} {published:>14} → {obtained:<14} {verdict}", row.id, row.unit_code);
}

struct Figures<'a> {
    stack: &'a Stack,
    query: QueryServiceClient<Channel>,
    acknowledged: i64,
    revision: i64,
}

impl Figures<'_> {
    async fn try_out(&mut self, row: &Row) -> Outcome {
        self.revision += 2;
        match express::express(&self.stack.catalogue, row, self.revision) {
            Ok(expressed) => {
                let published = expressed.published.clone();
                Outcome { published, obtained: self.obtain(row, expressed).await }
            }
            Err(error) => Outcome { published: row.value.clone(), obtained: Err(error) },
        }
    }

    async fn obtain(&mut self, row: &Row, expressed: Expressed) -> anyhow::Result<String> {
        let Expressed { data_set, periods, reports, reading, published: _ } = expressed;
        let sent = self.submit(reports.clone()).await;
        let mut totals: Vec<Totals> = Vec::new();
        for period in periods {
            let (org_unit, period) = (row.unit_code.clone(), period.to_string());
            let request =
                GetTotalsRequest { org_unit, data_set: data_set.clone(), period, ..GetTotalsRequest::default() };
            let answer =
                self.query.get_totals(request).await.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
            totals.push(answer.into_inner().totals.context("an answer without totals")?);
        }
        let withdrawal = |report: Report| Report {
            submission_id: uuid::Uuid::now_v7().to_string(),
            revision: report.revision.map(|revision| revision + 1),
            values: Vec::new(),
            withdrawn: true,
            ..report
        };
        self.submit(reports.into_iter().map(withdrawal).collect()).await?;
        sent?;
        read::obtained(&reading, &totals)
    }

    /// Sends reports and waits until each has its fate, which must be that it counts.
    async fn submit(&mut self, reports: Vec<Report>) -> anyhow::Result<()> {
        const SENDERS: usize = 4;
        const PATIENCE: Duration = Duration::from_secs(120);
        let ids: Vec<String> = reports.iter().map(|report| report.submission_id.clone()).collect();
        let sent = send::all(&self.stack.collector, reports, SENDERS, ProgressBar::hidden()).await?;
        self.acknowledged += sent.acknowledged;
        let deadline = Instant::now() + PATIENCE;
        while self.stack.store.fate_counts().await?.settled() < self.acknowledged {
            anyhow::ensure!(Instant::now() < deadline, "some reports have no fate yet");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::ensure!(sent.refused == 0, "{} reports were refused at once", sent.refused);
        for submission_id in ids {
            let answer = self.query.get_submission(GetSubmissionRequest { submission_id }).await;
            let told = answer.map_err(|status| anyhow::anyhow!("{}", status.message()))?.into_inner();
            if !told.counts {
                let why = told.violations.first().map_or("", |violation| violation.message_en.as_str());
                anyhow::bail!("the report of {} for {} does not count: {why}", told.org_unit, told.period);
            }
        }
        Ok(())
    }
}
