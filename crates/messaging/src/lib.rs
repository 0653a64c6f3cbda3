#![doc = include_str!("../README.md")]

mod cloud_event;
mod connection;
mod exact;
pub mod fates;
mod ordered;
pub mod outbox;
mod partition;
pub mod partner;
mod provision;
mod publisher;
pub mod subjects;
mod submitted;
pub mod totals;
mod verdicts;

pub use cloud_event::{CloudEvent, EventData};
pub use connection::{ConnectError, Connection, ConnectionConfig};
pub use exact::Exact;
pub use ordered::ReadError;
pub use partition::{Partition, Partitions};
pub use provision::{ProvisionError, Provisioned, Topology, provision};
pub use publisher::{Outgoing, PublishError, Published, Publisher};
pub use submitted::{Submitted, SubmittedBatches};
pub use verdicts::{Body, Verdict, Verdicts, accepted_message, quarantined_message, rejected_message};
