//! What is common to the four kinds of aggregate: their ids, commands, states and rows, and the
//! three pure functions `needs`, `step` and `fold`.

use minicbor::{Decode, Encode};

use crate::event::{Draft, Event};
use crate::hash::Salt;
use crate::ids::{ClientId, ConversationId, Seq, Time, UserId};
use crate::refusal::Refusal;
use crate::rows::{RowKey, RowValue, Rows};
use crate::{conversation, hash, name, server, user};

/// Which log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum AggregateId {
    /// A conversation.
    #[n(0)]
    Conversation(#[n(0)] ConversationId),
    /// A user.
    #[n(1)]
    User(#[n(0)] UserId),
    /// A unique name, by its folded form (`names::fold`).
    #[n(2)]
    Name(#[n(0)] String),
    /// The server itself: there is one.
    #[n(3)]
    Server,
}

/// Shards of all logs. Frozen for ever, as is the hash below: they are part of every format.
pub const SHARDS: u8 = 64;

impl AggregateId {
    /// Bytes that identify it, without those of another: what keys are made of.
    pub fn bytes(&self) -> Vec<u8> {
        let (kind, id): (u8, &[u8]) = match self {
            Self::Conversation(id) => (0, &id.0),
            Self::User(id) => (1, &id.0),
            Self::Name(name) => (2, name.as_bytes()),
            Self::Server => (3, &[]),
        };
        let mut bytes = Vec::with_capacity(1 + id.len());
        bytes.push(kind);
        bytes.extend_from_slice(id);
        bytes
    }

    /// The inverse of [`AggregateId::bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, id) = bytes.split_first()?;
        match kind {
            0 => Some(Self::Conversation(ConversationId(id.try_into().ok()?))),
            1 => Some(Self::User(UserId(id.try_into().ok()?))),
            2 => Some(Self::Name(String::from_utf8(id.to_vec()).ok()?)),
            3 if id.is_empty() => Some(Self::Server),
            _ => None,
        }
    }

    /// The shard that orders it: the first byte of the BLAKE3 hash of its bytes, modulo 64.
    pub fn shard(&self) -> u8 {
        hash::Hash::of(&self.bytes()).0[0] % SHARDS
    }

    /// The conversation, if it is one.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Conversation(id) => Some(*id),
            _ => None,
        }
    }
}

/// A change that is asked of one aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Of which.
    pub aggregate: AggregateId,
    /// Who asks, and how a repetition is known.
    pub origin: Origin,
    /// Stamped once, at the edge.
    pub stamp: Stamp,
    /// What is asked.
    pub action: Action,
}

impl Command {
    /// Bytes that it takes in a queue, about.
    pub fn weight(&self) -> usize {
        let text = match &self.action {
            Action::Conversation(conversation::Action::Send { text, .. } | conversation::Action::Edit { text, .. }) => text.text.len(),
            _ => 0,
        };
        512 + text
    }
}

/// Where a command comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client, by its user; one effect per (aggregate, user, client id), for ever.
    Client {
        /// Who.
        user: UserId,
        /// Made once by the client.
        client_id: ClientId,
        /// Of the request as it came: another under the same client id is a conflict. Secrets
        /// are not part of it.
        digest: Digest,
    },
    /// An event of another aggregate: its `n`th effect. Taken in order, once.
    Effect {
        /// Of which event's log.
        source: AggregateId,
        /// Which event.
        seq: Seq,
        /// Which of its effects, from 0.
        n: u32,
    },
    /// The server itself, at a due time. The action is harmless when repeated.
    Timer,
}

impl Origin {
    /// The user who asks.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Client { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// The id that makes a retry harmless.
    pub fn client_id(&self) -> Option<ClientId> {
        match self {
            Self::Client { client_id, .. } => Some(*client_id),
            _ => None,
        }
    }
}

/// The first 16 bytes of the BLAKE3 hash of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Digest(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl Digest {
    /// Of a request's canonical bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash::Hash::of(bytes).0[..16]);
        Self(digest)
    }
}

/// What became of a command: kept for ever by (aggregate, user, client id).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Verdict {
    /// Of the request.
    #[n(0)]
    pub digest: Digest,
    /// What became of it.
    #[n(1)]
    pub outcome: Outcome,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It took effect by the events `first ..= last`; both are the head if there was nothing to do.
    #[n(0)]
    Done {
        /// First event that it made.
        #[n(0)]
        first: Seq,
        /// Last event that it made.
        #[n(1)]
        last: Seq,
        /// The time of the last.
        #[n(2)]
        time: Time,
    },
    /// It never takes effect.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

/// What a pure function cannot make: put into the command at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Now, by the edge's clock.
    pub time: Time,
    /// Random; each event of the command derives its own from it.
    pub salt: Salt,
}

