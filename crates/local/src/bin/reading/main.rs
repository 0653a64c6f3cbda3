//! `cargo run --release -p local --bin reading`: how fast questions are answered, beside a running pipeline.
//!
//! 1. Every commune of November 2022 reports `identity` once, Sóc Trăng's for each month of the year; one in a hundred corrects.
//! 2. While corrections go on coming in, so many readers ask for the nation's totals as fast as they can.
//! 3. Then, one at a time: a year's series of a province, the first page of what a national cell is made of, the nation as it
//!    stood before the corrections, and its communes in the order of a cell.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

use std::{
    collections::BTreeMap,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use client::Channel;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use local::{
    Apart,
    part::{Part, Who},
    send,
};
use messaging::Topology;
use proto::{
    encoded::{Encoded, Questions},
    pb::{
        query::v1::{
            AsOf, CellName, GetSeriesRequest, GetTotalsRequest, GetTotalsResponse, ListBreakdownRequest,
            ListContributionsRequest, SortBy, as_of, query_service_client::QueryServiceClient, sort_by,
        },
        report::v1::{Report, Value, value},
    },
};
use runtime::telemetry::{self, Format, TelemetryConfig};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery};

const CELLS: [&str; 10] = [
    "id_eligible_citizens",
    "id_card_records_collected",
    "id_card_records_collected_new",
    "id_cards_issued",
    "eid_l1_activated",
    "eid_records_collected",
    "eid_l2_collected",
    "eid_accounts_activated",
    "pop_records_total",
    "pop_records_verified",
];

/// Of so many answers one is read by the one who asks; the others are only received, as by somebody on another machine.
const READ_ONE_IN: u64 = 16;

/// Đo tốc độ trả lời. / Measures how fast questions are answered.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections that ask for the nation's totals
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Questions under way on each
    #[arg(long, default_value_t = 8)]
    at_a_time: usize,
    /// Seconds for which they ask
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Corrections a second that come in meanwhile
    #[arg(long, default_value_t = 200)]
    corrections: u64,
}

fn main() -> ExitCode {
    if let Some(ended) = local::apart::service() {
        return ended;
    }
    let arguments = Arguments::parse();
    let run = || tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&arguments));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reading: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    telemetry::init(&TelemetryConfig {
        format: Format::Compact,
        filter: "warn".parse()?,
        ..TelemetryConfig::default()
    })?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let catalogue = root.join("deploy/catalogue/de06");
    let world = Apart::start(&catalogue, &Topology::default()).await?;
    let measured = measure(&world, arguments).await;
    world.stop().await;
    println!("{}", measured?);
    Ok(())
}

