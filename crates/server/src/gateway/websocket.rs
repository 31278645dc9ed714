//! The WebSocket transport (RFC 6455), by tokio-tungstenite with buffers so small that an idle
//! connection costs little: all frames that are ready are gathered and flushed once.
//!
//! Must not know: what a frame says.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use chirrup_protocol::error::Code;
use chirrup_protocol::limits::FRAME_BYTES_MAX;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::transport::{End, Io, Transport};
use crate::limits::{CLOSE_REASON_BYTES_MAX, LINGER_BYTES_MAX, LINGER_MS, SOCKET_READ_BYTES, SOCKET_WRITE_BYTES, SOCKET_WRITE_BYTES_MAX};

/// RFC 6455, section 7.4.1: a violation of the protocol.
const PROTOCOL_ERROR: u16 = 1_002;
/// RFC 6455, section 7.4.1: text that is not UTF-8.
const NOT_UTF8: u16 = 1_007;
/// Of a pong, beside the payload of its ping (RFC 6455, section 5.2).
const PONG_BYTES: usize = 2;

/// A WebSocket over any stream of bytes.
pub struct WebSocket<S> {
    stream: WebSocketStream<S>,
    ping: bool,
    /// Frames were handed to the stream and not flushed yet.
    unflushed: bool,
    /// Bytes of pongs that the stream may hold because the client does not read them.
    owed: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// After the handshake; `early` was read behind it.
    pub async fn new(socket: S, early: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_READ_BYTES)
            .write_buffer_size(SOCKET_WRITE_BYTES)
            .max_write_buffer_size(SOCKET_WRITE_BYTES_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let stream = WebSocketStream::from_partially_read(socket, early, Role::Server, Some(config)).await;
        Self { stream, ping: false, unflushed: false, owed: 0 }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, frames: &mut VecDeque<Bytes>) -> Poll<Result<(), WsError>> {
        let mut stream = Pin::new(&mut self.stream);
        while self.ping || !frames.is_empty() {
            ready!(stream.as_mut().poll_ready(cx))?;
            let message = match frames.pop_front() {
                Some(frame) => Message::Text(text(frame)),
                None => Message::Ping(Bytes::new()),
            };
            self.ping &= matches!(message, Message::Text(_));
            stream.as_mut().start_send(message)?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(stream.poll_flush(cx))?;
            self.unflushed = false;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    async fn write_out(&mut self, mut frames: VecDeque<Bytes>, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let written = std::future::poll_fn(|cx| match self.poll_write(cx, &mut frames) {
            Poll::Pending if frames.is_empty() && !self.unflushed => Poll::Ready(Ok(())),
            other => other,
        })
        .await;
        if written.is_err() || self.stream.close(Some(frame)).await.is_err() {
            return;
        }
        // A socket closed with unread bytes is reset, and the close frame lost with it: so what
        // still comes is read and dropped.
        let socket = self.stream.get_mut();
        if socket.shutdown().await.is_ok() {
            let mut dropped = [0; 1_024];
            let mut left = LINGER_BYTES_MAX;
            while let Ok(n @ 1..) = socket.read(&mut dropped).await {
                left = left.saturating_sub(n);
                if left == 0 {
                    return;
                }
            }
        }
    }
}

/// Frames are written by `serde_json`, so they are UTF-8.
fn text(frame: Bytes) -> Utf8Bytes {
    Utf8Bytes::try_from(frame).expect("frames are JSON")
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for WebSocket<S> {
    fn poll(&mut self, cx: &mut Context<'_>, frames: &mut VecDeque<Bytes>, may_read: bool) -> Poll<Io> {
        match self.poll_write(cx, frames) {
            Poll::Ready(Ok(())) => return Poll::Ready(Io::Written),
            Poll::Ready(Err(error)) => return Poll::Ready(Io::Ended(end(&error))),
            Poll::Pending => {}
        }
        if !may_read {
            return Poll::Pending;
        }
        if self.owed > SOCKET_WRITE_BYTES {
            // Who pings but does not read the answers is not read any further: the stream would
            // gather them.
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
                return Poll::Ready(Io::Ended(end(&error)));
            }
            self.owed = 0;
        }
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => Io::Frame(text),
            Some(Ok(Message::Binary(_))) => {
                Io::Ended(End::Fault { code: Code::BadFrame.close(), what: "binary frames are not taken".to_owned() })
            }
            // What is due in answer to a ping or a close goes out with the next poll, which after
            // a close then ends.
            Some(Ok(Message::Ping(payload))) => {
                self.owed += PONG_BYTES + payload.len();
                Io::Alive
            }
            Some(Ok(Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => Io::Alive,
            Some(Err(error)) => Io::Ended(end(&error)),
            None => Io::Ended(End::Gone),
        })
    }

    fn ping(&mut self) {
        self.ping = true;
    }

    async fn close(mut self, frames: VecDeque<Bytes>, code: u16, reason: &str) {
        let mut cut = reason.len().min(CLOSE_REASON_BYTES_MAX);
        while !reason.is_char_boundary(cut) {
            cut -= 1;
        }
        // A client that reads nothing does not hold the connection open.
        let _ = tokio::time::timeout(Duration::from_millis(LINGER_MS), self.write_out(frames, code, &reason[..cut])).await;
    }
}

fn end(error: &WsError) -> End {
    match error {
        WsError::Capacity(_) => {
            End::Fault { code: Code::BadFrame.close(), what: format!("a frame may have at most {FRAME_BYTES_MAX} bytes") }
        }
        WsError::Utf8(_) => End::Fault { code: NOT_UTF8, what: "text frames must be UTF-8".to_owned() },
        WsError::Io(io) if io.kind() == io::ErrorKind::InvalidData => End::Fault { code: PROTOCOL_ERROR, what: error.to_string() },
        WsError::Protocol(violation) if !is_loss(violation) => End::Fault { code: PROTOCOL_ERROR, what: violation.to_string() },
        _ => End::Gone,
    }
}

fn is_loss(violation: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError as P;
    matches!(violation, P::ResetWithoutClosingHandshake | P::ReceivedAfterClosing | P::SendAfterClosing)
}
