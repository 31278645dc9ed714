//! Events and messages as clients see them.

use chirrup_core::access::{View, view};
use chirrup_core::event::{Content, ConversationKind as CoreKind, Event as CoreEvent, Fact};
use chirrup_core::ids::{ClientId, ConversationId, DeviceId, Ordinal, Seq, Time, UserId};
use chirrup_core::rows::Record;
use chirrup_core::visibility::Intervals;
use serde::{Deserialize, Serialize};

use crate::choice::{Form, History, Leaver, Role};
use crate::text;

/// One entry of a log, as its reader may see it (rules E-1 to E-9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Place in the log.
    pub seq: Seq,
    /// When, by the server's clock; never before the event before. Left out when hidden.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::time::option")]
    pub time: Option<Time>,
    /// Who did it; left out when hidden or done by the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub author: Option<UserId>,
    /// The id that the author's client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub client_id: Option<ClientId>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Kind {
    /// Not for this reader to see.
    #[serde(rename = "hidden")]
    Hidden,
    /// A conversation began.
    #[serde(rename = "conversation.created")]
    ConversationCreated {
        /// Direct or group.
        kind: ConversationKind,
        /// Of a group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// For later members.
        history: History,
        /// For former members.
        leaver: Leaver,
        /// The first members, creator first.
        #[serde(with = "text::list")]
        members: Vec<UserId>,
    },
    /// The group has another title.
    #[serde(rename = "conversation.updated")]
    ConversationUpdated {
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// A message was sent.
    #[serde(rename = "message.created")]
    MessageCreated {
        /// Place in the timeline; left out for a reply in its thread only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordinal: Option<Ordinal>,
        /// Said or done.
        #[serde(default, skip_serializing_if = "Form::is_text")]
        form: Form,
        /// As sent; left out after the message was deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Members who were called.
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")]
        mentions: Vec<UserId>,
        /// Whether all were called.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mention_all: bool,
        /// The message answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Seq>,
        /// The message whose thread this is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_root: Option<Seq>,
        /// When it was first sent, elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::time::option")]
        original_time: Option<Time>,
    },
    /// A message's text was replaced.
    #[serde(rename = "message.edited")]
    MessageEdited {
        /// Which.
        target: Seq,
        /// The new text; left out after the message was deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Members who are called now.
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")]
        mentions: Vec<UserId>,
        /// Whether all are called now.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mention_all: bool,
    },
    /// A message was deleted for all.
    #[serde(rename = "message.deleted")]
    MessageDeleted {
        /// Which.
        target: Seq,
        /// Its place in the timeline, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordinal: Option<Ordinal>,
        /// The thread that it was a reply in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_root: Option<Seq>,
    },
    /// The author put an emoji to a message.
    #[serde(rename = "reaction.added")]
    ReactionAdded {
        /// Which message.
        target: Seq,
        /// Which emoji.
        emoji: String,
    },
    /// The author took an emoji back.
    #[serde(rename = "reaction.removed")]
    ReactionRemoved {
        /// Which message.
        target: Seq,
        /// Which emoji.
        emoji: String,
    },
    /// Somebody became a member.
    #[serde(rename = "member.added")]
    MemberAdded {
        /// Who.
        #[serde(with = "text")]
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Somebody left or was removed.
    #[serde(rename = "member.removed")]
    MemberRemoved {
        /// Who.
        #[serde(with = "text")]
        user: UserId,
    },
    /// A member got another role.
    #[serde(rename = "member.role_changed")]
    RoleChanged {
        /// Who.
        #[serde(with = "text")]
        user: UserId,
        /// Which.
        role: Role,
    },
    /// The account began.
    #[serde(rename = "user.created")]
    UserCreated {
        /// Unique.
        name: String,
        /// Shown beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
    },
    /// Another display name.
    #[serde(rename = "user.updated")]
    UserUpdated {
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
    },
    /// The account was closed or opened.
    #[serde(rename = "user.disabled")]
    UserDisabled {
        /// Closed or not.
        disabled: bool,
    },
    /// The password changed.
    #[serde(rename = "user.password_changed")]
    PasswordChanged,
    /// A device logged in.
    #[serde(rename = "device.added")]
    DeviceAdded {
        /// Which.
        #[serde(with = "text")]
        device: DeviceId,
        /// What its owner calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// A device was logged out.
    #[serde(rename = "device.revoked")]
    DeviceRevoked {
        /// Which.
        #[serde(with = "text")]
        device: DeviceId,
    },
    /// The user's list holds this conversation now: list it whatever the cursor says.
    #[serde(rename = "conversation.added")]
    ConversationAdded {
        /// Which.
        #[serde(with = "text")]
        conversation: ConversationId,
        /// The event of the conversation by which the user became a member.
        since: Seq,
    },
    /// The user is a member no longer.
    #[serde(rename = "conversation.removed")]
    ConversationRemoved {
        /// Which.
        #[serde(with = "text")]
        conversation: ConversationId,
        /// Whether the part that the user could see stays readable.
        readable: bool,
    },
    /// Notifications wanted or not.
    #[serde(rename = "mute.changed")]
    MuteChanged {
        /// Which.
        #[serde(with = "text")]
        conversation: ConversationId,
        /// Muted or not.
        muted: bool,
    },
    /// Marked as unread by hand, or no longer.
    #[serde(rename = "unread.marked")]
    UnreadMarked {
        /// Which.
        #[serde(with = "text")]
        conversation: ConversationId,
        /// Marked or not.
        marked: bool,
    },
    /// One of the user's devices read or got messages.
    #[serde(rename = "positions.moved")]
    PositionsMoved {
        /// The positions now.
        positions: Vec<Moved>,
    },
    /// Something that this client is too old to know.
    #[serde(other, rename = "unknown")]
    Unknown,
}

/// Own positions in one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Which.
    #[serde(with = "text")]
    pub conversation: ConversationId,
    /// Read up to here.
    pub read: Seq,
    /// Got up to here.
    pub delivered: Seq,
}

/// Kinds of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two users.
    Direct,
    /// Many, with a title.
    Group,
}

