//! The aggregator's process.

fn main() -> std::process::ExitCode {
    runtime::main("aggregator", env!("CARGO_PKG_VERSION"), aggregator::run)
}
