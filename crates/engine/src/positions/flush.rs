//! Writing positions: what rose is merged with what is stored, in parts, and answered when it is
//! durable.

use std::collections::BTreeMap;

use chirrup_core::aggregate::SHARDS;
use chirrup_core::event::Moved;
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_mutants::mutant;
use chirrup_store::keys;
use chirrup_store::kv::limits::READ_ROWS;
use chirrup_store::kv::{Key, Kv, ReadError, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, PositionRow};

use super::crowds::Crowd;
use super::owed::mark_key;
use super::{Asked, NotRaised, Place, Positions, Rising, State};
use crate::recovery::Marks;
use crate::router::Router;

/// One part of a flush, to be committed and then handed back to [`Positions::flushed`].
pub struct Flush {
    /// To be committed, in this order.
    pub rows: Vec<Row>,
    /// What is in it; as many as were asked for if more is left.
    pub positions: Vec<Written>,
    /// New notes for the users' logs, in the rows.
    notes: BTreeMap<(UserId, ConversationId), PositionRow>,
    /// The marks in the rows, if this is the last part.
    marks: Option<Box<Marks>>,
}

/// One user's positions in one conversation, as they are written.
pub struct Written {
    conversation: ConversationId,
    user: UserId,
    position: PositionRow,
    asked: Option<Box<Asked>>,
    /// Members, if they are to be told.
    receipt: Option<u32>,
}

impl Positions {
    /// The next part of what is to be written, at most `limit` (cut to 1 to 5,000) positions
    /// merged with those in `kv`. One flush is everything that had risen when its first part was
    /// taken; a part with fewer positions than `limit` is its last. A part that is taken must be
    /// handed to [`Positions::flushed`] before the next.
    ///
    /// # Errors
    /// If the store cannot be read: then nothing was taken.
    pub fn take_flush(&self, kv: &dyn Kv, limit: usize) -> Result<Flush, ReadError> {
        let mut taken = self.lock().take(limit.clamp(1, READ_ROWS / 2));
        taken.sort_unstable_by_key(|(place, _)| *place);
        match self.merged(kv, &taken) {
            Ok(merged) => Ok(self.lock().flush(taken, merged)),
            Err(error) => {
                self.lock().put_back(taken);
                Err(error)
            }
        }
    }

    /// Ends a part: `durable` says whether its rows are. If so, requests are answered, receipts
    /// are pushed, and what the users' own logs are to be told is returned, each user's in lists
    /// for one command each. If not, requests are answered as unknown, and all of it is written
    /// again with the next flush.
    pub fn flushed(&self, flush: Flush, durable: bool, router: &mut Router) -> Vec<(UserId, Vec<Moved>)> {
        let Flush { positions, notes, marks, .. } = flush;
        let due = self.lock().flushed(&positions, notes, marks, durable);
        for Written { conversation, user, position, asked, receipt, .. } in positions {
            if let Some(members) = receipt.filter(|_| durable) {
                router.position_updated(conversation, user, position, members);
            }
            for waiter in asked.into_iter().flat_map(|asked| asked.waiters) {
                waiter(if durable { Ok(position) } else { Err(NotRaised::Unknown) });
            }
        }
        due
    }

    /// For each place, what is stored for the user and for the other members, and how many
    /// members are to be told if it rises by request.
    fn merged(&self, kv: &dyn Kv, taken: &[(Place, Rising)]) -> Result<Vec<(PositionRow, PositionRow, u32)>, ReadError> {
        let places: Vec<Key> = taken
            .iter()
            .flat_map(|((conversation, user), _)| [keys::inbox_position(*user, *conversation), keys::position(*conversation, *user)])
            .collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let values = kv.get(&places)?;
        let stored = |at: usize| match &values[at] {
            Some(bytes) => record::decode_position(&places[at], bytes),
            None => Ok(PositionRow::default()),
        };
        let mut merged = Vec::with_capacity(taken.len());
        for (at, ((conversation, _), rising)) in taken.iter().enumerate() {
            let members = if rising.asked.is_some() { self.members(kv, *conversation)? } else { 0 };
            merged.push((stored(2 * at)?, stored(2 * at + 1)?, members));
        }
        Ok(merged)
    }

    fn members(&self, kv: &dyn Kv, conversation: ConversationId) -> Result<u32, ReadError> {
        if let Some(known) = self.lock().crowds.get(conversation) {
            return Ok(known.members);
        }
        let crowd = Crowd::load(kv, conversation)?;
        self.lock().crowds.put(conversation, crowd);
        Ok(crowd.members)
    }
}

