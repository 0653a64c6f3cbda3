//! Ports for private servers.

use std::net::{Ipv4Addr, TcpListener};

use crate::process::ServerError;

/// Below the range from which Linux picks the near end of outgoing connections. A server that is killed and restarted
/// must find its port free again; in that range any client could have taken it, even a client that retries to connect
/// to the dead server, whose own end may then get the very port it calls.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
/// How often in a row another server may take a port between our look and our server's start.
const RACES: usize = 5;

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Starts a server on a free port, on another one if somebody was faster.
pub(crate) fn on_free_port<T>(mut start: impl FnMut(u16) -> Result<T, ServerError>) -> Result<T, ServerError> {
    for _ in 1..RACES {
        match start(free_port()) {
            Err(ServerError::Ended { name, log, .. }) if log.to_lowercase().contains("address already in use") => {
                tracing::debug!(server = name, "somebody else took the port first");
            }
            result => return result,
        }
    }
    start(free_port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(log: &str) -> ServerError {
        ServerError::Ended { name: "test", status: std::process::ExitStatus::default(), log: log.to_owned() }
    }

    #[test]
    fn a_lost_race_is_run_again_on_another_port_and_other_failures_are_not() {
        let mut ports = Vec::new();
        let started = on_free_port(|port| {
            ports.push(port);
            if ports.len() < 3 { Err(ended("listen tcp: bind: address already in use")) } else { Ok(port) }
        });
        assert_eq!(started.unwrap(), ports[2]);

        let mut tries = 0;
        let refused = on_free_port(|_port| -> Result<(), _> {
            tries += 1;
            Err(ended("no space left on device"))
        });
        assert!(refused.is_err());
        assert_eq!(tries, 1);
    }
}
