#![doc = include_str!("../README.md")]

mod ask;
mod backoff;
mod client;
mod clock;
mod config;
mod credentials;
mod deliver;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod link;
mod outcome;
mod queue;
mod report;
mod spool;
#[cfg(test)]
mod tests;

pub use backoff::Pace;
pub use client::{Client, Events, SendError};
pub use config::{Config, Limits};
pub use credentials::{Bearer, CertificateFiles, Channel, Credentials, Distrust, Unconnected};
pub use outcome::{Event, Member, Outcome, Progress, Service, Trouble};
pub use proto::pb::{
    collector::v1::{Acknowledgement, Refusal},
    query::v1::GetSubmissionResponse,
    report::v1::{Severity, Violation},
};
pub use report::{MalformedId, Report, SubmissionId, Value};
pub use spool::{OpenError, SpoolError};