async fn measure(world: &Apart, arguments: &Arguments) -> anyhow::Result<serde_json::Value> {
    let communes = communes(world)?;
    let mut first: Vec<Report> = communes.iter().map(|(unit, _)| report(unit, "202211", 1)).collect();
    for month in (1..=12).map(|month| format!("2022{month:02}")).filter(|month| month != "202211") {
        first.extend(communes.iter().filter(|(_, province)| province == "94").map(|(unit, _)| report(unit, &month, 1)));
    }
    let mut settled = counted(world, first).await?;
    let mut query = connect(world).await?;
    let before = totals(&mut query).await?;
    let corrections = communes.iter().step_by(100).map(|(unit, _)| report(unit, "202211", 2)).collect();
    settled += counted(world, corrections).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let correcting = correct(world, &communes, arguments.corrections, Arc::clone(&stop));
    let asking = ask(world, arguments, Arc::clone(&stop));
    let mut parts = world.parts();
    parts.push(Part { name: "generator".to_owned(), who: Who::Process(std::process::id()) });
    let used = || parts.iter().map(|part| part.usage().cpu).collect::<Vec<_>>();
    let before_asking = used();
    let (corrected, warm) = tokio::join!(correcting, asking);
    let after_asking = used();
    let (corrected, (calls, latency, seen)) = (corrected?, warm?);
    settle(world, settled + corrected).await?;
    let now = totals(&mut query).await?;
    anyhow::ensure!(now.version > before.version, "nothing was corrected");

    let province = GetSeriesRequest {
        org_unit: "94".to_owned(),
        data_set: "identity".to_owned(),
        from: "202201".to_owned(),
        to: "202212".to_owned(),
        cells: Vec::new(),
    };
    let series = each(async |query| query.get_series(province.clone()).await.map(drop), &mut query).await?;
    let explained = ListContributionsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        cell: Some(cell()),
        ..ListContributionsRequest::default()
    };
    let explain = each(async |query| query.list_contributions(explained.clone()).await.map(drop), &mut query).await?;
    let as_of = Some(AsOf { state: Some(as_of::State::LogPosition(before.log_position)) });
    let then = GetTotalsRequest { as_of, ..nation() };
    let stood = query.get_totals(then.clone()).await?.into_inner().totals.context("no totals")?;
    let sums = |totals: &proto::pb::query::v1::Totals| {
        let cells = totals.overall.iter().flat_map(|overall| &overall.cells);
        cells.map(|cell| cell.sum).collect::<Vec<_>>()
    };
    anyhow::ensure!(sums(&stood) == sums(&before), "the nation did not stand as it was told");
    let past = each(async |query| query.get_totals(then.clone()).await.map(drop), &mut query).await?;
    let sorted = ListBreakdownRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        level: "commune".to_owned(),
        sort_by: Some(SortBy { number: Some(sort_by::Number::Cell(cell())) }),
        descending: true,
        cells: vec![cell()],
        ..ListBreakdownRequest::default()
    };
    let breakdown = each(async |query| query.list_breakdown(sorted.clone()).await.map(drop), &mut query).await?;
    let calls_per_second = calls / arguments.seconds;
    let used = after_asking.iter().zip(before_asking).map(|(after, before)| after.saturating_sub(before).as_micros());
    let used: BTreeMap<_, _> =
        parts.iter().zip(used).map(|(part, used)| (&part.name, used / u128::from(calls.max(1)))).collect();
    Ok(json!({
        "warm_national_totals": {
            "calls_per_second": calls_per_second, "cpu_us_per_call": used, "p50_ms": millis(&latency, 0.5), "p99_ms": millis(&latency, 0.99),
            "corrections_per_second": corrected / i64::try_from(arguments.seconds)?, "versions_seen": seen,
        },
        "series_of_a_province_over_a_year_ms": spread(&series),
        "first_page_of_what_a_national_cell_is_made_of_ms": spread(&explain),
        "national_total_as_it_stood_ms": spread(&past),
        "communes_ranked_ms": spread(&breakdown),
    }))
}

/// The communes of November 2022, each with its province.
fn communes(world: &Apart) -> anyhow::Result<Vec<(String, String)>> {
    let data_set = world.catalogue.find_data_set("identity").context("no identity")?;
    let vintage = world.catalogue.vintage(data_set, "202211".parse()?);
    let level = world.catalogue.find_level("commune").context("no communes")?;
    let communes = vintage.units().filter(|(_, unit)| unit.level == level).map(|(ix, unit)| {
        let path: Vec<_> = vintage.with_ancestors(ix).collect();
        let province = path.iter().rev().nth(1).map(|above| vintage.unit(*above).code.to_string());
        (unit.code.to_string(), province.unwrap_or_default())
    });
    Ok(communes.collect())
}

fn report(org_unit: &str, period: &str, revision: i64) -> Report {
    let value = |(place, data_element): (i64, &str)| Value {
        data_element: data_element.to_owned(),
        option: String::new(),
        value: Some(value::Value::Integer(if data_element == "pop_records_total" {
            9_000
        } else {
            5_000 - 100 * place - revision
        })),
    };
    Report {
        submission_id: uuid::Uuid::now_v7().to_string(),
        org_unit: org_unit.to_owned(),
        data_set: "identity".to_owned(),
        period: period.to_owned(),
        revision: Some(revision),
        values: (0..).zip(CELLS).map(value).collect(),
        withdrawn: false,
        dense: None,
    }
}

/// Sends reports and waits until they are counted. Gives how many there were.
async fn counted(world: &Apart, reports: Vec<Report>) -> anyhow::Result<i64> {
    let before = world.store.fate_counts().await?.settled();
    let sent = send::all(&world.collector, reports, 2, ProgressBar::hidden()).await?;
    anyhow::ensure!(sent.refused == 0, "{} reports were refused", sent.refused);
    settle(world, before + sent.acknowledged).await?;
    Ok(sent.acknowledged)
}

