//! The other end of a connection, as the router sees it.

use bytes::Bytes;

/// Takes encoded frames for one connection. Never blocks, and never calls the router, which
/// holds its lock.
pub trait Sink: Send + Sync {
    /// Puts a frame behind the others; `false` if there is no room, and then nothing was taken.
    /// The connection need not look yet: when all of a batch is pushed, [`Sink::wake`] follows.
    fn push(&self, frame: Bytes) -> bool;

    /// Tells that frames were pushed, or one was refused. After a refusal the connection is behind
    /// in something: when it has written what waits, it calls `Router::take_behind`.
    fn wake(&self);

    /// Ends the connection with this error.
    fn close(&self, error: chirrup_protocol::error::Error);
}
