#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

mod arrivals;
mod check;
mod figures;
mod kill;
mod latency;
mod limits;
mod mix;
mod model;
mod overload;
mod process;
mod rivals;
mod rows;
mod run;
mod send;
mod streams;
mod watch;
mod wire;
mod world;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use domain::Catalogue;
use local::{PostgresOptions, PostgresServer};
use runtime::telemetry::{self, Format, TelemetryConfig};
use sqlx::{Connection as _, PgConnection};

use crate::{
    check::Checked,
    figures::{Figures, Limits},
    latency::Latency,
    mix::{DATA_SETS, Mix, Purity, Tree},
    overload::Offer,
    run::{Outcome, Pace, Runs, Until},
    wire::Writer,
    world::{Deployment, World},
};

/// Thử tải Tổng hợp: nhanh đến đâu, đúng hay không, giới hạn ở đâu. / Loads Tổng hợp: how fast, whether right, what limits it.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo load --")]
struct Arguments {
    /// What to run, in this order
    #[arg(value_enum, default_values_t = [Scenario::Unary, Scenario::Burst, Scenario::Max, Scenario::Steady, Scenario::Half, Scenario::Overload])]
    scenarios: Vec<Scenario>,
    /// A little of everything, in under a minute: whether it is right, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
    /// Reports a second of `steady`, 5,000 without it, and of `overload`, without it ten times what `max` sustained
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// Seconds of `steady`, `half`, `max` and `overload`; of `kill`, those in which everything runs
    #[arg(long, default_value_t = 15.0, value_parser = positive)]
    seconds: f64,
    /// Reports on their way at a time in `max`, `year` and `kill`, submitted and not yet counted
    #[arg(long, default_value_t = 40_000)]
    window: u64,
    /// Streams that reports are sent on
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    senders: u16,
    /// Seconds that each limit and each other design is measured
    #[arg(long, default_value_t = 4.0, value_parser = positive)]
    limit_seconds: f64,
    /// Measure no limits and no other designs
    #[arg(long)]
    no_limits: bool,
    /// Send values packed in the order of the cells, and not by name
    #[arg(long)]
    dense: bool,
    /// The year whose months are reported first, for a deployment on which a load has run before
    #[arg(long, default_value_t = mix::FIRST_YEAR)]
    from: u16,
    /// The seed of the made-up numbers
    #[arg(long, default_value_t = 6)]
    seed: u64,
    /// Write the catalogue of the load to this directory, for a deployment to be provisioned with, and end
    #[arg(long)]
    write_catalogue: Option<PathBuf>,
    /// What to log, as `info` or `aggregator=debug`
    #[arg(long, default_value = "warn")]
    log: telemetry::Filter,
    #[command(flatten)]
    deployment: Deployment,
}

/// A way of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// One report at a time, each by a call of its own
    Unary,
    /// The deadline: every commune sends three forms at once
    Burst,
    /// As fast as it goes, with a bound on what is on its way
    Max,
    /// By the clock, at `--rate`
    Steady,
    /// By the clock, at half of what `max` sustained
    Half,
    /// By the clock, ten times what `max` sustained, or `--rate`; then as `max`
    Overload,
    /// Twelve months in order, five forms from every commune; `max` before it, if it did not run, and after it
    Year,
    /// As `max`, while every process that was started is killed once, and comes back
    Kill,
}

/// Reports a second of `steady`.
const STEADY: f64 = 5_000.0;
/// What `overload` offers over what `max` sustained.
const TOO_MUCH: f64 = 10.0;

/// For how long somebody sends after `overload`.
const AFTERWARDS: Duration = Duration::from_secs(15);
/// Reports a second that `half` sends at least.
const SLOWEST: f64 = 50.0;

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or("a number above 0 is wanted".to_owned())
}

