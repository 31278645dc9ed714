//! How many members a conversation has: what decides whether a receipt is pushed. Counted from
//! the store once, and kept by the events that follow.

use std::collections::HashMap;

use chirrup_core::aggregate::{AggregateId, State};
use chirrup_core::event::{Event, Fact};
use chirrup_core::ids::{ConversationId, Seq};
use chirrup_store::kv::{Kv, ReadError};
use chirrup_store::{keys, log, record};

/// Conversations whose members are remembered; with more, all are counted anew.
pub const CROWDS_MAX: usize = 20_000;
/// Events read at once behind a state row.
const EVENTS_PAGE: usize = 512;

/// Members as of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    head: Seq,
    pub(super) members: u32,
}

#[derive(Default)]
pub(super) struct Crowds(HashMap<ConversationId, Crowd>);

impl Crowds {
    /// A conversation has a new event.
    pub(super) fn note(&mut self, conversation: ConversationId, event: &Event) {
        let Some(crowd) = self.0.get_mut(&conversation) else { return };
        if event.seq() == crowd.head + 1 {
            crowd.take(event);
        } else if event.seq() > crowd.head {
            // Counted from the store before, and behind what was published in between.
            self.0.remove(&conversation);
        }
    }

    pub(super) fn get(&self, conversation: ConversationId) -> Option<Crowd> {
        self.0.get(&conversation).copied()
    }

    pub(super) fn put(&mut self, conversation: ConversationId, crowd: Crowd) {
        if self.0.len() >= CROWDS_MAX {
            self.0.clear();
        }
        self.0.insert(conversation, crowd);
    }
}

impl Crowd {
    /// Counted from the store.
    pub(super) fn load(kv: &dyn Kv, conversation: ConversationId) -> Result<Self, ReadError> {
        let aggregate = AggregateId::Conversation(conversation);
        let key = keys::state(&aggregate);
        let state = match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
            Some(bytes) => record::decode_state(&key, &bytes)?.state,
            None => State::new(&aggregate),
        };
        let mut crowd = Self { head: state.head, members: state.conversation().map_or(0, |c| c.members) };
        loop {
            let rows = log::events(kv, &aggregate, crowd.head, EVENTS_PAGE)?;
            for row in &rows {
                crowd.take(&row.record.event);
            }
            if rows.len() < EVENTS_PAGE {
                return Ok(crowd);
            }
        }
    }

    fn take(&mut self, event: &Event) {
        self.head = event.seq();
        match &event.envelope.fact {
            Fact::ConversationCreated { members, .. } => self.members = members.len() as u32,
            Fact::MemberAdded { .. } => self.members += 1,
            Fact::MemberRemoved { .. } => self.members = self.members.saturating_sub(1),
            _ => {}
        }
    }
}