impl State {
    /// Takes the next places to write out of what rose.
    fn take(&mut self, limit: usize) -> Vec<(Place, Rising)> {
        // Left there by a part that was taken and dropped.
        self.fail();
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.dirty);
            self.until = Some(self.marks);
            self.written.swap(0, 1);
            self.written[0].clear();
        }
        let taken: Vec<_> = self.rest.extract_if(|_, _| true).take(limit).collect();
        for (place, rising) in &taken {
            let asked = rising.asked.as_ref();
            self.writing.insert(*place, (rising.derived, asked.map(|asked| asked.position)));
            self.writing_waiters += asked.map_or(0, |asked| asked.waiters.len());
        }
        taken
    }

    /// What is being written may be written or not: it is to be written again, without those who
    /// waited for it.
    fn fail(&mut self) {
        self.waiters -= std::mem::take(&mut self.writing_waiters);
        for ((conversation, user), (derived, asked)) in std::mem::take(&mut self.writing) {
            // The marks of this flush would cover it.
            self.until = None;
            if let Some(position) = asked.filter(|position| position.read > 0) {
                self.owed.doubt(user, conversation, position);
            }
            self.rise((conversation, user), Rising::again(derived, asked));
        }
    }

    /// What was taken and not written stays as it was.
    fn put_back(&mut self, taken: Vec<(Place, Rising)>) {
        self.until = None;
        self.writing.clear();
        self.writing_waiters = 0;
        for (place, rising) in taken {
            self.rise(place, rising);
        }
    }

    /// Merges what was taken with what has risen since.
    fn rise(&mut self, place: Place, rising: Rising) {
        let known = self.dirty.entry(place).or_default();
        // Two that were counted apart are one.
        self.asked -= usize::from(known.asked.is_some() && rising.asked.is_some());
        known.merge(rising);
    }

    fn flush(&mut self, taken: Vec<(Place, Rising)>, stored: Vec<(PositionRow, PositionRow, u32)>) -> Flush {
        // The notes that a process has left that died are of a lower epoch, and so of a lower version:
        // by their number alone they could pass for these, and yet be others.
        self.writes += 1;
        let version = Offset { epoch: self.epoch, ..Offset::default() }.version(self.writes);
        let mut notes = BTreeMap::new();
        let mut positions = Vec::with_capacity(taken.len());
        let mut rows = Vec::with_capacity(2 * taken.len() + 1);
        for (((conversation, user), rising), (own, others, members)) in taken.into_iter().zip(stored) {
            let Rising { derived, asked } = rising;
            let mut before = own;
            before.merge(others);
            before.merge(derived);
            let mut position = before;
            if let Some(asked) = &asked {
                if mutant!(ReadPositionSetBack) {
                    position = asked.position;
                }
                position.merge(asked.position);
            }
            if position.read > before.read || self.owed.doubts(user, conversation) {
                notes.insert((user, conversation), position);
            }
            let own_row = (keys::inbox_position(user, conversation), own);
            let others_row = (keys::position(conversation, user), others);
            rows.extend([own_row, others_row].into_iter().filter(|(_, stored)| *stored != position).map(|(key, _)| row(key, &position)));
            let receipt = (position != before).then_some(members);
            positions.push(Written { conversation, user, position, asked, receipt });
        }
        // The notes before the positions: see `owed`. The marks last: they cover all before.
        rows.splice(0..0, self.owed.row(&notes, version));
        let marks = self.until.filter(|_| self.rest.is_empty() && !positions.is_empty());
        if let Some(marks) = &marks {
            rows.extend((0..SHARDS).zip(marks.iter().zip(&self.saved)).filter(|(_, (mark, saved))| mark > saved).map(
                |(shard, (mark, _))| Row { key: mark_key(shard), value: Some(record::encode_offset(*mark)), version: mark.version(mark.n) },
            ));
        }
        Flush { rows, positions, notes, marks: marks.map(Box::new) }
    }

    fn flushed(
        &mut self,
        positions: &[Written],
        notes: BTreeMap<(UserId, ConversationId), PositionRow>,
        marks: Option<Box<Marks>>,
        durable: bool,
    ) -> Vec<(UserId, Vec<Moved>)> {
        if !durable {
            self.fail();
            return Vec::new();
        }
        self.writing.clear();
        self.waiters -= std::mem::take(&mut self.writing_waiters);
        for Written { conversation, user, position, asked, .. } in positions {
            self.asked -= usize::from(asked.is_some());
            self.written[0].entry((*conversation, *user)).or_default().merge(*position);
        }
        self.owed.written(notes);
        self.saved = marks.map_or(self.saved, |marks| *marks);
        self.owed.due()
    }
}

/// A register's row. It only grows, so its version is told by its value, not by a clock.
fn row(key: Key, position: &PositionRow) -> Row {
    Row { key, value: Some(record::encode_position(position)), version: position.read + position.delivered }
}
