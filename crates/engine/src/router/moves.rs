//! The latest removals from conversations, in memory: a connection that subscribes by a
//! conversation list which does not know of one yet must hear nothing (P16).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::visibility::Intervals;

/// Changes that are remembered. A conversation list lags its conversations by the time of an
/// effect, some milliseconds; so many removals take longer.
pub const MOVES_MAX: usize = 16_384;

/// What is known of a user in a conversation beyond what the user's list may say.
#[derive(Clone)]
pub(super) struct Move {
    /// The event that made it so.
    pub(super) seq: Seq,
    /// What the user may hear; none for who is not a member.
    pub(super) visible: Option<Arc<Intervals>>,
}

/// Removals, and additions that follow a removal which is remembered. (Any other addition needs
/// no memory: a list that does not know of it yet only hears too little, until it does.)
#[derive(Default)]
pub(super) struct Moves {
    latest: HashMap<(ConversationId, UserId), Move>,
    /// In order of age, with the seq that was noted.
    order: VecDeque<(ConversationId, UserId, Seq)>,
}

impl Moves {
    /// Takes a change over, unless one of a later event is known: then `false`.
    pub(super) fn note(&mut self, conversation: ConversationId, user: UserId, change: Move) -> bool {
        let known = self.latest.get(&(conversation, user)).map(|known| known.seq);
        if known.is_some_and(|seq| seq > change.seq) {
            return false;
        }
        if known != Some(change.seq) && (known.is_some() || change.visible.is_none()) {
            self.order.push_back((conversation, user, change.seq));
            self.latest.insert((conversation, user), change);
        }
        if self.order.len() > MOVES_MAX
            && let Some((conversation, user, seq)) = self.order.pop_front()
            && self.get(conversation, user).is_some_and(|known| known.seq == seq)
        {
            self.latest.remove(&(conversation, user));
        }
        true
    }

    pub(super) fn get(&self, conversation: ConversationId, user: UserId) -> Option<&Move> {
        self.latest.get(&(conversation, user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(moves: &mut Moves, conversation: u32, seq: Seq, joined: bool) -> bool {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&conversation.to_be_bytes());
        let visible = joined.then(|| Arc::new(Intervals::everything()));
        moves.note(ConversationId(id), UserId([1; 16]), Move { seq, visible })
    }

    #[test]
    fn the_latest_wins_whatever_the_order() {
        let mut moves = Moves::default();
        assert!(note(&mut moves, 1, 5, true));
        assert!(moves.latest.is_empty());
        assert!(note(&mut moves, 1, 7, false));
        assert!(note(&mut moves, 1, 9, true));
        assert!(!note(&mut moves, 1, 7, false));
        assert!(note(&mut moves, 1, 9, true));
        let mut id = [0; 16];
        id[3] = 1;
        let known = moves.get(ConversationId(id), UserId([1; 16])).expect("noted");
        assert_eq!((known.seq, known.visible.is_some()), (9, true));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut moves = Moves::default();
        for n in 0..2 * MOVES_MAX as u32 {
            note(&mut moves, n, 1, false);
        }
        assert_eq!((moves.latest.len(), moves.order.len()), (MOVES_MAX, MOVES_MAX));
        let last = 2 * MOVES_MAX as u32 - 1;
        for seq in 2..=MOVES_MAX as u64 {
            note(&mut moves, last, seq, seq % 2 == 0);
        }
        assert_eq!((moves.latest.len(), moves.order.len()), (1, MOVES_MAX));
    }
}
