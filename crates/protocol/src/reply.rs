//! What the server answers: `{"id": 7, "ok": {…}}` or `{"id": 7, "error": {…}}`.

use chirrup_core::ids::{ConversationId, DeviceId, Seq, Time, UserId};
use chirrup_core::presence::{Seen, Status as CoreStatus};
use chirrup_core::unread::Unread as CoreUnread;
use serde::{Deserialize, Serialize};

use crate::choice::{History as HistoryRule, Leaver, Role};
use crate::error::Error;
use crate::event::{ConversationKind, Event, Message};
use crate::limits::Limits;
use crate::text;

/// The answer to the request with the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// The request's.
    pub id: u64,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome<T>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// It was done.
    Ok(T),
    /// It was not, or it is not known.
    Error(Error),
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub struct $name { $($body)* }
        )*
    };
}

replies! {
    /// A change took effect.
    Done {
        /// The event that it made (the last, if several); the head, if there was nothing to change.
        pub seq: Seq,
        /// When.
        #[serde(with = "text::time")] pub time: Time,
        /// Whether this was a retry of a request that had taken effect before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub duplicate: bool,
    }
    /// A conversation stands.
    Created {
        /// Which.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Its head after the request.
        pub seq: Seq,
        /// When.
        #[serde(with = "text::time")] pub time: Time,
        /// Whether this was a retry.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub duplicate: bool,
    }
    /// A device is logged in.
    LoggedIn {
        /// Whose.
        #[serde(with = "text")] pub user: UserId,
        /// Which.
        #[serde(with = "text")] pub device: DeviceId,
        /// For `hello`; told only here, once.
        pub token: String,
    }
    /// A session began; all conversations that changed since the cursor follow, in pages.
    Ready {
        /// Who one is.
        pub user: User,
        /// Which device this is.
        #[serde(with = "text")] pub device: DeviceId,
        /// Whether one is an administrator of the server.
        pub administrator: bool,
        /// Protocol version in use.
        pub version: u32,
        /// Rises when the server can do more.
        pub feature_level: u32,
        /// Everything is to be loaded anew: the cursor was of no use.
        pub reset: bool,
        /// All limits and intervals.
        pub limits: Limits,
        /// Head of one's own user log.
        pub user_head: Seq,
        /// The first page.
        #[serde(flatten)] pub page: SyncPage,
    }
    /// Conversations that changed.
    SyncPage {
        /// At most 100.
        pub conversations: Vec<Conversation>,
        /// Ask `sync` with it for the next page; none on the last.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub next: Option<String>,
        /// On the last page: for the next `hello`.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub cursor: Option<String>,
    }
    /// A conversation as one has it.
    Conversation {
        /// Which.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Direct or group.
        pub kind: ConversationKind,
        /// Of a group; left out for a former member if it changed since.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub title: Option<String>,
        /// Of a direct one: the other.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")] pub with: Option<UserId>,
        /// For later members.
        pub history: HistoryRule,
        /// For former members.
        pub leaver: Leaver,
        /// Present members; 0 for a former member, who is not told.
        pub members: u32,
        /// Whether one is a member now.
        pub joined: bool,
        /// Highest seq that one may see.
        pub head: Seq,
        /// Read up to here.
        pub read: Seq,
        /// Got up to here.
        pub delivered: Seq,
        /// Messages beyond `read`: visible, not one's own, not deleted, in the timeline.
        pub unread: Unread,
        /// Of messages beyond `read`: those that mention one.
        pub mentions: Unread,
        /// Marked as unread by hand.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub marked_unread: bool,
        /// No notifications wanted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub muted: bool,
        /// The last message of the timeline that one may see, even if deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub last_message: Option<Message>,
    }
    /// A count.
    Unread {
        /// How many.
        pub count: u64,
        /// There may be more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub at_least: bool,
    }
    /// A profile.
    User {
        /// Who.
        #[serde(with = "text")] pub user: UserId,
        /// Unique.
        pub name: String,
        /// Shown beside it.
        pub display_name: String,
        /// The account is closed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub disabled: bool,
    }
    /// Profiles.
    Users {
        /// In the order asked.
        pub users: Vec<User>,
    }
    /// An account, for administrators.
    Account {
        /// Profile.
        #[serde(flatten)] pub user: User,
        /// Whether an administrator.
        pub administrator: bool,
        /// Logged-in devices.
        pub devices: u32,
        /// When it began.
        #[serde(with = "text::time")] pub created: Time,
    }
    /// Accounts, a page.
    Accounts {
        /// Accounts.
        pub users: Vec<Account>,
        /// For the next page; none on the last.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub next: Option<String>,
    }
    /// Devices of a user.
    Devices {
        /// Oldest first.
        pub devices: Vec<Device>,
    }
    /// A device.
    Device {
        /// Which.
        #[serde(with = "text")] pub device: DeviceId,
        /// What its owner calls it.
        pub label: String,
        /// When it logged in.
        #[serde(with = "text::time")] pub added: Time,
        /// Whether it is the one that asks.
        pub this: bool,
        /// Whether it is connected now.
        pub connected: bool,
    }
    /// Conversations, a page.
    Conversations {
        /// Conversations.
        pub conversations: Vec<Conversation>,
        /// For the next page; none on the last.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub next: Option<String>,
    }
    /// Members, a page.
    Members {
        /// Ascending by id.
        pub members: Vec<Member>,
        /// For the next page; none on the last.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")] pub next: Option<UserId>,
    }
    /// A member.
    Member {
        /// Profile.
        #[serde(flatten)] pub user: User,
        /// What they may do.
        pub role: Role,
    }
    /// One's own positions in a conversation.
    Position {
        /// Read up to here.
        pub read: Seq,
        /// Got up to here.
        pub delivered: Seq,
    }
    /// Positions of members.
    Positions {
        /// Those who have read or got anything.
        pub positions: Vec<MemberPosition>,
    }
    /// How far one member is.
    MemberPosition {
        /// Who.
        #[serde(with = "text")] pub user: UserId,
        /// Read up to here.
        pub read: Seq,
        /// Got up to here.
        pub delivered: Seq,
    }
    /// Events of a log.
    Events {
        /// Dense: `after + 1`, `after + 2`, …
        pub events: Vec<Event>,
        /// Highest seq that one may see.
        pub head: Seq,
        /// Hash of the chain at the last event of this page, hexadecimal; left out if the page is empty.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub digest: Option<String>,
    }
    /// Messages, a page.
    History {
        /// Oldest first.
        pub messages: Vec<Message>,
        /// There are more before these.
        pub more_before: bool,
        /// There are more after these.
        pub more_after: bool,
        /// Highest seq that one may see.
        pub head: Seq,
    }
    /// Presence of the users watched.
    Presences {
        /// In the order asked.
        pub presences: Vec<Presence>,
    }
    /// Presence of a user.
    Presence {
        /// Who.
        #[serde(with = "text")] pub user: UserId,
        /// How.
        pub status: Status,
        /// When they were last seen, if they are not online.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::time::option")] pub last_active_at: Option<Time>,
    }
    /// Nothing to tell.
    Nothing {}
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A connection lives.
    Online,
    /// All connections are idle.
    Away,
    /// None lives.
    Offline,
}

impl From<CoreUnread> for Unread {
    fn from(unread: CoreUnread) -> Self {
        match unread {
            CoreUnread::Exactly(count) => Self { count, at_least: false },
            CoreUnread::AtLeast(count) => Self { count, at_least: true },
        }
    }
}

impl From<Seen> for Presence {
    fn from(seen: Seen) -> Self {
        let status = match seen.status {
            CoreStatus::Online => Status::Online,
            CoreStatus::Away => Status::Away,
            CoreStatus::Offline => Status::Offline,
        };
        Self { user: seen.user, status, last_active_at: seen.last_active }
    }
}
