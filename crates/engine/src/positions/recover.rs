//! Positions after a start: what follows from the part of the feed that no flush has covered, and
//! what was asked for, written, and not told yet.

use chirrup_core::aggregate::{AggregateId, SHARDS};
use chirrup_core::event::Event;
use chirrup_store::keys;
use chirrup_store::kv::{Key, Kv, ReadError};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, PositionRow};

use super::owed::{self, Owed};
use super::{Positions, Rising, START};
use crate::feed::{self, Entry};
use crate::recovery::{self, Marks};

impl Positions {
    /// Positions that go on where those before have stopped; `durable` is up to where the feeds
    /// are durable. Reads what the feeds hold beyond the marks of the last flush.
    pub fn recover(kv: &dyn Kv, durable: &Marks) -> Result<Self, ReadError> {
        let saved = saved(kv)?;
        let key = owed::key();
        let row = match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
            Some(bytes) => record::decode_notes(&key, &bytes)?,
            None => record::NotesRow::default(),
        };
        let positions = Self::new(*durable, saved, Owed::of(row), recovery::epoch(kv)?);
        {
            let mut state = positions.lock();
            // It is durable that this was asked for, so it is written, with nobody who waits for it.
            let owed: Vec<_> = state.owed.doubtful().collect();
            state.asked = owed.len();
            for (user, conversation, position) in owed {
                state.dirty.insert((conversation, user), Rising::again(PositionRow::default(), Some(position)));
            }
        }
        for (shard, (mark, until)) in (0..SHARDS).zip(saved.into_iter().zip(durable)) {
            positions.replay(kv, shard, mark, *until)?;
        }
        Ok(positions)
    }

    fn replay(&self, kv: &dyn Kv, shard: u8, mut after: Offset, until: Offset) -> Result<(), ReadError> {
        while after < until {
            let entries = feed::entries(kv, shard, after, until)?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = last.offset;
            let mut state = self.lock();
            // Only messages of a timeline and what users' logs tell of positions count here.
            let wanted = entries.iter().filter(|entry| entry.timeline || matches!(entry.aggregate, AggregateId::User(_)));
            for (aggregate, event) in events(kv, &wanted.collect::<Vec<_>>())? {
                state.take_over(&aggregate, &event);
            }
        }
        Ok(())
    }
}

/// The events of these entries, but for those that were not committed as they were meant.
fn events(kv: &dyn Kv, entries: &[&Entry]) -> Result<Vec<(AggregateId, Event)>, ReadError> {
    let mut events = Vec::with_capacity(entries.len());
    for part in entries.chunks(chirrup_store::kv::limits::READ_ROWS) {
        let places: Vec<Key> = part.iter().map(|entry| keys::event(&entry.aggregate, entry.seq, entry.timeline)).collect();
        for ((entry, key), value) in part.iter().zip(&places).zip(kv.get(&places)?) {
            let Some(bytes) = value else { continue };
            let row = record::decode_event(key, &bytes)?;
            if row.offset == entry.offset {
                events.push((entry.aggregate.clone(), row.record.event));
            }
        }
    }
    Ok(events)
}

/// The marks of the last flush.
fn saved(kv: &dyn Kv) -> Result<Marks, ReadError> {
    let places: Vec<Key> = (0..SHARDS).map(owed::mark_key).collect();
    let mut marks = START;
    for ((mark, key), value) in marks.iter_mut().zip(&places).zip(kv.get(&places)?) {
        if let Some(bytes) = value {
            *mark = record::decode_offset(key, &bytes)?;
        }
    }
    Ok(marks)
}
