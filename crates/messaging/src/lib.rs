#![doc = include_str!("../README.md")]

pub mod accounts;
pub mod audit;
mod cloud_event;
mod connection;
mod exact;
pub mod fates;
mod ordered;
pub mod outbox;
mod partition;
pub mod partner;
mod probe;
pub mod progress;
mod provision;
mod publisher;
mod retry;
mod state;
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
pub use retry::RetryError;
pub use state::{Judging, StreamState};
pub use submitted::{Submitted, SubmittedBatches};
pub use verdicts::{Body, Traced, Verdict, Verdicts, accepted_message, quarantined_message, rejected_message};
