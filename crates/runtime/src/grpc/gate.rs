//! Who is calling, asked before a byte of the message is read.

use std::net::IpAddr;

use tonic::{Request, Status, service::Interceptor};

use super::crowd::network;

/// What a caller shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The address it comes from; for IPv6 that of the network of 64 bits.
    pub peer: Option<IpAddr>,
    /// The certificate, DER.
    pub certificate: Option<&'a [u8]>,
    /// The header `authorization`; one that is no text is an empty one.
    pub authorization: Option<&'a str>,
}

/// Where a call comes from, among the extensions of a request that was let in.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Lets in whom `authenticate` knows, and puts what it gives into the request's extensions.
pub fn gate<P: Clone + Send + Sync + 'static>(
    authenticate: impl Fn(Shown<'_>) -> Result<P, Status> + Clone,
) -> impl Interceptor + Clone {
    move |mut request: Request<()>| {
        let chain = request.peer_certs();
        let certificate = chain.as_ref().and_then(|chain| chain.first()).map(AsRef::as_ref);
        let authorization = request.metadata().get("authorization").map(|value| value.to_str().unwrap_or_default());
        let peer = request.remote_addr().map(|peer| network(peer.ip()));
        let caller = authenticate(Shown { peer, certificate, authorization })?;
        request.extensions_mut().insert(caller);
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer));
        }
        Ok(request)
    }
}
