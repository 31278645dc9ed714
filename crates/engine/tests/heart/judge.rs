//! What must hold of a store, whatever happened to it: judged from its raw rows.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::aggregate::{AggregateId, Outcome, State, fold, touches};
use chirrup_core::effects::effects;
use chirrup_core::event::{Envelope, Fact};
use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};
use chirrup_core::rows::{InboxEntry, Member, Record, RowKey, RowValue, Rows};
use chirrup_engine::feed::{self, Entry};
use chirrup_store::kv::{Key, Kv, Table};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, EventRow};
use chirrup_store::{keys, log};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::world::World;

/// Beyond every offset.
pub(crate) const END: Offset = Offset { epoch: u32::MAX, n: u64::MAX, k: u16::MAX };

type Raw = BTreeMap<Key, Vec<u8>>;

pub(crate) fn raw(world: &World) -> Raw {
    world.rows().into_iter().filter_map(|row| Some((row.key, row.value?))).collect()
}

/// Everything that must hold of these logs, which are all that the store has.
pub(crate) fn sound(world: &World, aggregates: &[AggregateId]) -> Result<(), TestCaseError> {
    let raw = raw(world);
    let mut expected = Raw::new();
    let mut heads = Vec::new();
    for aggregate in aggregates {
        let events = log::events(&*world.kv, aggregate, 0, 10_000).expect("memory can be read");
        chain(aggregate, &events)?;
        let key = keys::state(aggregate);
        let stored = raw.get(&key).map(|bytes| record::decode_state(&key, bytes).expect("it was encoded").state);
        let then = folded(aggregate, &events, stored.as_ref().map_or(0, |state| state.head), &mut expected);
        prop_assert_eq!(stored.unwrap_or_else(|| State::new(aggregate)), then, "the state row of {:?}", aggregate);
        one_effect_a_client_id(&raw, aggregate, &events)?;
        heads.push((aggregate, events.len() as Seq));
    }
    let is_made_of_events = |key: &&Key| matches!(key.table, Table::Event | Table::Member | Table::Inbox | Table::Mention);
    let found: Raw = raw.iter().filter(|(key, _)| is_made_of_events(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in &found {
        prop_assert_eq!(expected.get(key), Some(value), "folding the log again does not give {:?}", key);
    }
    for key in expected.keys() {
        prop_assert!(found.contains_key(key), "folding the log again gives {key:?}, which is not there");
    }
    feeds(world, &heads)
}

fn chain(aggregate: &AggregateId, events: &[EventRow]) -> Result<(), TestCaseError> {
    let (mut prev, mut time) = (Envelope::genesis(aggregate), 0);
    for (seq, row) in (1..).zip(events) {
        let envelope = &row.record.event.envelope;
        prop_assert_eq!((envelope.seq, envelope.prev), (seq, prev), "the chain of {:?}", aggregate);
        prop_assert!(envelope.time >= time);
        if let Some(sealed) = &row.record.event.sealed {
            prop_assert_eq!(Some(sealed.hash()), envelope.content_hash);
        }
        (prev, time) = (envelope.hash(), envelope.time);
    }
    Ok(())
}

/// Folds a log from its events alone; adds the rows that it gives, as they would be stored. Gives
/// the state as of `head`.
fn folded(aggregate: &AggregateId, events: &[EventRow], head: Seq, expected: &mut Raw) -> State {
    let mut state = State::new(aggregate);
    let mut then = state.clone();
    let mut known: BTreeMap<RowKey, RowValue> = BTreeMap::new();
    for row in events {
        let event = &row.record.event;
        let mut rows = Rows::default();
        for key in touches(event) {
            let value = known.get(&key).cloned();
            rows.load(key, value);
        }
        rows.put(RowKey::Event(event.seq()), Some(RowValue::Event(Box::new(Record::new(event.clone())))));
        fold(&mut state, &mut rows, event);
        if state.head == head {
            then.clone_from(&state);
        }
        for key in rows.take_changed() {
            match rows.get(&key) {
                Some(value) => known.insert(key, value.clone()),
                None => known.remove(&key),
            };
        }
    }
    for (key, value) in known {
        let (place, bytes) = match (&key, &value) {
            (RowKey::Event(seq), RowValue::Event(record)) => {
                let place = keys::event(aggregate, *seq, record.event.envelope.fact.in_timeline());
                (place, record::encode_event(events[*seq as usize - 1].offset, record))
            }
            _ => (keys::row(aggregate, &key), record::encode_row(&value)),
        };
        expected.insert(place, bytes);
    }
    then
}

/// P3: the events of a client id stand together, and the verdict names them.
fn one_effect_a_client_id(raw: &Raw, aggregate: &AggregateId, events: &[EventRow]) -> Result<(), TestCaseError> {
    let mut commands: BTreeMap<(UserId, ClientId), (Offset, u64, u64)> = BTreeMap::new();
    for row in events {
        let envelope = &row.record.event.envelope;
        let (Some(author), Some(client_id)) = (envelope.author, envelope.client_id) else { continue };
        let command = Offset { k: 0, ..row.offset };
        let (offset, first, last) = commands.entry((author, client_id)).or_insert((command, envelope.seq, envelope.seq));
        prop_assert_eq!(*offset, command, "two effects of {:?}", client_id);
        prop_assert!(envelope.seq <= *last + 1);
        (*first, *last) = ((*first).min(envelope.seq), envelope.seq);
    }
    for ((author, client_id), (_, first, last)) in commands {
        let key = keys::dedupe(aggregate, author, client_id);
        let Some(bytes) = raw.get(&key) else {
            return Err(TestCaseError::fail(format!("no verdict on {first} to {last} of {aggregate:?}")));
        };
        let verdict = record::decode_verdict(&key, bytes).expect("it was encoded");
        let time = events[last as usize - 1].record.event.envelope.time;
        prop_assert_eq!(verdict.outcome, Outcome::Done { first, last, time });
    }
    Ok(())
}

/// All entries of a feed.
pub(crate) fn walk(kv: &dyn Kv, shard: u8, mut after: Offset) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let page = feed::entries(kv, shard, after, END).expect("memory can be read");
        let Some(last) = page.last() else { return all };
        after = last.offset;
        all.extend(page);
    }
}

