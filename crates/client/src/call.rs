//! Requests with the type of their reply.

use chirrup_protocol::reply;
use chirrup_protocol::request::{self, Request};
use serde::de::DeserializeOwned;

use crate::machine::Lesson;

/// A request that the server answers with a `Reply`.
pub trait Call: Into<Request> {
    /// What it is answered with.
    type Reply: DeserializeOwned;

    /// What the view can learn from the answer.
    fn lesson(&self) -> Lesson {
        Lesson::None
    }
}

macro_rules! calls {
    ($($request:ident => $reply:ident $($lesson:ident)?;)*) => {
        $(impl Call for request::$request {
            type Reply = reply::$reply;
            $(fn lesson(&self) -> Lesson { Lesson::$lesson })?
        })*
    };
}

calls! {
    SignUp => LoggedIn;
    LogIn => LoggedIn;
    LogOut => Nothing;
    ChangePassword => Nothing;
    Devices => Devices;
    RevokeDevice => Done;
    SetProfile => Done;
    Find => User User;
    Users => Users Users;
    Conversations => Conversations Conversations;
    Conversation => Conversation Conversation;
    Members => Members Members;
    CreateDirect => Created;
    CreateGroup => Created;
    Send => Done;
    Edit => Done;
    Delete => Done;
    React => Done;
    AddMembers => Done;
    RemoveMember => Done;
    Leave => Done;
    SetRole => Done;
    SetTitle => Done;
    Mute => Done;
    MarkUnread => Done;
    Positions => Positions;
    Events => Events;
    RedeemFirstCode => Done;
    ListUsers => Accounts;
    DisableUser => Done;
    ResetPassword => Done;
    SetAdministrator => Done;
    ImportUser => User;
    ImportMessage => Done;
}

impl Call for request::History {
    type Reply = reply::History;

    fn lesson(&self) -> Lesson {
        Lesson::History(self.conversation)
    }
}

/// A change of a conversation that goes through the outbox.
pub trait Say: Into<Request> {
    /// Which conversation, and under which client id.
    fn place(&self) -> (chirrup_core::ids::ConversationId, chirrup_core::ids::ClientId);
}

macro_rules! says {
    ($($request:ident)*) => {
        $(impl Say for request::$request {
            fn place(&self) -> (chirrup_core::ids::ConversationId, chirrup_core::ids::ClientId) {
                (self.conversation, self.client_id)
            }
        })*
    };
}

says! { Send Edit Delete React ImportMessage }
