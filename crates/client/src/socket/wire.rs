//! One WebSocket: writes what waits in one go, reads what has come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, SinkExt, Stream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::dial::Socket;

/// Frames read before those that wait are written.
const FRAMES_AT_ONCE: usize = 64;

/// What came over the wire.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// Text frames, in order.
    pub(super) texts: Vec<String>,
    /// The connection is gone: why, and the close frame's code and reason.
    pub(super) end: Option<(String, Option<(u16, String)>)>,
}

/// A WebSocket and the frames that wait to be written.
pub(super) struct Wire {
    socket: Box<Socket>,
    outgoing: VecDeque<Message>,
    unflushed: bool,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket: Box::new(socket), outgoing: VecDeque::new(), unflushed: false }
    }

    /// Puts a frame behind the others; at most the requests that may be in flight wait here.
    pub(super) fn send(&mut self, text: String) {
        self.outgoing.push_back(Message::text(text));
    }

    /// Writes what waits and reads what has come; ends when something has. May be dropped at any
    /// time without loss.
    pub(super) async fn step(&mut self) -> Arrived {
        poll_fn(|cx| {
            let mut arrived = Arrived::default();
            if let Poll::Ready(Err(e)) = self.write(cx) {
                // What the server said before it closed is still to be read.
                arrived.end = Some((e.to_string(), None));
            }
            self.read(cx, &mut arrived);
            if arrived.texts.is_empty() && arrived.end.is_none() { Poll::Pending } else { Poll::Ready(arrived) }
        })
        .await
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(&mut *self.socket);
        while !self.outgoing.is_empty() {
            std::task::ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(frame) = self.outgoing.pop_front() {
                socket.as_mut().start_send(frame)?;
                self.unflushed = true;
            }
        }
        if self.unflushed {
            std::task::ready!(socket.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, cx: &mut Context<'_>, arrived: &mut Arrived) {
        for _ in 0..FRAMES_AT_ONCE {
            let end = match Pin::new(&mut *self.socket).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(Message::Text(text)))) => {
                    arrived.texts.push(text.as_str().to_owned());
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Close(close)))) => {
                    let close = close.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
                    ("the server closed the connection".to_owned(), close)
                }
                // Pings are answered by the library; binary frames are not of the protocol.
                Poll::Ready(Some(Ok(_))) => {
                    self.unflushed = true;
                    continue;
                }
                Poll::Ready(Some(Err(e))) => (e.to_string(), None),
                Poll::Ready(None) => ("the connection ended".to_owned(), None),
            };
            arrived.end = Some(end);
            return;
        }
        // There may be more: come again once this is dealt with.
        cx.waker().wake_by_ref();
    }

    /// Ends the connection as the protocol wants it.
    pub(super) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // Whether the server hears it or not, the connection is given up.
        let _ = self.socket.send(Message::Close(Some(frame))).await;
    }
}
