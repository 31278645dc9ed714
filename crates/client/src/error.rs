//! What can become of a request, beside its reply.

use chirrup_protocol::error::{Error as Refusal, Retry};

/// Why there is no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The request went out, but what became of it is not known. The same client id may be sent again.
    #[error("it is not known whether it took effect: {0}")]
    Unknown(String),
    /// The request did not go out: there was no connection in time.
    #[error("no connection to the server: {0}")]
    NotConnected(String),
    /// The server ended the session for good.
    #[error("the session has ended: {0}")]
    Ended(Refusal),
    /// The client was shut down.
    #[error("the client was shut down")]
    Closed,
    /// There is no room for more of what waits.
    #[error("{0} wait already, which is the limit")]
    Full(usize),
    /// The server answered with something that is not of the protocol.
    #[error("failed to read the server's answer: {0}")]
    Malformed(String),
    /// A file of the client cannot be used.
    #[error("failed to use {path}: {reason}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The address, or a certificate, is of no use.
    #[error("{0}")]
    Options(String),
}

impl Error {
    /// The refusal of the server, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Ended(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same request may have another outcome when it is sent again.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retry != Retry::Never,
            Self::Unknown(_) | Self::NotConnected(_) | Self::Full(_) => true,
            Self::Ended(_) | Self::Closed | Self::Malformed(_) | Self::File { .. } | Self::Options(_) => false,
        }
    }
}
