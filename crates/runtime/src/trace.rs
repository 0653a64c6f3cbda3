//! Traces: the way of single reports through the pipeline, for a part of them, where a receiver is configured.
//!
//! A service opens a [`Span`] for what it does with a report and hands the span's `traceparent` (W3C Trace Context) on with
//! the report. Reports that are not recorded carry none, and cost nothing.

use std::{collections::HashMap, sync::OnceLock, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan},
};

use crate::telemetry::TelemetryConfig;

/// The key of the W3C header, in metadata of calls and in events.
pub const TRACEPARENT: &str = "traceparent";

/// The most reports of one batch whose steps are recorded.
pub const MOST: usize = 64;

/// Within what time the receiver must take spans, and the last of them when the process ends.
const SENT_WITHIN: Duration = Duration::from_secs(3);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Spans are recorded and sent while this lives.
#[derive(Debug)]
pub(crate) struct Tracing(SdkTracerProvider);

/// Begins to record, if a receiver is configured. To be called where tokio runs.
pub(crate) fn start(service: &'static str, config: &TelemetryConfig) -> Result<Option<Tracing>, ExporterBuildError> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(SENT_WITHIN).build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sampled))))
        .with_resource(Resource::builder().with_service_name(service).build())
        .build();
    // A second program in this process keeps the first one's.
    let _ = TRACER.set(provider.tracer("tonghop"));
    tracing::info!(endpoint, "sending traces");
    Ok(Some(Tracing(provider)))
}

impl Tracing {
    /// Sends what is recorded. Blocks until it is sent, or cannot be in time.
    pub(crate) fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(SENT_WITHIN) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// A step of a report's way that is recorded. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(SdkSpan);

impl Span {
    /// The first step, where a call comes in: of the caller's trace if it says that this is recorded, of a new one for the
    /// configured part of all others. None where it is not recorded.
    #[must_use]
    pub fn first(name: &'static str, traceparent: Option<&str>) -> Option<Self> {
        Self::open(name, SpanKind::Server, traceparent)
    }

    /// A further step, after the one whose `traceparent` came with the report; none where none came.
    #[must_use]
    pub fn next(name: &'static str, traceparent: &str) -> Option<Self> {
        if traceparent.is_empty() { None } else { Self::open(name, SpanKind::Consumer, Some(traceparent)) }
    }

    fn open(name: &'static str, kind: SpanKind, traceparent: Option<&str>) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = match traceparent {
            None => Context::new(),
            Some(traceparent) => {
                let carried = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
                TraceContextPropagator::new().extract_with_context(&Context::new(), &carried)
            }
        };
        let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &parent);
        span.is_recording().then_some(Self(span))
    }

    /// Says that other work was done together with this.
    pub fn link(&mut self, traceparent: &str) {
        let carried = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        let other = TraceContextPropagator::new().extract_with_context(&Context::new(), &carried);
        self.0.add_link(other.span().span_context().clone(), Vec::new());
    }

    /// Adds a number: places, counts. No values of reports.
    pub fn number(&mut self, key: &'static str, number: u64) {
        self.0.set_attribute(KeyValue::new(key, i64::try_from(number).unwrap_or(i64::MAX)));
    }

    /// Says that it came to nothing, by a stable reason.
    pub fn failed(&mut self, reason: &'static str) {
        self.0.set_status(Status::error(reason));
    }

    /// What the next step is told.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let context = self.0.span_context();
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recorded_unless_a_receiver_is_configured() {
        assert!(start("test", &TelemetryConfig::default()).unwrap().is_none());
        assert!(Span::first("submit", None).is_none());
        assert!(Span::first("submit", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")).is_none());
        assert!(Span::next("judge", "").is_none());
    }
}
