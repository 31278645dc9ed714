//! An aggregate in the runner's memory: its state, and the rows that commands have looked at or
//! changed and that are not all in the store yet.
//!
//! Must not know: other aggregates, batches, feeds.

use std::collections::HashMap;

use chirrup_core::aggregate::{self, AggregateId, Command, Digest, State, Verdict};
use chirrup_core::event::{Draft, Envelope, Event, Sealed};
use chirrup_core::hash::{Hash, Salt};
use chirrup_core::ids::{ClientId, Seq, UserId};
use chirrup_core::rows::{Record, RowKey, RowValue, Rows};
use chirrup_mutants::mutant;
use chirrup_store::kv::{Kv, ReadError, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, EventRow, StateRow};
use chirrup_store::{keys, log};

use super::{ROWS_KEPT_MAX, STATE_LAG_MAX};
use crate::batch::Answer;

/// Bytes of a row beside the texts and lists in it, with its share of the rows that go with it
/// (feed, verdict, indexes), about.
const ROW_BYTES: usize = 512;
/// Events read at once when a state is brought forward.
const PAGE: usize = 256;

pub(crate) struct Loaded {
    pub(super) shard: u8,
    pub(super) state: State,
    /// Head of the state row in the store.
    saved: Seq,
    pub(super) rows: Rows,
    /// Offsets of the event rows at hand.
    offsets: HashMap<Seq, Offset>,
    /// Verdicts that are not committed yet.
    pub(super) verdicts: HashMap<(UserId, ClientId), Verdict>,
    /// The last batch that changed it.
    pub(super) batch: u64,
}

/// Rows of an aggregate, apart by the order in which they must be written.
#[derive(Default)]
pub(crate) struct Parts {
    /// Events, and messages that later events changed. In this order.
    pub(crate) events: Vec<Row>,
    /// Everything else that folding gives.
    pub(crate) projections: Vec<Row>,
    /// The state, if it is written.
    pub(crate) states: Vec<Row>,
}

impl Loaded {
    /// Reads a state and brings it forward over the events beyond it.
    pub(super) fn load(kv: &dyn Kv, aggregate: &AggregateId) -> Result<Self, ReadError> {
        let mut loaded = Self::stored(kv, aggregate)?;
        let mut blind = Rows::blind();
        loaded.forward(kv, aggregate, |loaded, row| {
            aggregate::fold(&mut loaded.state, &mut blind, &row.record.event);
            Ok(())
        })?;
        Ok(loaded)
    }

    /// As [`Loaded::load`], for a store of which a crash has kept only some rows of a commit:
    /// folds into the rows as well, so that [`Loaded::rows_to_write`] gives those to be repaired.
    pub(crate) fn repair(kv: &dyn Kv, aggregate: &AggregateId) -> Result<Self, ReadError> {
        let mut loaded = Self::stored(kv, aggregate)?;
        loaded.forward(kv, aggregate, |loaded, row| {
            let event = row.record.event.clone();
            loaded.offsets.insert(event.seq(), row.offset);
            loaded.rows.load(RowKey::Event(event.seq()), Some(RowValue::Event(Box::new(row.record))));
            loaded.fetch(kv, aggregate, &aggregate::touches(&event))?;
            aggregate::fold(&mut loaded.state, &mut loaded.rows, &event);
            Ok(())
        })?;
        Ok(loaded)
    }

