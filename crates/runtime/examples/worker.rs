//! The smallest program with the life that `runtime` gives: it works until it is told to stop, then finishes one last
//! piece.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use runtime::telemetry::TelemetryConfig;
use runtime::{Process, ServiceConfig};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    telemetry: TelemetryConfig,
    /// How long the piece of work takes that is in flight when shutdown is requested.
    #[serde(deserialize_with = "runtime::config::duration")]
    last_piece: Duration,
    /// How long it may take.
    #[serde(deserialize_with = "runtime::config::duration")]
    drain_timeout: Duration,
}

impl ServiceConfig for Config {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let Process { shutdown, clock } = process;
    let work = async {
        tracing::info!(since = %clock.now(), "working");
        shutdown.requested().await;
        tracing::info!("finishing the last piece");
        tokio::time::sleep(config.last_piece).await;
        tracing::info!("finished the last piece");
    };
    shutdown.drain(config.drain_timeout, work).await.context("the last piece is lost")
}

fn main() -> ExitCode {
    runtime::main("worker", env!("CARGO_PKG_VERSION"), run)
}
