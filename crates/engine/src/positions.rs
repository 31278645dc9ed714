//! How far everybody has read and got: registers that only grow (P6), kept apart from the logs
//! because they are many and only the last value counts. What rises is merged in memory and
//! written once an interval by [`Positions::take_flush`] and [`Positions::flushed`].
//!
//! They rise in two ways. A message of a timeline moves its author's positions to itself (rule
//! P-2): that follows from the durable log, so it is shown at once, and after a crash it is derived
//! again from the feed beyond the mark that is written with each flush. A request asks for it
//! (P-1): that is answered, and shown to anybody, only when it is written; with it is written that
//! the user's own log is still to be told (see `owed`), so a device that was away learns of every
//! read that was acknowledged, whenever the process stops.
//!
//! Must not know: clocks, threads, who is connected, how rows are committed.

mod crowds;
mod flush;
mod owed;
mod recover;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chirrup_core::aggregate::{AggregateId, SHARDS};
use chirrup_core::event::{Event, Fact};
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_store::offset::Offset;
use chirrup_store::record::PositionRow;

use crate::batch::Published;
use crate::recovery::Marks;
use crate::views::PositionSource;
pub use crowds::CROWDS_MAX;
use crowds::Crowds;
pub use flush::Flush;
use owed::Owed;
pub use owed::{NOTE_AGAIN_FLUSHES, NOTE_POSITIONS_MAX, NOTES};

/// (conversation, user) pairs with something to write at which a flush is wanted before its time,
/// so that memory stays bounded: what follows from the log is always taken.
pub const FLUSH_EARLY: usize = 8_192;
/// Pairs for which a request waits to be written, or was written and the user's log is still to be
/// told; further requests are refused as busy. The row of the latter stays below 1 MiB.
pub const ASKED_MAX: usize = 8_192;
/// Requests that wait to be written; further ones are refused as busy.
pub const WAITERS_MAX: usize = 65_536;

/// Why a position was not raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRaised {
    /// Too much waits; nothing has happened. To be tried later.
    #[error("too many positions wait to be written")]
    Busy,
    /// It was not written for all that is known, and may still be. To be tried again.
    #[error("it is not known whether the position was written")]
    Unknown,
}

/// Told once, with the positions as they are written then; must not block.
pub type Waiter = Box<dyn FnOnce(Result<PositionRow, NotRaised>) + Send>;

type Place = (ConversationId, UserId);

/// What is to be written for one user in one conversation.
#[derive(Default)]
struct Rising {
    /// Follows from the durable log.
    derived: PositionRow,
    asked: Option<Box<Asked>>,
}

/// What requests ask for.
#[derive(Default)]
struct Asked {
    position: PositionRow,
    waiters: Vec<Waiter>,
}

impl Rising {
    /// To be written again, with nobody who waits for it.
    fn again(derived: PositionRow, asked: Option<PositionRow>) -> Self {
        Self { derived, asked: asked.map(|position| Box::new(Asked { position, waiters: Vec::new() })) }
    }

    fn merge(&mut self, other: Self) {
        self.derived.merge(other.derived);
        match (&mut self.asked, other.asked) {
            (Some(own), Some(asked)) => {
                own.position.merge(asked.position);
                own.waiters.extend(asked.waiters);
            }
            (own @ None, asked) => *own = asked,
            (Some(_), None) => {}
        }
    }
}

/// The registers that are not in the store yet.
pub struct Positions {
    state: Mutex<State>,
}

struct State {
    /// What rose since the last flush began.
    dirty: HashMap<Place, Rising>,
    /// The rest of what the flush under way began with.
    rest: HashMap<Place, Rising>,
    /// What is being written: as far as it follows from the log, and what was asked for.
    writing: HashMap<Place, (PositionRow, Option<PositionRow>)>,
    /// What the last two flushes wrote: a reader who looked into the store before that must not
    /// miss it here.
    written: [HashMap<Place, PositionRow>; 2],
    /// Pairs with a request in `dirty`, in `rest` and in `writing`, together.
    asked: usize,
    /// Requests that wait, and those of them that are being written.
    waiters: usize,
    writing_waiters: usize,
    /// Up to where each shard was published; up to where when the flush under way began, unless a
    /// part of it failed; and as the store has it.
    marks: Marks,
    until: Option<Marks>,
    saved: Marks,
    owed: Owed,
    crowds: Crowds,
    /// Of this start, and parts of flushes in it: they make the versions of the notes.
    epoch: u32,
    writes: u64,
}

