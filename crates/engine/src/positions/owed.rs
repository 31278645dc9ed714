//! Positions that rose by request and that the user's own log may not tell yet. They are durable
//! in one row before the positions are, and stay in it until the log has told them: a crash at any
//! point is repaired by raising and telling them again, which is harmless.

use std::collections::BTreeMap;

use chirrup_core::event::Moved;
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_store::keys;
use chirrup_store::kv::{Key, Row};
use chirrup_store::record::{self, NotesRow, PositionRow};

/// Positions that one event of a user's log tells.
pub const NOTE_POSITIONS_MAX: usize = 256;
/// What the log has not told after so many flushes is sent to it again.
pub const NOTE_AGAIN_FLUSHES: u64 = 30;
/// Name of the row of notes. It and the marks are two partitions: the notes are written before the
/// positions, the marks after them, and what stands in one partition is written together.
pub const NOTES: &str = "positions_owed";
const MARKS: &str = "positions";

struct Note {
    position: PositionRow,
    /// Number of the flush with which it was last sent; none if it was not.
    sent: Option<u64>,
}

#[derive(Default)]
pub(super) struct Owed {
    notes: BTreeMap<(UserId, ConversationId), Note>,
    /// Of flushes that failed, or that a crash has ended: their positions may be written, so they
    /// stay in the row; they are told when they are written again.
    doubtful: BTreeMap<(UserId, ConversationId), PositionRow>,
    /// Of the row as it is written.
    number: u64,
    /// Flushes so far.
    flushes: u64,
    /// Some of what the row holds was told since it was made, or it was not written.
    stale: bool,
}

/// Where the row is.
pub(super) fn key() -> Key {
    keys::meta(NOTES, &[])
}

/// Where a shard's mark is.
pub(super) fn mark_key(shard: u8) -> Key {
    keys::meta(MARKS, &[shard])
}

impl Owed {
    /// As a row says: nothing is known of what else was written.
    pub(super) fn of(row: NotesRow) -> Self {
        let doubtful = row.notes.into_iter().map(|(user, conversation, position)| ((user, conversation), position)).collect();
        Self { doubtful, number: row.number, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }

    /// What may be written without having been told.
    pub(super) fn doubtful(&self) -> impl Iterator<Item = (UserId, ConversationId, PositionRow)> {
        self.doubtful.iter().map(|((user, conversation), position)| (*user, *conversation, *position))
    }

    /// A user's log tells these.
    pub(super) fn told(&mut self, user: UserId, positions: &[Moved]) {
        for moved in positions {
            let place = (user, moved.conversation);
            if self.notes.get(&place).is_some_and(|note| note.position.read <= moved.read) {
                self.notes.remove(&place);
                self.stale = true;
            }
            if self.doubtful.get(&place).is_some_and(|position| position.read <= moved.read) {
                self.doubtful.remove(&place);
                self.stale = true;
            }
        }
    }

    /// The row with these notes added, in this version, if it is not as it is written.
    pub(super) fn row(&mut self, new: &BTreeMap<(UserId, ConversationId), PositionRow>, version: u64) -> Option<Row> {
        if new.is_empty() && !self.stale {
            return None;
        }
        let mut notes: BTreeMap<_, _> = self.notes.iter().map(|(place, note)| (*place, note.position)).collect();
        for (place, position) in new.iter().chain(&self.doubtful) {
            notes.entry(*place).or_default().merge(*position);
        }
        self.number += 1;
        self.stale = false;
        let number = self.number;
        let notes = notes.into_iter().map(|((user, conversation), position)| (user, conversation, position)).collect();
        Some(Row { key: key(), value: Some(record::encode_notes(&NotesRow { number, notes })), version })
    }

    /// Whether a position may be written without having been told.
    pub(super) fn doubts(&self, user: UserId, conversation: ConversationId) -> bool {
        self.doubtful.contains_key(&(user, conversation))
    }

    /// A flush that would write this position has failed.
    pub(super) fn doubt(&mut self, user: UserId, conversation: ConversationId, position: PositionRow) {
        self.doubtful.entry((user, conversation)).or_default().merge(position);
        self.stale = true;
    }

    /// A flush has written these positions and the row: they are owed.
    pub(super) fn written(&mut self, new: BTreeMap<(UserId, ConversationId), PositionRow>) {
        self.flushes += 1;
        for (place, position) in new {
            self.doubtful.remove(&place);
            let note = self.notes.entry(place).or_insert(Note { position, sent: None });
            note.position.merge(position);
            note.sent = None;
        }
    }

    /// What is to be sent to the users' logs now: each user's in lists of at most
    /// [`NOTE_POSITIONS_MAX`].
    pub(super) fn due(&mut self) -> Vec<(UserId, Vec<Moved>)> {
        let mut due: Vec<(UserId, Vec<Moved>)> = Vec::new();
        let now = self.flushes;
        for ((user, conversation), note) in &mut self.notes {
            if note.sent.is_some_and(|sent| now - sent < NOTE_AGAIN_FLUSHES) {
                continue;
            }
            note.sent = Some(now);
            let moved = Moved { conversation: *conversation, read: note.position.read, delivered: note.position.delivered };
            match due.last_mut() {
                Some((last, list)) if last == user && list.len() < NOTE_POSITIONS_MAX => list.push(moved),
                _ => due.push((*user, vec![moved])),
            }
        }
        due
    }
}
