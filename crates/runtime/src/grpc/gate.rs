//! Who is calling, asked before a byte of the message is read.

use std::{hash::Hash, net::IpAddr, sync::Arc};

use tonic::{Code, Request, Status, service::Interceptor};

use super::{crowd::network, for_now};
use crate::quota::{Part, Shares};

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

/// A caller's place for a call whose message has not come yet, among the extensions of its request: free again when the service takes
/// the message out of the request, and what bounds a caller who is known goes on from there.
#[derive(Clone, Debug)]
struct Awaited(#[expect(dead_code, reason = "held, not looked at")] Arc<Part>);

/// [`super::Listener::gate`]. Who is let in may take his time with the message, and each such call is one of those that the whole service
/// works at: so he has a share of them.
pub(super) fn gate<P, K, A, W>(calls_of_one: usize, authenticate: A, whose: W) -> impl Interceptor + Clone
where
    P: Clone + Send + Sync + 'static,
    K: Clone + Eq + Hash,
    A: Fn(Shown<'_>) -> Result<P, Status> + Clone,
    W: Fn(&P) -> &K + Clone,
{
    let calls = Arc::new(Shares::of(calls_of_one));
    move |mut request: Request<()>| {
        let chain = request.peer_certs();
        let certificate = chain.as_ref().and_then(|chain| chain.first()).map(AsRef::as_ref);
        let authorization = request.metadata().get("authorization").map(|value| value.to_str().unwrap_or_default());
        let peer = request.remote_addr().map(|peer| network(peer.ip()));
        let caller = authenticate(Shown { peer, certificate, authorization })?;
        let part = calls.try_take(whose(&caller)).ok_or_else(too_many)?;
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(Awaited(Arc::new(part)));
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer));
        }
        Ok(request)
    }
}

fn too_many() -> Status {
    for_now(
        Code::ResourceExhausted,
        "TOO_MANY_CALLS_OPEN",
        "Bạn đang mở quá nhiều yêu cầu chưa gửi xong; hãy thử lại sau giây lát.",
        "you have too many calls open whose messages have not come; try again in a moment",
    )
}
