//! Counting the calls of a gRPC service.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    task::{Context, Poll},
    time::Instant,
};

use metrics::{Counter, Histogram};
use tonic::{
    Code, Status,
    codegen::{Service, http},
    server::NamedService,
};

/// The most methods that are told apart. A caller may name any, and each would stay for ever: one that was never answered by
/// the service itself is not told apart.
const METHODS: usize = 64;
/// Where the calls of all further methods are counted.
const OTHER: &str = "other";

/// A gRPC service whose calls are counted: how many by method and code, and how long until each answer began.
#[derive(Clone, Debug)]
pub struct Calls<S> {
    inner: S,
    counted: Arc<Counted>,
}

impl<S> Calls<S> {
    /// Counts the calls of `inner` under the name of the program that serves it.
    pub fn of(service: &'static str, inner: S) -> Self {
        Self { inner, counted: Arc::new(Counted { service, methods: RwLock::default() }) }
    }
}

impl<S: NamedService> NamedService for Calls<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, Q, A> Service<http::Request<Q>> for Calls<S>
where
    S: Service<http::Request<Q>, Response = http::Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Q>) -> Self::Future {
        let counted = Arc::clone(&self.counted);
        let name = name_of(request.uri().path()).to_owned();
        let began = Instant::now();
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            // A call that fails at once says so in its headers; one whose answer has begun is taken for a success.
            let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
            counted.method(&name, !matches!(code, Code::Unimplemented | Code::Unauthenticated)).count(code, began);
            Ok(answer)
        })
    }
}

/// `/tonghop.collector.v1.CollectorService/Submit` is `Submit`.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[derive(Debug)]
struct Counted {
    service: &'static str,
    methods: RwLock<HashMap<String, Arc<Method>>>,
}

/// The handles of a method's numbers.
struct Method {
    service: &'static str,
    name: String,
    seconds: Histogram,
    /// By code, as codes occur.
    calls: [OnceLock<Counter>; 17],
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Counted {
    /// The numbers of a method: its own, or those of all others where it is not known and is not to be.
    fn method(&self, name: &str, is_ours: bool) -> Arc<Method> {
        if let Some(method) = self.methods.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(method);
        }
        let mut known = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        let name = if is_ours && known.len() < METHODS { name } else { OTHER };
        Arc::clone(known.entry(name.to_owned()).or_insert_with(|| Arc::new(Method::new(self.service, name))))
    }
}

impl Method {
    fn new(service: &'static str, name: &str) -> Self {
        let seconds =
            metrics::histogram!("tonghop_grpc_call_seconds", "service" => service, "method" => name.to_owned());
        Self { service, name: name.to_owned(), seconds, calls: std::array::from_fn(|_| OnceLock::new()) }
    }

    fn count(&self, code: Code, began: Instant) {
        self.seconds.record(began.elapsed());
        let place = usize::try_from(i32::from(code)).unwrap_or_default();
        let Some(calls) = self.calls.get(place) else { return };
        let new = || {
            metrics::counter!("tonghop_grpc_calls_total",
                "service" => self.service, "method" => self.name.clone(), "code" => format!("{code:?}"))
        };
        calls.get_or_init(new).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what callers make up takes a bounded place.
    #[test]
    fn methods_are_told_apart_up_to_a_bound() {
        let counted = Counted { service: "test", methods: RwLock::default() };
        for number in 0..1_000 {
            counted.method(&format!("Stranger{number}"), false);
            counted.method(&format!("Method{number}"), true);
        }
        assert_eq!(counted.methods.read().unwrap().len(), METHODS);
        assert_eq!(counted.method(name_of("/tonghop.test.v1.Test/Method0"), true).name, "Method0");
        assert_eq!(counted.method("Method999", true).name, OTHER);
        assert_eq!(counted.method("Stranger0", false).name, OTHER);
    }
}
