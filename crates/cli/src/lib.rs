#![doc = include_str!("../README.md")]

mod agent;
mod args;
mod audit;
mod auth;
mod check;
mod explain;
mod health;
pub mod keys;
mod number;
mod output;
mod partner;
mod peer;
pub mod provision;
mod quarantine;
mod reopen;
mod replay;
mod report;
pub mod report_file;
mod reports;
mod restored;
mod series;
mod status;
mod submission;
mod submit;
mod table;
mod totals;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Args, CatalogueCommand, Command, NatsCommand},
    output::{Failure, Output},
};

/// How a command ended that could do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All is well.
    Well,
    /// What was asked for was done, and the answer is bad news: a report was refused, a total is wrong.
    Badly,
    /// Ctrl-C came before the end.
    Interrupted,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Well => Self::SUCCESS,
            Ended::Badly => Self::FAILURE,
            // By this number a shell knows SIGINT.
            Ended::Interrupted => Self::from(130),
        }
    }
}

/// The program `tonghop`, from its command line to its exit code. A wrong command line ends the process with exit code 2.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::of_process(args.json, args.lang);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.failed(&Failure::caused("không khởi động được", "cannot start", &error)),
    };
    match runtime.block_on(Box::pin(run(args.command, &output))) {
        Ok(ended) => output.lost().map_or_else(|| ended.into(), |lost| output.failed(&lost)),
        Err(failure) => output.failed(&failure),
    }
}

async fn run(command: Command, output: &Output) -> Result<Ended, Failure> {
    match command {
        Command::Provision(args) => provision::run(&args, output).await,
        Command::Submit(args) => submit::run(&args, output).await,
        Command::Agent(args) => agent::run(&args, output).await,
        Command::Totals(args) => totals::run(&args, output).await,
        Command::Series(args) => series::run(&args, output).await,
        Command::Explain(args) => explain::run(&args, output).await,
        Command::Reports(args) => reports::run(&args, output).await,
        Command::Report(args) => report::run(&args, output).await,
        Command::Watch(args) => watch::run(&args, output).await,
        Command::Submission(args) => submission::run(&args, output).await,
        Command::Verify(args) => verify::run(&args, output).await,
        Command::Reopen(args) => reopen::run(&args, output).await,
        Command::Status(args) => status::run(&args, output).await,
        Command::Health(args) => health::run(&args, output).await,
        Command::Replay(args) => replay::run(&args, output).await,
        Command::Restored(args) => restored::run(&args, output).await,
        Command::Quarantine(command) => quarantine::run(&command, output).await,
        Command::Audit(command) => audit::run(&command, output).await,
        Command::Catalogue(CatalogueCommand::Check(args)) => check::run(&args, output),
        Command::Auth(command) => auth::run(&command, output),
        Command::Nats(NatsCommand::Partner(args)) => partner::write(&args, output),
        Command::Nats(NatsCommand::Consumers(args)) => partner::make(&args, output).await,
    }
}
