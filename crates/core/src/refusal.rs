//! Why a command is refused for good. What is merely not possible now never reaches `step`.

use minicbor::{Decode, Encode};

use crate::ids::UserId;

/// A final refusal: recorded with the client id, so that a retry hears the same.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing, or it is not for the asker to know of.
    #[n(0)]
    #[error("there is no such conversation, or you are not in it")]
    NotFound,
    /// There is no such message where it was said to be, or it is not visible to the asker.
    #[n(1)]
    #[error("there is no such message")]
    MessageNotFound,
    /// The message was deleted.
    #[n(2)]
    #[error("the message was deleted")]
    MessageDeleted,
    /// Only its author may.
    #[n(3)]
    #[error("only the author of the message may do this")]
    NotAuthor,
    /// Only an owner of the group may.
    #[n(4)]
    #[error("only an owner of the group may do this")]
    NotOwner,
    /// A direct conversation has no title, no roles and for ever two members.
    #[n(5)]
    #[error("a direct conversation has for ever the same two members, and no title")]
    NotAGroup,
    /// Somebody named in the request is not a member.
    #[n(6)]
    #[error("{0} is not a member")]
    NotAMember(#[n(0)] UserId),
    /// A group with other members cannot lose its last owner.
    #[n(7)]
    #[error("you are the last owner: make another member an owner first")]
    LastOwner,
    /// The group has all the members that it can have.
    #[n(8)]
    #[error("the group is full: it can have {0} members")]
    GroupFull(#[n(0)] u32),
    /// The message was edited as often as can be.
    #[n(9)]
    #[error("the message was edited {0} times, which is the limit")]
    TooManyEdits(#[n(0)] u32),
    /// The message has as many different emoji as it can have.
    #[n(10)]
    #[error("the message has {0} different emoji, which is the limit")]
    TooManyReactions(#[n(0)] u32),
    /// The root of a thread must be a message of the timeline.
    #[n(11)]
    #[error("a thread begins at a message of the conversation itself, not at a reply within a thread")]
    NotAThreadRoot,
    /// A reply to a message of one thread cannot stand elsewhere.
    #[n(12)]
    #[error("the message that is answered is in another thread")]
    OtherThread,
    /// The name, or one that looks like it, is somebody's.
    #[n(20)]
    #[error("the name is taken, or looks like one that is")]
    NameTaken,
    /// The user has all the devices that one can have.
    #[n(21)]
    #[error("you have {0} devices, which is the limit: revoke one first")]
    TooManyDevices(#[n(0)] u32),
    /// There is no such device.
    #[n(22)]
    #[error("there is no such device")]
    DeviceNotFound,
    /// The account was closed.
    #[n(23)]
    #[error("the account is disabled")]
    AccountDisabled,
    /// The first administrator's code is wrong, used, or too old.
    #[n(30)]
    #[error("the code is wrong, was used before, or is more than a day old")]
    CodeInvalid,
    /// Only an administrator may.
    #[n(31)]
    #[error("only an administrator may do this")]
    NotAdministrator,
    /// The server cannot lose its last administrator.
    #[n(32)]
    #[error("the server must keep one administrator")]
    LastAdministrator,
    /// The server has all the administrators that it can have.
    #[n(33)]
    #[error("the server can have {0} administrators")]
    TooManyAdministrators(#[n(0)] u32),
}
