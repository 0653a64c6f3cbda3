//! How many are connected, and from where.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use tokio::sync::Semaphore;

use metrics::Gauge;

use crate::{
    metrics::{OneMore, recorder},
    quota::{Part, Shares},
};

/// Counts connections, in all and by address.
#[derive(Debug)]
pub(super) struct Crowd {
    all: Arc<Semaphore>,
    by_address: Shares<IpAddr>,
    open: Gauge,
}

/// A place among the connections; free again when it is dropped.
pub(super) type Place = ([Part; 2], OneMore);

impl Crowd {
    pub(super) fn of(most: usize, most_of_one: usize) -> Self {
        recorder();
        let open = metrics::gauge!("tonghop_grpc_connections");
        Self { all: Arc::new(Semaphore::new(most)), by_address: Shares::of(most_of_one), open }
    }

    /// A place for a connection from this address, if there is one.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let of_it = self.by_address.try_take(&network(address))?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(([of_all, of_it], OneMore::of(&self.open)))
    }
}

/// Whoever has an IPv6 address has the other 2⁶⁴ of its network as well.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_in_all_and_for_each_address() {
        let crowd = Crowd::of(3, 2);
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let mut places = vec![enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap()];
        assert!(enter("10.0.0.1").is_none());
        places.push(enter("10.0.0.2").unwrap());
        assert!(enter("10.0.0.3").is_none());
        places.clear();
        places.extend([enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap()]);
        assert!(enter("2001:db8::3").is_none(), "they are one network");
        assert!(enter("2001:db8:0:1::1").is_some());
    }
}
