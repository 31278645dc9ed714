//! What an operator calls a store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const EMBEDDED: &str = "embedded";
const CASSANDRA: &str = "cassandra";
const POSTGRES: &str = "postgres";
/// The schema if none is named.
const SCHEMA: &str = "chirrup";
/// Shown in the place of a password.
const HIDDEN: &str = "…";

/// A store, as an operator names it. It is shown without the password, if it has one.
#[derive(Clone, PartialEq, Eq)]
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
    /// `postgres:CONNECTION#SCHEMA`: a schema of a database; `chirrup` if none is named.
    Postgres {
        /// As PostgreSQL's own programs take it: an address, or words and values.
        connection: String,
        /// Its name.
        schema: String,
    },
}

/// What is no store's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no store: embedded:DIR (a server's data directory), postgres:CONNECTION#SCHEMA or cassandra:HOST:PORT,HOST:PORT/KEYSPACE"
)]
pub struct NameError(String);

impl FromStr for StoreName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = match text.split_once(':') {
            Some((EMBEDDED, dir)) if !dir.is_empty() => Some(Self::Embedded(dir.into())),
            Some((CASSANDRA, place)) => cassandra(place),
            Some((POSTGRES, place)) => postgres(place),
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

fn postgres(place: &str) -> Option<StoreName> {
    let (connection, schema) = place.rsplit_once('#').unwrap_or((place, SCHEMA));
    (!connection.is_empty() && !schema.is_empty())
        .then(|| StoreName::Postgres { connection: connection.to_owned(), schema: schema.to_owned() })
}

/// A connection without its password.
fn shown(connection: &str) -> String {
    if let Some((scheme, rest)) = connection.split_once("://") {
        let Some((login, place)) = rest.rsplit_once('@') else { return connection.to_owned() };
        let user = login.split_once(':').map_or(login.to_owned(), |(user, _)| format!("{user}:{HIDDEN}"));
        return format!("{scheme}://{user}@{place}");
    }
    // A value with spaces is quoted, and begins with this word all the same.
    match connection.split_once("password") {
        Some((before, _)) => format!("{before}password={HIDDEN}"),
        None => connection.to_owned(),
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "{EMBEDDED}:{}", dir.display()),
            Self::Postgres { connection, schema } => write!(f, "{POSTGRES}:{}#{schema}", shown(connection)),
            Self::Cassandra { nodes, keyspace } => write!(f, "{CASSANDRA}:{}/{keyspace}", nodes.join(",")),
        }
    }
}

impl fmt::Debug for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
            "postgres:postgresql://ada@127.0.0.1:5432/chat#chirrup",
            "postgres:host=127.0.0.1 user=ada dbname=chat#other",
            "cassandra:127.0.0.1:9042/chirrup",
            "cassandra:one.example:9042,[::1]:9043/chat",
        ] {
            assert_eq!(text.parse::<StoreName>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "embedded",
            "embedded:",
            "chirrup-data",
            "other:x",
            "Embedded:x",
            "postgres:",
            "cassandra:host:9042",
            "cassandra:host/chat",
        ] {
            assert!(text.parse::<StoreName>().unwrap_err().to_string().contains("embedded:DIR"), "{text}");
        }
    }

    #[test]
    fn a_password_is_part_of_a_name_and_not_shown() {
        for (text, wanted) in [
            ("postgres:postgresql://ada:geheim@db.example/chat", "postgres:postgresql://ada:…@db.example/chat#chirrup"),
            ("postgres:postgresql://ada:ge@heim@db.example/chat", "postgres:postgresql://ada:…@db.example/chat#chirrup"),
            ("postgres:host=db.example password='ge heim' user=ada#chat", "postgres:host=db.example password=…#chat"),
        ] {
            let name: StoreName = text.parse().unwrap();
            assert_eq!(name.to_string(), wanted);
            assert!(matches!(name, StoreName::Postgres { connection, .. } if connection.contains("heim")));
        }
    }
}
