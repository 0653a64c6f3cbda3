//! Any of the four services, or the command line, by the name the program is called by: what the end-to-end tests start
//! and kill.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let name = env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("collector") => runtime::main("collector", version, collector::run),
        Some("validator") => runtime::main("validator", version, validator::run),
        Some("aggregator") => runtime::main("aggregator", version, aggregator::run),
        Some("query") => runtime::main("query", version, query::run),
        Some("tonghop") => cli::main(),
        _ => ExitCode::from(2),
    }
}
