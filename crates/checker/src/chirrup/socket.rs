//! One WebSocket: requests in the order in which they are called, answers to whom they belong,
//! pushes in the order in which they came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::translate;
use crate::adapter::{Failure, Push};

/// Requests that wait to be written: who asks for more waits.
const ASKS_MAX: usize = 64;
/// Pushes that wait to be looked at: who lets more come loses the connection, as on a slow machine.
const PUSHES_MAX: usize = 8192;
/// An answer that takes longer does not come.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A connection that takes longer to open does not.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// What the machine keeps of what is not read: little, so that the server notices a slow client.
const RECEIVE_BUFFER_BYTES: u32 = 16 * 1024;
/// Segments as small as on any network: by those of a loopback device the server's machine would
/// keep megabytes for whoever does not read.
const SEGMENT_BYTES: u32 = 536;

/// A connection. Dropped, it is cut off without a word.
#[derive(Debug)]
pub(super) struct Socket {
    asks: mpsc::Sender<Ask>,
    _task: JoinSet<()>,
}

#[derive(Debug)]
enum Ask {
    Call { method: String, params: Value, answer: oneshot::Sender<Result<Value, Failure>> },
    Stall(Duration),
    ExpectWithin(Duration),
}

/// The task's side of a connection.
struct Driver {
    stream: WebSocketStream<TcpStream>,
    asks: mpsc::Receiver<Ask>,
    pushes: mpsc::Sender<Push>,
    waiting: HashMap<u64, oneshot::Sender<Result<Value, Failure>>>,
    next: u64,
    silence: Duration,
}

fn unknown(why: &str) -> Failure {
    Failure::Unknown { why: why.into() }
}

impl Socket {
    pub(super) async fn open(address: SocketAddr) -> Result<(Self, mpsc::Receiver<Push>), Failure> {
        let opened = timeout(OPEN_LIMIT, Self::dial(address)).await;
        let stream = opened.map_err(|_| unknown("it does not open in time"))?.ok_or_else(|| unknown("it does not open"))?;
        let (asks, to_write) = mpsc::channel(ASKS_MAX);
        let (told, pushes) = mpsc::channel(PUSHES_MAX);
        let driver = Driver { stream, asks: to_write, pushes: told, waiting: HashMap::new(), next: 1, silence: ANSWER_LIMIT };
        let mut task = JoinSet::new();
        task.spawn(driver.run());
        Ok((Self { asks, _task: task }, pushes))
    }

    async fn dial(address: SocketAddr) -> Option<WebSocketStream<TcpStream>> {
        let mut request = format!("ws://{address}/v1/ws").into_client_request().ok()?;
        request.headers_mut().insert("sec-websocket-protocol", "chirrup.v1".parse().ok()?);
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).ok()?;
        SockRef::from(&socket).set_tcp_mss(SEGMENT_BYTES).ok()?;
        let stream = socket.connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(tokio_tungstenite::client_async(request, stream).await.ok()?.0)
    }

    /// Asks, and waits for the answer. What is called first is sent first.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Call { method: method.to_owned(), params, answer };
        self.asks.send(ask).await.map_err(|_| unknown("the connection has ended"))?;
        match timeout(ANSWER_LIMIT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unknown("the connection ended")),
            Err(_) => Err(unknown("no answer in time")),
        }
    }

    /// Reads nothing for a while.
    pub(super) async fn stall_ms(&self, ms: u64) {
        // A connection that has ended is as still as can be.
        let _ = self.asks.send(Ask::Stall(Duration::from_millis(ms))).await;
    }

    /// Takes the server for gone once it says nothing for so long.
    pub(super) async fn expect_within_ms(&self, ms: u64) {
        // A connection that has ended needs no limit.
        let _ = self.asks.send(Ask::ExpectWithin(Duration::from_millis(ms))).await;
    }
}

impl Driver {
    async fn run(mut self) {
        while self.step().await.is_some() {}
        // Whoever still waits learns, as `waiting` is dropped, that no answer comes.
    }

    async fn step(&mut self) -> Option<()> {
        tokio::select! {
            ask = self.asks.recv() => self.ask(ask?).await,
            came = timeout(self.silence, self.stream.next()) => match came.ok()??.ok()? {
                Message::Text(text) => self.take(&text).await,
                Message::Close(_) => None,
                _ => Some(()),
            },
        }
    }

    async fn ask(&mut self, ask: Ask) -> Option<()> {
        match ask {
            Ask::Call { method, params, answer } => {
                let id = self.next;
                self.next += 1;
                self.waiting.insert(id, answer);
                let frame = json!({"id": id, "method": method, "params": params}).to_string();
                self.stream.send(Message::text(frame)).await.ok()
            }
            Ask::Stall(time) => {
                sleep(time).await;
                Some(())
            }
            Ask::ExpectWithin(silence) => {
                self.silence = silence;
                Some(())
            }
        }
    }

    async fn take(&mut self, text: &str) -> Option<()> {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
            return self.pushes.try_send(Push::Broken(text.into())).ok();
        };
        if let Some(id) = frame["id"].as_u64() {
            let answer = match (frame.get_mut("ok").map(Value::take), frame.get("error")) {
                (Some(ok), None) => Ok(ok),
                (None, Some(error)) => Err(translate::failure(error)),
                _ => Err(translate::broken(&frame)),
            };
            if let Some(waiting) = self.waiting.remove(&id) {
                // Whoever asked may have given up.
                let _ = waiting.send(answer);
            }
            return Some(());
        }
        if frame["push"] == "heartbeat" {
            self.stream.send(Message::Pong(Bytes::new())).await.ok()?;
        }
        match translate::push(&frame) {
            Some(push) => self.pushes.try_send(push).ok(),
            None => Some(()),
        }
    }
}