/// What can be asked, by kind of aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Of a conversation.
    Conversation(conversation::Action),
    /// Of a user.
    User(user::Action),
    /// Of a name.
    Name(name::Action),
    /// Of the server.
    Server(server::Action),
}

/// The folded state of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// Highest seq folded in.
    #[n(0)]
    pub head: Seq,
    /// Hash of the envelope at the head: the log's digest.
    #[n(1)]
    pub hash: hash::Hash,
    /// Time of the event at the head.
    #[n(2)]
    pub time: Time,
    /// What the kind keeps.
    #[n(3)]
    pub body: StateBody,
}

/// What each kind of aggregate keeps in its state.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum StateBody {
    /// Of a conversation.
    #[n(0)]
    Conversation(#[n(0)] conversation::Conversation),
    /// Of a user.
    #[n(1)]
    User(#[n(0)] user::User),
    /// Of a name.
    #[n(2)]
    Name(#[n(0)] name::Name),
    /// Of the server.
    #[n(3)]
    Server(#[n(0)] server::Server),
}

/// What a command does: events for the log, and rows that are in no log (secrets that must be
/// removable), written with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// In order; none when there is nothing to change.
    pub events: Vec<Draft>,
    /// Written in the same commit.
    pub rows: Vec<(RowKey, Option<RowValue>)>,
}

impl Step {
    pub(crate) fn one(draft: Draft) -> Self {
        Self { events: vec![draft], rows: Vec::new() }
    }

    pub(crate) fn nothing() -> Self {
        Self::default()
    }
}

impl State {
    /// The state before the first event.
    pub fn new(aggregate: &AggregateId) -> Self {
        let body = match aggregate {
            AggregateId::Conversation(_) => StateBody::Conversation(conversation::Conversation::default()),
            AggregateId::User(_) => StateBody::User(user::User::default()),
            AggregateId::Name(_) => StateBody::Name(name::Name::default()),
            AggregateId::Server => StateBody::Server(server::Server::default()),
        };
        Self { head: 0, hash: crate::event::Envelope::genesis(aggregate), time: 0, body }
    }

    /// The conversation in it, if it is one and exists.
    pub fn conversation(&self) -> Option<&conversation::Conversation> {
        match &self.body {
            StateBody::Conversation(c) if self.head > 0 => Some(c),
            _ => None,
        }
    }

    /// The user in it, if it is one and exists.
    pub fn user(&self) -> Option<&user::User> {
        match &self.body {
            StateBody::User(u) if self.head > 0 => Some(u),
            _ => None,
        }
    }

    /// The server's state, if it is that.
    pub fn server(&self) -> Option<&server::Server> {
        match &self.body {
            StateBody::Server(s) => Some(s),
            _ => None,
        }
    }
}

/// The rows that `step` must be given for this command.
pub fn needs(state: &State, command: &Command) -> Vec<RowKey> {
    match (&state.body, &command.action) {
        (StateBody::Conversation(_), Action::Conversation(action)) => conversation::needs(command.origin.user(), action),
        (StateBody::User(_), Action::User(action)) => user::needs(state, action),
        _ => Vec::new(),
    }
}

/// Decides a command. Pure: the same state, rows and command give the same answer.
pub fn step(state: &State, rows: &Rows, command: &Command) -> Result<Step, Refusal> {
    match (&state.body, &command.action) {
        (StateBody::Conversation(c), Action::Conversation(action)) => {
            conversation::step(c, state.head, rows, command.origin.user(), action)
        }
        (StateBody::User(u), Action::User(action)) => user::step(u, state.head, rows, &command.origin, action),
        (StateBody::Name(n), Action::Name(action)) => name::step(n, command.stamp.time, action),
        (StateBody::Server(s), Action::Server(action)) => server::step(s, command.origin.user(), command.stamp.time, action),
        _ => Err(Refusal::NotFound),
    }
}

/// The rows that folding this event changes or must look at.
pub fn touches(event: &Event) -> Vec<RowKey> {
    let mut keys = conversation::touches(event);
    keys.extend(user::touches(event));
    keys
}

/// Brings state and rows forward by one event. Rows that are already beyond it stay as they
/// are, so that folding again after a crash between two rows repairs the rest.
pub fn fold(state: &mut State, rows: &mut Rows, event: &Event) {
    match &mut state.body {
        StateBody::Conversation(c) => conversation::fold(c, rows, event),
        StateBody::User(u) => user::fold(u, rows, event),
        StateBody::Name(n) => name::fold(n, event),
        StateBody::Server(s) => server::fold(s, event),
    }
    state.head = event.envelope.seq;
    state.hash = event.envelope.hash();
    state.time = event.envelope.time;
}
