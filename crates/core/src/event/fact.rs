//! Facts: what an event says for ever, for each kind of log. A fact keeps its number, and a field its
//! own; new fields come at the end.

use minicbor::{Decode, Encode};

use crate::hash::Hash;
use crate::ids::{ConversationId, DeviceId, Ordinal, Seq, Time, UserId};
use crate::visibility::Intervals;

/// What happened, in terms that stay for ever. Personal text is in [`super::Content`], not here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Fact {
    /// A conversation began. Content: the title of a group.
    #[n(0)]
    ConversationCreated {
        /// Direct or group.
        #[n(0)]
        kind: ConversationKind,
        /// What a member may see of the time before they came.
        #[n(1)]
        history: History,
        /// What a former member keeps.
        #[n(2)]
        leaver: Leaver,
        /// The first members, creator first; they see everything.
        #[n(3)]
        members: Vec<UserId>,
    },
    /// A message. Content: its text and mentions.
    #[n(1)]
    MessageCreated {
        /// Said or done (`/me`).
        #[n(0)]
        form: Form,
        /// Place in the conversation's timeline; none for a reply that is in its thread only.
        #[n(1)]
        ordinal: Option<Ordinal>,
        /// The message that began the thread, and the place in that thread, from 1.
        #[n(2)]
        thread: Option<ThreadPlace>,
        /// The message that this one answers.
        #[n(3)]
        reply_to: Option<Seq>,
        /// When it was first sent, if it was brought here from elsewhere.
        #[n(4)]
        original_time: Option<Time>,
    },
    /// A message's text was replaced. Content: the new text and mentions.
    #[n(2)]
    MessageEdited {
        /// The message.
        #[n(0)]
        target: Seq,
        /// Whom its text calls no longer.
        #[n(1)]
        uncalled: Calls,
    },
    /// A message was deleted for all; the contents of these events were removed.
    #[n(3)]
    MessageDeleted {
        /// The message.
        #[n(0)]
        target: Seq,
        /// Its edits, whose contents go too.
        #[n(1)]
        edits: Vec<Seq>,
        /// Its ordinal in the timeline, if it had one.
        #[n(2)]
        ordinal: Option<Ordinal>,
        /// The root of the thread that it was a reply in.
        #[n(3)]
        thread_root: Option<Seq>,
        /// Whom its text called.
        #[n(4)]
        uncalled: Calls,
    },
    /// The author put an emoji to a message.
    #[n(4)]
    ReactionAdded {
        /// The message.
        #[n(0)]
        target: Seq,
        /// 1 to 64 bytes.
        #[n(1)]
        emoji: String,
    },
    /// The author took an emoji back.
    #[n(5)]
    ReactionRemoved {
        /// The message.
        #[n(0)]
        target: Seq,
        /// 1 to 64 bytes.
        #[n(1)]
        emoji: String,
    },
    /// Somebody became a member, by themselves or by the author.
    #[n(6)]
    MemberAdded {
        /// Who.
        #[n(0)]
        user: UserId,
        /// As what.
        #[n(1)]
        role: Role,
        /// What they may see from now on.
        #[n(2)]
        visible: Intervals,
    },
    /// Somebody is a member no longer: they left (author and user are the same) or were removed.
    #[n(7)]
    MemberRemoved {
        /// Who.
        #[n(0)]
        user: UserId,
        /// As what.
        #[n(1)]
        role: Role,
        /// What they may still see.
        #[n(2)]
        visible: Intervals,
    },
    /// A member got another role.
    #[n(8)]
    RoleChanged {
        /// Who.
        #[n(0)]
        user: UserId,
        /// As what.
        #[n(1)]
        role: Role,
        /// As what before.
        #[n(2)]
        before: Role,
    },
    /// The group has a new title. Content: the title.
    #[n(9)]
    ConversationUpdated,

    /// An account began. Content: the profile.
    #[n(20)]
    UserCreated {
        /// The unique name, as its owner writes it.
        #[n(0)]
        name: String,
    },
    /// The profile changed. Content: the profile.
    #[n(21)]
    ProfileUpdated,
    /// A device logged in. Content: its label.
    #[n(22)]
    DeviceAdded {
        /// Which.
        #[n(0)]
        device: DeviceId,
    },
    /// A device was logged out.
    #[n(23)]
    DeviceRevoked {
        /// Which.
        #[n(0)]
        device: DeviceId,
    },
    /// The user's list holds this conversation now, whatever the cursor says.
    #[n(24)]
    ConversationAdded {
        /// Which.
        #[n(0)]
        conversation: ConversationId,
        /// What the user may see of it.
        #[n(1)]
        visible: Intervals,
        /// The event of the conversation that says so, and which of its effects.
        #[n(2)]
        source: (Seq, u32),
    },
    /// The user is a member no longer.
    #[n(25)]
    ConversationRemoved {
        /// Which.
        #[n(0)]
        conversation: ConversationId,
        /// What the user may still see of it; if nothing, it leaves the list.
        #[n(1)]
        visible: Intervals,
        /// The event of the conversation that says so, and which of its effects.
        #[n(2)]
        source: (Seq, u32),
    },
    /// The user wants to hear of this conversation, or not.
    #[n(26)]
    MuteChanged {
        /// Which.
        #[n(0)]
        conversation: ConversationId,
        /// Muted or not.
        #[n(1)]
        muted: bool,
    },
    /// The user marked a conversation as unread, or took the mark away.
    #[n(27)]
    UnreadMarked {
        /// Which.
        #[n(0)]
        conversation: ConversationId,
        /// Marked or not.
        #[n(1)]
        marked: bool,
    },
    /// One of the user's devices read or got messages: the positions now, merged over a second.
    #[n(28)]
    PositionsMoved {
        /// At most 256 conversations.
        #[n(0)]
        positions: Vec<Moved>,
    },
    /// The account was closed (true) or opened again by an administrator.
    #[n(29)]
    DisabledChanged {
        /// Closed or not.
        #[n(0)]
        disabled: bool,
    },
    /// The password changed.
    #[n(30)]
    PasswordChanged,

    /// A name was claimed for an account that is being made.
    #[n(40)]
    NameClaimed {
        /// For whom.
        #[n(0)]
        user: UserId,
        /// As its owner writes it.
        #[n(1)]
        name: String,
        /// Shown beside it.
        #[n(2)]
        display_name: String,
    },
    /// The account exists: the name is its for good.
    #[n(41)]
    NameConfirmed,

    /// A one-use code for the first administrator was made; an earlier one is void.
    #[n(60)]
    FirstCodeMade {
        /// Hash of the code.
        #[n(0)]
        code: Hash,
        /// Void from then on.
        #[n(1)]
        expires: Time,
    },
    /// Somebody became an administrator.
    #[n(61)]
    AdministratorAdded {
        /// Who.
        #[n(0)]
        user: UserId,
    },
    /// Somebody is an administrator no longer.
    #[n(62)]
    AdministratorRemoved {
        /// Who.
        #[n(0)]
        user: UserId,
    },
}

