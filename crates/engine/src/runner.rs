//! The runner: takes commands in order, lets the core decide, and makes the batch of rows that
//! makes the decisions durable. What it decides is visible to the commands after it at once, and
//! to everybody else only when the batch is committed.
//!
//! Must not know: who is connected, how a batch is committed, what time it is.

use std::collections::HashMap;
use std::sync::Arc;

use chirrup_core::aggregate::{self, AggregateId, Command, Digest, Origin, Outcome, SHARDS, State, Verdict};
use chirrup_core::conversation;
use chirrup_core::event::{Draft, Envelope, Event, Sealed};
use chirrup_core::hash::{Hash, Salt};
use chirrup_core::ids::{ClientId, Seq, UserId};
use chirrup_core::rows::{Record, RowKey, RowValue, Rows};
use chirrup_store::kv::{Kv, ReadError, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, FeedEntry, FeedRow, StateRow};
use chirrup_store::{keys, log};

use crate::batch::{Answer, Batch, Published, Submission};

/// A state row is written when the log is so far ahead of it: what a load must fold again.
pub const STATE_LAG_MAX: u64 = 128;
/// Aggregates that one runner keeps in memory.
pub const LOADED_MAX: usize = 20_000;
/// Rows that stay in memory with an aggregate between batches.
pub const ROWS_KEPT_MAX: usize = 1_024;
/// Name of the rows that hold each shard's durable mark.
pub const MARK: &str = "mark";
/// Name of the rows that hold each shard's epoch.
pub const EPOCH: &str = "epoch";

struct Loaded {
    state: State,
    /// Head of the state row in the store.
    saved: Seq,
    rows: Rows,
    /// Offsets of the event rows at hand.
    offsets: HashMap<Seq, Offset>,
    /// Verdicts that are not committed yet.
    verdicts: HashMap<(UserId, ClientId), Verdict>,
    /// The last batch that changed it.
    batch: u64,
}

/// What one batch holds of each shard, while it is made.
#[derive(Default)]
struct ShardPart {
    first: Option<Offset>,
    last: Offset,
    entries: Vec<FeedEntry>,
}

/// Runs some shards. One thread calls it.
pub struct Runner {
    kv: Arc<dyn Kv>,
    epoch: u32,
    /// Next position of each shard.
    next: Vec<u64>,
    /// Bucket of each shard's feed that has its row.
    bucket: Vec<Option<u64>>,
    loaded: HashMap<AggregateId, Loaded>,
    /// Batches made, and the last that was settled.
    made: u64,
    settled: u64,
    /// Which aggregates each batch in flight changed.
    in_flight: Vec<(u64, Vec<AggregateId>)>,
}

/// What a batch in the making collects.
#[derive(Default)]
struct Making {
    parts: HashMap<u8, ShardPart>,
    touched: Vec<AggregateId>,
    verdicts: Vec<Row>,
    side: Vec<Row>,
    /// The last event with effects of the command at hand.
    owes: Option<(u8, Offset)>,
    batch: Batch,
}

impl Runner {
    /// A runner of an epoch that is above all epochs before (see [`crate::recovery`]).
    pub fn new(kv: Arc<dyn Kv>, epoch: u32) -> Self {
        let shards = usize::from(SHARDS);
        Self {
            kv,
            epoch,
            next: vec![1; shards],
            bucket: vec![None; shards],
            loaded: HashMap::new(),
            made: 0,
            settled: 0,
            in_flight: Vec::new(),
        }
    }

    /// Decides these commands, in this order. The batch's number is what [`Runner::settle`] is
    /// given when its fate is known; batches are committed in the order of their numbers.
    pub fn prepare(&mut self, submissions: Vec<Submission>) -> (u64, Batch) {
        self.evict();
        self.made += 1;
        let mut making = Making::default();
        making.batch.frees_room = !submissions.is_empty();
        for submission in submissions {
            making.batch.frees_room &= frees_room(&submission.command);
            let answer = match self.decide(&submission.command, &mut making) {
                Ok(answer) => answer,
                Err(error) => Answer::Failed(error.to_string()),
            };
            if let Some((shard, offset)) = making.owes.take() {
                making.batch.awaiting.push((making.batch.answers.len(), shard, offset));
            }
            making.batch.answers.push((submission.answer, answer));
        }
        let batch = self.finish(making);
        (self.made, batch)
    }

