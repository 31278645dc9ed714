//! Counts of a conversation list: unread messages and mentions. Derived at each read, so that
//! they cannot drift. A send moves the sender's read position, so a user's own messages are
//! never beyond it.

use std::collections::BTreeSet;

use chirrup_core::ids::{ConversationId, Ordinal, Seq, UserId};
use chirrup_core::rows::{RowKey, RowValue};
use chirrup_core::unread::{BLOCK, DeletedBlock, EXACT_MAX, Unread, blocks, unread};
use chirrup_core::visibility::Intervals;
use chirrup_protocol::reply;
use chirrup_store::kv::{Key, ReadError};
use chirrup_store::{keys, record};

use super::Views;

/// Up to here a count of mentions is exact.
const MENTIONS_EXACT_MAX: usize = 1_000;
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
    /// in a thread: visible and not deleted.
    pub(super) fn mentions(
        &self,
        conversation: ConversationId,
        user: UserId,
        visible: &Intervals,
        read: Seq,
        last: Seq,
    ) -> Result<reply::Unread, ReadError> {
        const WANTED: usize = MENTIONS_EXACT_MAX + 1;
        let mut seqs = BTreeSet::new();
        for interval in visible.iter() {
            let first = interval.from.max(read + 1);
            let end = interval.until.map_or(last, |end| end.seq.min(last));
            if first > end || seqs.len() >= WANTED {
                continue;
            }
            let own = self.kv.range(&keys::mentions(user, conversation, first - 1, WANTED))?;
            seqs.extend(own.iter().filter_map(|(sort, _)| keys::mention_seq(sort)).filter(|seq| *seq <= end));
            let all = self.kv.range(&keys::mentions_all(conversation, first, end, WANTED))?;
            seqs.extend(all.iter().filter_map(|(sort, _)| keys::number(sort)));
        }
        let at_least = seqs.len() > MENTIONS_EXACT_MAX;
        Ok(reply::Unread { count: seqs.len().min(MENTIONS_EXACT_MAX) as u64, at_least })
    }
}
