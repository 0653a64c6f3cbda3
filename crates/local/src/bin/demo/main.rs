//! `cargo demo`: the whole pipeline on this machine, from a commune's report to the national total.
//!
//! 1. `Stack::start` brings up private servers and all services in this process.
//! 2. `plan` makes the reports: one on identity for every commune, one on organisation for every unit, then corrections,
//!    repetitions, broken ones and withdrawals. It knows what the totals must be.
//! 3. `send` pushes them over gRPC as provinces' systems would, and `watch` times when the national totals have them.
//! 4. `show` asks the query service, recomputes everything in SQL, and compares with the plan's own sums.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

mod plan;
mod show;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use local::{Stack, StackOptions, send};
use messaging::Topology;
use runtime::{
    Shutdown,
    telemetry::{self, Format, TelemetryConfig},
};
use tokio::time::Instant;

use crate::{plan::Plan, show::Outcome, watch::Counting};

/// Chạy thử Tổng hợp: mọi xã báo cáo, tổng cả nước chạy theo. / Runs Tổng hợp: every commune reports and the national total follows.
#[derive(Debug, Parser)]
#[command(name = "cargo demo --")]
struct Arguments {
    /// End when everything is shown, with one JSON object as the last line of standard output
    #[arg(long)]
    once: bool,
    /// The seed of the made-up numbers
    #[arg(long, default_value_t = 6)]
    seed: u64,
    /// How many senders push at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    senders: u16,
    /// The collector's port; a free one if not given
    #[arg(long, default_value_t = 0)]
    collector_port: u16,
    /// The query service's port; a free one if not given
    #[arg(long, default_value_t = 0)]
    query_port: u16,
    /// Start everything and send nothing
    #[arg(long, conflicts_with = "once")]
    empty: bool,
    /// What to log, as `info` or `aggregator=debug`
    #[arg(long, default_value = "warn")]
    log: telemetry::Filter,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether every total was right.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    telemetry::init(&TelemetryConfig {
        format: Format::Compact,
        filter: arguments.log.clone(),
        ..TelemetryConfig::default()
    })?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    eprintln!("Khởi động NATS, PostgreSQL và bốn dịch vụ… / Starting NATS, PostgreSQL and the four services…");
    let options = StackOptions {
        catalogue: root.join("deploy/catalogue/de06"),
        topology: Topology::default(),
        collector_port: arguments.collector_port,
        query_port: arguments.query_port,
    };
    let interrupted = || anyhow::anyhow!("dừng giữa chừng / interrupted");
    let mut stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        () = shutdown.requested() => return Err(interrupted()),
    };
    eprintln!("collector: {}, query: {}", stack.collector.url, stack.query.url);
    let shown = tokio::select! {
        shown = show_everything(&stack, arguments, &root), if !arguments.empty => shown,
        () = shutdown.requested(), if !arguments.empty => Err(interrupted()),
        () = std::future::ready(()), if arguments.empty => Ok(true),
    };
    if shown.is_ok() && !arguments.once && !shutdown.is_requested() {
        show::how_to_ask(&stack);
        tokio::select! {
            () = shutdown.requested() => {}
            broken = stack.broken() => broken?,
        }
    }
    let stopped = stack.stop().await;
    let verified = shown?;
    stopped?;
    Ok(verified)
}

async fn show_everything(stack: &Stack, arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    let figures: PathBuf = root.join("deploy/demo/published_figures.csv");
    let plan = Plan::new(&stack.catalogue, &figures, arguments.seed).context("planning the reports")?;
    let counting = Counting::start(stack, plan.first_reports()).await?;

    let started = Instant::now();
    let senders = usize::from(arguments.senders);
    let style = ProgressStyle::with_template("{prefix:>22} {bar:40} {human_pos:>7}/{human_len} {per_sec}")?;
    let progress = |name: &'static str, reports: &[_]| {
        ProgressBar::new(reports.len() as u64).with_style(style.clone()).with_prefix(name)
    };
    let first = plan.first();
    let bar = progress("báo cáo / reports", &first);
    let first = send::all(&stack.collector, first, senders, bar).await?;
    let counted = counting.finish().await?;
    let burst = started.elapsed();
    let mut sent = first;
    for (name, reports) in plan.second() {
        let bar = progress(name, &reports);
        sent.merge(send::all(&stack.collector, reports, senders, bar).await?);
    }
    let fates = watch::settled(&stack.store, sent.acknowledged).await?;

    let outcome = Outcome { plan: &plan, sent, fates, counted, burst, total: started.elapsed() };
    show::show(stack, &outcome, arguments.once).await
}
