//! The way of a report, from its sender's call to the event about the total it moved.

use std::{net::SocketAddr, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use proto::pb::collector::v1::SubmitRequest;
use tests::{Events, World, eventually, int, report};
use tokio::{net::TcpListener, sync::Mutex};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// What a receiver of traces has got: the service and the span.
#[derive(Clone, Debug, Default)]
struct Received(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().await;
        for of_resource in request.into_inner().resource_spans {
            let attributes = of_resource.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = format!("{:?}", service.and_then(|service| service.value.clone()));
            let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
            received.extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Received {
    /// A receiver that runs.
    async fn listen() -> (Self, SocketAddr) {
        let received = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(TraceServiceServer::new(received.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (received, address)
    }

    /// The spans of a trace, once all the services have sent theirs.
    async fn trace(&self, trace_id: &str) -> Vec<(String, Span)> {
        eventually("the trace has its three steps", || async {
            let received = self.0.lock().await;
            let of_trace = received.iter().filter(|(_, span)| hex(&span.trace_id) == trace_id);
            let of_trace: Vec<_> = of_trace.cloned().collect();
            if of_trace.len() >= 3 { Ok(of_trace) } else { Err(of_trace) }
        })
        .await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Goal: one trace leads from the sender's own call over three services to the event about the total; what nobody asked to
/// record is not recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_senders_call_to_the_event_about_the_total() {
    let (received, address) = Received::listen().await;
    let mut world = World::start().await;
    world.telemetry = format!("otlp_endpoint = \"http://{address}\"\nsampled = 0.0");
    let services = world.services().await;
    let events = Events::follow(&world).await;
    // The event about the nation's total, once it has that version.
    let told = async |version| {
        eventually("the total has its event", || async {
            let event = events.last("totals.v1.national.VN.identity.202211");
            event.filter(|event| event.data.version == version).ok_or("not yet")
        })
        .await
    };

    let (trace_id, sender) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let submit = async |unit, traceparent: String| {
        let mut request =
            Request::new(SubmitRequest { report: Some(report(unit, 1, vec![int("id_eligible_citizens", 5)])) });
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        services.sender().submit(request).await.unwrap();
    };
    submit("31498", format!("00-1af7651916cd43dd8448eb211c80319c-{sender}-00")).await;
    assert_eq!(told(1).await.traceparent, None);
    submit("31501", format!("00-{trace_id}-{sender}-01")).await;
    let event = told(2).await;

    let spans = received.trace(trace_id).await;
    let step = |name: &str| {
        let found: Vec<_> = spans.iter().filter(|(_, span)| span.name == name).collect();
        let [(service, span)] = &found[..] else { panic!("one {name}: {spans:#?}") };
        (service.as_str(), span)
    };
    let ((collector, submit), (validator, judge), (aggregator, count)) = (step("submit"), step("judge"), step("count"));
    for (service, name) in [(collector, "collector"), (validator, "validator"), (aggregator, "aggregator")] {
        assert!(service.contains(name), "{service}");
    }
    assert_eq!(hex(&submit.parent_span_id), sender);
    assert_eq!((&judge.parent_span_id, &count.parent_span_id), (&submit.span_id, &judge.span_id));

    assert_eq!(event.traceparent, Some(format!("00-{trace_id}-{}-01", hex(&count.span_id))));
    let others = received.0.lock().await.iter().filter(|(_, span)| hex(&span.trace_id) != trace_id).count();
    assert_eq!(others, 0, "a sender that says not to record is heard");
}
