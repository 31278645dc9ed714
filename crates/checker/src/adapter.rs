//! What a chat server must offer to be judged. One small adapter for each server translates; it
//! must neither repair nor repeat anything, so that what the server does is seen as it is.

use std::future::Future;

use tokio::sync::mpsc;

use crate::history::{Act, Event, Head, Listed, Message, Name, Position, Presence, Seq, Turn};

/// A code of [`Failure::Refused`]: there is no such thing, or it is not for the asker to know.
pub const NOT_FOUND: &str = "not_found";

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It did not happen, and never will by this try.
    #[error("refused: {code}")]
    Refused {
        /// Why, in the server's word; [`NOT_FOUND`] where that is the reason.
        code: Name,
        /// Whether to ask the same again.
        again: Again,
    },
    /// It may have happened or not: no answer came, or the server does not know either.
    #[error("not known: {why}")]
    Unknown {
        /// What is known of the reason.
        why: Name,
    },
    /// What came is not of the form that the protocol promises.
    #[error("not of the protocol: {said}")]
    Broken {
        /// What came.
        said: Name,
    },
}

impl Failure {
    /// Whether what was asked about is not there, for the asker.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if &**code == NOT_FOUND)
    }
}

/// Whether to ask the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It will be refused again.
    Never,
    /// After so many milliseconds.
    After(u64),
}

/// A device of a user, by which sessions are begun.
#[derive(Clone, Debug)]
pub struct Account {
    /// Whose.
    pub user: Name,
    /// Which.
    pub device: Name,
    /// What proves it.
    pub token: String,
}

/// A server.
pub trait Adapter: Send + Sync + 'static {
    /// Its sessions.
    type Session: Session;

    /// Opens an account, and its first device. A retry has the same `key`.
    fn sign_up(&self, key: &str, name: &str) -> impl Future<Output = Result<Account, Failure>> + Send;

    /// Another device of an account.
    fn log_in(&self, key: &str, name: &str) -> impl Future<Output = Result<Account, Failure>> + Send;

    /// Begins a session on a connection of its own, from a cursor that an earlier session was told.
    fn connect(&self, account: &Account, cursor: Option<&str>) -> impl Future<Output = Result<Opened<Self::Session>, Failure>> + Send;
}

/// A session that has just begun.
#[derive(Debug)]
pub struct Opened<S> {
    /// It. Dropped, its connection ends.
    pub session: S,
    /// What the server tells unasked, in the order in which it came; ends with the connection.
    pub pushes: mpsc::Receiver<Push>,
    /// Whether all is to be listed anew, since the cursor was of no use.
    pub reset: bool,
    /// The first page of what has changed since the cursor; of everything, without one.
    pub page: Page,
}

/// A page of conversations.
#[derive(Debug)]
pub struct Page {
    /// They.
    pub conversations: Vec<Listed>,
    /// For the next page; none on the last.
    pub next: Option<String>,
    /// On the last page: covers what was listed, once it is pulled.
    pub cursor: Option<Name>,
}

/// A page of events.
#[derive(Debug)]
pub struct EventPage {
    /// They, dense.
    pub events: Vec<Event>,
    /// Highest seq that the reader may see.
    pub head: Seq,
    /// What all up to the last come to, where the server tells it.
    pub digest: Option<Name>,
}

/// A page of messages.
#[derive(Debug)]
pub struct MessagePage {
    /// They, oldest first.
    pub messages: Vec<Message>,
    /// Highest seq that the reader may see.
    pub head: Seq,
    /// Whether there are more in the direction that was asked for.
    pub more: bool,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The event that it made, or the head, if there was nothing to change.
    pub seq: Seq,
    /// The conversation that it began.
    pub conversation: Option<Name>,
    /// Whether the server says that it had been done before.
    pub duplicate: bool,
    /// One's positions after [`Act::Read`] or [`Act::Delivered`].
    pub position: Option<Position>,
}

/// What a server tells unasked.
#[derive(Debug)]
pub enum Push {
    /// A conversation has a new event.
    Event {
        /// Which.
        conversation: Name,
        /// It.
        event: Event,
    },
    /// One is a member of this conversation from now on; what was before is to be pulled.
    Added(Name),
    /// Nothing of this conversation is one's own to see any more.
    Removed(Name),
    /// All was pushed that is there, but for what is named; where told, a cursor that covers both.
    Heartbeat {
        /// To be pulled.
        behind: Vec<Head>,
        /// Covers all before, once that is pulled.
        cursor: Option<Name>,
    },
    /// The connection was too slow: these are to be pulled.
    Behind(Vec<Head>),
    /// Somebody's positions.
    Position(Position),
    /// Somebody's presence.
    Presence(Presence),
    /// The server is about to close: come back after so many milliseconds.
    Reconnect(u64),
    /// What is not of the form that the protocol promises.
    Broken(Name),
}

/// A session of a user's device. Its methods may be called while others wait; what is asked first
/// is sent first.
pub trait Session: Send + Sync + 'static {
    /// Changes something.
    fn act(&self, act: &Act) -> impl Future<Output = Result<Done, Failure>> + Send;

    /// The next page of what [`Opened::page`] began.
    fn sync(&self, next: &str) -> impl Future<Output = Result<Page, Failure>> + Send;

    /// Events beyond `after`.
    fn events(&self, conversation: &str, after: Seq) -> impl Future<Output = Result<EventPage, Failure>> + Send;

    /// Messages as they stand, of the timeline or of a thread.
    fn messages(&self, conversation: &str, turn: Turn, thread: Option<Seq>) -> impl Future<Output = Result<MessagePage, Failure>> + Send;

    /// A page of the list of all conversations.
    fn conversations(&self, next: Option<&str>) -> impl Future<Output = Result<Page, Failure>> + Send;

    /// One conversation.
    fn conversation(&self, conversation: &str) -> impl Future<Output = Result<Listed, Failure>> + Send;

    /// How far the members of a conversation are.
    fn positions(&self, conversation: &str) -> impl Future<Output = Result<Vec<Position>, Failure>> + Send;

    /// Who of these is there, now and in pushes from now on.
    fn watch(&self, users: &[Name]) -> impl Future<Output = Result<Vec<Presence>, Failure>> + Send;

    /// Reads nothing from the connection for so many milliseconds, as a slow client does.
    fn stall(&self, ms: u64) -> impl Future<Output = ()> + Send;
}
