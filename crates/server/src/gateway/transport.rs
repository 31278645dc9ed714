//! What a connection needs of the wire: text frames in, batches of text frames out, a close with
//! its reason. WebSocket is the first; server-sent events and long poll fit the same.
//!
//! Must not know: what a frame says, who is behind it.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Something that happened on the wire.
#[derive(Debug)]
pub enum Io {
    /// A text frame came; whole, at most `FRAME_BYTES_MAX`.
    Frame(Utf8Bytes),
    /// Something came that only shows that the client lives.
    Alive,
    /// All frames given were written.
    Written,
    /// Nothing more will come.
    Ended(End),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or it broke.
    Gone,
    /// The client broke the rules: it is to be closed with this code.
    Fault {
        /// WebSocket close code.
        code: u16,
        /// For the client.
        what: String,
    },
}

/// The wire of one connection.
pub trait Transport: Send + Unpin + 'static {
    /// Writes what is in `frames`, taking it from the front, and reads if `may_read`. Wakes the
    /// task when it can go on. Losing the future that polls it loses nothing.
    fn poll(&mut self, cx: &mut Context<'_>, frames: &mut VecDeque<Bytes>, may_read: bool) -> Poll<Io>;

    /// Asks the other end to show that it lives; goes out with the next frames.
    fn ping(&mut self);

    /// Writes the frames left and closes with a code and a reason; takes a bounded time.
    fn close(self, frames: VecDeque<Bytes>, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
