//! Requests of the application: they wait for a connection and for their turn, are sent again when
//! the connection broke (all of them may be: changes carry a client id, the others change nothing),
//! and end by a reply or at their deadline.

use std::collections::VecDeque;

use chirrup_protocol::error::{Code, Error as Refusal, Retry};
use serde_json::value::RawValue;

use super::frames::Body;
use crate::error::Error;
use crate::limits::RETRY_MS_MIN;

/// Tells a request's answer from the others.
pub type Ticket = u64;

/// A request of the application.
#[derive(Clone, Debug)]
pub struct AppRequest {
    /// For the answer.
    pub ticket: Ticket,
    /// What is asked.
    pub body: Body,
    /// Given up then.
    pub deadline_ms: u64,
    /// Whether to try again, until the deadline, what the server refuses for now.
    pub insist: bool,
    /// What the view can learn from the answer.
    pub lesson: Lesson,
}

/// What the view can learn from the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// Nothing.
    None,
    /// A conversation as it is.
    Conversation,
    /// A page of conversations.
    Conversations,
    /// A page of a conversation's messages.
    History(chirrup_core::ids::ConversationId),
    /// A profile.
    User,
    /// Profiles.
    Users,
    /// Members.
    Members,
}

/// An answer to the application.
pub type Answer = (Ticket, Result<Box<RawValue>, Error>);

#[derive(Debug)]
pub(super) struct Try {
    pub(super) request: AppRequest,
    /// It went out at least once, and no answer said that it had no effect.
    uncertain: bool,
    not_before_ms: u64,
}

/// Requests that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Try>,
}

impl Requests {
    pub(super) fn add(&mut self, request: AppRequest) {
        self.waiting.push_back(Try { request, uncertain: false, not_before_ms: 0 });
    }

    /// The next that is due.
    pub(super) fn take(&mut self, now_ms: u64) -> Option<Try> {
        let at = self.waiting.iter().position(|t| t.not_before_ms <= now_ms)?;
        let mut next = self.waiting.remove(at)?;
        next.uncertain = true;
        Some(next)
    }

    /// The connection broke before the answer.
    pub(super) fn again(&mut self, tries: Vec<Try>) {
        for again in tries.into_iter().rev() {
            self.waiting.push_front(again);
        }
    }

    /// Refused: an answer, unless it is worth another try before the deadline.
    pub(super) fn refused(&mut self, now_ms: u64, mut refused: Try, refusal: Refusal) -> Option<Answer> {
        let not_before_ms = now_ms + refusal.after_ms.unwrap_or(0).max(RETRY_MS_MIN);
        let again = refused.request.insist && refusal.retry != Retry::Never && not_before_ms < refused.request.deadline_ms;
        if !again {
            return Some((refused.request.ticket, Err(Error::Refused(refusal))));
        }
        refused.uncertain = refusal.code == Code::Unknown;
        refused.not_before_ms = not_before_ms;
        self.waiting.push_back(refused);
        None
    }

    /// Answers those whose time is over.
    pub(super) fn expire(&mut self, now_ms: u64, why: &str) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.waiting.retain(|t| {
            let over = t.request.deadline_ms <= now_ms;
            if over {
                answers.push((t.request.ticket, Err(t.end(why))));
            }
            !over
        });
        answers
    }

    /// Answers all: there will be no connection any more.
    pub(super) fn end(&mut self, refusal: &Refusal) -> Vec<Answer> {
        self.waiting.drain(..).map(|t| (t.request.ticket, Err(Error::Ended(refusal.clone())))).collect()
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let due = self.waiting.iter().filter(|t| t.not_before_ms > 0).map(|t| t.not_before_ms).min();
        due.into_iter().chain(self.waiting.iter().map(|t| t.request.deadline_ms)).min()
    }
}

impl Try {
    /// How it ends without an answer.
    pub(super) fn end(&self, why: &str) -> Error {
        if self.uncertain { Error::Unknown(why.to_owned()) } else { Error::NotConnected(why.to_owned()) }
    }
}