impl Fact {
    /// The message that this event changes: who may not see it may not see this.
    pub fn target(&self) -> Option<Seq> {
        match self {
            Self::MessageEdited { target, .. }
            | Self::MessageDeleted { target, .. }
            | Self::ReactionAdded { target, .. }
            | Self::ReactionRemoved { target, .. } => Some(*target),
            _ => None,
        }
    }

    /// Whether this is a message of the conversation's own timeline (not only of a thread).
    pub fn in_timeline(&self) -> bool {
        matches!(self, Self::MessageCreated { ordinal: Some(_), .. })
    }
}

/// A user's positions in one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Moved {
    /// Which.
    #[n(0)]
    pub conversation: ConversationId,
    /// Read up to here.
    #[n(1)]
    pub read: Seq,
    /// Got up to here.
    #[n(2)]
    pub delivered: Seq,
}

/// Where a reply stands in its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ThreadPlace {
    /// The message that began the thread.
    #[n(0)]
    pub root: Seq,
    /// Place among the replies, from 1.
    #[n(1)]
    pub ordinal: Ordinal,
}

/// Kinds of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ConversationKind {
    /// Two users, for ever the same two.
    #[n(0)]
    Direct,
    /// Up to 10,000 members, with a title.
    #[n(1)]
    Group,
}

/// What a new member may see of the time before they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum History {
    /// Everything.
    #[n(0)]
    Full,
    /// Nothing before the event that added them.
    #[n(1)]
    FromJoin,
}

/// What a former member may still see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Leaver {
    /// What they could see up to the event that removed them.
    #[n(0)]
    Keeps,
    /// Nothing.
    #[n(1)]
    Loses,
}

/// What a member may do; see `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Writes and adds members.
    #[n(0)]
    Member,
    /// Also removes members, changes roles and title, and deletes others' messages.
    #[n(1)]
    Owner,
}

/// Forms of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Form {
    /// Said.
    #[n(0)]
    Text,
    /// Done: shown as "* name text" (IRC's `/me`).
    #[n(1)]
    Action,
}

/// Who is called by a text. In a fact it names those whose entries in the index of mentions go:
/// when that is done again after a crash, the text that called them may be gone already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Calls {
    /// Each once, ascending.
    #[n(0)]
    pub users: Vec<UserId>,
    /// Whether all members are called.
    #[n(1)]
    pub all: bool,
}
