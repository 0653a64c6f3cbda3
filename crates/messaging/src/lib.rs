#![doc = include_str!("../README.md")]

mod connection;
mod ordered;
mod partition;
mod provision;
mod publisher;
pub mod subjects;
mod submitted;
pub mod totals;
mod verdicts;

pub use connection::{ConnectError, Connection, ConnectionConfig};
pub use ordered::ReadError;
pub use partition::{Partition, Partitions};
pub use provision::{ProvisionError, Provisioned, Topology, provision};
pub use publisher::{Outgoing, PublishError, Published, Publisher};
pub use submitted::{Submitted, SubmittedBatches};
pub use verdicts::{Body, Verdict, Verdicts, accepted_message, quarantined_message, rejected_message};
