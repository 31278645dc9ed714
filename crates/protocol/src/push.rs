//! What the server tells unasked: `{"push": "event", "data": {…}}`, without an id.

use chirrup_core::ids::{ConversationId, Seq, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::event::Event;
use crate::reply::Presence;
use crate::text;

/// One push. Every push is a hint: what it tells can be pulled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "push", content = "data")]
pub enum Push {
    /// A log has a new event.
    #[serde(rename = "event")]
    Event(LogEvent),
    /// A member read or got messages (conversations of up to 100 members).
    #[serde(rename = "position.updated")]
    Position(PositionUpdated),
    /// Somebody writes, or stopped.
    #[serde(rename = "typing")]
    Typing(Typing),
    /// A watched user came, went or sits idle.
    #[serde(rename = "presence.updated")]
    Presence(Presence),
    /// The server lives; tells what was not sent.
    #[serde(rename = "heartbeat")]
    Heartbeat(Heartbeat),
    /// The server sent less than there is: pull these.
    #[serde(rename = "behind")]
    Behind(Behind),
    /// The server is about to close this connection: come back after a while.
    #[serde(rename = "reconnect")]
    Reconnect(Reconnect),
    /// The connection ends; the close code says the same.
    #[serde(rename = "closing")]
    Closing(Error),
    /// Something that this client is too old to know.
    #[serde(other)]
    Unknown,
}

/// An event of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Of which conversation; one's own user log if left out.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub conversation: Option<ConversationId>,
    /// Which.
    pub event: Event,
}

/// A member's positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionUpdated {
    /// Where.
    #[serde(with = "text")]
    pub conversation: ConversationId,
    /// Who.
    #[serde(with = "text")]
    pub user: UserId,
    /// Read up to here.
    pub read: Seq,
    /// Got up to here.
    pub delivered: Seq,
}

/// Somebody writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Where.
    #[serde(with = "text")]
    pub conversation: ConversationId,
    /// Who.
    #[serde(with = "text")]
    pub user: UserId,
    /// Whether they write or have stopped; forget it after `typing_ms` twice.
    pub typing: bool,
}

/// Sent every `heartbeat_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The server's clock.
    #[serde(with = "text::time")]
    pub time: Time,
    /// For the next `hello`: covers what was sent before this frame or is named in `behind`. None
    /// until the last page of the session's conversations was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Logs of which less was sent than there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<Head>,
}

/// Logs to pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Which.
    pub logs: Vec<Head>,
}

/// How far a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of which conversation; one's own user log if left out.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub conversation: Option<ConversationId>,
    /// Its head.
    pub head: Seq,
}

/// Come back after a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconnect {
    /// Wait so long; differs from client to client.
    pub after_ms: u64,
}
