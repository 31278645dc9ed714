//! What an operator calls a store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const EMBEDDED: &str = "embedded";
const CASSANDRA: &str = "cassandra";

/// A store, as an operator names it. No secret is part of a name: it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreName {
    /// `embedded:DIR`: the one in a server's data directory.
    Embedded(PathBuf),
    /// `cassandra:HOST:PORT,…/KEYSPACE`: a keyspace of the cluster that these nodes are of.
    Cassandra {
        /// `HOST:PORT` each, one or more.
        nodes: Vec<String>,
        /// Its name.
        keyspace: String,
    },
}

/// What is no store's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no store: embedded:DIR, DIR being a server's data directory, or cassandra:HOST:PORT,HOST:PORT/KEYSPACE")]
pub struct NameError(String);

impl FromStr for StoreName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = match text.split_once(':') {
            Some((EMBEDDED, dir)) if !dir.is_empty() => Some(Self::Embedded(dir.into())),
            Some((CASSANDRA, place)) => cassandra(place),
            _ => None,
        };
        name.ok_or_else(|| NameError(text.to_owned()))
    }
}

fn cassandra(place: &str) -> Option<StoreName> {
    let (nodes, keyspace) = place.rsplit_once('/')?;
    let nodes: Vec<String> = nodes.split(',').map(str::to_owned).collect();
    let is_node = |node: &String| node.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    (nodes.iter().all(is_node) && !keyspace.is_empty()).then(|| StoreName::Cassandra { nodes, keyspace: keyspace.to_owned() })
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "{EMBEDDED}:{}", dir.display()),
            Self::Cassandra { nodes, keyspace } => write!(f, "{CASSANDRA}:{}/{keyspace}", nodes.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown_and_others_refused() {
        for text in [
            "embedded:chirrup-data",
            "embedded:/var/lib/chirrup",
            "embedded:a:b",
            "cassandra:127.0.0.1:9042/chirrup",
            "cassandra:one.example:9042,[::1]:9043/chat",
        ] {
            assert_eq!(text.parse::<StoreName>().unwrap().to_string(), text);
        }
        for text in ["", "embedded", "embedded:", "chirrup-data", "other:x", "Embedded:x", "cassandra:host:9042", "cassandra:host/chat"] {
            assert!(text.parse::<StoreName>().unwrap_err().to_string().contains("embedded:DIR"), "{text}");
        }
    }
}
