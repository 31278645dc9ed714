//! The runner: takes commands in order, lets the core decide, and makes the batch of rows that
//! makes the decisions durable. What it decides is visible to the commands after it at once, and
//! to everybody else only when the batch is committed.
//!
//! Must not know: who is connected, how a batch is committed, what time it is.

mod loaded;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chirrup_core::aggregate::{self, AggregateId, Command, Digest, Origin, Outcome, SHARDS, Step, Verdict};
use chirrup_core::conversation;
use chirrup_core::event::Event;
use chirrup_core::rows::{RowKey, RowValue};
use chirrup_store::keys;
use chirrup_store::kv::limits::COMMIT_BYTES;
use chirrup_store::kv::{Key, Kv, ReadError, Row, Table};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, FeedEntry, FeedRow};

use crate::batch::{Answer, Batch, Published, Submission};
pub(crate) use loaded::{Loaded, Parts};

/// A state row is written when the log is so far ahead of it: what a load must fold again.
pub const STATE_LAG_MAX: u64 = 128;
/// Aggregates that one runner keeps in memory.
pub const LOADED_MAX: usize = 20_000;
/// Rows that stay in memory with an aggregate between batches.
pub const ROWS_KEPT_MAX: usize = 1_024;
/// Bytes of rows that one batch has, about: well below what one commit takes.
pub const BATCH_BYTES_MAX: usize = COMMIT_BYTES / 4;
/// Entries in one row of a feed.
pub const FEED_ROW_ENTRIES_MAX: usize = 1_024;
/// Name of the rows that hold each shard's durable mark.
pub const MARK: &str = "mark";

/// What one batch adds to the feed of a shard, while it is made.
#[derive(Default)]
struct ShardPart {
    /// Rows, by the offset of their first entry. Each lies within one bucket of the feed.
    rows: Vec<(Offset, Vec<FeedEntry>)>,
    last: Offset,
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
    parts: BTreeMap<u8, ShardPart>,
    touched: Vec<AggregateId>,
    verdicts: Vec<Row>,
    side: Vec<Row>,
    /// The last event with effects of the command at hand, if a client is to be answered.
    owes: Option<(u8, Offset)>,
    /// Bytes that its rows will have, about.
    bytes: usize,
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

