//! The call that is made most: totals that many ask for are sent as they were encoded once. Every other call passes through here
//! as well, and is answered as its caller's.
//!
//! The generated server would take a message and encode it for each caller. This one stands before it and takes that one call.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use proto::{
    encoded::{Answers, Encoded},
    pb::query::v1::GetTotalsRequest,
};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service as Serving, http},
    server::{Grpc, NamedService, UnaryService},
};

use crate::serve::Service;

/// The path of the call.
const GET_TOTALS: &str = "/tonghop.query.v1.QueryService/GetTotals";

/// Takes the call, and leaves others to the generated server.
#[derive(Clone, Debug)]
pub(crate) struct Warm<S> {
    service: Arc<Service>,
    generated: S,
    /// The largest question, in bytes.
    max_question: usize,
}

impl<S> Warm<S> {
    pub(crate) fn new(service: Arc<Service>, generated: S, max_question: usize) -> Self {
        Self { service, generated, max_question }
    }
}

impl<S: NamedService> NamedService for Warm<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Serving<http::Request<Body>> for Warm<S>
where
    S: Serving<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.generated.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let caller = match self.service.caller(&request) {
            Ok(caller) => caller,
            Err(refused) => return Box::pin(std::future::ready(Ok(Status::from(refused).into_http()))),
        };
        if request.uri().path() != GET_TOTALS {
            return Box::pin(caller.asks(self.generated.call(request)));
        }
        let (answering, max_question) = (Answering(Arc::clone(&self.service)), self.max_question);
        Box::pin(caller.asks(async move {
            let grpc = Grpc::new(Answers::<GetTotalsRequest>::default());
            Ok(grpc.max_decoding_message_size(max_question).unary(answering, request).await)
        }))
    }
}

struct Answering(Arc<Service>);

impl UnaryService<GetTotalsRequest> for Answering {
    type Response = Encoded;
    type Future = BoxFuture<Response<Encoded>, Status>;

    fn call(&mut self, request: Request<GetTotalsRequest>) -> Self::Future {
        let service = Arc::clone(&self.0);
        // What came with the question, its caller's place among those who are still to ask, is let go of.
        let question = request.into_inner();
        Box::pin(async move { Ok(Response::new(service.encoded_totals(&question).await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::pb::query::v1::query_service_server::SERVICE_NAME;

    #[test]
    fn the_path_is_that_of_the_service() {
        assert_eq!(GET_TOTALS, format!("/{SERVICE_NAME}/GetTotals"));
    }
}
