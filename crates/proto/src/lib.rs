#![doc = include_str!("../README.md")]

pub mod encoded;
pub mod event;
mod packed;
pub mod report;
pub mod status;

#[expect(missing_docs, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated code; the .proto files carry the documentation")]
#[rustfmt::skip]
/// The generated types, by package.
pub mod pb {
    /// Reports and violations.
    pub mod report { pub mod v1 { include!("gen/tonghop.report.v1.rs"); } }
    /// Messages between the services.
    pub mod event { pub mod v1 { include!("gen/tonghop.event.v1.rs"); } }
    /// The collector's service.
    pub mod collector { pub mod v1 { include!("gen/tonghop.collector.v1.rs"); } }
    /// The query service.
    pub mod query { pub mod v1 { include!("gen/tonghop.query.v1.rs"); } }
}

/// An instant as the wire has it.
#[must_use]
pub fn timestamp(instant: domain::Timestamp) -> prost_types::Timestamp {
    let micros = instant.unix_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// A span of time as the wire has it.
#[must_use]
pub fn duration(span: std::time::Duration) -> prost_types::Duration {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0) }
}

/// How many bytes a message takes on the wire.
pub fn encoded_len(message: &impl prost::Message) -> usize {
    message.encoded_len()
}
