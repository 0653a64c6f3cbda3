#![doc = include_str!("../README.md")]

mod keys;
mod nats;
mod ports;
mod postgres;
mod process;
pub mod send;
mod stack;
mod tools;
mod workdir;

pub use keys::{Door, Keys, KeysError};
pub use nats::{NatsOptions, NatsServer};
pub use postgres::{PostgresOptions, PostgresServer};
pub use process::ServerError;
pub use stack::{Stack, StackOptions};
pub use tools::{FetchError, ToolError};
pub use workdir::WorkdirError;