/// Each event stands in its shard's feed once, at its own offset and not beyond the mark; other
/// entries that name it are of batches that were not committed as they were meant.
fn feeds(world: &World, heads: &[(&AggregateId, Seq)]) -> Result<(), TestCaseError> {
    let mut feeds: BTreeMap<u8, Vec<Entry>> = BTreeMap::new();
    for (aggregate, _) in heads {
        let feed = feeds.entry(aggregate.shard()).or_insert_with(|| walk(&*world.kv, aggregate.shard(), Offset::default()));
        prop_assert!(feed.is_sorted_by(|a, b| a.offset < b.offset));
    }
    let mut seen = BTreeSet::new();
    for (shard, feed) in &feeds {
        for entry in feed {
            let Some(row) = feed::event(&*world.kv, entry).expect("memory can be read") else { continue };
            let event = &row.record.event;
            prop_assert!(seen.insert((entry.aggregate.clone(), entry.seq)), "{entry:?} stands twice in the feed");
            prop_assert_eq!(entry.effects, !effects(&entry.aggregate, event).is_empty());
            prop_assert_eq!(entry.timeline, matches!(event.envelope.fact, Fact::MessageCreated { ordinal: Some(_), .. }));
            prop_assert!(entry.offset <= world.marks[usize::from(*shard)], "{entry:?} is beyond the mark");
        }
    }
    for (aggregate, head) in heads {
        for seq in 1..=*head {
            prop_assert!(seen.contains(&((*aggregate).clone(), seq)), "event {seq} of {aggregate:?} is in no feed");
        }
    }
    Ok(())
}

fn row(world: &World, aggregate: &AggregateId, key: &RowKey) -> Option<RowValue> {
    let place = keys::row(aggregate, key);
    let bytes = world.kv.get(std::slice::from_ref(&place)).expect("memory can be read").pop().flatten()?;
    Some(record::decode_row(key, &place, &bytes).expect("it was encoded"))
}

/// A member, present or former.
pub(crate) fn member(world: &World, conversation: &AggregateId, user: UserId) -> Option<Member> {
    match row(world, conversation, &RowKey::Member(user))? {
        RowValue::Member(member) => Some(member),
        other => panic!("a member's row holds {other:?}"),
    }
}

/// A conversation in a user's list.
pub(crate) fn entry(world: &World, user: UserId, conversation: ConversationId) -> Option<InboxEntry> {
    match row(world, &AggregateId::User(user), &RowKey::Inbox(conversation))? {
        RowValue::Inbox(entry) => Some(entry),
        other => panic!("a list's row holds {other:?}"),
    }
}
