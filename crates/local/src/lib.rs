#![doc = include_str!("../README.md")]

pub mod apart;
mod keys;
mod nats;
pub mod part;
mod ports;
mod postgres;
mod process;
pub mod send;
mod stack;
mod tools;
mod workdir;

pub use apart::Apart;
pub use keys::{Door, Keys, KeysError};
pub use nats::{NatsOptions, NatsServer};
pub use postgres::{PostgresOptions, PostgresServer};
pub use process::ServerError;
pub use stack::{Stack, StackOptions};
pub use tools::{FetchError, ToolError};
pub use workdir::WorkdirError;
