//! Events: the entries of every aggregate's log. An event is an immutable envelope, chained by
//! hashes, and a content that can be removed without breaking the chain.

mod fact;

use minicbor::{Decode, Encode};

use crate::aggregate::AggregateId;
use crate::codec;
use crate::hash::{Hash, Salt};
use crate::ids::{ClientId, Seq, Time, UserId};
pub use fact::{Calls, ConversationKind, Fact, Form, History, Leaver, Moved, Role, ThreadPlace};

/// The removable part of an event.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// Of a message or its edit.
    #[n(0)]
    Message(#[n(0)] Text),
    /// Of a new group or a new title.
    #[n(1)]
    Title(#[n(0)] String),
    /// Of a user: the name shown.
    #[n(2)]
    Profile(#[n(0)] String),
    /// Of a device: what its owner calls it.
    #[n(3)]
    Label(#[n(0)] String),
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Text {
    /// 1 to 32,768 bytes and at most 8,192 characters.
    #[n(0)]
    pub text: String,
    /// Members who are called, at most 50, each once, ascending.
    #[n(1)]
    pub mentions: Vec<UserId>,
    /// Whether all members are called.
    #[n(2)]
    pub mention_all: bool,
}

impl Text {
    /// Bytes of its rows, about: those who are called have a row each.
    pub fn weight(&self) -> usize {
        self.text.len() + self.mentions.len() * 64
    }

    /// Whom this text calls and the other does not.
    pub fn calls_beyond(&self, other: Option<&Self>) -> Calls {
        let called = |user: &UserId| other.is_some_and(|other| other.mentions.contains(user));
        Calls {
            users: self.mentions.iter().copied().filter(|user| !called(user)).collect(),
            all: self.mention_all && !other.is_some_and(|other| other.mention_all),
        }
    }
}

/// The part of an event that never changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// Place in the log.
    #[n(0)]
    pub seq: Seq,
    /// Stamped at the edge, and never before the previous event's.
    #[n(1)]
    pub time: Time,
    /// Who did it; none for the server itself.
    #[n(2)]
    pub author: Option<UserId>,
    /// The id that the client gave the command; none for an effect or a timer.
    #[n(3)]
    pub client_id: Option<ClientId>,
    /// What happened.
    #[n(4)]
    pub fact: Fact,
    /// Salted hash of the content, if there was one.
    #[n(5)]
    pub content_hash: Option<Hash>,
    /// Hash of the envelope before; zeros for the first, chained to its aggregate by `Envelope::genesis`.
    #[n(6)]
    pub prev: Hash,
}

impl Envelope {
    /// What stands as `prev` in the first envelope of an aggregate.
    pub fn genesis(aggregate: &AggregateId) -> Hash {
        Hash::of(&codec::encode(aggregate))
    }

    /// This envelope's own hash: the digest of the log up to here.
    pub fn hash(&self) -> Hash {
        Hash::of(&codec::encode(self))
    }
}

/// A content and its salt; both are removed together.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sealed {
    /// Random, stamped at the edge.
    #[n(0)]
    pub salt: Salt,
    /// What was said.
    #[n(1)]
    pub content: Content,
}

impl Sealed {
    /// The hash that the envelope carries.
    pub fn hash(&self) -> Hash {
        Hash::salted(&self.salt, &codec::encode(&self.content))
    }
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The lasting part.
    pub envelope: Envelope,
    /// The removable part: none if the fact has none, or if it was removed.
    pub sealed: Option<Sealed>,
}

impl Event {
    /// Place in the log.
    pub fn seq(&self) -> Seq {
        self.envelope.seq
    }

    /// Bytes of the texts and lists in it, about.
    pub fn weight(&self) -> usize {
        let content = match self.content() {
            Some(Content::Message(text)) => text.weight(),
            Some(Content::Title(text) | Content::Profile(text) | Content::Label(text)) => text.len(),
            None => 0,
        };
        let fact = match &self.envelope.fact {
            // Each member has a row.
            Fact::ConversationCreated { members, .. } => members.len() * 128,
            Fact::MemberAdded { visible, .. } | Fact::MemberRemoved { visible, .. } => visible.iter().count() * 32,
            Fact::MessageDeleted { edits, uncalled, .. } => edits.len() * 9 + uncalled.users.len() * 64,
            Fact::PositionsMoved { positions } => positions.len() * 36,
            _ => 0,
        };
        content + fact
    }

    /// What was said, unless it was removed.
    pub fn content(&self) -> Option<&Content> {
        self.sealed.as_ref().map(|s| &s.content)
    }
}

/// An event before it has a place: what `step` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What happens.
    pub fact: Fact,
    /// The removable part.
    pub content: Option<Content>,
}

impl Draft {
    pub(crate) fn of(fact: Fact) -> Self {
        Self { fact, content: None }
    }

    pub(crate) fn with(fact: Fact, content: Content) -> Self {
        Self { fact, content: Some(content) }
    }
}

#[cfg(test)]
mod tests;