    fn stored(kv: &dyn Kv, aggregate: &AggregateId) -> Result<Self, ReadError> {
        let key = keys::state(aggregate);
        let state = match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
            Some(bytes) => record::decode_state(&key, &bytes)?.state,
            None => State::new(aggregate),
        };
        let saved = state.head;
        Ok(Self {
            shard: aggregate.shard(),
            state,
            saved,
            rows: Rows::default(),
            offsets: HashMap::new(),
            verdicts: HashMap::new(),
            batch: 0,
        })
    }

    fn forward(
        &mut self,
        kv: &dyn Kv,
        aggregate: &AggregateId,
        mut fold: impl FnMut(&mut Self, EventRow) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        loop {
            let page = log::events(kv, aggregate, self.state.head, PAGE)?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                let envelope = &row.record.event.envelope;
                if envelope.prev != self.state.hash {
                    let place = format!("event {} of {aggregate:?}", envelope.seq);
                    return Err(ReadError::Damaged { place, what: "does not follow the event before it".to_owned() });
                }
                fold(self, row)?;
            }
        }
    }

    /// Highest seq.
    pub(crate) fn head(&self) -> Seq {
        self.state.head
    }

    /// The answer to a command that was decided before.
    pub(super) fn decided(
        &self,
        kv: &dyn Kv,
        aggregate: &AggregateId,
        user: UserId,
        client_id: ClientId,
        digest: Digest,
    ) -> Result<Option<Answer>, ReadError> {
        let verdict = match self.verdicts.get(&(user, client_id)) {
            Some(verdict) => verdict.clone(),
            None if self.state.head == 0 || mutant!(DedupeForgottenOnRestart) => return Ok(None),
            None => {
                let key = keys::dedupe(aggregate, user, client_id);
                match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
                    Some(bytes) => record::decode_verdict(&key, &bytes)?,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(if verdict.digest == digest { Answer::Decided { outcome: verdict.outcome, duplicate: true } } else { Answer::Conflict }))
    }

    /// Reads the rows that are not at hand.
    pub(super) fn fetch(&mut self, kv: &dyn Kv, aggregate: &AggregateId, wanted: &[RowKey]) -> Result<(), ReadError> {
        let missing: Vec<&RowKey> = wanted.iter().filter(|key| !self.rows.knows(key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        // An event's class is not known before it is read: both places are asked.
        let mut asked = Vec::with_capacity(missing.len());
        for key in &missing {
            if let RowKey::Event(seq) = key {
                asked.push(keys::event(aggregate, *seq, true));
            }
            asked.push(keys::row(aggregate, key));
        }
        let mut values = kv.get(&asked)?.into_iter().zip(&asked);
        for key in missing {
            let (mut value, mut place) = values.next().expect("one value a key");
            if let RowKey::Event(seq) = key {
                let (other, other_place) = values.next().expect("two values an event");
                if value.is_none() {
                    (value, place) = (other, other_place);
                }
                if let Some(bytes) = &value {
                    self.offsets.insert(*seq, record::decode_event(place, bytes)?.offset);
                }
            }
            let value = value.map(|bytes| record::decode_row(key, place, &bytes)).transpose()?;
            self.rows.load(key.clone(), value);
        }
        Ok(())
    }

    /// Gives a command's drafts their places and folds them in; tells how many bytes of rows that
    /// makes, about. Everything is read before anything changes: an error leaves no half of a
    /// command.
    pub(super) fn apply(
        &mut self,
        kv: &dyn Kv,
        command: &Command,
        offset: Offset,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<(Offset, Event)>, usize), ReadError> {
        let events = self.seal(command, drafts);
        let touched: Vec<RowKey> = events.iter().flat_map(aggregate::touches).collect();
        self.fetch(kv, &command.aggregate, &touched)?;
        let changed = touched.iter().map(|key| self.rows.get(key).map_or(0, RowValue::weight)).sum::<usize>();
        let bytes = changed + (events.len() + touched.len()) * ROW_BYTES + events.iter().map(Event::weight).sum::<usize>();
        let place = |(k, event): (u16, Event)| {
            let offset = Offset { k, ..offset };
            self.offsets.insert(event.seq(), offset);
            self.rows.put(RowKey::Event(event.seq()), Some(RowValue::Event(Box::new(Record::new(event.clone())))));
            aggregate::fold(&mut self.state, &mut self.rows, &event);
            (offset, event)
        };
        Ok(((0..).zip(events).map(place).collect(), bytes))
    }

    /// Drafts as the next events of the log.
    fn seal(&self, command: &Command, drafts: Vec<Draft>) -> Vec<Event> {
        let time = command.stamp.time.max(self.state.time);
        let (mut seq, mut prev) = (self.state.head, self.state.hash);
        let last = drafts.len().saturating_sub(1);
        let seal = |(k, draft): (usize, Draft)| {
            seq += 1;
            let sealed = draft.content.map(|content| Sealed { salt: salt(command.stamp.salt, k), content });
            let envelope = Envelope {
                seq,
                time,
                author: command.origin.user(),
                client_id: command.origin.client_id(),
                fact: draft.fact,
                content_hash: sealed.as_ref().map(Sealed::hash),
                prev,
            };
            if k < last {
                prev = envelope.hash();
            }
            Event { envelope, sealed }
        };
        drafts.into_iter().enumerate().map(seal).collect()
    }

    /// Adds the rows that have changed since the last call, and the state if its row lags.
    pub(crate) fn rows_to_write(&mut self, aggregate: &AggregateId, version: u64, parts: &mut Parts) {
        // Highest seq first, so that the newest bucket of the log is written first. When the
        // bucket with the lowest new event is written, it and all others count; and before that
        // no message is changed by an event that is not there.
        for key in self.rows.take_changed().into_iter().rev() {
            let value = self.rows.get(&key);
            match (&key, value) {
                (RowKey::Event(_), Some(RowValue::Event(record))) if mutant!(DeletedBodyLeft) && record.deleted() => {}
                (RowKey::Event(seq), Some(RowValue::Event(record))) => {
                    let offset = self.offsets.get(seq).copied().unwrap_or_default();
                    let timeline = record.event.envelope.fact.in_timeline();
                    let value = Some(record::encode_event(offset, record));
                    parts.events.push(Row { key: keys::event(aggregate, *seq, timeline), value, version });
                }
                // Written as they came, with versions of their own.
                (RowKey::Credential(_) | RowKey::Token(_) | RowKey::DeviceToken(_), _) => {}
                (_, value) => {
                    parts.projections.push(Row { key: keys::row(aggregate, &key), value: value.map(record::encode_row), version });
                }
            }
        }
        if self.state.head > 0 && (self.saved == 0 || self.state.head >= self.saved + STATE_LAG_MAX) {
            self.saved = self.state.head;
            let value = record::encode_state(&StateRow { state: self.state.clone() });
            parts.states.push(Row { key: keys::state(aggregate), value: Some(value), version });
        }
    }

    /// Between batches: what the store has now need not be kept.
    pub(super) fn rest(&mut self) {
        if !mutant!(DedupeForgottenOnRestart) {
            self.verdicts.clear();
        }
        self.offsets.clear();
        let keep = self.rows.len() <= ROWS_KEPT_MAX;
        self.rows.retain(|key| keep && matches!(key, RowKey::Member(_)));
    }
}

/// The salt of a command's `k`th event.
fn salt(stamp: Salt, k: usize) -> Salt {
    if k == 0 {
        return stamp;
    }
    let mut salt = Salt::default();
    salt.0.copy_from_slice(&Hash::salted(&stamp, &(k as u64).to_be_bytes()).0[..16]);
    salt
}
