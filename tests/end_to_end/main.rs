//! The whole pipeline on real servers, each test in a world of its own.

#![expect(
    clippy::unwrap_used,
    reason = "what does not hold has failed the test, also in the functions that tests share"
)]

mod access;
mod asyncapi;
mod audit;
mod catalogues;
mod client;
mod command_line;
mod edges;
mod fates;
mod happy;
mod integrators;
mod judging;
mod kills;
mod least;
mod limits;
mod poison;
mod programme;
mod quarantine;
mod query;
mod replay;
mod restart;
mod restore;
mod rotation;
mod samples;
mod shutdown;
mod topics;
mod traces;
mod verify;
mod watched;
mod windows;
