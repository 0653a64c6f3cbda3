//! The whole pipeline on real servers, each test in a world of its own.

#![expect(
    clippy::unwrap_used,
    reason = "what does not hold has failed the test, also in the functions that tests share"
)]

mod asyncapi;
mod catalogues;
mod client;
mod command_line;
mod fates;
mod happy;
mod integrators;
mod judging;
mod kills;
mod limits;
mod poison;
mod programme;
mod query;
mod restart;
mod shutdown;
mod topics;
mod verify;
mod windows;
