//! From which address a request came, if trusted proxies stand in between.

use std::net::IpAddr;

use hyper::HeaderMap;

use crate::config::Network;

/// The client's address: the peer's, unless that is a trusted proxy. Then it is the last one in
/// `X-Forwarded-For` that no trusted proxy has: what stands before it may be made up.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let lists: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let hops = lists.iter().rev().flat_map(|list| list.rsplit(','));
    for hop in hops {
        if !is_trusted(client) {
            break;
        }
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8".parse().expect("a network"), "::1".parse().expect("a network")];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", (*value).parse().expect("a value"));
        }
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(of("192.0.2.9", &["203.0.113.1"]), "192.0.2.9");
        assert_eq!(of("10.0.0.1", &["203.0.113.1"]), "203.0.113.1");
        assert_eq!(of("10.0.0.1", &["198.51.100.7, 203.0.113.1, 10.0.0.2"]), "203.0.113.1", "what comes first may be made up");
        assert_eq!(of("10.0.0.1", &["198.51.100.7", "203.0.113.1"]), "203.0.113.1", "headers are one list");
        assert_eq!(of("::1", &["2001:db8::5"]), "2001:db8::5");
        assert_eq!(of("::ffff:10.0.0.1", &["203.0.113.1"]), "203.0.113.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["nonsense"]), "10.0.0.1");
    }
}
