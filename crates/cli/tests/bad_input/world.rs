//! A server, two users who have a conversation, and the question whether it goes on.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::raw::{self, Connection, User, client_id};
use super::support::Server;
use super::wire::{Became, TEXT, Wire, frame};

/// A server with two users and their group.
pub struct World {
    pub server: Server,
    pub ana: User,
    pub ben: User,
    pub conversation: String,
    /// Of a user who does nothing wrong.
    good: Connection,
}

impl World {
    /// A fresh one.
    pub async fn new() -> Self {
        let server = raw::server();
        let ana = User::sign_up(&server, "ana").await;
        let ben = User::sign_up(&server, "ben").await;
        let mut good = ben.on(&server).await;
        let conversation = good.group(&[&ana]).await;
        Self { server, ana, ben, conversation, good }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// A connection of the one who sends what is wrong.
    pub async fn wire(&self) -> Wire {
        Wire::session(self.address(), &self.ana.token).await
    }

    /// Asks the server to take a message from a good connection that was there all the time.
    pub async fn goes_on(&mut self) {
        self.good.send(&self.conversation, "still here").await;
    }

    /// The parameters of a good send.
    pub fn message(&self, text: &str) -> Value {
        raw::message(&self.conversation, text)
    }
}

/// Sends a text frame as it stands, and again over a fresh connection if the last one has ended.
pub struct Sender<'a> {
    world: &'a World,
    wire: Option<Wire>,
}

impl<'a> Sender<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, wire: None }
    }

    /// What becomes of a frame whose id, if it has one, is this.
    pub async fn text(&mut self, text: &[u8], id: u64) -> Became {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => self.world.wire().await,
        };
        let became = wire.ask(&frame(TEXT, text), id).await;
        if matches!(became, Became::Reply(_)) {
            self.wire = Some(wire);
        }
        became
    }

    /// What becomes of a request with these params, which may be anything.
    pub async fn request(&mut self, method: &str, params: &str) -> Became {
        self.text(format!(r#"{{"id":7,"method":"{method}","params":{params}}}"#).as_bytes(), 7).await
    }

    /// A request that must be `bad_request`.
    pub async fn bad(&mut self, method: &str, params: &str) {
        let of = format!("{method} {}", params.chars().take(300).collect::<String>());
        let (code, close) = self.request(method, params).await.error(&of);
        assert_eq!((code.as_str(), close), ("bad_request", None), "{of}");
    }
}

/// Params under a client id of their own.
pub fn fresh(mut params: Value) -> Value {
    params["client_id"] = json!(client_id());
    params
}
