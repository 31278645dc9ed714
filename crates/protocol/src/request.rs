//! What a client asks. A frame is `{"id": 7, "method": "send", "params": {…}}`; unknown methods
//! and unknown fields are refused.

use chirrup_core::ids::{ClientId, ConversationId, DeviceId, Seq, Time, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::choice::{self, Form, Role};
use crate::text;

/// One frame from a client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame<'a> {
    /// Repeated in the reply; the client's own, 0 to 2^53 − 1.
    pub id: u64,
    /// Which.
    #[serde(borrow)]
    pub method: std::borrow::Cow<'a, str>,
    /// Its parameters; may be left out where all are optional.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub params: Option<&'a RawValue>,
}

macro_rules! requests {
    ($(#[doc = $about:literal] $variant:ident = $name:literal,)*) => {
        /// Every request, by method.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "method", content = "params")]
        pub enum Request {
            $(#[doc = $about] #[serde(rename = $name)] $variant($variant),)*
        }

        impl Request {
            /// Names of all methods.
            pub const METHODS: &'static [&'static str] = &[$($name),*];

            /// Every method, and what it does in a sentence.
            pub const ABOUT: &'static [(&'static str, &'static str)] = &[$(($name, $about.trim_ascii())),*];

            /// The method's name.
            pub fn method(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Reads the parameters of a method; `None` for an unknown method.
            pub fn parse(method: &str, params: &str) -> Option<Result<Self, serde_json::Error>> {
                match method {
                    $($name => Some(serde_json::from_str(params).map(Self::$variant)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$variant> for Request {
            fn from(request: $variant) -> Self { Self::$variant(request) }
        })*
    };
}

requests! {
    /// Open an account and log in.
    SignUp = "sign_up",
    /// Log a device in.
    LogIn = "log_in",
    /// Begin a session on this connection.
    Hello = "hello",
    /// The next page of the conversations that `ready` began.
    Sync = "sync",
    /// Log this device out.
    LogOut = "log_out",
    /// Replace the password; logs out all other devices.
    ChangePassword = "change_password",
    /// List own devices.
    Devices = "devices",
    /// Log another of one's devices out.
    RevokeDevice = "revoke_device",
    /// Show another name beside the unique one.
    SetProfile = "set_profile",
    /// Find a user by exact name.
    Find = "find",
    /// Profiles by id.
    Users = "users",
    /// One's conversation list, a page.
    Conversations = "conversations",
    /// One conversation.
    Conversation = "conversation",
    /// Members of a conversation, a page.
    Members = "members",
    /// Begin, or find, the direct conversation with somebody.
    CreateDirect = "create_direct",
    /// Begin a group.
    CreateGroup = "create_group",
    /// Send a message.
    Send = "send",
    /// Give up a send that was refused for now, so that later ones may follow.
    Withdraw = "withdraw",
    /// Edit one's own message.
    Edit = "edit",
    /// Delete a message for all.
    Delete = "delete",
    /// Put an emoji to a message, or take it back.
    React = "react",
    /// Make members.
    AddMembers = "add_members",
    /// End somebody's membership.
    RemoveMember = "remove_member",
    /// End one's own membership.
    Leave = "leave",
    /// Give a member another role.
    SetRole = "set_role",
    /// Give a group another title.
    SetTitle = "set_title",
    /// Want no notifications of a conversation, or want them again.
    Mute = "mute",
    /// Mark a conversation as unread by hand, or take the mark away.
    MarkUnread = "mark_unread",
    /// Tell how far one has read.
    Read = "read",
    /// Tell how far messages have reached this device.
    Delivered = "delivered",
    /// How far the members have read.
    Positions = "positions",
    /// Events of a log as they are, for sync.
    Events = "events",
    /// Messages as they stand, for pages.
    History = "history",
    /// Tell that one is writing.
    Typing = "typing",
    /// See the presence of these users from now on.
    Watch = "watch",
    /// Tell whether one sits idle.
    Idle = "idle",
    /// Become the first administrator.
    RedeemFirstCode = "redeem_first_code",
    /// Accounts, a page (administrators).
    ListUsers = "list_users",
    /// Close or open an account (administrators).
    DisableUser = "disable_user",
    /// Give an account another password (administrators).
    ResetPassword = "reset_password",
    /// Make or unmake an administrator (administrators).
    SetAdministrator = "set_administrator",
    /// Make an account without a password for imported history (administrators).
    ImportUser = "import_user",
    /// Take a message over in its author's name (administrators).
    ImportMessage = "import_message",
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($body)* }
        )*
    };
}

params! {
    /// See [`Request::SignUp`]. Answered by [`crate::reply::LoggedIn`].
    SignUp {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Unique, 1 to 32 characters.
        pub name: String,
        /// 8 to 128 characters.
        pub password: String,
        /// Shown beside the name; the name if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub display_name: Option<String>,
        /// What to call this device; 1 to 128 characters.
        #[serde(default = "device_label")] pub device_label: String,
    }
    /// See [`Request::LogIn`]. Answered by [`crate::reply::LoggedIn`].
    LogIn {
        /// Makes a retry harmless: the same device gets another token.
        #[serde(with = "text")] pub client_id: ClientId,
        /// The account's name.
        pub name: String,
        /// Its password.
        pub password: String,
        /// What to call this device.
        #[serde(default = "device_label")] pub device_label: String,
    }
    /// See [`Request::Hello`]. Answered by [`crate::reply::Ready`].
    Hello {
        /// The device's token.
        pub token: String,
        /// Protocol versions that the client speaks: lowest and highest; now both 1.
        #[serde(default = "versions")] pub versions: (u32, u32),
        /// From the last page of `ready` or a heartbeat; none on a fresh device.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub cursor: Option<String>,
        /// A connection in the background does not make its user online.
        #[serde(default)] pub background: bool,
    }
    /// See [`Request::Sync`]. Answered by [`crate::reply::SyncPage`].
    Sync {
        /// `next` of the page before.
        pub page: String,
    }
    /// See [`Request::LogOut`]. Answered by `{}`, then the connection closes.
    LogOut {}
    /// See [`Request::ChangePassword`]. Answered by `{}`.
    ChangePassword {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// The password now.
        pub old: String,
        /// The password from now on, 8 to 128 characters.
        pub new: String,
    }
    /// See [`Request::Devices`]. Answered by [`crate::reply::Devices`].
    Devices {}
    /// See [`Request::RevokeDevice`]. Answered by [`crate::reply::Done`].
    RevokeDevice {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Which.
        #[serde(with = "text")] pub device: DeviceId,
    }
    /// See [`Request::SetProfile`]. Answered by [`crate::reply::Done`].
    SetProfile {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// 1 to 128 characters.
        pub display_name: String,
    }
    /// See [`Request::Find`]. Answered by [`crate::reply::User`].
    Find {
        /// The exact name, in any case.
        pub name: String,
    }
    /// See [`Request::Users`]. Answered by [`crate::reply::Users`]; unknown ones are left out.
    Users {
        /// At most 100.
        #[serde(with = "text::list")] pub users: Vec<UserId>,
    }
    /// See [`Request::Conversations`]. Answered by [`crate::reply::Conversations`].
    Conversations {
        /// `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub after: Option<String>,
        /// 1 to 100.
        #[serde(default = "page")] pub limit: u32,
    }
    /// See [`Request::Conversation`]. Answered by [`crate::reply::Conversation`].
    Conversation {
        /// Which.
        #[serde(with = "text")] pub conversation: ConversationId,
    }
    /// See [`Request::Members`]. Answered by [`crate::reply::Members`].
    Members {
        /// Of which.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")] pub after: Option<UserId>,
        /// 1 to 1,000.
        #[serde(default = "page")] pub limit: u32,
    }
    /// See [`Request::CreateDirect`]. Answered by [`crate::reply::Created`].
    CreateDirect {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// With whom.
        #[serde(with = "text")] pub with: UserId,
    }
    /// See [`Request::CreateGroup`]. Answered by [`crate::reply::Created`].
    CreateGroup {
        /// Makes a retry harmless: the same group.
        #[serde(with = "text")] pub client_id: ClientId,
        /// 1 to 128 characters.
        pub title: String,
        /// What a member may see of the time before they came.
        #[serde(default)] pub history: choice::History,
        /// What a former member keeps.
        #[serde(default)] pub leaver: choice::Leaver,
        /// The first members beside oneself, at most 100.
        #[serde(default, with = "text::list")] pub members: Vec<UserId>,
    }
    /// See [`Request::Send`]. Answered by [`crate::reply::Done`].
    Send {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where to.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// 1 to 8,192 characters, at most 32,768 bytes.
        pub text: String,
        /// Said or done.
        #[serde(default, skip_serializing_if = "Form::is_text")] pub form: Form,
        /// Members who are called, at most 50.
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")] pub mentions: Vec<UserId>,
        /// Whether all members are called.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub mention_all: bool,
        /// The message answered.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub reply_to: Option<Seq>,
        /// The message whose thread this goes to.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub thread_root: Option<Seq>,
        /// Whether a reply in a thread also stands in the timeline.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub also_in_conversation: bool,
    }
    /// See [`Request::Withdraw`]. Answered by `{}`, also if nothing waits for this send. What was
    /// answered `unknown` may have taken effect all the same.
    Withdraw {
        /// Where it was sent to.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Of the send.
        #[serde(with = "text")] pub client_id: ClientId,
    }
    /// See [`Request::Edit`]. Answered by [`crate::reply::Done`].
    Edit {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Which message: the seq of its creation.
        pub target: Seq,
        /// The new text.
        pub text: String,
        /// Members who are called now.
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")] pub mentions: Vec<UserId>,
        /// Whether all members are called now.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")] pub mention_all: bool,
    }
    /// See [`Request::Delete`]. Answered by [`crate::reply::Done`].
    Delete {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Which message.
        pub target: Seq,
    }
    /// See [`Request::React`]. Answered by [`crate::reply::Done`].
    React {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Which message.
        pub target: Seq,
        /// 1 to 64 bytes.
        pub emoji: String,
        /// Put (true) or take back (false).
        #[serde(default = "yes")] pub add: bool,
    }
    /// See [`Request::AddMembers`]. Answered by [`crate::reply::Done`].
    AddMembers {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Whom, 1 to 100.
        #[serde(with = "text::list")] pub users: Vec<UserId>,
    }
    /// See [`Request::RemoveMember`]. Answered by [`crate::reply::Done`].
    RemoveMember {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Whom.
        #[serde(with = "text")] pub user: UserId,
    }
    /// See [`Request::Leave`]. Answered by [`crate::reply::Done`].
    Leave {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Which.
        #[serde(with = "text")] pub conversation: ConversationId,
    }
    /// See [`Request::SetRole`]. Answered by [`crate::reply::Done`].
    SetRole {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Whom.
        #[serde(with = "text")] pub user: UserId,
        /// Which.
        pub role: Role,
    }
    /// See [`Request::SetTitle`]. Answered by [`crate::reply::Done`].
    SetTitle {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// 1 to 128 characters.
        pub title: String,
    }
    /// See [`Request::Mute`]. Answered by [`crate::reply::Done`].
    Mute {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Which.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Muted or not.
        pub muted: bool,
    }
    /// See [`Request::MarkUnread`]. Answered by [`crate::reply::Done`].
    MarkUnread {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Which.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Marked or not.
        pub marked: bool,
    }
    /// See [`Request::Read`]. Answered by [`crate::reply::Position`] once it is written.
    Read {
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Up to and with this event.
        pub seq: Seq,
    }
    /// See [`Request::Delivered`]. Answered by [`crate::reply::Position`] once it is written.
    Delivered {
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Up to and with this event.
        pub seq: Seq,
    }
    /// See [`Request::Positions`]. Answered by [`crate::reply::Positions`].
    Positions {
        /// Where; conversations of up to 100 members.
        #[serde(with = "text")] pub conversation: ConversationId,
    }
    /// See [`Request::Events`]. Answered by [`crate::reply::Events`].
    Events {
        /// Of which conversation; one's own user log if left out.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")] pub conversation: Option<ConversationId>,
        /// Events beyond this seq.
        #[serde(default)] pub after: Seq,
        /// 1 to 500.
        #[serde(default = "page")] pub limit: u32,
    }
    /// See [`Request::History`]. Answered by [`crate::reply::History`]. At most one of `before`,
    /// `after`, `around`; with none, the newest page.
    History {
        /// Of which.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Messages before this seq, the nearest.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub before: Option<Seq>,
        /// Messages beyond this seq, the nearest.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub after: Option<Seq>,
        /// Messages around this seq, itself among them.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub around: Option<Seq>,
        /// Of the thread of this message instead of the timeline.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub thread_root: Option<Seq>,
        /// 1 to 100.
        #[serde(default = "page")] pub limit: u32,
    }
    /// See [`Request::Typing`]. Answered by `{}`. To be repeated every `typing_ms` of `ready`.
    Typing {
        /// Where.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Whether one writes or has stopped.
        #[serde(default = "yes")] pub typing: bool,
    }
    /// See [`Request::Watch`]. Replaces the users watched before. Answered by [`crate::reply::Presences`].
    Watch {
        /// At most 200; users with whom one shares no conversation are answered as offline.
        #[serde(with = "text::list")] pub users: Vec<UserId>,
    }
    /// See [`Request::Idle`]. Answered by `{}`.
    Idle {
        /// Idle or at work.
        pub idle: bool,
    }
    /// See [`Request::RedeemFirstCode`]. Answered by [`crate::reply::Done`].
    RedeemFirstCode {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// As printed by the server.
        pub code: String,
    }
    /// See [`Request::ListUsers`]. Answered by [`crate::reply::Accounts`].
    ListUsers {
        /// `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub after: Option<String>,
        /// 1 to 500.
        #[serde(default = "page")] pub limit: u32,
    }
    /// See [`Request::DisableUser`]. Answered by [`crate::reply::Done`].
    DisableUser {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Whom.
        #[serde(with = "text")] pub user: UserId,
        /// Close or open.
        #[serde(default = "yes")] pub disabled: bool,
    }
    /// See [`Request::ResetPassword`]. Answered by [`crate::reply::Done`].
    ResetPassword {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Whose.
        #[serde(with = "text")] pub user: UserId,
        /// 8 to 128 characters.
        pub password: String,
    }
    /// See [`Request::SetAdministrator`]. Answered by [`crate::reply::Done`].
    SetAdministrator {
        /// Makes a retry harmless.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Whom.
        #[serde(with = "text")] pub user: UserId,
        /// Make or unmake.
        #[serde(default = "yes")] pub administrator: bool,
    }
    /// See [`Request::ImportUser`]. Answered by [`crate::reply::User`].
    ImportUser {
        /// Makes a retry harmless: the same account.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Unique, 1 to 32 characters.
        pub name: String,
        /// Shown beside the name; the name if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub display_name: Option<String>,
    }
    /// See [`Request::ImportMessage`]. Answered by [`crate::reply::Done`].
    ImportMessage {
        /// Makes a retry harmless: made of the file and the line.
        #[serde(with = "text")] pub client_id: ClientId,
        /// Where to; the author must be a member.
        #[serde(with = "text")] pub conversation: ConversationId,
        /// Whose.
        #[serde(with = "text")] pub author: UserId,
        /// As of [`Send`].
        pub text: String,
        /// Said or done.
        #[serde(default, skip_serializing_if = "Form::is_text")] pub form: Form,
        /// When it was sent, there.
        #[serde(with = "text::time")] pub original_time: Time,
        /// The message answered.
        #[serde(default, skip_serializing_if = "Option::is_none")] pub reply_to: Option<Seq>,
    }
}

fn device_label() -> String {
    "a device".to_owned()
}

fn versions() -> (u32, u32) {
    (1, 1)
}

fn page() -> u32 {
    50
}

fn yes() -> bool {
    true
}