    /// Decides the first of these commands, in this order, as many as one commit has room for:
    /// those are taken. The batch's number is what [`Runner::settle`] is given when its fate is
    /// known; batches are committed in the order of their numbers.
    pub fn prepare(&mut self, submissions: &mut VecDeque<Submission>) -> (u64, Batch) {
        self.evict();
        self.made += 1;
        let mut making = Making::default();
        making.batch.frees_room = !submissions.is_empty();
        while making.bytes < BATCH_BYTES_MAX
            && let Some(submission) = submissions.pop_front()
        {
            making.batch.frees_room &= frees_room(&submission.command);
            let answer = match self.decide(&submission.command, &mut making) {
                Ok(answer) => answer,
                Err(ReadError::Unavailable(_)) => Answer::StorageBusy,
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
        let next = &mut self.next[usize::from(loaded.shard)];
        let offset = Offset { epoch: self.epoch, n: *next, k: 0 };
        let outcome = match aggregate::step(&loaded.state, &loaded.rows, command) {
            Ok(step) => take(&*self.kv, loaded, command, offset, step, making)?,
            Err(refusal) => Outcome::Refused(refusal),
        };
        *next += 1;
        // Nothing is written for an aggregate that does not exist.
        if loaded.state.head > 0 {
            if loaded.batch != self.made {
                loaded.batch = self.made;
                making.touched.push(aggregate.clone());
            }
            if let Origin::Client { user, client_id, digest } = &command.origin {
                let verdict = Verdict { digest: *digest, outcome: outcome.clone() };
                making.verdicts.push(Row {
                    key: keys::dedupe(aggregate, *user, *client_id),
                    value: Some(record::encode_verdict(&verdict)),
                    version: offset.version(offset.n),
                });
                loaded.verdicts.insert((*user, *client_id), verdict);
            }
        }
        Ok(Answer::Decided { outcome, duplicate: false })
    }

    /// Puts the rows in the order in which a crash between any two partitions can be repaired
    /// (see [`crate::recovery`]): the intent (what this batch will hold), secrets, events,
    /// projections, verdicts, states, marks.
    fn finish(&mut self, mut making: Making) -> Batch {
        let mut parts = Parts::default();
        for aggregate in &making.touched {
            let loaded = self.loaded.get_mut(aggregate).expect("touched in this batch");
            let last = self.next[usize::from(loaded.shard)] - 1;
            let version = Offset { epoch: self.epoch, n: last, k: 0 }.version(last);
            loaded.rows_to_write(aggregate, version, &mut parts);
        }
        let mut intents = Vec::new();
        let mut marks = Vec::new();
        for (shard, part) in making.parts {
            let version = part.last.version(part.last.n);
            for (first, entries) in part.rows {
                let bucket = Some(first.n / keys::FEED_BUCKET);
                if self.bucket[usize::from(shard)] != bucket {
                    self.bucket[usize::from(shard)] = bucket;
                    intents.push(Row { key: keys::feed_bucket(shard, first), value: Some(record::encode_number(&1)), version });
                }
                let value = Some(record::encode_feed(&FeedRow { entries }));
                intents.push(Row { key: keys::feed(shard, first), value, version });
            }
            marks.push(Row { key: keys::meta(MARK, &[shard]), value: Some(record::encode_offset(part.last)), version });
        }
        let rows = &mut making.batch.rows;
        for part in [intents, ordered(making.side), parts.events, parts.projections, making.verdicts, parts.states, marks] {
            rows.extend(part);
        }
        if !making.touched.is_empty() {
            self.in_flight.push((self.made, making.touched));
        }
        making.batch
    }
}

/// Lets what the core has decided take effect in memory and in the batch.
fn take(
    kv: &dyn Kv,
    loaded: &mut Loaded,
    command: &Command,
    offset: Offset,
    step: Step,
    making: &mut Making,
) -> Result<Outcome, ReadError> {
    let first = loaded.head() + 1;
    let digest = match &command.origin {
        Origin::Client { digest, .. } => Some(*digest),
        _ => None,
    };
    let (events, bytes) = loaded.apply(kv, command, offset, step.events)?;
    making.bytes += bytes;
    for (offset, event) in events {
        making.publish(&command.aggregate, loaded.shard, offset, digest, event);
    }
    // A credential that comes with a claim is the first of its user: below every version of the
    // user's own shard.
    let version = if matches!(command.aggregate, AggregateId::Name(_)) { u64::from(offset.epoch) } else { offset.version(offset.n) };
    for (key, value) in step.rows {
        making.side.push(side_row(&command.aggregate, &key, value.as_ref(), version));
        loaded.rows.put(key, value);
    }
    let last = loaded.head();
    Ok(Outcome::Done { first: first.min(last), last, time: loaded.state.time })
}

impl Making {
    fn publish(&mut self, aggregate: &AggregateId, shard: u8, offset: Offset, digest: Option<Digest>, event: Event) {
        let part = self.parts.entry(shard).or_default();
        let goes_on = |(first, entries): &&mut (Offset, Vec<FeedEntry>)| {
            first.n / keys::FEED_BUCKET == offset.n / keys::FEED_BUCKET && entries.len() < FEED_ROW_ENTRIES_MAX
        };
        if part.rows.last_mut().as_ref().is_none_or(|row| !goes_on(row)) {
            part.rows.push((offset, Vec::new()));
        }
        let (first, entries) = part.rows.last_mut().expect("pushed if there was none");
        part.last = offset;
        let effects = !chirrup_core::effects::effects(aggregate, &event).is_empty();
        if effects && digest.is_some() {
            self.owes = Some((shard, offset));
        }
        entries.push(FeedEntry {
            n: offset.n - first.n,
            k: offset.k,
            aggregate: aggregate.clone(),
            seq: event.seq(),
            effects,
            timeline: event.envelope.fact.in_timeline(),
            digest: digest.filter(|_| offset.k == 0),
            changes: changed_events(&event),
        });
        self.batch.published.push(Published { aggregate: aggregate.clone(), shard, offset, event: Arc::new(event) });
    }
}

/// The events before it whose rows an event changes, if there are any.
fn changed_events(event: &Event) -> Option<Vec<u64>> {
    let earlier = |key| if let RowKey::Event(seq) = key { Some(seq).filter(|seq| *seq < event.seq()) } else { None };
    let changed: Vec<u64> = aggregate::touches(event).into_iter().filter_map(earlier).collect();
    (!changed.is_empty()).then_some(changed)
}

/// Secrets, the last of each row. Tokens go before the rows by which they are found and come after
/// them: where a crash falls between, a retry finds and removes what must not stay.
fn ordered(side: Vec<Row>) -> Vec<Row> {
    let last: BTreeMap<Key, Row> = side.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut rows: Vec<Row> = last.into_values().collect();
    rows.sort_by_key(|row| match (row.key.table, &row.value) {
        (Table::Token, None) => 0,
        (Table::Token, Some(_)) => 2,
        _ => 1,
    });
    rows
}

fn side_row(aggregate: &AggregateId, key: &RowKey, value: Option<&RowValue>, version: u64) -> Row {
    Row { key: keys::row(aggregate, key), value: value.map(record::encode_row), version }
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