impl From<CoreKind> for ConversationKind {
    fn from(kind: CoreKind) -> Self {
        match kind {
            CoreKind::Direct => Self::Direct,
            CoreKind::Group => Self::Group,
        }
    }
}

impl Event {
    /// An event that its reader may not see.
    pub fn hidden(seq: Seq) -> Self {
        Self { seq, time: None, author: None, client_id: None, kind: Kind::Hidden }
    }

    /// What a reader with these intervals gets of a conversation's event.
    pub fn for_reader(event: &CoreEvent, visible: &Intervals) -> Self {
        match view(visible, event.seq(), &event.envelope.fact) {
            View::Whole => Self::whole(event),
            View::Hidden => Self::hidden(event.seq()),
        }
    }

    /// All of an event: for those who may see it, and for a user's own log.
    pub fn whole(event: &CoreEvent) -> Self {
        let envelope = &event.envelope;
        Self {
            seq: envelope.seq,
            time: Some(envelope.time),
            author: envelope.author,
            client_id: envelope.client_id,
            kind: kind(&envelope.fact, event.content()),
        }
    }
}

fn line(content: Option<&Content>) -> Option<String> {
    match content {
        Some(Content::Title(text) | Content::Profile(text) | Content::Label(text)) => Some(text.clone()),
        _ => None,
    }
}

