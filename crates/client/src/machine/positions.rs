//! Read and delivered positions on their way to the server: the highest wish of each conversation,
//! one request at a time, kept across reconnects. The server answers when it has written, so the
//! pace is the server's.

use std::collections::BTreeMap;

use chirrup_core::ids::{ConversationId, Seq};

use crate::limits::RETRY_MS_MIN;

#[derive(Debug, Default)]
struct Wish {
    wanted: Seq,
    sent: Option<Seq>,
    not_before_ms: u64,
}

/// Wishes of one kind.
#[derive(Debug, Default)]
pub(super) struct Positions {
    wishes: BTreeMap<ConversationId, Wish>,
}

impl Positions {
    /// Up to here.
    pub(super) fn want(&mut self, conversation: ConversationId, seq: Seq) {
        let wish = self.wishes.entry(conversation).or_default();
        wish.wanted = wish.wanted.max(seq);
    }

    /// The server has taken what was sent.
    pub(super) fn taken(&mut self, conversation: ConversationId) {
        if let Some(wish) = self.wishes.get_mut(&conversation)
            && wish.sent.take() >= Some(wish.wanted)
        {
            self.wishes.remove(&conversation);
        }
    }

    /// The server does not take it, or (a time) not now.
    pub(super) fn refused(&mut self, conversation: ConversationId, retry_at_ms: Option<u64>) {
        match (retry_at_ms, self.wishes.get_mut(&conversation)) {
            (Some(at_ms), Some(wish)) => (wish.sent, wish.not_before_ms) = (None, at_ms + RETRY_MS_MIN),
            _ => drop(self.wishes.remove(&conversation)),
        }
    }

    /// Those to be sent now, at most `room`; they count as sent.
    pub(super) fn take(&mut self, now_ms: u64, room: usize) -> Vec<(ConversationId, Seq)> {
        let due = self.wishes.iter_mut().filter(|(_, wish)| wish.sent.is_none() && wish.not_before_ms <= now_ms).take(room);
        due.map(|(conversation, wish)| {
            wish.sent = Some(wish.wanted);
            (*conversation, wish.wanted)
        })
        .collect()
    }

    /// When the next refused one is due.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.wishes.values().filter(|wish| wish.sent.is_none() && wish.not_before_ms > 0).map(|wish| wish.not_before_ms).min()
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        for wish in self.wishes.values_mut() {
            wish.sent = None;
        }
    }
}
