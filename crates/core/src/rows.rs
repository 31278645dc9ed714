//! The rows of an aggregate that are not in its state: members, messages, reactions, and so on.
//! `step` reads them, `fold` changes them; where they are kept is not known here.

use std::collections::HashMap;

use crate::event::{Content, Event, Role, Text};
use crate::hash::Hash;
use crate::ids::{ConversationId, DeviceId, Ordinal, Seq, UserId};
use crate::unread::DeletedBlock;
use crate::visibility::Intervals;
use minicbor::{Decode, Encode};

/// Which row of the aggregate at hand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// Of a conversation: a member, present or former.
    Member(UserId),
    /// Of any log: an event, with the fold of the message that it made.
    Event(Seq),
    /// Of a conversation: that this user put this emoji to this message.
    Reaction(Seq, String, UserId),
    /// Of a conversation: the deleted ordinals of a block.
    Deleted(u64),
    /// Of a conversation: that this bucket of seqs holds timeline messages, and from which ordinal on.
    Bucket(u64),
    /// Of a conversation: that the second seq is a reply in the thread of the first.
    Reply(Seq, Seq),
    /// Of a conversation: that all members are called by this message.
    MentionAll(Seq),
    /// Of a user, written by a conversation: that this message of it calls them.
    Mention(UserId, Seq),
    /// Of a user: an entry of their conversation list.
    Inbox(ConversationId),
    /// Of no aggregate: the hash of a user's password.
    Credential(UserId),
    /// Of a user: the hash of a device's token.
    DeviceToken(DeviceId),
    /// Of no aggregate: whose token this is.
    Token(Hash),
}

/// A row's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowValue {
    /// See [`Member`].
    Member(Member),
    /// See [`Record`].
    Event(Box<Record>),
    /// Whether the reaction stands, and by which event.
    Reaction(Seq, bool),
    /// The deleted ordinals.
    Deleted(DeletedBlock),
    /// First ordinal in the bucket.
    Bucket(Ordinal),
    /// That it is so.
    Present,
    /// Ordinal of the message that mentions, 0 for one in a thread only.
    Mention(Ordinal),
    /// See [`InboxEntry`].
    Inbox(InboxEntry),
    /// The PHC string of a password.
    Credential(String),
    /// A token's hash.
    DeviceToken(Hash),
    /// A token's owner.
    Token(UserId, DeviceId),
}

impl RowValue {
    /// Bytes of the texts and lists in it, about.
    pub fn weight(&self) -> usize {
        match self {
            Self::Member(Member { visible, .. }) | Self::Inbox(InboxEntry { visible, .. }) => visible.iter().count() * 32,
            Self::Event(record) => record.event.weight() + record.fold.as_ref().map_or(0, MessageFold::weight),
            Self::Deleted(block) => block.words().len() * 9,
            _ => 0,
        }
    }
}

/// Somebody who is or was a member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// What they may do; none for a former member.
    #[n(0)]
    pub role: Option<Role>,
    /// What they may see.
    #[n(1)]
    pub visible: Intervals,
    /// The event that this row was last brought to.
    #[n(2)]
    pub mark: Seq,
}

/// An event as it is kept: with the fold of the message that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The event; its content goes when the message is deleted.
    pub event: Event,
    /// What later events made of the message; none until one did.
    pub fold: Option<MessageFold>,
}

/// What later events made of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MessageFold {
    /// The event that this row was last brought to.
    #[n(0)]
    pub mark: Seq,
    /// The current text, if it was edited.
    #[n(1)]
    pub edited: Option<Text>,
    /// The edits, ascending.
    #[n(2)]
    pub edits: Vec<Seq>,
    /// The event that deleted it.
    #[n(3)]
    pub deleted: Option<Seq>,
    /// Reactions, in the order in which each emoji first came.
    #[n(4)]
    pub reactions: Vec<Reaction>,
    /// Replies in its thread that are not deleted.
    #[n(5)]
    pub replies: u64,
    /// Replies that its thread ever had: the highest ordinal there.
    #[n(6)]
    pub replies_ever: u64,
    /// The last reply.
    #[n(7)]
    pub last_reply: Option<Seq>,
}

/// One emoji under a message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reaction {
    /// 1 to 64 bytes.
    #[n(0)]
    pub emoji: String,
    /// How many users put it.
    #[n(1)]
    pub count: u64,
    /// The first of them who still do, at most 50.
    #[n(2)]
    pub users: Vec<UserId>,
}

