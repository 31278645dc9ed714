//! A client that speaks raw JSON over one WebSocket, keeps nothing and repairs nothing: what a
//! promise says is seen as it is on the wire.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::{PASSWORD, PATIENCE, SMALL_STORE, Server};

/// Positions that are written soon.
pub const SOON: &[(&str, &str)] = &[("session.merge_ms", "5")];

/// A server over a small store, with [`SOON`].
pub fn server() -> Server {
    Server::start_with(&[SOON, SMALL_STORE].concat())
}

/// An account and the token of one of its devices.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub device: String,
    pub token: String,
}

/// Why there is no `ok`.
#[derive(Debug)]
pub enum Failure {
    /// The server answered with this error.
    Refused(Value),
    /// The connection ended: with this close code, if any.
    Gone(Option<u16>),
}

/// A connection.
pub struct Connection {
    socket: WebSocketStream<TcpStream>,
    next: u64,
    replies: VecDeque<Value>,
    pushes: VecDeque<Value>,
    /// The error that the server told before it closed.
    pub closing: Option<Value>,
    /// What must never come: whoever sees it fails.
    pub forbidden: Vec<String>,
}

/// A client id that no other request has.
pub fn client_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("01936b2e-8f3c-7c4e-b1a2-{n:012x}")
}

/// The `code` of an error.
pub fn code(error: &Value) -> &str {
    error["code"].as_str().expect("a code")
}

/// The `seq` of a reply.
pub fn seq(reply: &Value) -> u64 {
    reply["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {reply}"))
}

impl User {
    /// As sign-up and login answer.
    pub fn of(told: &Value) -> Self {
        let text = |name: &str| told[name].as_str().expect("a text").to_owned();
        Self { id: text("user"), device: text("device"), token: text("token") }
    }

    /// Opens an account.
    pub async fn sign_up(server: &Server, name: &str) -> Self {
        let mut connection = Connection::open(server.address).await.expect("connected");
        let params = json!({"client_id": client_id(), "name": name, "password": PASSWORD});
        Self::of(&connection.ok("sign_up", params).await)
    }

    /// Another device of the same account.
    pub async fn log_in(server: &Server, name: &str) -> Self {
        let mut connection = Connection::open(server.address).await.expect("connected");
        let params = json!({"client_id": client_id(), "name": name, "password": PASSWORD});
        Self::of(&connection.ok("log_in", params).await)
    }

    /// A connection with a session.
    pub async fn connect(&self, address: SocketAddr) -> Result<Connection, Failure> {
        Ok(self.resume(address, None).await?.0)
    }

    /// A connection with a session that goes on from a cursor, and what `hello` was answered.
    pub async fn resume(&self, address: SocketAddr, cursor: Option<&str>) -> Result<(Connection, Value), Failure> {
        let mut connection = Connection::open(address).await?;
        let mut params = json!({"token": self.token});
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        let ready = connection.call("hello", params).await?;
        Ok((connection, ready))
    }

    /// A connection with a session, where nothing stands in its way.
    pub async fn on(&self, server: &Server) -> Connection {
        self.connect(server.address).await.expect("a session")
    }
}

impl Connection {
    /// A connection without a session.
    pub async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let mut request = format!("ws://{address}/v1/ws").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "chirrup.v1".parse().expect("a value"));
        let opened = timeout(PATIENCE, async {
            let stream = TcpStream::connect(address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            tokio_tungstenite::client_async(request, stream).await.ok()
        });
        let (socket, _) = opened.await.expect("an answer in time").ok_or(Failure::Gone(None))?;
        Ok(Self { socket, next: 1, replies: VecDeque::new(), pushes: VecDeque::new(), closing: None, forbidden: Vec::new() })
    }

    /// Sends a request without waiting for its answer; its id.
    pub async fn post(&mut self, method: &str, params: &Value) -> Result<u64, Failure> {
        let id = self.next;
        self.next += 1;
        let frame = json!({"id": id, "method": method, "params": params}).to_string();
        self.socket.send(Message::text(frame)).await.map_err(|_| Failure::Gone(None))?;
        Ok(id)
    }

    /// The next frame, whatever it is. Heartbeats are answered.
    async fn frame(&mut self) -> Result<Value, Failure> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => {
                    if let Some(word) = self.forbidden.iter().find(|word| text.contains(word.as_str())) {
                        panic!("{word:?} came: {text}");
                    }
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    match frame["push"].as_str() {
                        Some("heartbeat") => {
                            // A connection that ends is seen by the next read.
                            let _ = self.socket.send(Message::Pong(Bytes::new())).await;
                        }
                        Some("closing") => self.closing = Some(frame["data"].clone()),
                        _ => {}
                    }
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => return Err(Failure::Gone(frame.map(|frame| frame.code.into()))),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Failure::Gone(None)),
            }
        }
    }

    /// The answer to the request with this id.
    pub async fn reply(&mut self, id: u64) -> Result<Value, Failure> {
        let mut reply = if let Some(at) = self.replies.iter().position(|reply| reply["id"] == id) {
            self.replies.remove(at).expect("found")
        } else {
            loop {
                let frame = self.frame().await?;
                if frame["id"] == id {
                    break frame;
                }
                if frame.get("id").is_some() { self.replies.push_back(frame) } else { self.pushes.push_back(frame) }
            }
        };
        match reply.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(Failure::Refused(reply["error"].take())),
        }
    }

    /// Asks, and waits for the answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let id = self.post(method, &params).await?;
        self.reply(id).await
    }

    /// Asks for what must be answered `ok`.
    pub async fn ok(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|failure| panic!("{method}: {failure:?}"))
    }

    /// Asks for what must be refused: the code of the error.
    pub async fn refused(&mut self, method: &str, params: Value) -> String {
        match self.call(method, params).await {
            Err(Failure::Refused(error)) => code(&error).to_owned(),
            other => panic!("{method}: {other:?}"),
        }
    }

    /// The next push that is wanted; others are dropped.
    pub async fn push(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        loop {
            let push = self.any_push().await?;
            if wanted(&push) {
                return Ok(push);
            }
        }
    }

    /// The next push.
    pub async fn any_push(&mut self) -> Result<Value, Failure> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        loop {
            let frame = self.frame().await?;
            if frame.get("push").is_some() {
                return Ok(frame);
            }
            self.replies.push_back(frame);
        }
    }

    /// Reads until the connection ends: its close code.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Err(Failure::Gone(code)) = self.frame().await {
                return code;
            }
        }
    }

    /// Sends a message that must be taken: its seq.
    pub async fn send(&mut self, conversation: &str, text: &str) -> u64 {
        seq(&self.ok("send", message(conversation, text)).await)
    }

    /// A group with these members beside oneself.
    pub async fn group(&mut self, members: &[&User]) -> String {
        let members: Vec<_> = members.iter().map(|user| &user.id).collect();
        let made = self.ok("create_group", json!({"client_id": client_id(), "title": "a group", "members": members})).await;
        made["conversation"].as_str().expect("an id").to_owned()
    }
}

/// The parameters of a send under a client id of its own.
pub fn message(conversation: &str, text: &str) -> Value {
    json!({"client_id": client_id(), "conversation": conversation, "text": text})
}