    /// Tells that a batch is durable.
    pub fn settle(&mut self, number: u64) {
        self.settled = number;
        let done = self.in_flight.partition_point(|(n, _)| *n <= number);
        for (_, aggregates) in self.in_flight.drain(..done) {
            for aggregate in aggregates {
                if let Some(loaded) = self.loaded.get_mut(&aggregate)
                    && loaded.batch <= number
                {
                    loaded.rest();
                }
            }
        }
    }

    /// Forgets everything in memory: a batch was not committed, so nothing decided since stands.
    pub fn reset(&mut self) {
        self.loaded.clear();
        self.in_flight.clear();
        self.bucket.fill(None);
    }

    fn evict(&mut self) {
        if self.loaded.len() > LOADED_MAX {
            let settled = self.settled;
            let mut spare = self.loaded.len() - LOADED_MAX * 3 / 4;
            self.loaded.retain(|_, loaded| {
                let drop = spare > 0 && loaded.batch <= settled;
                spare -= usize::from(drop);
                !drop
            });
        }
    }

    fn decide(&mut self, command: &Command, making: &mut Making) -> Result<Answer, ReadError> {
        let aggregate = &command.aggregate;
        if !self.loaded.contains_key(aggregate) {
            let loaded = Loaded::load(&*self.kv, aggregate)?;
            self.loaded.insert(aggregate.clone(), loaded);
        }
        let loaded = self.loaded.get_mut(aggregate).expect("loaded above");
        if let Origin::Client { user, client_id, digest } = &command.origin
            && let Some(answer) = loaded.decided(&*self.kv, aggregate, *user, *client_id, *digest)?
        {
            return Ok(answer);
        }
        loaded.fetch(&*self.kv, aggregate, &aggregate::needs(&loaded.state, command))?;
        let shard = aggregate.shard();
        let n = self.next[usize::from(shard)];
        let offset = Offset { epoch: self.epoch, n, k: 0 };
        let outcome = match aggregate::step(&loaded.state, &loaded.rows, command) {
            Ok(step) => {
                let first = loaded.state.head + 1;
                let events = loaded.apply(&*self.kv, command, offset, step.events)?;
                for event in events {
                    making.publish(aggregate, shard, offset, event);
                }
                // A credential that comes with a claim is the first of its user, whichever
                // shard decided it.
                let version = if matches!(aggregate, AggregateId::Name(_)) { 1 } else { offset.version(n) };
                for (key, value) in step.rows {
                    making.side.push(side_row(aggregate, &key, value.as_ref(), version));
                    loaded.rows.put(key, value);
                }
                let last = loaded.state.head;
                Outcome::Done { first: first.min(last), last, time: loaded.state.time }
            }
            Err(refusal) => Outcome::Refused(refusal),
        };
        self.next[usize::from(shard)] += 1;
        if loaded.batch != self.made && loaded.state.head > 0 {
            loaded.batch = self.made;
            making.touched.push(aggregate.clone());
        }
        // Nothing is written for an aggregate that does not exist.
        if loaded.state.head > 0
            && let Origin::Client { user, client_id, digest } = &command.origin
        {
            let verdict = Verdict { digest: *digest, outcome: outcome.clone() };
            making.verdicts.push(Row {
                key: keys::dedupe(aggregate, *user, *client_id),
                value: Some(record::encode_verdict(&verdict)),
                version: offset.version(n),
            });
            loaded.verdicts.insert((*user, *client_id), verdict);
        }
        Ok(Answer::Decided { outcome, duplicate: false })
    }

