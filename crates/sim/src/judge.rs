//! The judge of a schedule: hears every answer and every read as it comes, and looks at the whole
//! store when all is over. The same rules as those of `crates/checker`, over what a schedule
//! knows, and some that only raw rows can show.
//!
//! Must not know: what was done to the server.

mod whole;

use std::collections::BTreeMap;
use std::fmt;

use chirrup_core::hash::Hash;
use chirrup_core::ids::Seq;
use chirrup_store::record::{EventRow, PositionRow};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// How.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(rule: &'static str, what: String) -> Self {
        Self { rule, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// What is known to whoever hears all answers.
#[derive(Default)]
pub(crate) struct Judge {
    /// What stands at each seq that anybody has read.
    read: BTreeMap<(u8, Seq), Hash>,
    /// Up to where each user has read.
    seen: BTreeMap<(u8, u8), Seq>,
    /// Up to where each conversation is known to be: read or acknowledged.
    heads: BTreeMap<u8, Seq>,
    /// Positions that were acknowledged.
    positions: BTreeMap<(u8, u8), PositionRow>,
}

impl Judge {
    /// Up to where a conversation is known to be.
    pub(crate) fn head(&self, conversation: u8) -> Seq {
        self.heads.get(&conversation).copied().unwrap_or(0)
    }

    /// Up to where a user has read.
    pub(crate) fn seen_by(&self, user: u8, conversation: u8) -> Seq {
        self.seen.get(&(user, conversation)).copied().unwrap_or(0)
    }

    /// Something took effect, up to this seq.
    pub(crate) fn acked(&mut self, conversation: u8, last: Seq) {
        let head = self.heads.entry(conversation).or_default();
        *head = last.max(*head);
    }

    /// Somebody has read all that is after a seq.
    pub(crate) fn read(&mut self, user: u8, conversation: u8, after: Seq, events: &[EventRow]) -> Result<(), Violation> {
        let mut head = after;
        for row in events {
            let envelope = &row.record.event.envelope;
            head += 1;
            if envelope.seq != head {
                return Err(Violation::new("a dense order", format!("after {} comes {} in {conversation}", head - 1, envelope.seq)));
            }
            let hash = envelope.hash();
            if *self.read.entry((conversation, head)).or_insert(hash) != hash {
                return Err(Violation::new(
                    "one event under a seq",
                    format!("event {head} of {conversation} is another than was read before"),
                ));
            }
        }
        let known = self.heads.entry(conversation).or_default();
        if head < *known {
            return Err(Violation::new("reads go on", format!("{conversation} ends at {head}, and was known to go to {known}")));
        }
        *known = head;
        self.seen.insert((user, conversation), head);
        Ok(())
    }

    /// A position was acknowledged.
    pub(crate) fn raised(&mut self, user: u8, conversation: u8, position: PositionRow) -> Result<(), Violation> {
        let known = self.positions.entry((user, conversation)).or_default();
        let mut merged = *known;
        merged.merge(position);
        if merged != position {
            return Err(Violation::new("positions only grow", format!("of {user} in {conversation}: {known:?}, and then {position:?}")));
        }
        *known = merged;
        Ok(())
    }
}
