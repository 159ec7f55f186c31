//! From which address a request comes: the socket's, or the one that a trusted proxy names in `X-Forwarded-For`. Anybody can write that
//! header, so it is read from its end, and only as far as trusted proxies wrote it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use uuid::Uuid;

use crate::Edge;
use crate::connections::Connection;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An extension of every request that came over a socket: from where, and over which connection.
#[derive(Debug, Clone)]
pub struct Arrival {
    address: IpAddr,
    connection: Arc<Connection>,
    edge: Edge,
}

impl Arrival {
    pub(crate) fn new(edge: &Edge, connection: &Arc<Connection>, headers: &HeaderMap) -> Self {
        let address = behind(connection.peer().to_canonical(), headers, &edge.trusted);
        Self { address, connection: Arc::clone(connection), edge: edge.clone() }
    }

    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The request has shown the API key, or a session of the person, with this id: the connection counts for them from now on.
    pub fn belongs(&self, key: Uuid) {
        self.edge.connections.belongs(&self.connection, key);
    }
}

fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    while is_trusted(&client) {
        match hops.next().map(read) {
            Some(Some(hop)) => client = hop,
            // Nothing more, or something that no proxy writes: whoever is known so far is the one to count.
            Some(None) | None => break,
        }
    }
    client
}

/// An address, with or without a port.
fn read(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        behind(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        assert_eq!(seen("192.0.2.1", &["198.51.100.1"]), "192.0.2.1", "nobody is behind a stranger");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            seen("10.0.0.1", &["203.0.113.9, 198.51.100.1"]),
            "198.51.100.1",
            "the client may have written the rest"
        );
        assert_eq!(seen("10.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "a client of the own network");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1, nonsense, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn ports_and_both_families_are_understood() {
        assert_eq!(seen("fd00::1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(seen("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(seen("fd00::1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1:50000"]), "198.51.100.1");
    }
}
