//! The other end of a connection, as the router sees it.

use bytes::Bytes;

/// Takes encoded frames for one connection. Never blocks.
pub trait Sink: Send + Sync {
    /// Puts a frame behind the others; `false` if there is no room, and then nothing was taken.
    fn push(&self, frame: Bytes) -> bool;

    /// Tells that the connection has something new to say by itself (it is behind, or a
    /// heartbeat is due): it asks the router when it is ready.
    fn wake(&self);

    /// Ends the connection with this error.
    fn close(&self, error: chirrup_protocol::error::Error);
}