fn main() -> ExitCode {
    if let Some(ended) = local::apart::service() {
        return ended;
    }
    match start(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything was right.
fn start(mut arguments: Arguments) -> anyhow::Result<bool> {
    if let Some(directory) = &arguments.write_catalogue {
        world::write_catalogue(directory, arguments.deployment.longer)?;
        eprintln!("{}", directory.display());
        return Ok(true);
    }
    if arguments.quick {
        arguments.rate = arguments.rate.map(|rate| rate.min(500.0));
        arguments.seconds = arguments.seconds.min(3.0);
        arguments.limit_seconds = arguments.limit_seconds.min(0.5);
        arguments.window = arguments.window.min(2_000);
    }
    telemetry::init(&TelemetryConfig {
        format: Format::Compact,
        filter: arguments.log.clone(),
        ..TelemetryConfig::default()
    })?;
    // The generator has threads of its own, so that its work can be told from that of the services beside it.
    let threads = |name: &str| tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build();
    let (services, generator) = (threads(world::SERVICES)?, threads(world::GENERATOR)?);
    eprintln!("Khởi động… / Starting…");
    let world = Arc::new(services.block_on(World::open(&arguments.deployment))?);
    let measured = generator.block_on(generator.spawn(measure(Arc::clone(&world), arguments.clone())));
    let catalogue = Arc::clone(&world.catalogue);
    // Nothing else is to run beside the limits.
    let closed = Arc::into_inner(world).map_or(Ok(()), |world| services.block_on(world.close()));
    let mut figures = measured?;
    if let (None, Err(error)) = (&figures.failed, closed) {
        figures.failed = Some(format!("{:#}", error.context("ending what was started")));
    }
    // Limits tell nothing of a deployment on other machines.
    if !arguments.no_limits && arguments.deployment.is_local() && figures.failed.is_none() {
        let measured = generator.block_on(generator.spawn(limit(catalogue, figures.message, arguments.clone())))?;
        match measured {
            Ok(limits) => figures.compare(limits),
            Err(error) => figures.failed = Some(format!("{:#}", error.context("measuring limits"))),
        }
    }
    if let Some(failed) = &figures.failed {
        eprintln!("load: {failed}");
    }
    if arguments.json {
        println!("{}", figures.json());
    }
    Ok(figures.is_correct())
}

/// Runs the scenarios and checks what came of them. What was measured before something failed is told too.
async fn measure(world: Arc<World>, arguments: Arguments) -> Figures {
    let mut figures = Figures::default();
    if let Err(error) = measure_all(&world, &arguments, &mut figures).await {
        figures.failed = Some(format!("{error:#}"));
    }
    figures
}

async fn measure_all(world: &World, arguments: &Arguments, figures: &mut Figures) -> anyhow::Result<()> {
    let tree = Arc::new(Tree::new(&world.catalogue)?);
    let mut runs = Runs {
        world,
        writer: writer(&world.catalogue, arguments.dense)?,
        mix: Mix::new(tree, arguments.seed).from(arguments.from)?,
        senders: usize::from(arguments.senders),
    };
    runs.mix.begin(3)?;
    if !world.is_ours() {
        check::is_new(world, &runs.mix).await?;
    }
    let lasting = Duration::from_secs_f64(arguments.seconds);
    for scenario in &arguments.scenarios {
        let clock = |per_second| Pace::Clock { per_second, lasting };
        let outcome = match scenario {
            Scenario::Unary => {
                let latency = runs.unary(if arguments.quick { 50 } else { 1_000 }).await?;
                eprintln!("unary: {}", tell_latency(&latency));
                figures.unary = Some(latency);
                continue;
            }
            Scenario::Burst => {
                runs.mix.begin(3)?;
                let reports = if arguments.quick { 2_000 } else { u64::try_from(runs.mix.wave_len())? };
                let pace = Pace::Closed { on_their_way: u64::MAX, until: Until::Sent(reports) };
                runs.run("burst", pace, Purity::Firsts).await?
            }
            Scenario::Max => max(&mut runs, "max", arguments).await?,
            Scenario::Steady => {
                runs.mix.begin(3)?;
                let usual = if arguments.quick { STEADY / 10.0 } else { STEADY };
                runs.run("steady", clock(arguments.rate.unwrap_or(usual)), Purity::Mixed).await?
            }
            Scenario::Half => {
                let Some(half) = figures.of("max").and_then(|max| max.sustained).map(|max| max / 2.0) else {
                    eprintln!("half: bỏ qua, chạy sau max / left out, it comes after max");
                    continue;
                };
                runs.mix.begin(3)?;
                // A run too short to settle anything sustained nothing.
                runs.run("half", clock(half.max(SLOWEST)), Purity::Mixed).await?
            }
            Scenario::Overload => {
                let max = figures.of("max").and_then(|max| max.sustained);
                // A run too short to settle anything sustained nothing.
                let ten_times = max.map(|max| TOO_MUCH * max.max(SLOWEST));
                let Some(per_second) = arguments.rate.or(ten_times) else {
                    eprintln!(
                        "overload: bỏ qua, chạy sau max hoặc với --rate / left out, it comes after max or with --rate"
                    );
                    continue;
                };
                let offer = Offer {
                    per_second,
                    lasting,
                    afterwards: lasting.min(AFTERWARDS),
                    on_their_way: arguments.window,
                    max,
                };
                runs.mix.begin(3)?;
                let overload = runs.overload(offer).await?;
                eprintln!("{overload}");
                figures.overload = Some(overload);
                continue;
            }
            Scenario::Year => {
                if figures.of("max").is_none() {
                    let before = max(&mut runs, "max", arguments).await?;
                    tell(&before);
                    figures.outcomes.push(before);
                }
                runs.mix.begin_year(DATA_SETS.len())?;
                let year = u64::try_from(runs.mix.wave_len() * 12)?;
                let reports = if arguments.quick { 2_000 } else { year };
                let pace = Pace::Closed { on_their_way: arguments.window, until: Until::Sent(reports) };
                let year = runs.run("year", pace, Purity::Firsts).await?;
                tell(&year);
                figures.outcomes.push(year);
                max(&mut runs, "max_after_year", arguments).await?
            }
            Scenario::Kill => {
                if !world.is_ours() {
                    eprintln!(
                        "kill: bỏ qua, chỉ dừng tiến trình của chính mình / left out, only processes of our own are ended"
                    );
                    continue;
                }
                runs.mix.begin(3)?;
                runs.kill(arguments.window, lasting).await?
            }
        };
        tell(&outcome);
        figures.outcomes.push(outcome);
    }
    figures.database = match &world.database {
        Some(url) => Some(database_size(url).await?),
        None => None,
    };
    let ran = figures.unary.is_some() || figures.overload.is_some() || !figures.outcomes.is_empty();
    anyhow::ensure!(ran, "nothing was sent: what was asked for was left out");
    eprintln!("Kiểm tra… / Checking…");
    let checked = check::all(world, &runs.mix, figures.again()).await?;
    tell_checked(&checked);
    figures.checked = checked;
    figures.message = figures.of("max").or(figures.outcomes.last()).and_then(|outcome| outcome.message);
    Ok(())
}

/// As much as goes in.
async fn max(runs: &mut Runs<'_>, name: &'static str, arguments: &Arguments) -> anyhow::Result<Outcome> {
    runs.mix.begin(3)?;
    let lasting = Duration::from_secs_f64(arguments.seconds);
    let pace = Pace::Closed { on_their_way: arguments.window, until: Until::Elapsed(lasting) };
    runs.run(name, pace, Purity::Mixed).await
}

fn writer(catalogue: &Catalogue, dense: bool) -> anyhow::Result<Writer> {
    let data_sets = DATA_SETS.iter().map(|code| catalogue.find_data_set(code));
    let data_sets = data_sets.collect::<Option<Vec<_>>>().context("the catalogue is not that of the load")?;
    Ok(Writer::new(&data_sets, dense))
}

/// Measures what limits the pipeline, and other designs, each alone.
async fn limit(
    catalogue: Arc<Catalogue>,
    message: Option<(f64, usize)>,
    arguments: Arguments,
) -> anyhow::Result<Limits> {
    let lasting = Duration::from_secs_f64(arguments.limit_seconds);
    let mut mix = Mix::new(Arc::new(Tree::new(&catalogue)?), arguments.seed);
    mix.begin(3)?;
    // Where nobody tells, groups are as large as a collector makes them.
    let (reports, bytes) = message.unwrap_or((180.0, 250_000));
    eprintln!("Đo giới hạn… / Measuring limits…");
    let in_memory_fold = limits::in_memory(&catalogue, &mix, lasting)?;
    let grpc_stream =
        limits::grpc(&mut mix, &writer(&catalogue, arguments.dense)?, usize::from(arguments.senders), lasting).await?;
    let jetstream_publish = limits::jetstream(reports, bytes, lasting).await?;
    let jetstream_events = limits::events(&catalogue, &mix.tree, lasting).await?;
    let postgres = PostgresServer::start(PostgresOptions::default()).await?;
    let postgres_upsert = limits::postgres(&mut mix, &postgres, lasting).await?;
    let rivals = rivals::run(&mut mix, &postgres, lasting).await?;
    Ok(Limits { jetstream_publish, grpc_stream, postgres_upsert, in_memory_fold, jetstream_events, rivals })
}

/// Bytes of the database.
async fn database_size(url: &str) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(url).await?;
    let size: i64 =
        sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(u64::try_from(size)?)
}

fn tell_latency(latency: &Latency) -> String {
    let ms = |quantile| latency.ms(quantile).map_or("–".to_owned(), |ms| format!("{ms:.1}"));
    format!("p50 {} ms, p99 {} ms, max {} ms of {}", ms(0.5), ms(0.99), ms(1.0), latency.count())
}

fn tell(outcome: &Outcome) {
    let Outcome { name, reports, acknowledged_in, counted_in, sustained, acknowledgement, watched, .. } = outcome;
    let seconds = counted_in.unwrap_or(*acknowledged_in).as_secs_f64();
    eprintln!("{name}: {reports} báo cáo / reports in {seconds:.2} s");
    if let Some(sustained) = sustained {
        let growing = if outcome.is_growing() { ", tồn đọng tăng / backlog growing" } else { "" };
        eprintln!("  sustained {sustained:.0} reports/s{growing}");
    }
    eprintln!("  acknowledged {}", tell_latency(acknowledgement));
    eprintln!("  fresh        {}", tell_latency(&watched.freshness));
    if outcome.killed.is_empty() {
        eprintln!("  {}", outcome.parts);
    }
    for killed in &outcome.killed {
        eprintln!("  {killed}");
    }
}

fn tell_checked(checked: &Checked) {
    let Checked { compared, events, recomputed, wrong } = checked;
    eprintln!("  {compared} tổng so với bên gửi / totals compared with the generator's");
    eprintln!("  {events} sự kiện cuối so với bên gửi / last events compared with the generator's");
    if let Some((totals, reports)) = recomputed {
        eprintln!("  {totals} tổng tính lại từ {reports} báo cáo / totals recomputed from reports");
    }
    for wrong in wrong {
        eprintln!("  SAI / WRONG: {wrong}");
    }
}
