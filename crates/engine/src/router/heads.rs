//! Recent heads of conversations, in memory: which conversations have changed since a cursor,
//! without a read for each.

use std::collections::HashMap;

use chirrup_core::ids::{ConversationId, Seq};
use chirrup_store::offset::Offset;

use crate::recovery::Marks;

/// Conversations whose head is remembered, at most.
pub const RECENT_MAX: usize = 100_000;

/// For each shard: every conversation with an event beyond the floor and up to the mark, with
/// its head. Two generations, each of at most half of the conversations: when the younger is
/// full, the older is forgotten and the floor rises to where the younger began.
pub(super) struct Heads {
    half: usize,
    /// Up to where each shard was published.
    marks: Marks,
    young: HashMap<ConversationId, (Seq, Offset)>,
    /// The marks when `young` was empty.
    young_from: Marks,
    old: HashMap<ConversationId, (Seq, Offset)>,
    floor: Marks,
}

impl Heads {
    /// Nothing is remembered of what was published up to these marks.
    pub(super) fn new(marks: Marks, max: usize) -> Self {
        Self { half: (max / 2).max(1), marks, young: HashMap::new(), young_from: marks, old: HashMap::new(), floor: marks }
    }

    /// A shard was published up to here.
    pub(super) fn mark(&mut self, shard: u8, offset: Offset) {
        let mark = &mut self.marks[usize::from(shard)];
        *mark = offset.max(*mark);
    }

    /// A conversation has this head, made by the event at `offset`. To be called before that
    /// offset is marked.
    pub(super) fn note(&mut self, conversation: ConversationId, head: Seq, offset: Offset) {
        if self.young.len() >= self.half && !self.young.contains_key(&conversation) {
            self.old = std::mem::take(&mut self.young);
            self.floor = std::mem::replace(&mut self.young_from, self.marks);
        }
        let known = self.young.entry(conversation).or_default();
        *known = (head, offset).max(*known);
    }

    pub(super) fn get(&self, conversation: ConversationId) -> Option<(Seq, Offset)> {
        self.young.get(&conversation).or_else(|| self.old.get(&conversation)).copied()
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn floor(&self) -> &Marks {
        &self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chirrup_core::aggregate::{AggregateId, SHARDS};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// Whatever was forgotten, a conversation with an event beyond the floor has its head.
        #[test]
        fn beyond_the_floor_every_head_is_known(events in prop::collection::vec((0..40_u8, 0..10_u8), 0..200), max in 1..30_usize) {
            let start = [Offset { epoch: 1, n: 5, k: 0 }; SHARDS as usize];
            let mut heads = Heads::new(start, max);
            let mut truth: HashMap<ConversationId, (Seq, Offset)> = HashMap::new();
            for (n, (which, k)) in events.into_iter().enumerate() {
                let conversation = ConversationId([which; 16]);
                let shard = AggregateId::Conversation(conversation).shard();
                let offset = Offset { epoch: 2, n: n as u64 + 1, k: u16::from(k) };
                let head = truth.get(&conversation).map_or(1, |(head, _)| head + 1);
                truth.insert(conversation, (head, offset));
                heads.note(conversation, head, offset);
                heads.mark(shard, offset);
                prop_assert!(heads.young.len() + heads.old.len() <= max.max(2));
                for (conversation, known) in &truth {
                    let shard = usize::from(AggregateId::Conversation(*conversation).shard());
                    if known.1 > heads.floor()[shard] {
                        prop_assert_eq!(heads.get(*conversation), Some(*known));
                    }
                    prop_assert!(heads.get(*conversation).is_none_or(|got| got == *known));
                    prop_assert!(heads.floor()[shard] <= heads.marks()[shard]);
                }
            }
        }
    }
}