fn kind(fact: &Fact, content: Option<&Content>) -> Kind {
    let text = match content {
        Some(Content::Message(text)) => Some(text),
        _ => None,
    };
    let mentions = text.map(|t| t.mentions.clone()).unwrap_or_default();
    let mention_all = text.is_some_and(|t| t.mention_all);
    match fact {
        Fact::ConversationCreated { kind, history, leaver, members } => Kind::ConversationCreated {
            kind: (*kind).into(),
            title: line(content),
            history: (*history).into(),
            leaver: (*leaver).into(),
            members: members.clone(),
        },
        Fact::ConversationUpdated => Kind::ConversationUpdated { title: line(content) },
        Fact::MessageCreated { form, ordinal, thread, reply_to, original_time } => Kind::MessageCreated {
            ordinal: *ordinal,
            form: (*form).into(),
            text: text.map(|t| t.text.clone()),
            mentions,
            mention_all,
            reply_to: *reply_to,
            thread_root: thread.map(|t| t.root),
            original_time: *original_time,
        },
        Fact::MessageEdited { target, .. } => {
            Kind::MessageEdited { target: *target, text: text.map(|t| t.text.clone()), mentions, mention_all }
        }
        Fact::MessageDeleted { target, ordinal, thread_root, .. } => {
            Kind::MessageDeleted { target: *target, ordinal: *ordinal, thread_root: *thread_root }
        }
        Fact::ReactionAdded { target, emoji } => Kind::ReactionAdded { target: *target, emoji: emoji.clone() },
        Fact::ReactionRemoved { target, emoji } => Kind::ReactionRemoved { target: *target, emoji: emoji.clone() },
        Fact::MemberAdded { user, role, .. } => Kind::MemberAdded { user: *user, role: (*role).into() },
        Fact::MemberRemoved { user, .. } => Kind::MemberRemoved { user: *user },
        Fact::RoleChanged { user, role, .. } => Kind::RoleChanged { user: *user, role: (*role).into() },
        Fact::UserCreated { name } => Kind::UserCreated { name: name.clone(), display_name: line(content) },
        Fact::ProfileUpdated => Kind::UserUpdated { display_name: line(content) },
        Fact::DeviceAdded { device } => Kind::DeviceAdded { device: *device, label: line(content) },
        Fact::DeviceRevoked { device } => Kind::DeviceRevoked { device: *device },
        Fact::ConversationAdded { conversation, source, .. } => Kind::ConversationAdded { conversation: *conversation, since: source.0 },
        Fact::ConversationRemoved { conversation, visible, .. } => {
            Kind::ConversationRemoved { conversation: *conversation, readable: !visible.is_empty() }
        }
        Fact::MuteChanged { conversation, muted } => Kind::MuteChanged { conversation: *conversation, muted: *muted },
        Fact::UnreadMarked { conversation, marked } => Kind::UnreadMarked { conversation: *conversation, marked: *marked },
        Fact::PositionsMoved { positions } => Kind::PositionsMoved {
            positions: positions.iter().map(|p| Moved { conversation: p.conversation, read: p.read, delivered: p.delivered }).collect(),
        },
        Fact::DisabledChanged { disabled } => Kind::UserDisabled { disabled: *disabled },
        Fact::PasswordChanged => Kind::PasswordChanged,
        // Logs of names and of the server are read by nobody outside.
        Fact::NameClaimed { .. }
        | Fact::NameConfirmed
        | Fact::FirstCodeMade { .. }
        | Fact::AdministratorAdded { .. }
        | Fact::AdministratorRemoved { .. } => Kind::Hidden,
    }
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The event that created it: its address in the conversation.
    pub seq: Seq,
    /// Place in the timeline; left out for a reply in its thread only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<Ordinal>,
    /// When it was sent.
    #[serde(with = "text::time")]
    pub time: Time,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub author: Option<UserId>,
    /// The id that the author's client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub client_id: Option<ClientId>,
    /// Said or done.
    #[serde(default, skip_serializing_if = "Form::is_text")]
    pub form: Form,
    /// The text now; left out if deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Members who are called.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")]
    pub mentions: Vec<UserId>,
    /// Whether all are called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
    /// The message answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Seq>,
    /// The message whose thread it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_root: Option<Seq>,
    /// When it was first sent, elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::time::option")]
    pub original_time: Option<Time>,
    /// How often it was edited.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edits: u64,
    /// Whether it was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Emoji under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Replies in its thread that stand.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replies: u64,
    /// The last reply in its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reply: Option<Seq>,
    /// The last event that changed it: what is told here holds up to there, so that a page and the
    /// events beyond it can be put together. Left out if it stands as it was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: Seq,
}

/// One emoji under a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Which.
    pub emoji: String,
    /// How many put it.
    pub count: u64,
    /// The first of them, at most 50.
    #[serde(with = "text::list")]
    pub users: Vec<UserId>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Message {
    /// A message of its record; `None` if the record is of another kind of event.
    pub fn of(record: &Record) -> Option<Self> {
        let envelope = &record.event.envelope;
        let Fact::MessageCreated { form, ordinal, thread, reply_to, original_time } = &envelope.fact else { return None };
        let text = record.text();
        let fold = record.fold.as_ref();
        Some(Self {
            seq: envelope.seq,
            ordinal: *ordinal,
            time: envelope.time,
            author: envelope.author,
            client_id: envelope.client_id,
            form: (*form).into(),
            text: text.map(|t| t.text.clone()),
            mentions: text.map(|t| t.mentions.clone()).unwrap_or_default(),
            mention_all: text.is_some_and(|t| t.mention_all),
            reply_to: *reply_to,
            thread_root: thread.map(|t| t.root),
            original_time: *original_time,
            edits: fold.map_or(0, |f| f.edits.len() as u64),
            deleted: record.deleted(),
            reactions: fold.map(|f| f.reactions.iter().map(Reaction::of).collect()).unwrap_or_default(),
            replies: fold.map_or(0, |f| f.replies),
            last_reply: fold.and_then(|f| f.last_reply),
            changed: fold.map_or(0, |f| f.mark),
        })
    }
}

impl Reaction {
    fn of(reaction: &chirrup_core::rows::Reaction) -> Self {
        Self { emoji: reaction.emoji.clone(), count: reaction.count, users: reaction.users.clone() }
    }
}
