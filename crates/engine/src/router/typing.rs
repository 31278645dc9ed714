//! How often typing is passed on: a client that floods reaches nobody more often than this.

use std::collections::HashMap;

use chirrup_core::ids::{ConversationId, Time, UserId};

/// The same state of the same user in the same conversation is passed on again after this.
pub const TYPING_AGAIN_MS: u64 = 1_000;
/// Users writing that are remembered; of more, nothing is passed on.
pub const TYPING_REMEMBERED_MAX: usize = 10_000;
/// Subscriptions of a conversation up to which typing is passed on in it: in a greater crowd its
/// cost, which grows with the square, is of use to nobody.
pub const TYPING_LISTENERS_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Throttle {
    /// When it was last passed on that somebody has stopped, and that they write; 0 for never.
    sent: HashMap<(ConversationId, UserId), [Time; 2]>,
    /// When the old ones were last forgotten.
    cleaned: Time,
}

impl Throttle {
    /// Whether to pass it on now.
    pub(super) fn pass(&mut self, conversation: ConversationId, user: UserId, typing: bool, now_ms: Time) -> bool {
        // A clock that is set back counts as time that has passed.
        let due = |sent: Time| now_ms.abs_diff(sent) >= TYPING_AGAIN_MS;
        let full = self.sent.len() >= TYPING_REMEMBERED_MAX;
        if full && due(self.cleaned) {
            self.cleaned = now_ms;
            self.sent.retain(|_, sent| !sent.iter().all(|at| due(*at)));
        }
        if self.sent.len() >= TYPING_REMEMBERED_MAX && !self.sent.contains_key(&(conversation, user)) {
            return false;
        }
        let sent = self.sent.entry((conversation, user)).or_default();
        let last = &mut sent[usize::from(typing)];
        let pass = due(*last);
        if pass {
            *last = now_ms;
        }
        pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_state_passes_once_a_second() {
        let mut throttle = Throttle::default();
        let (conversation, user) = (ConversationId([1; 16]), UserId([1; 16]));
        let passed: Vec<bool> = [(10_000, true), (10_500, true), (10_600, false), (10_700, true), (11_000, true), (5_000, true)]
            .into_iter()
            .map(|(now, typing)| throttle.pass(conversation, user, typing, now))
            .collect();
        assert_eq!(passed, [true, false, true, false, true, true]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        let mut pass = |n: u32, now: Time| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let passed = throttle.pass(ConversationId(id), UserId([1; 16]), true, now);
            (passed, throttle.sent.len())
        };
        let max = TYPING_REMEMBERED_MAX as u32;
        for n in 0..max {
            assert!(pass(n, 10_000).0);
        }
        assert_eq!(pass(max, 10_500), (false, TYPING_REMEMBERED_MAX));
        assert_eq!(pass(max, 11_500), (true, 1));
    }
}
