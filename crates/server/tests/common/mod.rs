//! A server in this process, and clients that speak raw JSON to it.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "a module of each test, which uses a part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use chirrup_server::app::{self, ServerInfo};
use chirrup_server::config::Config;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;

/// Nothing is waited for longer: a test that would hang fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Whoever is logged out, shut out or removed feels it so soon (P16, C-8).
pub const FELT_WITHIN: Duration = Duration::from_secs(1);
pub const PASSWORD: &str = "correct horse battery";

/// A server that stops when it is told to.
pub struct Server {
    pub info: ServerInfo,
    pub dir: TempDir,
    flags: Vec<(String, String)>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), app::ServeError>>,
}

impl Server {
    pub async fn start(flags: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut all = vec![
            ("server.data_dir".to_owned(), dir.path().display().to_string()),
            ("listen.address".to_owned(), "127.0.0.1:0".to_owned()),
            ("listen.admin_address".to_owned(), "127.0.0.1:0".to_owned()),
            ("session.merge_ms".to_owned(), "5".to_owned()),
        ];
        for (key, size) in [("cache", 1), ("memtable", 1), ("segment", 1), ("log", 4), ("low_water", 3), ("reserve", 1)] {
            all.push((format!("store.{key}_bytes"), (size << 20).to_string()));
        }
        all.extend(flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Self::start_in(dir, all).await
    }

    async fn start_in(dir: TempDir, flags: Vec<(String, String)>) -> Self {
        let config = Config::load(None, std::iter::empty(), &flags).expect("a configuration");
        let (ready, info) = oneshot::channel();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "owned by the server in this struct")]
        let serving = tokio::spawn(app::serve_until(config, stop.clone(), move |info| {
            ready.send(info).expect("the test waits");
        }));
        let Ok(info) = info.await else { panic!("the server did not start: {:?}", serving.await) };
        Self { info, dir, flags, stop, serving }
    }

    pub async fn stop(self) -> (TempDir, Vec<(String, String)>) {
        self.stop.cancel();
        let stopped = tokio::time::timeout(PATIENCE, self.serving).await.expect("in time").expect("no panic");
        stopped.expect("stopped well");
        (self.dir, self.flags)
    }

    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub async fn restart(self) -> Self {
        let (dir, flags) = self.stop().await;
        Self::start_in(dir, flags).await
    }

    /// Starts again with other settings over those before.
    pub async fn restart_with(self, over: &[(&str, &str)]) -> Self {
        let (dir, mut flags) = self.stop().await;
        flags.extend(over.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Self::start_in(dir, flags).await
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.info.address).await
    }

    /// A new account, and a connection with its session.
    pub async fn join(&self, name: &str) -> Client {
        let mut client = self.connect().await;
        client.sign_up(name).await;
        client.hello(None).await;
        client
    }
}

/// A client of one connection.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    pub user: String,
    pub device: String,
    pub token: String,
    next: u64,
    /// Pushes that came while a reply was waited for.
    pushes: VecDeque<Value>,
    /// Replies that came while others were waited for.
    replies: VecDeque<Value>,
}

/// What ended a connection.
#[derive(Debug)]
pub struct Closed {
    pub code: u16,
    pub closing: Option<Value>,
}

/// A client id that no other request has.
pub fn client_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("01936b2e-8f3c-7c4e-b1a2-{n:012x}")
}

