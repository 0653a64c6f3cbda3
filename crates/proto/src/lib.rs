#![doc = include_str!("../README.md")]

pub mod event;
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
