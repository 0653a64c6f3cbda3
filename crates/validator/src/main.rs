//! The validator's process.

fn main() -> std::process::ExitCode {
    runtime::main("validator", env!("CARGO_PKG_VERSION"), validator::run)
}