async fn settle(world: &Apart, reports: i64) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let counts = world.store.fate_counts().await?;
        if counts.settled() >= reports {
            anyhow::ensure!(counts.rejected == 0, "{counts:?}");
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{counts:?} of {reports}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Corrects so many reports a second until it is to stop.
async fn correct(
    world: &Apart,
    communes: &[(String, String)],
    a_second: u64,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<i64> {
    let mut revisions: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut corrected, mut next) = (0, communes.iter().cycle());
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let few = next.by_ref().take(usize::try_from(a_second / 10)?).map(|(unit, _)| {
            let revision = revisions.entry(unit).or_insert(2);
            *revision += 1;
            report(unit, "202211", *revision)
        });
        let few: Vec<_> = few.collect();
        if !few.is_empty() {
            corrected += send::all(&world.collector, few, 1, ProgressBar::hidden()).await?.acknowledged;
        }
    }
    Ok(corrected)
}

/// Asks for the nation's totals as fast as may be: how many answers, how long each took, how many versions were seen.
async fn ask(
    world: &Apart,
    arguments: &Arguments,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<(u64, Histogram<u64>, u64)> {
    let (newest, until) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(arguments.seconds));
    let mut asking = JoinSet::new();
    for _ in 0..arguments.connections {
        let channel = world.query.connect().await?;
        let query = Grpc::new(channel);
        for _ in 0..arguments.at_a_time {
            let (mut query, newest) = (query.clone(), Arc::clone(&newest));
            asking.spawn(async move {
                let (mut latency, mut versions) = (Histogram::<u64>::new(3)?, std::collections::BTreeSet::new());
                let mut asked_so_far = 0_u64;
                while Instant::now() < until {
                    // What somebody has seen is in every answer to a later question.
                    let (seen, began) = (newest.load(Ordering::SeqCst), Instant::now());
                    let answer = asked(&mut query).await?;
                    latency.record(u64::try_from(began.elapsed().as_micros())?)?;
                    asked_so_far += 1;
                    if !asked_so_far.is_multiple_of(READ_ONE_IN) {
                        continue;
                    }
                    let totals = answer.decode::<GetTotalsResponse>().and_then(|answer| answer.totals);
                    let totals = totals.context("no totals")?;
                    anyhow::ensure!(totals.log_position >= seen, "an answer is older than one before its question");
                    newest.fetch_max(totals.log_position, Ordering::SeqCst);
                    versions.insert(totals.version);
                }
                Ok::<_, anyhow::Error>((latency, versions))
            });
        }
    }
    let (mut all, mut versions) = (Histogram::<u64>::new(3)?, std::collections::BTreeSet::new());
    while let Some(done) = asking.join_next().await {
        let (latency, seen) = done??;
        all.add(latency)?;
        versions.extend(seen);
    }
    stop.store(true, Ordering::Relaxed);
    Ok((all.len(), all, u64::try_from(versions.len())?))
}

/// The milliseconds that each of some calls took, one after the other.
async fn each(
    call: impl AsyncFn(&mut QueryServiceClient<Channel>) -> Result<(), tonic::Status>,
    query: &mut QueryServiceClient<Channel>,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency = Histogram::new(3)?;
    for _ in 0..30 {
        let began = Instant::now();
        call(query).await?;
        latency.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    Ok(latency)
}

fn millis(latency: &Histogram<u64>, quantile: f64) -> f64 {
    Duration::from_micros(latency.value_at_quantile(quantile)).as_secs_f64() * 1_000.0
}

fn spread(latency: &Histogram<u64>) -> serde_json::Value {
    json!({ "median": millis(latency, 0.5), "worst_of_30": millis(latency, 1.0) })
}

async fn connect(world: &Apart) -> anyhow::Result<QueryServiceClient<Channel>> {
    Ok(QueryServiceClient::new(world.query.connect().await?))
}

/// Asks for the nation's totals and leaves the answer as it is.
async fn asked(query: &mut Grpc<Channel>) -> anyhow::Result<Encoded> {
    query.ready().await?;
    let path = PathAndQuery::from_static("/tonghop.query.v1.QueryService/GetTotals");
    Ok(query.unary(tonic::Request::new(nation()), path, Questions::<GetTotalsRequest>::default()).await?.into_inner())
}

fn cell() -> CellName {
    CellName { data_element: CELLS[0].to_owned(), option: String::new() }
}

fn nation() -> GetTotalsRequest {
    GetTotalsRequest {
        org_unit: "VN".to_owned(),
        data_set: "identity".to_owned(),
        period: "202211".to_owned(),
        ..GetTotalsRequest::default()
    }
}

async fn totals(query: &mut QueryServiceClient<Channel>) -> anyhow::Result<proto::pb::query::v1::Totals> {
    query.get_totals(nation()).await?.into_inner().totals.context("no totals")
}
