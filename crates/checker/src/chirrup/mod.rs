//! The adapter of Chirrup: raw JSON over one WebSocket for each session. Repairs nothing, repeats
//! nothing, keeps nothing.

mod socket;
pub mod translate;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::adapter::{Account, Adapter, Done, EventPage, Failure, MessagePage, Opened, Page, Session};
use crate::history::{Act, Listed, Name, Position, Presence, Seq, Turn};
use socket::Socket;

/// Of every account that is opened here.
const PASSWORD: &str = "correct horse battery";
/// Events of a page.
const EVENTS_PAGE: u64 = 500;
/// Messages of a page.
const MESSAGES_PAGE: u64 = 100;
/// Conversations of a page.
const CONVERSATIONS_PAGE: u64 = 100;
/// A server is silent for longer than a client waits after so many tenths of its heartbeat (C-6).
const SILENCE_TENTHS: u64 = 25;

/// A Chirrup server at an address, without TLS.
#[derive(Clone, Debug)]
pub struct Chirrup {
    address: SocketAddr,
}

impl Chirrup {
    /// The server that listens there; it may come and go.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    async fn account(&self, method: &str, key: &str, name: &str) -> Result<Account, Failure> {
        let (socket, _pushes) = Socket::open(self.address).await?;
        let params = json!({"client_id": key, "name": name, "password": PASSWORD});
        translate::account(&socket.call(method, params).await?)
    }
}

impl Adapter for Chirrup {
    type Session = ChirrupSession;

    async fn sign_up(&self, key: &str, name: &str) -> Result<Account, Failure> {
        self.account("sign_up", key, name).await
    }

    async fn log_in(&self, key: &str, name: &str) -> Result<Account, Failure> {
        self.account("log_in", key, name).await
    }

    async fn connect(&self, account: &Account, cursor: Option<&str>) -> Result<Opened<ChirrupSession>, Failure> {
        let (socket, pushes) = Socket::open(self.address).await?;
        let mut params = json!({"token": account.token});
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        let ready = socket.call("hello", params).await?;
        let heartbeat_ms = ready["limits"]["heartbeat_ms"].as_u64().ok_or_else(|| translate::broken(&ready))?;
        socket.expect_within_ms(heartbeat_ms * SILENCE_TENTHS / 10).await;
        let reset = ready["reset"].as_bool().ok_or_else(|| translate::broken(&ready))?;
        let page = translate::page(&ready)?;
        let session = ChirrupSession { socket, user: account.user.clone() };
        Ok(Opened { session, pushes, reset, page })
    }
}

/// A session of a device.
#[derive(Debug)]
pub struct ChirrupSession {
    socket: Socket,
    user: Name,
}

impl Session for ChirrupSession {
    async fn act(&self, act: &Act) -> Result<Done, Failure> {
        let (method, params) = translate::act(act, &self.user);
        let answer = self.socket.call(method, params).await?;
        translate::done(act, &answer, &self.user)
    }

    async fn sync(&self, next: &str) -> Result<Page, Failure> {
        translate::page(&self.socket.call("sync", json!({"page": next})).await?)
    }

    async fn events(&self, conversation: &str, after: Seq) -> Result<EventPage, Failure> {
        let params = json!({"conversation": conversation, "after": after, "limit": EVENTS_PAGE});
        translate::event_page(&self.socket.call("events", params).await?)
    }

    async fn messages(&self, conversation: &str, turn: Turn, thread: Option<Seq>) -> Result<MessagePage, Failure> {
        let params = translate::messages(conversation, turn, thread, MESSAGES_PAGE);
        translate::message_page(&self.socket.call("history", params).await?, turn)
    }

    async fn conversations(&self, next: Option<&str>) -> Result<Page, Failure> {
        let mut params = json!({"limit": CONVERSATIONS_PAGE});
        if let Some(next) = next {
            params["after"] = next.into();
        }
        translate::page(&self.socket.call("conversations", params).await?)
    }

    async fn conversation(&self, conversation: &str) -> Result<Listed, Failure> {
        let answer = self.socket.call("conversation", json!({"conversation": conversation})).await?;
        translate::listed(&answer).ok_or_else(|| translate::broken(&answer))
    }

    async fn positions(&self, conversation: &str) -> Result<Vec<Position>, Failure> {
        let answer = self.socket.call("positions", json!({"conversation": conversation})).await?;
        translate::positions(conversation, &answer)
    }

    async fn watch(&self, users: &[Name]) -> Result<Vec<Presence>, Failure> {
        let users: Vec<Value> = users.iter().map(|user| Value::from(&**user)).collect();
        translate::presences(&self.socket.call("watch", json!({"users": users})).await?)
    }

    async fn stall(&self, ms: u64) {
        self.socket.stall_ms(ms).await;
    }
}