const START: Marks = [Offset { epoch: 0, n: 0, k: 0 }; SHARDS as usize];

impl Positions {
    fn new(marks: Marks, saved: Marks, owed: Owed, epoch: u32) -> Self {
        let state = State {
            dirty: HashMap::new(),
            rest: HashMap::new(),
            writing: HashMap::new(),
            written: Default::default(),
            asked: 0,
            waiters: 0,
            writing_waiters: 0,
            marks,
            until: None,
            saved,
            owed,
            crowds: Crowds::default(),
            epoch,
            writes: 0,
        };
        Self { state: Mutex::new(state) }
    }

    /// Asks that a user's positions in a conversation rise to these: to seqs that the log has and
    /// the user may see, with the ordinal that belongs to `read`. A register that is 0 stays.
    pub fn raise(&self, conversation: ConversationId, user: UserId, position: PositionRow, waiter: Waiter) {
        let refused = {
            let mut state = self.lock();
            let place = (conversation, user);
            let known = state.dirty.get(&place).is_some_and(|rising| rising.asked.is_some());
            if state.waiters >= WAITERS_MAX || (!known && state.asked + state.owed.len() >= ASKED_MAX) {
                Some(waiter)
            } else {
                state.waiters += 1;
                state.asked += usize::from(!known);
                let asked = state.dirty.entry(place).or_default().asked.get_or_insert_default();
                asked.position.merge(position);
                asked.waiters.push(waiter);
                None
            }
        };
        if let Some(waiter) = refused {
            waiter(Err(NotRaised::Busy));
        }
    }

    /// Takes over what became durable, in order; to be called before anybody is told of it, so
    /// that nobody finds their own message unread.
    pub fn published(&self, batch: &[Published]) {
        let mut state = self.lock();
        for Published { aggregate, shard, offset, event } in batch {
            state.take_over(aggregate, event);
            let mark = &mut state.marks[usize::from(*shard)];
            *mark = (*mark).max(*offset);
        }
    }

    /// Whether so much waits that it is to be written now.
    pub fn needs_flush(&self) -> bool {
        let state = self.lock();
        state.dirty.len() >= FLUSH_EARLY || state.asked >= ASKED_MAX / 2 || state.waiters >= WAITERS_MAX / 2
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Registers only grow, so the state is sound whenever a panic came.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_over(&mut self, aggregate: &AggregateId, event: &Event) {
        match (aggregate, &event.envelope.fact) {
            (AggregateId::Conversation(conversation), fact) => {
                self.crowds.note(*conversation, event);
                if let (Fact::MessageCreated { ordinal: Some(ordinal), .. }, Some(author)) = (fact, event.envelope.author) {
                    let position = PositionRow { read: event.seq(), read_ordinal: *ordinal, delivered: event.seq() };
                    self.dirty.entry((*conversation, author)).or_default().derived.merge(position);
                }
            }
            (AggregateId::User(user), Fact::PositionsMoved { positions }) => self.owed.told(*user, positions),
            _ => {}
        }
    }
}

impl PositionSource for Positions {
    fn pending(&self, conversation: ConversationId, user: UserId) -> Option<PositionRow> {
        let place = (conversation, user);
        let state = self.lock();
        let mut position = PositionRow::default();
        let rising = [&state.dirty, &state.rest].map(|map| map.get(&place).map(|rising| rising.derived));
        let writing = state.writing.get(&place).map(|(derived, _)| *derived);
        let written = [&state.written[0], &state.written[1]].map(|map| map.get(&place).copied());
        for known in rising.into_iter().chain([writing]).chain(written).flatten() {
            position.merge(known);
        }
        (position != PositionRow::default()).then_some(position)
    }
}