    /// Puts the rows in the order in which a crash between any two of them can be repaired: the
    /// intent (what this batch will hold), events, projections, verdicts, states, marks.
    fn finish(&mut self, mut making: Making) -> Batch {
        let mut events = Vec::new();
        let mut projections = Vec::new();
        let mut states = Vec::new();
        for aggregate in &making.touched {
            let version = Offset { epoch: self.epoch, n: 0, k: 0 }.version(self.next[usize::from(aggregate.shard())] - 1);
            let loaded = self.loaded.get_mut(aggregate).expect("touched in this batch");
            loaded.rows_to_write(aggregate, version, &mut events, &mut projections);
            if loaded.saved == 0 || loaded.state.head >= loaded.saved + STATE_LAG_MAX {
                loaded.saved = loaded.state.head;
                let value = record::encode_state(&StateRow { state: loaded.state.clone() });
                states.push(Row { key: keys::state(aggregate), value: Some(value), version });
            }
        }
        let mut intents = Vec::new();
        let mut marks = Vec::new();
        for (shard, part) in &mut making.parts {
            let Some(first) = part.first else { continue };
            let version = part.last.version(part.last.n);
            let bucket = first.n / keys::FEED_BUCKET;
            if self.bucket[usize::from(*shard)] != Some(bucket) {
                self.bucket[usize::from(*shard)] = Some(bucket);
                intents.push(Row { key: keys::feed_bucket(*shard, first), value: Some(record::encode_number(&1)), version });
            }
            let row = FeedRow { entries: std::mem::take(&mut part.entries) };
            intents.push(Row { key: keys::feed(*shard, first), value: Some(record::encode_feed(&row)), version });
            marks.push(Row { key: keys::meta(MARK, &[*shard]), value: Some(record::encode_offset(part.last)), version });
        }
        let rows = &mut making.batch.rows;
        for part in [intents, events, projections, making.side, making.verdicts, states, marks] {
            rows.extend(part);
        }
        if !making.touched.is_empty() {
            self.in_flight.push((self.made, making.touched));
        }
        making.batch
    }
}

impl Making {
    fn publish(&mut self, aggregate: &AggregateId, shard: u8, command: Offset, event: Event) {
        let part = self.parts.entry(shard).or_default();
        let k = match part.entries.last() {
            Some(last) if part.last.n == command.n => last.k + 1,
            _ => 0,
        };
        let offset = Offset { k, ..command };
        // A feed row stays within one bucket of the feed: a batch holds far fewer commands, and
        // what begins in a bucket is found there.
        let first = *part.first.get_or_insert(offset);
        part.last = offset;
        let effects = !chirrup_core::effects::effects(aggregate, &event).is_empty();
        if effects {
            self.owes = Some((shard, offset));
        }
        part.entries.push(FeedEntry {
            n: offset.n - first.n,
            k,
            aggregate: aggregate.clone(),
            seq: event.seq(),
            effects,
            timeline: event.envelope.fact.in_timeline(),
        });
        self.batch.published.push(Published { aggregate: aggregate.clone(), shard, offset, event: Arc::new(event) });
    }
}

impl Loaded {
    /// Reads a state and brings it forward over the events beyond it, repairing the rows of which
    /// a crash has kept only some.
    fn load(kv: &dyn Kv, aggregate: &AggregateId) -> Result<Self, ReadError> {
        let key = keys::state(aggregate);
        let stored = kv.get(std::slice::from_ref(&key))?.pop().flatten();
        let state = match stored {
            Some(bytes) => record::decode_state(&key, &bytes)?.state,
            None => State::new(aggregate),
        };
        let saved = state.head;
        let mut loaded = Self { state, saved, rows: Rows::default(), offsets: HashMap::new(), verdicts: HashMap::new(), batch: 0 };
        loop {
            let rows = log::events(kv, aggregate, loaded.state.head, 256)?;
            let Some(last) = rows.last() else { break };
            let last = last.record.event.seq();
            for row in rows {
                let event = row.record.event.clone();
                loaded.offsets.insert(event.seq(), row.offset);
                loaded.rows.load(RowKey::Event(event.seq()), Some(RowValue::Event(Box::new(row.record))));
                loaded.fetch(kv, aggregate, &aggregate::touches(&event))?;
                aggregate::fold(&mut loaded.state, &mut loaded.rows, &event);
            }
            debug_assert_eq!(loaded.state.head, last, "events are dense");
        }
        Ok(loaded)
    }

