//! A connection of the load generator: raw WebSocket, raw JSON (PROTOCOL.md, C-1 and R-1). It
//! repairs nothing, so that what the server does is what is seen.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Small, as ten thousand of these are held at once.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// A connection.
pub(crate) struct Wire {
    socket: WebSocketStream<TcpStream>,
    next_id: u64,
}

/// A frame from the server, as far as load needs it.
#[derive(Deserialize)]
pub(crate) struct Incoming<'a> {
    /// Of a reply.
    #[serde(default)]
    pub(crate) id: Option<u64>,
    /// What was done.
    #[serde(borrow, default)]
    pub(crate) ok: Option<&'a RawValue>,
    /// What went wrong.
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    /// Of a push: its kind.
    #[serde(borrow, default)]
    pub(crate) push: Option<&'a str>,
    /// Of a push: what it tells.
    #[serde(borrow, default)]
    pub(crate) data: Option<&'a RawValue>,
}

impl<'a> Incoming<'a> {
    /// Reads a frame.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("not a frame: {text}"))
    }
}

impl Wire {
    /// Connects, from an address of this machine's own choice if none is given.
    pub(crate) async fn connect(server: SocketAddr, from: Option<Ipv4Addr>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind((from, 0).into())?;
        }
        let stream = socket.connect(server).await.context("failed to connect")?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{server}/v1/ws").into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("chirrup.v1"));
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { socket, next_id: 1 })
    }

    /// Connects and says hello.
    pub(crate) async fn log_in(server: SocketAddr, from: Option<Ipv4Addr>, token: &str) -> Result<Self> {
        let mut wire = Self::connect(server, from).await?;
        wire.ask("hello", &format!(r#"{{"token":"{token}"}}"#)).await?;
        Ok(wire)
    }

    /// Puts a request behind those that wait for [`Wire::flush`]; its id.
    pub(crate) async fn feed(&mut self, method: &str, params: &str) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = format!(r#"{{"id":{id},"method":"{method}","params":{params}}}"#);
        self.socket.feed(Message::text(frame)).await?;
        Ok(id)
    }

    /// Writes what was fed.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.socket.flush().await?)
    }

    /// Waits for the next text frame.
    pub(crate) async fn next(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => bail!("the server closed: {frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the connection has ended"),
            }
        }
    }

    /// The next text frame, if it is here already.
    pub(crate) fn ready(&mut self) -> Option<Result<Utf8Bytes>> {
        self.next().now_or_never()
    }

    /// One request and its answer; pushes that come between are dropped.
    pub(crate) async fn ask(&mut self, method: &str, params: &str) -> Result<Value> {
        let text = self.ask_raw(method, params).await?;
        let reply = Incoming::parse(&text)?;
        match (reply.ok, reply.error) {
            (Some(ok), _) => Ok(serde_json::from_str(ok.get())?),
            (None, error) => bail!("{method} was refused: {}", error.map_or("", RawValue::get)),
        }
    }

    /// The same, as the frame's text.
    pub(crate) async fn ask_raw(&mut self, method: &str, params: &str) -> Result<Utf8Bytes> {
        let id = self.feed(method, params).await?;
        self.flush().await?;
        loop {
            let text = self.next().await?;
            if Incoming::parse(&text)?.id == Some(id) {
                return Ok(text);
            }
        }
    }
}

/// Client ids: UUIDs of version 7 that one source makes in ascending order (RFC 9562, 5.7).
pub(crate) struct ClientIds {
    source: u64,
    count: u64,
    unix_ms: u64,
}

impl ClientIds {
    /// Ids of a source; two sources have different numbers.
    pub(crate) fn new(source: u64, unix_ms: u64) -> Self {
        Self { source, count: 0, unix_ms }
    }

    /// The next.
    pub(crate) fn make(&mut self) -> String {
        self.count += 1;
        let ms = self.unix_ms + (self.count >> 12);
        let (high, low) = (ms >> 16, ms & 0xffff);
        let (source_high, source_low) = ((self.source >> 48) & 0x3fff | 0x8000, self.source & 0xffff_ffff_ffff);
        format!("{high:08x}-{low:04x}-7{:03x}-{source_high:04x}-{source_low:012x}", self.count & 0xfff)
    }
}

/// The number behind `"name":` in a frame, without reading all of it.
pub(crate) fn number_of<T: FromStr>(json: &str, name: &str) -> Option<T> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_ascend_and_are_of_version_7() {
        let mut ids = ClientIds::new(3, 1_700_000_000_000);
        let made: Vec<String> = (0..5_000).map(|_| ids.make()).collect();
        assert!(made.is_sorted());
        assert_eq!(made[0], "018bcfe5-6800-7001-8000-000000000003");
        assert_eq!(made[0].len(), made[4_999].len());
    }

    #[test]
    fn numbers_are_found_by_name() {
        assert_eq!(number_of::<u64>(r#"{"seq":42,"x":1}"#, "seq"), Some(42));
        assert_eq!(number_of::<u64>(r#"{"seq":42}"#, "head"), None);
    }
}
