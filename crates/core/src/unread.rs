//! Unread counts as a function of the log: never stored, never drifting.
//!
//! Unread = messages of the conversation's timeline beyond the read position, visible, not the
//! reader's own, not deleted. A send moves the sender's read position, so a reader's own
//! messages are never beyond it.

use crate::ids::Ordinal;
use crate::visibility::Intervals;

/// Up to here a count is exact.
pub const EXACT_MAX: u64 = 10_000;

/// Ordinals in one block of the bitmap of deleted messages.
pub const BLOCK: u64 = 1_000;

/// A count of unread messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// So many.
    Exactly(u64),
    /// [`EXACT_MAX`] or more.
    AtLeast(u64),
}

/// The deleted messages among the ordinals `n * BLOCK + 1 ..= (n + 1) * BLOCK`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedBlock {
    bits: Vec<u64>,
}

impl DeletedBlock {
    /// The block that an ordinal belongs to.
    pub fn of(ordinal: Ordinal) -> u64 {
        (ordinal - 1) / BLOCK
    }

    /// Marks an ordinal of this block as deleted.
    pub fn insert(&mut self, ordinal: Ordinal) {
        let bit = (ordinal - 1) % BLOCK;
        self.bits.resize(BLOCK.div_ceil(64) as usize, 0);
        self.bits[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    /// Whether an ordinal of this block is deleted.
    pub fn contains(&self, ordinal: Ordinal) -> bool {
        let bit = (ordinal - 1) % BLOCK;
        self.bits.get((bit / 64) as usize).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// How many ordinals in `low < ordinal <= high`, cut to block `n`, are deleted.
    pub fn count(&self, n: u64, low: Ordinal, high: Ordinal) -> u64 {
        let first = n * BLOCK;
        let (from, until) = (low.max(first) - first, high.min(first + BLOCK).saturating_sub(first));
        let mut count = 0;
        for (i, word) in self.bits.iter().enumerate() {
            let start = i as u64 * 64;
            let lo = from.clamp(start, start + 64) - start;
            let hi = until.clamp(start, start + 64) - start;
            if lo < hi {
                let width = hi - lo;
                let mask = if width == 64 { u64::MAX } else { ((1 << width) - 1) << lo };
                count += u64::from((word & mask).count_ones());
            }
        }
        count
    }

    /// The bitmap's words, lowest ordinal in the lowest bit.
    pub fn words(&self) -> &[u64] {
        &self.bits
    }

    /// A block of its words.
    pub fn from_words(bits: Vec<u64>) -> Self {
        Self { bits }
    }
}

/// First and last block of deleted ordinals that [`unread`] looks at; none if nothing is unread.
/// Only blocks in which something was deleted have a row.
pub fn blocks(visible: &Intervals, read: Ordinal, head: Ordinal) -> Option<(u64, u64)> {
    let first = visible.ordinals(read, head).next()?.0 + 1;
    let last = visible.ordinals(read, head).last()?.1;
    Some((DeletedBlock::of(first), DeletedBlock::of(last)))
}

/// Counts. `read` is the number of timeline messages up to the read position, `head` of all;
/// `deleted` are the blocks in which something was deleted, of those that [`blocks`] named.
pub fn unread(visible: &Intervals, read: Ordinal, head: Ordinal, deleted: &[(u64, DeletedBlock)]) -> Unread {
    let mut count = 0;
    for (low, high) in visible.ordinals(read, head) {
        count += high - low;
        for (n, block) in deleted {
            count -= block.count(*n, low, high);
        }
    }
    if count > EXACT_MAX { Unread::AtLeast(EXACT_MAX) } else { Unread::Exactly(count) }
}
