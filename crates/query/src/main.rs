//! The query service's process.

fn main() -> std::process::ExitCode {
    runtime::main("query", env!("CARGO_PKG_VERSION"), query::run)
}
