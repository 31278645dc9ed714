//! Where the store is, and why it could not be opened.

use std::fmt::Write;

use scylla::errors::{ExecutionError, NewSessionError, PrepareError};

use crate::schema::FORMAT;

/// Longest name of a keyspace.
const KEYSPACE_CHARS: usize = 48;

/// How many copies of each row the cluster keeps, and where. Used when the keyspace is made, which
/// an operator may alter later by the engine's own means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many copies, wherever the cluster likes: for one node, or one data center without racks.
    Simple(u8),
    /// So many copies in each of these data centers.
    Network(Vec<(String, u8)>),
}

impl Replication {
    /// As the statement that makes the keyspace has it.
    pub(crate) fn cql(&self) -> Result<String, OpenError> {
        match self {
            Self::Simple(copies) => Ok(format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")),
            Self::Network(centers) => {
                let mut copies_of = String::new();
                for (name, copies) in centers {
                    if name.contains('\'') {
                        return Err(OpenError::Options(format!("{name:?} is no name of a data center")));
                    }
                    write!(copies_of, ", '{name}': {copies}").expect("a string takes everything");
                }
                Ok(format!("{{'class': 'NetworkTopologyStrategy'{copies_of}}}"))
            }
        }
    }
}

/// Where the store is.
#[derive(Clone)]
pub struct Options {
    /// Nodes to begin with, `HOST:PORT` each; the others are found by asking them.
    pub nodes: Vec<String>,
    /// The keyspace: a lower-case letter, then up to 47 of those, digits and `_`. Made if it is not
    /// there.
    pub keyspace: String,
    /// Of a keyspace that is made.
    pub replication: Replication,
    /// The data center whose nodes are asked first, and whose replicas a quorum is counted in.
    pub datacenter: Option<String>,
    /// User and password, where the cluster asks for them.
    pub login: Option<(String, String)>,
    /// Takes a cluster that acknowledges writes before they are on disk: a power cut of all
    /// replicas at once then loses what was acknowledged.
    pub accept_late_sync: bool,
}

impl Options {
    /// A keyspace on these nodes, with one copy if it is made.
    pub fn new(nodes: impl IntoIterator<Item = impl Into<String>>, keyspace: impl Into<String>) -> Self {
        Self {
            nodes: nodes.into_iter().map(Into::into).collect(),
            keyspace: keyspace.into(),
            replication: Replication::Simple(1),
            datacenter: None,
            login: None,
            accept_late_sync: false,
        }
    }

    /// Names go into statements as they are, so only plain ones are taken.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let mut chars = self.keyspace.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !first || !rest || self.keyspace.len() > KEYSPACE_CHARS {
            let why = format!("{:?} is no name of a keyspace: a lower-case letter, then up to 47 of those, digits and '_'", self.keyspace);
            return Err(OpenError::Options(why));
        }
        if self.nodes.is_empty() {
            return Err(OpenError::Options("no node is named".to_owned()));
        }
        Ok(())
    }
}

/// Why the store could not be opened. Nothing was written to it, unless it was being made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Options(String),
    /// No node answers.
    #[error("failed to connect to Cassandra at {nodes}: {source}")]
    Connect {
        /// As they were named.
        nodes: String,
        /// Of the last that was tried.
        source: Box<NewSessionError>,
    },
    /// A statement failed.
    #[error("failed to {what}: {source}")]
    Statement {
        /// What it was for.
        what: &'static str,
        /// As the cluster or the library tells it.
        source: Box<ExecutionError>,
    },
    /// A statement was not understood.
    #[error("failed to prepare the statements: {0}")]
    Prepare(Box<PrepareError>),
    /// It took too long.
    #[error("Cassandra did not answer in time: {0}")]
    Late(&'static str),
    /// An answer is not of the shape that was asked for.
    #[error("the keyspace {0} answers what was not asked: {1}")]
    Shape(String, String),
    /// The keyspace is somebody else's.
    #[error("the keyspace {0} holds tables that are not Chirrup's: name another")]
    Foreign(String),
    /// A newer version has made it.
    #[error("the keyspace {keyspace} has format {found}, this version knows up to {FORMAT}: nothing was touched")]
    Newer {
        /// Its name.
        keyspace: String,
        /// Its format.
        found: i64,
    },
    /// Another server serves it.
    #[error("the keyspace {keyspace} is served by {holder}: only one server may serve a store")]
    Claimed {
        /// Its name.
        keyspace: String,
        /// As that server calls itself.
        holder: String,
    },
    /// The nodes are set up in a way that does not keep what they acknowledge, or take what is sent.
    #[error("Cassandra is set up with {setting}: {needed}")]
    Setting {
        /// Name and value.
        setting: String,
        /// What is needed, and why.
        needed: String,
    },
}
