//! Counts of a conversation list: unread messages and mentions. Derived at each read, so that
//! they cannot drift. A message of the timeline moves its author's read position to itself, so a
//! user's own are never beyond it.

use std::collections::BTreeSet;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::ids::{ConversationId, Ordinal, Seq, UserId};
use chirrup_core::rows::{RowKey, RowValue};
use chirrup_core::unread::{BLOCK, DeletedBlock, EXACT_MAX, Unread, blocks, unread};
use chirrup_core::visibility::Intervals;
use chirrup_mutants::mutant;
use chirrup_protocol::reply;
use chirrup_store::kv::{Key, Range, ReadError};
use chirrup_store::{keys, record};

use super::Views;
use super::log::lost;

/// Up to here a count of mentions is exact.
const MENTIONS_EXACT_MAX: usize = 1_000;
/// Entries of an index of mentions read at once: enough to end a count that is not exact.
const MENTIONS_PAGE: usize = MENTIONS_EXACT_MAX + 1;
/// The seq in a sort key of an index of mentions.
type SeqOf = fn(&[u8]) -> Option<Seq>;
/// Ordinals whose deletions are read at once: enough to end a count that is not exact.
const WINDOW: Ordinal = 16 * BLOCK;

impl Views {
    /// Messages of the timeline beyond the first `read` ones and up to `head`: visible and not
    /// deleted.
    pub(super) fn unread(
        &self,
        conversation: ConversationId,
        visible: &Intervals,
        read: Ordinal,
        head: Ordinal,
    ) -> Result<Unread, ReadError> {
        if mutant!(UnreadCounted) {
            return Ok(Unread::Exactly(head.saturating_sub(read)));
        }
        let mut count = 0;
        let mut low = read;
        while let Some((start, _)) = visible.ordinals(low, head).next() {
            let high = head.min(start + WINDOW);
            let deleted = match blocks(visible, start, high) {
                Some((first, last)) => self.deleted(conversation, first, last)?,
                None => Vec::new(),
            };
            match unread(visible, start, high, &deleted) {
                Unread::Exactly(more) => count += more,
                Unread::AtLeast(more) => return Ok(Unread::AtLeast(more)),
            }
            if count > EXACT_MAX {
                return Ok(Unread::AtLeast(EXACT_MAX));
            }
            low = high;
        }
        Ok(Unread::Exactly(count))
    }

    fn deleted(&self, conversation: ConversationId, first: u64, last: u64) -> Result<Vec<(u64, DeletedBlock)>, ReadError> {
        let range = keys::deleted_blocks(conversation, first, last, (last - first + 1) as usize);
        let mut found = Vec::new();
        for (sort, bytes) in self.kv.range(&range)? {
            let Some(number) = keys::number(&sort) else { continue };
            let key = Key::new(range.table, range.partition.clone(), sort);
            if let RowValue::Deleted(block) = record::decode_row(&RowKey::Deleted(number), &key, &bytes)? {
                found.push((number, block));
            }
        }
        Ok(found)
    }

    /// Messages with `read < seq <= last` that call the user or all members, in the timeline or
    /// in a thread: visible, not deleted, not the user's own.
    pub(super) fn mentions(
        &self,
        conversation: ConversationId,
        user: UserId,
        visible: &Intervals,
        read: Seq,
        last: Seq,
    ) -> Result<reply::Unread, ReadError> {
        let mut seqs = BTreeSet::new();
        for interval in visible.iter() {
            let first = interval.from.max(read + 1);
            let end = interval.until.map_or(last, |end| end.seq.min(last));
            let own = |from| (keys::mentions(user, conversation, from - 1, MENTIONS_PAGE), keys::mention_seq as SeqOf);
            let all = |from| (keys::mentions_all(conversation, from, end, MENTIONS_PAGE), keys::number as SeqOf);
            self.calls(conversation, user, first, end, &own, &mut seqs)?;
            self.calls(conversation, user, first, end, &all, &mut seqs)?;
        }
        let at_least = seqs.len() > MENTIONS_EXACT_MAX;
        Ok(reply::Unread { count: seqs.len().min(MENTIONS_EXACT_MAX) as u64, at_least })
    }

    /// Adds the seqs of an index of mentions, `from` to `end`, until there are more than are
    /// counted.
    fn calls(
        &self,
        conversation: ConversationId,
        user: UserId,
        mut from: Seq,
        end: Seq,
        index: &dyn Fn(Seq) -> (Range, SeqOf),
        seqs: &mut BTreeSet<Seq>,
    ) -> Result<(), ReadError> {
        while from <= end && seqs.len() <= MENTIONS_EXACT_MAX {
            let (range, seq_of) = index(from);
            let rows = self.kv.range(&range)?;
            let mut in_threads = Vec::new();
            for (sort, value) in &rows {
                let Some(seq) = seq_of(sort) else { continue };
                from = seq + 1;
                let key = Key::new(range.table, range.partition.clone(), sort.clone());
                match record::decode_row(&RowKey::MentionAll(seq), &key, value)? {
                    _ if seq > end => break,
                    // Of a thread only: a send there does not move the sender's read position.
                    RowValue::Mention(0) => in_threads.push(seq),
                    _ => {
                        seqs.insert(seq);
                    }
                }
            }
            seqs.extend(self.of_others(conversation, user, &in_threads)?);
            if rows.len() < MENTIONS_PAGE {
                break;
            }
        }
        Ok(())
    }

    /// Those of some messages, each in a thread only, that are not the user's own.
    fn of_others(&self, conversation: ConversationId, user: UserId, seqs: &[Seq]) -> Result<Vec<Seq>, ReadError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let aggregate = AggregateId::Conversation(conversation);
        let places: Vec<Key> = seqs.iter().map(|seq| keys::event(&aggregate, *seq, false)).collect();
        let mut others = Vec::new();
        for ((seq, place), value) in seqs.iter().zip(&places).zip(self.kv.get(&places)?) {
            let bytes = value.ok_or_else(|| lost(&aggregate, *seq))?;
            if record::decode_event(place, &bytes)?.record.event.envelope.author != Some(user) {
                others.push(*seq);
            }
        }
        Ok(others)
    }
}
