//! What a member may see: intervals of seq, with the ordinals at their ends so that counts need
//! no scan.

use minicbor::{Decode, Encode};

use crate::ids::{Ordinal, Seq};

/// Intervals that one member can have; beyond it the oldest is dropped.
pub const INTERVALS_MAX: usize = 64;

/// A run of seqs, both ends within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Interval {
    /// First visible seq.
    #[n(0)]
    pub from: Seq,
    /// Messages of the timeline before `from`.
    #[n(1)]
    pub ordinals_before: Ordinal,
    /// Last visible seq and the messages up to it; none while the member is one.
    #[n(2)]
    pub until: Option<End>,
}

/// Where an interval ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// Last visible seq.
    #[n(0)]
    pub seq: Seq,
    /// Messages of the timeline up to it.
    #[n(1)]
    pub ordinals: Ordinal,
}

/// Ascending, apart, at most [`INTERVALS_MAX`]; only the last may be open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Intervals(#[n(0)] Vec<Interval>);

impl Intervals {
    /// Everything from the first event on.
    pub fn everything() -> Self {
        Self(vec![Interval { from: 1, ordinals_before: 0, until: None }])
    }

    /// The intervals, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Interval> {
        self.0.iter()
    }

    /// Whether nothing is visible.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this seq is visible.
    pub fn contains(&self, seq: Seq) -> bool {
        let after = self.0.partition_point(|i| i.from <= seq);
        after > 0 && self.0[after - 1].until.is_none_or(|end| seq <= end.seq)
    }

    /// Highest visible seq of a log with this head.
    pub fn last(&self, head: Seq) -> Seq {
        self.0.last().map_or(0, |i| i.until.map_or(head, |end| end.seq))
    }

    /// Opens an interval at `from`, before which the timeline had `ordinals_before` messages.
    pub fn open(&mut self, from: Seq, ordinals_before: Ordinal) {
        if self.0.len() == INTERVALS_MAX {
            self.0.remove(0);
        }
        self.0.push(Interval { from, ordinals_before, until: None });
    }

    /// Closes the open interval, if there is one.
    pub fn close(&mut self, seq: Seq, ordinals: Ordinal) {
        if let Some(last) = self.0.last_mut() {
            last.until.get_or_insert(End { seq, ordinals });
        }
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The visible ordinals above `after` and up to `head`, as ascending ranges (low exclusive, high inclusive).
    pub fn ordinals(&self, after: Ordinal, head: Ordinal) -> impl Iterator<Item = (Ordinal, Ordinal)> {
        self.0.iter().filter_map(move |i| {
            let low = i.ordinals_before.max(after);
            let high = i.until.map_or(head, |end| end.ordinals).min(head);
            (low < high).then_some((low, high))
        })
    }
}
