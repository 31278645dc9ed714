//! The address of a server, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::Error;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// Name or IP address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What a proxy puts before the server's own paths: empty, or begins with `/` and does not end with it.
    pub prefix: String,
}

impl FromStr for Address {
    type Err = Error;

    /// Takes `ws:`, `wss:`, `http:` and `https:`, and a bare host, with or without a port: that is
    /// encrypted unless it is this very machine.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Options(format!("not the address of a server: {text:?} ({why})"));
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') || path.contains(['?', '#']) {
            return Err(wrong("it can have a host, a port and a path"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => authority.rsplit_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong("there is no host in it"));
        }
        let secure = match scheme {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(_) => return Err(wrong("it begins with ws, wss, http or https")),
            None => !loopback(host),
        };
        let port = match port {
            Some("") => {
                if secure {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().map_err(|_| wrong("the port is a number up to 65535"))?,
            None => return Err(wrong("something stands between address and port")),
        };
        Ok(Self { secure, host: host.to_owned(), port, prefix: path.trim_end_matches('/').to_owned() })
    }
}

fn loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Address {
    /// Whether it is this very machine.
    pub fn is_loopback(&self) -> bool {
        loopback(&self.host)
    }

    /// Host and port, for a connection and the header.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// Of the WebSocket.
    pub(super) fn url(&self) -> String {
        format!("{}://{}{}{}", if self.secure { "wss" } else { "ws" }, self.authority(), self.prefix, chirrup_protocol::PATH)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "wss" } else { "ws" }, self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<String, Error> {
        text.parse::<Address>().map(|address| address.url())
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1:8080", "ws://127.0.0.1:8080/v1/ws"),
            ("localhost", "ws://localhost:80/v1/ws"),
            ("chat.example", "wss://chat.example:443/v1/ws"),
            ("https://chat.example/chirrup/", "wss://chat.example:443/chirrup/v1/ws"),
            ("ws://[::1]:99", "ws://[::1]:99/v1/ws"),
            ("[::1]", "ws://[::1]:80/v1/ws"),
        ] {
            assert_eq!(url(text).expect(text), expected);
        }
        for wrong in ["", "ftp://a", "http://", "a:port", "a:99999", "ws://u:p@host", "ws://a/?x", "[::1]9"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
