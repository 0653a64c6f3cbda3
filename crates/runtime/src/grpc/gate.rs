//! Who is calling, asked before a byte of the message is read.

use tonic::{Request, Status, service::Interceptor};

/// Lets in whom `authenticate` knows by the certificate that was shown (DER) and the header `authorization`, and puts what it gives into
/// the request's extensions. A header that is no text is an empty one.
pub fn gate<P: Clone + Send + Sync + 'static>(
    authenticate: impl Fn(Option<&[u8]>, Option<&str>) -> Result<P, Status> + Clone,
) -> impl Interceptor + Clone {
    move |mut request: Request<()>| {
        let shown = request.peer_certs();
        let certificate = shown.as_ref().and_then(|chain| chain.first()).map(AsRef::as_ref);
        let header = request.metadata().get("authorization").map(|value| value.to_str().unwrap_or_default());
        let caller = authenticate(certificate, header)?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}
