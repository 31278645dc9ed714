//! A WebSocket client written by hand (RFC 6455), because no library would send what is sent here.
//! It says whatever it is told to, and understands only what a server has to say.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// FIN and the opcode of a text frame.
pub const TEXT: u8 = 0x81;
/// FIN and the opcode of a binary frame.
pub const BINARY: u8 = 0x82;
/// FIN and the opcode of a close frame.
pub const CLOSE: u8 = 0x88;
/// FIN and the opcode of a ping.
pub const PING: u8 = 0x89;
/// FIN and the opcode of a continuation.
pub const LAST: u8 = 0x80;
/// The opcode of a text frame that is continued.
pub const TEXT_BEGUN: u8 = 0x01;
/// The opcode of a continuation that is continued.
pub const MORE: u8 = 0x00;

/// The bit of the second byte that says that a mask follows.
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A connection; every byte on it is the test's.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What the server said.
#[derive(Clone, Debug)]
pub enum Said {
    /// A text frame, which must be JSON.
    Json(Value),
    /// A close frame with this code, or none.
    Close(Option<u16>),
    /// A ping or a pong.
    Control,
    /// Nothing any more: the connection is gone.
    Gone,
}

/// What became of a frame.
#[derive(Clone, Debug)]
pub enum Became {
    /// It was answered; the connection lives.
    Reply(Value),
    /// The connection ended: with this `closing` push, and this close code.
    Ended(Option<Value>, Option<u16>),
}

impl Became {
    /// The code and the close code of an error that a client can understand: an answer with a
    /// sentence and a code, or a `closing` push with both before the close frame. All else fails.
    pub fn error(&self, of: &str) -> (String, Option<u16>) {
        let (error, close) = match self {
            Self::Reply(reply) => (&reply["error"], None),
            Self::Ended(Some(closing), Some(close)) => (closing, Some(*close)),
            Self::Ended(..) => panic!("{of}: the end came without a word: {self:?}"),
        };
        let code = error["code"].as_str().unwrap_or_else(|| panic!("{of}: no error: {self:?}"));
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{of}: {self:?}");
        assert!(error["retry"] == "never", "{of}: {self:?}");
        (code.to_owned(), close)
    }
}

/// A frame as a client has to send it; the first byte is FIN, reserved bits and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        n @ 0..=125 => bytes.push(MASKED | u8::try_from(n).unwrap()),
        n @ 126..=0xffff => {
            bytes.push(MASKED | 0x7e);
            bytes.extend(u16::try_from(n).unwrap().to_be_bytes());
        }
        n => {
            bytes.push(MASKED | 0x7f);
            bytes.extend((n as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The payload of a close frame.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// The upgrade, with these headers besides those that it needs.
pub fn upgrade(headers: &str) -> String {
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

impl Wire {
    /// A connection on which nothing was said.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time").expect("connected");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, unread: Vec::new() }
    }

    /// A WebSocket.
    pub async fn open(address: SocketAddr) -> Self {
        let mut wire = Self::connect(address).await;
        wire.say(upgrade("Sec-WebSocket-Protocol: chirrup.v1\r\n").as_bytes()).await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        wire
    }

    /// A WebSocket with a session.
    pub async fn session(address: SocketAddr, token: &str) -> Self {
        let mut wire = Self::open(address).await;
        let hello = json!({"id": 0, "method": "hello", "params": {"token": token}}).to_string();
        let became = wire.ask(&frame(TEXT, hello.as_bytes()), 0).await;
        assert!(matches!(&became, Became::Reply(reply) if reply.get("ok").is_some()), "{became:?}");
        wire
    }

    /// Says these bytes. That the server has stopped listening shows when it is listened to.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("taken in time, or refused");
    }

    /// Says these bytes and that nothing more will come.
    pub async fn say_last(&mut self, bytes: &[u8]) {
        self.say(bytes).await;
        let _ = self.stream.shutdown().await;
    }

    /// Reads more; whether there was more.
    async fn more(&mut self) -> bool {
        let mut bytes = vec![0; 16 << 10];
        let n = timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect("a word in time").unwrap_or(0);
        self.unread.extend_from_slice(&bytes[..n]);
        n > 0
    }

    /// The head of an HTTP answer, or whatever came before the end.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..at + 4).collect();
                return String::from_utf8(head).expect("a head");
            }
            if !self.more().await {
                return String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned();
            }
        }
    }

    /// All that still comes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.unread)
    }

    /// The next frame.
    pub async fn next(&mut self) -> Said {
        loop {
            if let Some((first, payload)) = self.taken() {
                return match first {
                    TEXT => Said::Json(serde_json::from_slice(&payload).expect("JSON")),
                    CLOSE => Said::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
                    PING | 0x8a => Said::Control,
                    other => panic!("the server sent a frame {other:#x}"),
                };
            }
            if !self.more().await {
                return Said::Gone;
            }
        }
    }

    /// Takes a whole frame, as servers send them, off what was read.
    fn taken(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, length) = (*self.unread.first()?, *self.unread.get(1)?);
        let (start, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes(*self.unread.get(2..)?.first_chunk()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(*self.unread.get(2..)?.first_chunk()?)).unwrap()),
            n => (2, usize::from(n)),
        };
        let payload = self.unread.get(start..start + length)?.to_vec();
        self.unread.drain(..start + length);
        Some((first, payload))
    }

    /// Says these bytes and waits for the reply with this id, or for the end.
    pub async fn ask(&mut self, bytes: &[u8], id: u64) -> Became {
        self.say(bytes).await;
        self.reply(id).await
    }

    /// Waits for the reply with this id, or for the end.
    pub async fn reply(&mut self, id: u64) -> Became {
        let mut closing = None;
        loop {
            match self.next().await {
                Said::Json(said) if said["id"] == id => return Became::Reply(said),
                Said::Json(mut said) if said["push"] == "closing" => closing = Some(said["data"].take()),
                Said::Json(_) | Said::Control => {}
                Said::Close(code) => return Became::Ended(closing, code),
                Said::Gone => return Became::Ended(closing, None),
            }
        }
    }

    /// Waits for the end: what was told before it.
    pub async fn end(&mut self) -> Became {
        self.reply(u64::MAX).await
    }
}