    /// The answer to a command that was decided before.
    fn decided(
        &self,
        kv: &dyn Kv,
        aggregate: &AggregateId,
        user: UserId,
        client_id: ClientId,
        digest: Digest,
    ) -> Result<Option<Answer>, ReadError> {
        let verdict = match self.verdicts.get(&(user, client_id)) {
            Some(verdict) => verdict.clone(),
            None if self.state.head == 0 => return Ok(None),
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
    fn fetch(&mut self, kv: &dyn Kv, aggregate: &AggregateId, wanted: &[RowKey]) -> Result<(), ReadError> {
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

    /// Gives drafts their places and folds them in.
    fn apply(&mut self, kv: &dyn Kv, command: &Command, offset: Offset, drafts: Vec<Draft>) -> Result<Vec<Event>, ReadError> {
        let mut events = Vec::with_capacity(drafts.len());
        for (k, draft) in drafts.into_iter().enumerate() {
            let event = self.seal(command, k, draft);
            self.fetch(kv, &command.aggregate, &aggregate::touches(&event))?;
            let seq = event.seq();
            self.offsets.insert(seq, Offset { k: k as u16, ..offset });
            self.rows.put(RowKey::Event(seq), Some(RowValue::Event(Box::new(Record::new(event.clone())))));
            aggregate::fold(&mut self.state, &mut self.rows, &event);
            events.push(event);
        }
        Ok(events)
    }

    fn seal(&self, command: &Command, k: usize, draft: Draft) -> Event {
        let sealed = draft.content.map(|content| Sealed { salt: salt(command.stamp.salt, k), content });
        let envelope = Envelope {
            seq: self.state.head + 1,
            time: command.stamp.time.max(self.state.time),
            author: command.origin.user(),
            client_id: command.origin.client_id(),
            fact: draft.fact,
            content_hash: sealed.as_ref().map(Sealed::hash),
            prev: self.state.hash,
        };
        Event { envelope, sealed }
    }

    fn rows_to_write(&mut self, aggregate: &AggregateId, version: u64, events: &mut Vec<Row>, projections: &mut Vec<Row>) {
        for key in self.rows.take_changed() {
            let value = self.rows.get(&key);
            match (&key, value) {
                (RowKey::Event(seq), Some(RowValue::Event(record))) => {
                    let offset = self.offsets.get(seq).copied().unwrap_or_default();
                    let timeline = record.event.envelope.fact.in_timeline();
                    let value = Some(record::encode_event(offset, record));
                    events.push(Row { key: keys::event(aggregate, *seq, timeline), value, version });
                }
                // Written as they came, with versions of their own.
                (RowKey::Credential(_) | RowKey::Token(_) | RowKey::DeviceToken(_), _) => {}
                (_, value) => projections.push(Row { key: keys::row(aggregate, &key), value: value.map(record::encode_row), version }),
            }
        }
    }

    /// Between batches: what the store has now need not be kept.
    fn rest(&mut self) {
        self.verdicts.clear();
        self.offsets.clear();
        let keep = self.rows.len() <= ROWS_KEPT_MAX;
        self.rows.retain(|key| keep && matches!(key, RowKey::Member(_)));
    }
}

fn side_row(aggregate: &AggregateId, key: &RowKey, value: Option<&RowValue>, version: u64) -> Row {
    Row { key: keys::row(aggregate, key), value: value.map(record::encode_row), version }
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

/// Whether a command gives room back on a full disk, or keeps somebody out.
pub fn frees_room(command: &Command) -> bool {
    use aggregate::Action;
    use chirrup_core::user;
    match &command.action {
        Action::Conversation(action) => {
            matches!(action, conversation::Action::Delete { .. } | conversation::Action::Leave | conversation::Action::Remove { .. })
        }
        Action::User(action) => {
            matches!(action, user::Action::RevokeDevice { .. } | user::Action::SetDisabled { .. } | user::Action::SetMembership { .. })
        }
        Action::Name(_) | Action::Server(_) => false,
    }
}
