//! The collector's process.

fn main() -> std::process::ExitCode {
    runtime::main("collector", env!("CARGO_PKG_VERSION"), collector::run)
}
