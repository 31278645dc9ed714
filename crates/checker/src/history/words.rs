//! What people do in a chat, and what of it is seen.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An id or a text; cheap to copy.
pub type Name = Arc<str>;
/// A place in the log of a conversation: 1, 2, 3 …
pub type Seq = u64;

/// What a client asks to be changed. `key` is the client's own id of it, kept across retries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A message. The body is unlike any other of the run.
    Send {
        /// Where to.
        conversation: Name,
        /// The client's id of it.
        key: Name,
        /// What is said.
        body: Name,
        /// The message answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Seq>,
        /// The message whose thread it goes to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<Seq>,
        /// Whether a reply in a thread stands in the timeline as well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        also_in_conversation: bool,
    },
    /// Another body for a message. It, too, is unlike any other of the run.
    Edit {
        /// Where.
        conversation: Name,
        /// The client's id of it.
        key: Name,
        /// Which message.
        target: Seq,
        /// What is said now.
        body: Name,
    },
    /// A message is deleted for all.
    Delete {
        /// Where.
        conversation: Name,
        /// The client's id of it.
        key: Name,
        /// Which message.
        target: Seq,
    },
    /// An emoji is put to a message, or taken back.
    React {
        /// Where.
        conversation: Name,
        /// The client's id of it.
        key: Name,
        /// Which message.
        target: Seq,
        /// Which emoji.
        emoji: Name,
        /// Put or taken back.
        add: bool,
    },
    /// Somebody becomes a member.
    AddMember {
        /// Of which conversation.
        conversation: Name,
        /// The client's id of it.
        key: Name,
        /// Who.
        user: Name,
    },
    /// Somebody, perhaps oneself, is a member no longer.
    RemoveMember {
        /// Of which conversation.
        conversation: Name,
        /// The client's id of it.
        key: Name,
        /// Who.
        user: Name,
    },
    /// A group begins.
    CreateGroup {
        /// The client's id of it.
        key: Name,
        /// Its title.
        title: Name,
        /// First members beside oneself.
        members: Vec<Name>,
        /// What later members see.
        past: Past,
        /// What former members see.
        leaver: Leaver,
    },
    /// The conversation of two.
    CreateDirect {
        /// The client's id of it.
        key: Name,
        /// With whom.
        with: Name,
    },
    /// One has read up to and with this event.
    Read {
        /// Where.
        conversation: Name,
        /// How far.
        seq: Seq,
    },
    /// Everything up to and with this event has reached one.
    Delivered {
        /// Where.
        conversation: Name,
        /// How far.
        seq: Seq,
    },
}

/// What a later member sees of the time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Past {
    /// Everything.
    Full,
    /// Nothing.
    FromJoin,
}

/// What a former member sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaver {
    /// What they could, up to their end.
    Keeps,
    /// Nothing.
    Loses,
}

impl Act {
    /// In which conversation; none for one that begins.
    pub fn conversation(&self) -> Option<&Name> {
        match self {
            Self::Send { conversation, .. }
            | Self::Edit { conversation, .. }
            | Self::Delete { conversation, .. }
            | Self::React { conversation, .. }
            | Self::AddMember { conversation, .. }
            | Self::RemoveMember { conversation, .. }
            | Self::Read { conversation, .. }
            | Self::Delivered { conversation, .. } => Some(conversation),
            Self::CreateGroup { .. } | Self::CreateDirect { .. } => None,
        }
    }

    /// The client's id of it; none for positions, which only grow and need none.
    pub fn key(&self) -> Option<&Name> {
        match self {
            Self::Send { key, .. }
            | Self::Edit { key, .. }
            | Self::Delete { key, .. }
            | Self::React { key, .. }
            | Self::AddMember { key, .. }
            | Self::RemoveMember { key, .. }
            | Self::CreateGroup { key, .. }
            | Self::CreateDirect { key, .. } => Some(key),
            Self::Read { .. } | Self::Delivered { .. } => None,
        }
    }

    /// What is said by it.
    pub fn body(&self) -> Option<&Name> {
        match self {
            Self::Send { body, .. } | Self::Edit { body, .. } => Some(body),
            _ => None,
        }
    }
}

/// An entry of a conversation's log, as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Name>,
    /// The id that the author's client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// When, as the server says; compared for being the same only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Name>,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Not for this reader to see.
    Hidden,
    /// The conversation began.
    Created {
        /// Its first members.
        members: Vec<Name>,
        /// What later members see.
        past: Past,
        /// What former members see.
        leaver: Leaver,
    },
    /// A message.
    Message {
        /// What was said; none once it is deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Name>,
        /// Whether it stands in the timeline.
        timeline: bool,
        /// The message answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Seq>,
        /// The message whose thread it is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<Seq>,
    },
    /// A message says something else.
    Edited {
        /// Which.
        target: Seq,
        /// What is said now; none once the message is deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Name>,
    },
    /// A message is deleted.
    Deleted {
        /// Which.
        target: Seq,
    },
    /// An emoji was put to a message, or taken back.
    Reacted {
        /// Which message.
        target: Seq,
        /// Which emoji.
        emoji: Name,
        /// Put or taken back.
        add: bool,
    },
    /// Somebody became a member.
    Joined {
        /// Who.
        user: Name,
    },
    /// Somebody's membership ended.
    Left {
        /// Whose.
        user: Name,
    },
    /// Something that nobody here judges, by its name.
    Other(Name),
}

/// A message as it stands, as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The event that created it.
    pub seq: Seq,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Name>,
    /// The id that the author's client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// What it says; none if it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Name>,
    /// Whether it is deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The last event that is told in it; 0 if it stands as it was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: Seq,
    /// Emoji and how many put each, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<(Name, u64)>,
}

/// Which page of messages was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The newest.
    Newest,
    /// The nearest before this.
    Before(Seq),
    /// The nearest after this.
    After(Seq),
}

/// A conversation, as the list of its reader tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Which.
    pub conversation: Name,
    /// Highest seq that the reader may see.
    pub head: Seq,
    /// Whether the reader is a member.
    pub joined: bool,
    /// Read up to here.
    pub read: Seq,
    /// Got up to here.
    pub delivered: Seq,
    /// Messages that are not read.
    pub unread: u64,
    /// The last message of the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
}

/// How far somebody has read and got a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which.
    pub conversation: Name,
    /// Who.
    pub user: Name,
    /// Read up to here.
    pub read: Seq,
    /// Got up to here.
    pub delivered: Seq,
}

/// Whether somebody is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Who.
    pub user: Name,
    /// Whether.
    pub status: Status,
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// They are.
    Online,
    /// They are, but do nothing.
    Away,
    /// They are not, or it is not for the asker to know.
    Offline,
}

/// How far a log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which.
    pub conversation: Name,
    /// Its highest seq.
    pub head: Seq,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
