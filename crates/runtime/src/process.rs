//! The main body that every program shares.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;

use crate::telemetry::{self, TelemetryConfig};
use crate::{Clock, Shutdown, SystemClock, config, trace};

const FAILED: u8 = 1;
/// The code with which `clap` refuses a command line.
const BAD_CONFIG: u8 = 2;

/// How long a blocking call that is still running after `run` returned may hold back the exit.
const BLOCKING_CALLS: Duration = Duration::from_secs(1);

/// What a program's configuration must have.
pub trait ServiceConfig: DeserializeOwned {
    /// Its `[telemetry]` table.
    fn telemetry(&self) -> &TelemetryConfig;
}

/// What a program is given besides its configuration.
#[derive(Debug, Clone)]
pub struct Process {
    /// Requested by the first SIGTERM or SIGINT.
    pub shutdown: Shutdown,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read the configuration, say what is wrong with it, and exit
    #[arg(long)]
    check_config: bool,
}

impl Arguments {
    fn parse(
        name: &'static str,
        version: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().name(name).version(version).try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }
}

/// The life of the program `name`, from its command line to its exit code; the crate's README tells it in steps.
///
/// `run` must return soon after shutdown is requested. A wrong command line ends the process here and now.
pub fn main<C, F, Fut>(name: &'static str, version: &'static str, run: F) -> ExitCode
where
    C: ServiceConfig,
    F: FnOnce(C, Process) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let arguments = Arguments::parse(name, version, std::env::args_os()).unwrap_or_else(|error| error.exit());
    let config: C = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return refuse(name, error),
    };
    if arguments.check_config {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = telemetry::init(config.telemetry()) {
        return refuse(name, error);
    }

    tracing::info!(version, "{name} starts");
    open_as_many_files_as_it_may();
    match live(name, config, run) {
        Ok(()) => {
            tracing::info!("{name} stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format_args!("{error:#}"), "{name} failed");
            ExitCode::from(FAILED)
        }
    }
}

fn live<C, F, Fut>(name: &'static str, config: C, run: F) -> anyhow::Result<()>
where
    C: ServiceConfig,
    F: FnOnce(C, Process) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that do the work")?;
    let process = Process { shutdown: Shutdown::new(), clock: Arc::new(SystemClock) };
    let result = runtime.block_on(async {
        process.shutdown.on_signals().context("cannot catch signals")?;
        let tracing = trace::start(name, config.telemetry()).context("cannot send traces")?;
        // On one of the threads that do the work. This one would have to be woken by them for each step, and wake them for what
        // follows from it.
        let result = tokio::spawn(run(config, process)).await.context("it broke off").and_then(|result| result);
        if let Some(tracing) = tracing {
            tracing.finish();
        }
        result
    });
    runtime.shutdown_timeout(BLOCKING_CALLS);
    result
}

/// Raises how many files and connections this process may have open to the most that it may raise it to: what it is given at
/// first, 1,024 on many machines, is for programs that could not do with more, and far fewer than the connections that a service takes.
fn open_as_many_files_as_it_may() {
    let limits = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Says on stderr, since there is no telemetry yet, why the program does not even start.
#[expect(clippy::print_stderr, reason = "how to log is in the very configuration that cannot be used")]
fn refuse(name: &str, error: impl Into<anyhow::Error>) -> ExitCode {
    eprintln!("{name}: {:#}", error.into());
    ExitCode::from(BAD_CONFIG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::parse("worker", "1.2.3", arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_command_line_names_a_file() {
        let arguments = parse(&["worker", "--config", "worker.toml", "--check-config"]).unwrap();
        assert_eq!(arguments.config, PathBuf::from("worker.toml"));
        assert!(arguments.check_config);
        assert_eq!(parse(&["worker"]).unwrap_err().exit_code(), i32::from(BAD_CONFIG));
        assert_eq!(parse(&["worker", "--version"]).unwrap_err().to_string(), "worker 1.2.3\n");
    }
}
