//! All reads of committed data, as those who ask may see it: logs, pages of messages,
//! conversation lists with their counts, members, people. Everything is read from the store at
//! each call; positions that are not written yet come from their owner, and profiles, heads and
//! the server's own state are kept at hand.
//!
//! Must not know: connections, commands, how anything came to be written.

mod budget;
mod conversation;
mod counts;
mod history;
mod kept;
mod log;
mod members;
mod page;
mod people;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::Fact;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::server::Server;
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::reply::User;
use chirrup_store::kv::{Kv, ReadError};
use chirrup_store::record::PositionRow;

use crate::batch::Published;
use kept::Kept;

pub use budget::PAGE_TEXT_BYTES_MAX;
pub(crate) use conversation::Listed;
pub use history::Which;
pub use members::TimelinePlace;

/// Positions that are taken but not written yet.
pub trait PositionSource: Send + Sync {
    /// How far this user is in this conversation, if that is not all in the store: whoever asks the
    /// store afterwards misses nothing.
    fn pending(&self, conversation: ConversationId, user: UserId) -> Option<PositionRow>;
}

/// Why there is no answer to a question.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no such thing, or it is not for the asker to know of.
    #[error("there is no such conversation, or you are not in it")]
    NotFound,
    /// There is no such message, or it is not for the asker to see.
    #[error("there is no such message")]
    MessageNotFound,
    /// Positions are told in smaller conversations only.
    #[error("positions are told in conversations of up to {0} members")]
    TooManyMembers(u32),
    /// What should lead to the next page does not.
    #[error("this does not lead to a page: begin anew")]
    BadPage,
    /// The store did not answer, or what it holds is damaged.
    #[error("failed to read: {0}")]
    Read(#[from] ReadError),
}

/// What the client is told: nothing of places in the store, which the caller logs.
impl From<ViewError> for Error {
    fn from(error: ViewError) -> Self {
        let code = match &error {
            ViewError::NotFound => Code::NotFound,
            ViewError::MessageNotFound => Code::MessageNotFound,
            ViewError::TooManyMembers(_) => Code::LimitReached,
            ViewError::BadPage => Code::BadRequest,
            ViewError::Read(ReadError::Unavailable(_)) => return Self::new(Code::Busy, "the store did not answer in time"),
            ViewError::Read(ReadError::Damaged { .. }) => return Self::new(Code::Internal, "the server cannot read what it has stored"),
        };
        Self::new(code, error.to_string())
    }
}

/// Reads committed data. Blocking: callers decide on which thread.
pub struct Views {
    kv: Arc<dyn Kv>,
    positions: Arc<dyn PositionSource>,
    profiles: Kept<UserId, User>,
    /// The one server.
    server: Kept<(), Arc<Server>>,
    /// Heads of conversations. This process is the one that publishes them, so that it hears of
    /// each before anybody may ask for what is there.
    heads: Kept<ConversationId, Seq>,
}

impl Views {
    /// Views over a store.
    pub fn new(kv: Arc<dyn Kv>, positions: Arc<dyn PositionSource>) -> Self {
        Self { kv, positions, profiles: Kept::default(), server: Kept::default(), heads: Kept::default() }
    }

    /// Hears of a durable event, before its command is answered: what is cached of it is
    /// forgotten, or brought forward.
    pub fn published(&self, published: &Published) {
        match &published.aggregate {
            AggregateId::Conversation(conversation) => self.heads.raise(*conversation, published.event.seq()),
            AggregateId::User(user) if matches!(published.event.envelope.fact, Fact::ProfileUpdated | Fact::DisabledChanged { .. }) => {
                self.profiles.forget(*user);
            }
            AggregateId::Server => self.server.forget(()),
            _ => {}
        }
    }

    /// It is not known what became of a commit: nothing that is cached counts any more.
    pub fn doubted(&self) {
        self.profiles.forget_all();
        self.server.forget_all();
        self.heads.forget_all();
    }
}