impl MessageFold {
    fn weight(&self) -> usize {
        let reactions: usize = self.reactions.iter().map(|reaction| reaction.emoji.len() + reaction.users.len() * 17).sum();
        self.edited.as_ref().map_or(0, Text::weight) + self.edits.len() * 9 + reactions
    }
}

impl Record {
    /// A new event's record.
    pub fn new(event: Event) -> Self {
        Self { event, fold: None }
    }

    /// The current text of a message, unless it was deleted.
    pub fn text(&self) -> Option<&Text> {
        if let Some(edited) = self.fold.as_ref().and_then(|f| f.edited.as_ref()) {
            return Some(edited);
        }
        match self.event.content() {
            Some(Content::Message(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the message was deleted.
    pub fn deleted(&self) -> bool {
        self.fold.as_ref().is_some_and(|f| f.deleted.is_some())
    }
}

/// One conversation in a user's list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InboxEntry {
    /// What the user may see of it.
    #[n(0)]
    pub visible: Intervals,
    /// Whether the user is a member now.
    #[n(1)]
    pub joined: bool,
    /// The last effect taken from the conversation: (seq, n).
    #[n(2)]
    pub source: (Seq, u32),
    /// No notifications wanted.
    #[n(3)]
    pub muted: bool,
    /// Marked as unread by hand.
    #[n(4)]
    pub marked_unread: bool,
    /// The user's event that this row was last brought to.
    #[n(5)]
    pub mark: Seq,
}

/// Rows at hand: loaded ones, those that are known to be absent, and changes.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    known: HashMap<RowKey, Option<RowValue>>,
    changed: Vec<RowKey>,
    blind: bool,
}

impl Rows {
    /// Rows that hold nothing and keep nothing, for folding a state alone: it is a function of the
    /// events, whatever the rows are.
    pub fn blind() -> Self {
        Self { blind: true, ..Self::default() }
    }

    /// Whether the row is known, be it present or absent.
    pub fn knows(&self, key: &RowKey) -> bool {
        self.known.contains_key(key)
    }

    /// Puts a row that was read, or its absence.
    pub fn load(&mut self, key: RowKey, value: Option<RowValue>) {
        self.known.entry(key).or_insert(value);
    }

    /// Writes a row, or removes it.
    pub fn put(&mut self, key: RowKey, value: Option<RowValue>) {
        if self.blind {
            return;
        }
        self.changed.push(key.clone());
        self.known.insert(key, value);
    }

    /// A known row.
    ///
    /// # Panics
    /// In debug builds, if the row was not loaded: `needs` or `touches` has forgotten it.
    pub fn get(&self, key: &RowKey) -> Option<&RowValue> {
        let known = self.known.get(key);
        debug_assert!(known.is_some() || self.blind, "{key:?} was not loaded");
        known.and_then(Option::as_ref)
    }

    /// The keys written since the last call, in order, each once.
    pub fn take_changed(&mut self) -> Vec<RowKey> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Forgets the rows that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&RowKey) -> bool) {
        self.known.retain(|key, _| keep(key));
    }

    /// How many rows are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A member's row.
    pub fn member(&self, user: UserId) -> Option<&Member> {
        match self.get(&RowKey::Member(user)) {
            Some(RowValue::Member(member)) => Some(member),
            _ => None,
        }
    }

    /// An event's row.
    pub fn event(&self, seq: Seq) -> Option<&Record> {
        match self.get(&RowKey::Event(seq)) {
            Some(RowValue::Event(record)) => Some(record),
            _ => None,
        }
    }

    /// An entry of a conversation list.
    pub fn inbox(&self, conversation: ConversationId) -> Option<&InboxEntry> {
        match self.get(&RowKey::Inbox(conversation)) {
            Some(RowValue::Inbox(entry)) => Some(entry),
            _ => None,
        }
    }

    /// Changes an event's row by `change`, if it is there.
    pub fn update_event(&mut self, seq: Seq, change: impl FnOnce(&mut Record)) {
        if let Some(RowValue::Event(record)) = self.known.get_mut(&RowKey::Event(seq)).and_then(Option::as_mut) {
            change(record);
            self.changed.push(RowKey::Event(seq));
        }
    }
}
