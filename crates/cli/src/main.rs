//! `tonghop`, the command line of operators and senders.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
