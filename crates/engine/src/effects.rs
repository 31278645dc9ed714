//! The effect reader: reads the feeds, and sends what events mean for other aggregates. At least
//! once; the targets ignore what they have taken before. It never runs inside the runner, so two
//! full shards cannot wait for each other.
//!
//! Must not know: how commands are queued, what time it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chirrup_core::aggregate::{Command, Origin, SHARDS, Stamp};
use chirrup_core::effects::effects;
use chirrup_core::event::Event;
use chirrup_mutants::{kill_point, mutant};
use chirrup_store::keys;
use chirrup_store::kv::{Kv, ReadError, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record;

use crate::batch::{Answer, Published, Submission};
use crate::feed::{self, Entry};
use crate::recovery::Marks;

/// Effects that were sent and not answered yet; with so many the reader waits. (Those of the last
/// event that was read may come on top.)
pub const OUTSTANDING_MAX: usize = 1_024;
const MARK: &str = "effects";

/// An effect was answered.
struct Answered {
    shard: u8,
    /// Which reading of the shard sent it: answers to earlier ones count no more.
    round: u64,
    /// Of the event that had it.
    offset: Offset,
    /// Whether the target has it now.
    taken: bool,
}

#[derive(Default)]
struct Shard {
    /// Everything up to here was taken by its targets.
    mark: Offset,
    /// The mark in the store.
    saved: Offset,
    /// Read up to here.
    read: Offset,
    /// There may be effects up to here.
    wanted: Offset,
    /// Effects of each event that were sent and not answered.
    outstanding: BTreeMap<Offset, usize>,
    /// Rises when the shard is read again from its mark.
    round: u64,
    /// Who is told when the effects of an event were taken.
    held: BTreeMap<Offset, Vec<Held>>,
}

impl Shard {
    /// Read up to here.
    fn pass(&mut self, offset: Offset) {
        self.read = offset;
        if self.outstanding.is_empty() {
            self.mark = offset;
        }
    }

    /// Tells those who waited for nothing that is still owed.
    fn tell(&mut self) {
        while let Some(first) = self.held.first_entry()
            && match self.outstanding.first_key_value() {
                // Effects are sent in order: one that is owed and not sent yet is beyond all that were.
                Some((owed, _)) => first.key() < owed,
                None => *first.key() <= self.read,
            }
        {
            for tell in first.remove() {
                tell();
            }
        }
    }
}

/// Told once; must not block.
type Held = Box<dyn FnOnce() + Send>;

/// Reads effects of all shards. One thread polls it.
pub struct EffectReader {
    shards: Vec<Shard>,
    ready: VecDeque<Submission>,
    answered: Arc<Mutex<Vec<Answered>>>,
    outstanding: usize,
    /// The shard that is read next, so that none is always last.
    turn: u8,
}

impl EffectReader {
    /// A reader that goes on where the one before has stopped.
    pub fn recover(kv: &dyn Kv, durable: &Marks) -> Result<Self, ReadError> {
        let mut shards = Vec::with_capacity(durable.len());
        for (shard, wanted) in (0..SHARDS).zip(durable) {
            let key = keys::meta(MARK, &[shard]);
            let mark = match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
                Some(bytes) => record::decode_offset(&key, &bytes)?,
                None => Offset::default(),
            };
            shards.push(Shard {
                mark,
                saved: mark,
                read: if mutant!(EffectAtMostOnce) { *wanted } else { mark },
                wanted: *wanted,
                outstanding: BTreeMap::new(),
                round: 0,
                held: BTreeMap::new(),
            });
        }
        Ok(Self { shards, ready: VecDeque::new(), answered: Arc::default(), outstanding: 0, turn: 0 })
    }

    /// Tells when the effects of this event, which is about to be heard of, were taken.
    pub fn hold(&mut self, shard: u8, offset: Offset, tell: Held) {
        self.shards[usize::from(shard)].held.entry(offset).or_default().push(tell);
    }

    /// Whether effects were answered since the last look: [`EffectReader::next`] then tells those who
    /// waited for them.
    pub fn has_answered(&self) -> bool {
        !self.answered.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Hears of durable events. Whether any has effects.
    pub fn published(&mut self, events: &[Published]) -> bool {
        let mut any = false;
        for published in events {
            let shard = &mut self.shards[usize::from(published.shard)];
            if !effects(&published.aggregate, &published.event).is_empty() {
                shard.wanted = published.offset;
                any = true;
            } else if shard.read == shard.wanted && shard.outstanding.is_empty() {
                // Nothing is owed: the mark goes along.
                shard.mark = published.offset;
                shard.read = published.offset;
                shard.wanted = published.offset;
            }
        }
        any
    }

    /// The next effect to send. What the queue has no room for is given back by
    /// [`EffectReader::put_back`]; the reader then waits.
    pub fn next(&mut self, kv: &dyn Kv, stamp: impl Fn() -> Stamp) -> Result<Option<Submission>, ReadError> {
        self.settle();
        for _ in 0..SHARDS {
            while self.ready.is_empty() && self.owes(self.turn) && self.outstanding < OUTSTANDING_MAX {
                self.read(kv, self.turn, &stamp)?;
            }
            if let Some(submission) = self.ready.pop_front() {
                return Ok(Some(submission));
            }
            self.turn = (self.turn + 1) % SHARDS;
        }
        Ok(None)
    }

    /// Whether there may be effects in a shard that were not read yet.
    fn owes(&self, shard: u8) -> bool {
        let state = &self.shards[usize::from(shard)];
        state.read < state.wanted
    }

    /// Takes back an effect for which there was no room.
    pub fn put_back(&mut self, submission: Submission) {
        self.ready.push_front(submission);
    }

    /// Whether every effect of the events heard of was taken.
    pub fn is_idle(&mut self) -> bool {
        self.settle();
        self.ready.is_empty() && self.outstanding == 0 && self.shards.iter().all(|s| s.read >= s.wanted)
    }

    /// The marks that have moved since the last call, as rows; to be committed now and then. What
    /// is beyond a stored mark is sent again after a crash.
    pub fn marks(&mut self) -> Vec<Row> {
        self.settle();
        let mut rows = Vec::new();
        for (shard, state) in (0..SHARDS).zip(&mut self.shards) {
            // A mark within a command's events is kept once: equal versions have equal values.
            if (state.mark.epoch, state.mark.n) > (state.saved.epoch, state.saved.n) {
                state.saved = state.mark;
                let value = Some(record::encode_offset(state.mark));
                rows.push(Row { key: keys::meta(MARK, &[shard]), value, version: state.mark.version(state.mark.n) });
            }
        }
        rows
    }

    fn read(&mut self, kv: &dyn Kv, shard: u8, stamp: &impl Fn() -> Stamp) -> Result<(), ReadError> {
        let state = &self.shards[usize::from(shard)];
        let (after, until) = (state.read, state.wanted);
        let entries = feed::entries(kv, shard, after, until)?;
        if entries.is_empty() {
            self.shards[usize::from(shard)].pass(until);
        }
        for entry in entries {
            if self.outstanding >= OUTSTANDING_MAX {
                break;
            }
            if entry.effects
                && let Some(row) = feed::event(kv, &entry)?
            {
                self.send(shard, &entry, &row.record.event, stamp);
            }
            self.shards[usize::from(shard)].pass(entry.offset);
        }
        Ok(())
    }

    /// Makes an event's effects ready to be sent.
    fn send(&mut self, shard: u8, entry: &Entry, event: &Event, stamp: &impl Fn() -> Stamp) {
        kill_point!(EffectsUnsent);
        let sent = effects(&entry.aggregate, event);
        let state = &mut self.shards[usize::from(shard)];
        let (offset, round) = (entry.offset, state.round);
        self.outstanding += sent.len();
        state.outstanding.insert(offset, sent.len());
        for (n, (aggregate, action)) in (0..).zip(sent) {
            let origin = Origin::Effect { source: entry.aggregate.clone(), seq: entry.seq, n };
            let stamp = Stamp { time: event.envelope.time, ..stamp() };
            let answered = Arc::clone(&self.answered);
            let answer = Box::new(move |answer: Answer| {
                let taken = matches!(answer, Answer::Decided { .. } | Answer::Conflict);
                answered.lock().unwrap_or_else(PoisonError::into_inner).push(Answered { shard, round, offset, taken });
            });
            self.ready.push_back(Submission { command: Command { aggregate, origin, stamp, action }, answer });
        }
    }

    fn settle(&mut self) {
        let answered = std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner));
        for Answered { shard, round, offset, taken } in answered {
            let state = &mut self.shards[usize::from(shard)];
            if round != state.round {
                continue;
            }
            if !taken {
                self.again(shard);
                continue;
            }
            let Some(left) = state.outstanding.get_mut(&offset) else { continue };
            self.outstanding -= 1;
            *left -= 1;
            if *left == 0 {
                state.outstanding.remove(&offset);
                state.mark = state.outstanding.first_key_value().map_or(state.read, |(first, _)| before(*first));
                state.tell();
            }
        }
    }

    /// Reads a shard again from its mark: what was taken already is ignored by its target.
    fn again(&mut self, shard: u8) {
        let state = &mut self.shards[usize::from(shard)];
        self.outstanding -= state.outstanding.values().sum::<usize>();
        state.outstanding.clear();
        state.round += 1;
        state.read = state.mark;
        self.ready.retain(|submission| match &submission.command.origin {
            Origin::Effect { source, .. } => source.shard() != shard,
            _ => true,
        });
    }
}

/// The highest offset below this one.
fn before(offset: Offset) -> Offset {
    match offset.k {
        0 => Offset { n: offset.n - 1, k: u16::MAX, ..offset },
        k => Offset { k: k - 1, ..offset },
    }
}