/// Params of a change in a conversation, under a client id of its own.
pub fn in_conversation(conversation: &str, params: &Value) -> Value {
    let mut all = json!({"client_id": client_id(), "conversation": conversation});
    for (key, value) in params.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let mut request = format!("ws://{address}/v1/ws").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "chirrup.v1".parse().expect("a value"));
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_nodelay(true).expect("set");
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
        Self {
            socket,
            user: String::new(),
            device: String::new(),
            token: String::new(),
            next: 1,
            pushes: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    pub async fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// Sends a request without waiting; its id.
    pub async fn post(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.text(&json!({"id": id, "method": method, "params": params}).to_string()).await;
        id
    }

    /// The next frame, whatever it is.
    pub async fn frame(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The reply to a request.
    pub async fn reply(&mut self, id: u64) -> Value {
        if let Some(at) = self.replies.iter().position(|reply| reply["id"] == id) {
            return self.replies.remove(at).expect("found");
        }
        loop {
            let frame = self.frame().await.expect("no close");
            if frame["id"] == id {
                return frame;
            }
            if frame.get("id").is_some() {
                self.replies.push_back(frame);
            } else {
                self.pushes.push_back(frame);
            }
        }
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.post(method, params).await;
        let mut reply = self.reply(id).await;
        match reply.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(reply["error"].take()),
        }
    }

    pub async fn ok(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The code of the error that a request is answered with.
    pub async fn code(&mut self, method: &str, params: Value) -> String {
        let error = self.call(method, params).await.expect_err("an error");
        error["code"].as_str().expect("a code").to_owned()
    }

    /// The next push that is wanted; others are dropped.
    pub async fn push(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(push) = self.pushes.pop_front() {
            if wanted(&push) {
                return push;
            }
        }
        loop {
            let frame = self.frame().await.expect("no close");
            if frame.get("push").is_none() {
                self.replies.push_back(frame);
            } else if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Reads until the connection ends.
    pub async fn closed(&mut self) -> Closed {
        let mut closing = None;
        loop {
            match self.frame().await {
                Ok(frame) if frame["push"] == "closing" => closing = Some(frame["data"].clone()),
                Ok(frame) if frame.get("id").is_some() => self.replies.push_back(frame),
                Ok(frame) => self.pushes.push_back(frame),
                Err(Some(frame)) => return Closed { code: frame.code.into(), closing },
                Err(None) => return Closed { code: 0, closing },
            }
        }
    }

    /// As [`Client::closed`], and as soon as is promised.
    pub async fn shut_out(&mut self) -> Closed {
        tokio::time::timeout(FELT_WITHIN, self.closed()).await.expect("felt in time")
    }

    pub fn take_pushes(&mut self) -> VecDeque<Value> {
        std::mem::take(&mut self.pushes)
    }

    pub async fn sign_up(&mut self, name: &str) {
        let params = json!({"client_id": client_id(), "name": name, "password": PASSWORD});
        let told = self.ok("sign_up", params).await;
        self.logged_in(&told);
    }

    pub fn logged_in(&mut self, told: &Value) {
        for (field, name) in [(&mut self.user, "user"), (&mut self.device, "device"), (&mut self.token, "token")] {
            told[name].as_str().expect("a text").clone_into(field);
        }
    }

    pub async fn hello(&mut self, cursor: Option<&str>) -> Value {
        let mut params = json!({"token": self.token});
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        self.ok("hello", params).await
    }

    pub async fn direct(&mut self, with: &str) -> String {
        let made = self.ok("create_direct", json!({"client_id": client_id(), "with": with})).await;
        made["conversation"].as_str().expect("an id").to_owned()
    }

    /// A group of oneself and others; `how` are further params.
    pub async fn group(&mut self, others: &[&str], how: &Value) -> String {
        let mut params = json!({"client_id": client_id(), "title": "a group", "members": others});
        for (key, value) in how.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        let made = self.ok("create_group", params).await;
        made["conversation"].as_str().expect("an id").to_owned()
    }

    /// Changes something in a conversation; the seq of it.
    pub async fn change(&mut self, method: &str, conversation: &str, params: &Value) -> u64 {
        let done = self.ok(method, in_conversation(conversation, params)).await;
        done["seq"].as_u64().expect("a seq")
    }

    /// The code of the error that a change is refused with.
    pub async fn refused(&mut self, method: &str, conversation: &str, params: &Value) -> String {
        self.code(method, in_conversation(conversation, params)).await
    }

    /// All events of a conversation, as this client is told them.
    pub async fn events(&mut self, conversation: &str) -> Vec<Value> {
        let page = self.ok("events", json!({"conversation": conversation, "limit": 500})).await;
        page["events"].as_array().expect("events").clone()
    }

    pub async fn send(&mut self, conversation: &str, text: &str) -> u64 {
        let done = self.ok("send", json!({"client_id": client_id(), "conversation": conversation, "text": text})).await;
        done["seq"].as_u64().expect("a seq")
    }

    pub async fn ping(&mut self) {
        self.socket.send(Message::Ping(Bytes::new())).await.expect("sent");
    }
}
