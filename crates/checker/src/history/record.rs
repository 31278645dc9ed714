//! A line of a history.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::words::{Act, Event, Head, Listed, Message, Name, Position, Presence, Seq, Turn};

/// Nanoseconds since the run began, by a clock that never goes back.
pub type At = u64;
/// A try of a change; a retry is another.
pub type OpId = u64;
/// A connection: of one device of one user, from its `connected` to its `ended`.
pub type ConnectionId = u64;
/// A fault.
pub type FaultId = u64;

/// One thing that happened or was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was written down: an ask before it was sent, an answer or a sight after it came.
    pub at: At,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened or was seen. `asked` is when the question was sent whose answer this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// What this server promises, where servers differ.
    Terms {
        /// Presence is true after this time.
        presence_within_ms: u64,
    },
    /// A change is tried.
    Invoke {
        /// This try.
        op: OpId,
        /// On which connection.
        on: ConnectionId,
        /// What is asked.
        act: Act,
    },
    /// A try was answered: it is done, for good.
    Ok {
        /// Which.
        op: OpId,
        /// The event that it made.
        seq: Seq,
        /// The conversation that it began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Name>,
        /// Whether the server says that it had been done before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    },
    /// A try was answered: it never happened and never will by this try.
    Failed {
        /// Which.
        op: OpId,
        /// Why.
        code: Name,
    },
    /// A try was not answered, or the server does not know either.
    Unknown {
        /// Which.
        op: OpId,
        /// What is known of the reason.
        why: Name,
    },
    /// A device has a session.
    Connected {
        /// From now on known as this.
        on: ConnectionId,
        /// Of whom.
        user: Name,
        /// Of which of their devices.
        device: Name,
        /// When it was asked for.
        asked: At,
        /// From where it is to go on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<Name>,
        /// Whether the server says that all is to be listed anew.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
    },
    /// All conversations that the session begins with have been listed (as `conversation` by `sync`).
    ListedAll {
        /// Where.
        on: ConnectionId,
    },
    /// The device keeps this cursor: it has pulled what the cursor covers.
    Cursor {
        /// On which connection it was told.
        on: ConnectionId,
        /// It.
        cursor: Name,
    },
    /// A connection ended.
    Ended {
        /// Which.
        on: ConnectionId,
    },
    /// An event was pushed.
    Live {
        /// Where.
        on: ConnectionId,
        /// Of which conversation.
        conversation: Name,
        /// It.
        event: Arc<Event>,
    },
    /// The reader was told that they are a member of a conversation from now on: what was before is
    /// to be pulled.
    Added {
        /// Where.
        on: ConnectionId,
        /// Which.
        conversation: Name,
    },
    /// The reader was told that nothing of a conversation is theirs to see any more: if they come
    /// back, it is told anew.
    Removed {
        /// Where.
        on: ConnectionId,
        /// Which.
        conversation: Name,
    },
    /// A page of events was read.
    Events {
        /// Where.
        on: ConnectionId,
        /// When it was asked for.
        asked: At,
        /// Of which conversation.
        conversation: Name,
        /// The seq before the page.
        after: Seq,
        /// The page.
        events: Vec<Arc<Event>>,
        /// Highest seq that the reader may see.
        head: Seq,
        /// What the server says that all up to the last of the page come to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Name>,
    },
    /// A page of messages was read.
    Messages {
        /// Where.
        on: ConnectionId,
        /// When it was asked for.
        asked: At,
        /// Of which conversation.
        conversation: Name,
        /// Which page.
        turn: Turn,
        /// Of which thread, instead of the timeline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<Seq>,
        /// The page, oldest first.
        messages: Vec<Message>,
        /// Highest seq that the reader may see.
        head: Seq,
    },
    /// A conversation was listed.
    Conversation {
        /// Where.
        on: ConnectionId,
        /// When it was asked for.
        asked: At,
        /// By which way.
        way: Way,
        /// As it was told.
        listed: Listed,
    },
    /// A conversation was asked for and is not there, for this reader.
    Absent {
        /// Where.
        on: ConnectionId,
        /// When it was asked for.
        asked: At,
        /// Which.
        conversation: Name,
    },
    /// The server says how the connection stands.
    Told {
        /// Where.
        on: ConnectionId,
        /// Which kind of word it is.
        known: Known,
        /// Logs of which more is there than was pushed; each is to be pulled.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        behind: Vec<Head>,
    },
    /// Somebody's positions were seen.
    Position {
        /// Where.
        on: ConnectionId,
        /// When they were asked for; none if they were pushed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<At>,
        /// They.
        position: Position,
    },
    /// Somebody's presence was seen.
    Presence {
        /// Where.
        on: ConnectionId,
        /// When it was asked for; none if it was pushed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<At>,
        /// It.
        presence: Presence,
    },
    /// What came is not of the form that the server's protocol promises.
    Broken {
        /// Where.
        on: ConnectionId,
        /// What came.
        said: Name,
    },
    /// A fault was done to the server.
    Fault {
        /// From now on known as this.
        fault: FaultId,
        /// Which.
        kind: Fault,
    },
    /// A fault is over: the server serves again.
    Healed {
        /// Which.
        fault: FaultId,
    },
    /// Nothing is asked to be changed from here on: everything is read back.
    ReadBackBegins {
        /// How much.
        extent: Extent,
    },
    /// A reader has gone all the way through a conversation.
    Walked {
        /// Where.
        on: ConnectionId,
        /// When the first page was asked for: all pages came after.
        asked: At,
        /// Which conversation.
        conversation: Name,
        /// By which path.
        path: Path,
    },
    /// All was read back that was to be.
    ReadBackEnds,
}

/// Ways to be told of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As a session began.
    Sync,
    /// In the list of all.
    List,
    /// By its id.
    One,
}

/// Words about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// All that is there was pushed, but for what is named.
    Heartbeat,
    /// What is named was left out, because the connection was slow.
    Behind,
}

/// Paths on which a whole conversation can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// Its events.
    Events,
    /// Its timeline from the beginning on.
    Forward,
    /// Its timeline from the end back.
    Backward,
}

/// What is done to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its process is killed.
    Kill,
    /// Its power is cut: what was not synced is gone.
    Cut,
    /// Its process stands still for a while.
    Stop,
    /// It is asked to end.
    Term,
    /// Something else, in a word.
    Other(Name),
}

/// How much is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Every conversation as every user by every path.
    Full,
    /// So many pairs of a conversation and a user.
    Sample(usize),
}

impl Way {
    /// As it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::List => "the list",
            Self::One => "its entry",
        }
    }
}
