#![doc = include_str!("../README.md")]

mod backoff;
mod clock;
pub mod config;
pub mod grpc;
mod process;
mod shutdown;
pub mod telemetry;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use process::{Process, ServiceConfig, main};
pub use shutdown::{DrainOverrun, Shutdown};
