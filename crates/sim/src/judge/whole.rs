//! The whole store when all is over: every log is a chain, every other row is what folding the
//! logs again gives, each client id has one effect and its verdict, each event stands once in the
//! feed, and the users' lists are as the conversations have it.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::aggregate::{AggregateId, Outcome, State, fold, touches};
use chirrup_core::event::Envelope;
use chirrup_core::ids::{ClientId, Seq, UserId};
use chirrup_core::rows::{Record, RowKey, RowValue, Rows};
use chirrup_engine::feed;
use chirrup_store::kv::{Key, Kv, ReadError, Table};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, EventRow};
use chirrup_store::{keys, log};

use super::{Judge, Violation};
use crate::client::{Wish, conversation, user};
use crate::kv::ReplicatedKv;
use crate::met::{Met, Rare};
use crate::node::START;
use crate::plan::{CONVERSATIONS, USERS};

/// Beyond every offset.
const END: Offset = Offset { epoch: u32::MAX, n: u64::MAX, k: u16::MAX };
/// Beyond every log of a schedule.
const LOG_MAX: usize = 10_000;

type Raw = BTreeMap<Key, Vec<u8>>;

impl From<ReadError> for Violation {
    fn from(error: ReadError) -> Self {
        Self::new("reads", error.to_string())
    }
}

fn broken<T>(rule: &'static str, what: String) -> Result<T, Violation> {
    Err(Violation::new(rule, what))
}

impl Judge {
    /// Judges the whole store, at rest.
    pub(crate) fn whole(&mut self, kv: &dyn Kv, raw: &ReplicatedKv, wishes: &[Wish], met: &Met) -> Result<(), Violation> {
        let raw = raw.dump(&[Table::Event, Table::Member, Table::Inbox, Table::Mention, Table::State, Table::Dedupe]);
        let conversations = (0..CONVERSATIONS).map(|n| AggregateId::Conversation(conversation(n)));
        let logs: Vec<AggregateId> = conversations.chain((0..USERS).map(|n| AggregateId::User(user(n)))).collect();
        let mut expected = Raw::new();
        let mut members = BTreeMap::new();
        for aggregate in &logs {
            let events = log::events(kv, aggregate, 0, LOG_MAX)?;
            chain(aggregate, &events)?;
            let key = keys::state(aggregate);
            let stored = raw.get(&key).map(|bytes| record::decode_state(&key, bytes)).transpose()?.map(|row| row.state);
            let head = stored.as_ref().map_or(0, |state| state.head);
            let then = folded(aggregate, &events, head, &mut expected, &mut members);
            if stored.unwrap_or_else(|| State::new(aggregate)) != then {
                return broken("rows are folds", format!("the state of {aggregate:?} at {head}"));
            }
            one_effect(&raw, aggregate, &events)?;
            fed(kv, aggregate, &events)?;
        }
        same(&raw, &expected)?;
        lists(&members)?;
        for n in 0..CONVERSATIONS {
            let events = log::events(kv, &AggregateId::Conversation(conversation(n)), 0, LOG_MAX)?;
            self.read(0, n, 0, &events)?;
            acked(wishes, n, &events, met)?;
        }
        Ok(())
    }
}

fn chain(aggregate: &AggregateId, events: &[EventRow]) -> Result<(), Violation> {
    let (mut prev, mut time) = (Envelope::genesis(aggregate), 0);
    for (seq, row) in (1..).zip(events) {
        let envelope = &row.record.event.envelope;
        if (envelope.seq, envelope.prev) != (seq, prev) || envelope.time < time {
            return broken("a dense order", format!("event {seq} of {aggregate:?} does not follow the one before it"));
        }
        (prev, time) = (envelope.hash(), envelope.time);
    }
    Ok(())
}

type Members = BTreeMap<(RowKey, AggregateId), RowValue>;

/// Folds a log from its events alone; adds the rows that it gives, as they would be stored. Gives
/// the state as of `head`.
fn folded(aggregate: &AggregateId, events: &[EventRow], head: Seq, expected: &mut Raw, members: &mut Members) -> State {
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
        if matches!(key, RowKey::Member(_) | RowKey::Inbox(_)) {
            members.insert((key, aggregate.clone()), value);
        }
        expected.insert(place, bytes);
    }
    then
}

/// Every row that folding gives, and no other.
fn same(raw: &Raw, expected: &Raw) -> Result<(), Violation> {
    let is_fold = |key: &Key| match key.table {
        Table::Event | Table::Member | Table::Mention => true,
        Table::Inbox => keys::inbox_row(&key.sort).is_some_and(|(_, is_entry)| is_entry),
        _ => false,
    };
    for (key, value) in raw.iter().filter(|(key, _)| is_fold(key)) {
        if expected.get(key) != Some(value) {
            return broken("rows are folds", format!("folding the logs again does not give {key:?}"));
        }
    }
    match expected.keys().find(|key| !raw.contains_key(key)) {
        Some(key) => broken("rows are folds", format!("folding the logs again gives {key:?}, which is not there")),
        None => Ok(()),
    }
}

/// The events of a client id stand together, and the verdict names them.
fn one_effect(raw: &Raw, aggregate: &AggregateId, events: &[EventRow]) -> Result<(), Violation> {
    let mut commands: BTreeMap<(UserId, ClientId), (Offset, Seq, Seq)> = BTreeMap::new();
    for row in events {
        let envelope = &row.record.event.envelope;
        let (Some(author), Some(client_id)) = (envelope.author, envelope.client_id) else { continue };
        let command = Offset { k: 0, ..row.offset };
        let (offset, _, last) = commands.entry((author, client_id)).or_insert((command, envelope.seq, envelope.seq));
        if *offset != command || envelope.seq > *last + 1 {
            return broken("one effect", format!("of {client_id:?} there are two, at {last} and at {}", envelope.seq));
        }
        *last = envelope.seq;
    }
    for ((author, client_id), (_, first, last)) in commands {
        let key = keys::dedupe(aggregate, author, client_id);
        let verdict = raw.get(&key).map(|bytes| record::decode_verdict(&key, bytes)).transpose()?;
        let time = events[last as usize - 1].record.event.envelope.time;
        if verdict.map(|verdict| verdict.outcome) != Some(Outcome::Done { first, last, time }) {
            return broken("one effect", format!("the verdict on {first} to {last} of {aggregate:?} is another, or is missing"));
        }
    }
    Ok(())
}

/// Each event stands in its shard's feed once, at its own offset.
fn fed(kv: &dyn Kv, aggregate: &AggregateId, events: &[EventRow]) -> Result<(), Violation> {
    let offsets: BTreeMap<Seq, Offset> = (1..).zip(events.iter().map(|row| row.offset)).collect();
    let mut seen = BTreeSet::new();
    let mut after = START;
    loop {
        let page = feed::entries(kv, aggregate.shard(), after, END)?;
        let Some(last) = page.last() else { break };
        after = last.offset;
        let own = page.iter().filter(|entry| entry.aggregate == *aggregate && offsets.get(&entry.seq) == Some(&entry.offset));
        for entry in own {
            if !seen.insert(entry.seq) {
                return broken("one feed", format!("event {} of {aggregate:?} stands there twice", entry.seq));
            }
        }
    }
    match offsets.keys().find(|seq| !seen.contains(seq)) {
        Some(seq) => broken("one feed", format!("event {seq} of {aggregate:?} is not there")),
        None => Ok(()),
    }
}

/// The lists of the users are as the conversations have it.
fn lists(members: &Members) -> Result<(), Violation> {
    for n in 0..CONVERSATIONS {
        for of in 0..USERS {
            let (place, of) = (conversation(n), user(of));
            let member = members.get(&(RowKey::Member(of), AggregateId::Conversation(place)));
            let entry = members.get(&(RowKey::Inbox(place), AggregateId::User(of)));
            let agree = match (member, entry) {
                (None, None) => true,
                (Some(RowValue::Member(member)), Some(RowValue::Inbox(entry))) => {
                    (member.role.is_some(), &member.visible) == (entry.joined, &entry.visible)
                }
                _ => false,
            };
            if !agree {
                return broken("lists are true", format!("{of} in {n}: {member:?} and {entry:?}"));
            }
        }
    }
    Ok(())
}

/// What was acknowledged is there under its seqs, in the order of its sender; nothing else is.
fn acked(wishes: &[Wish], n: u8, events: &[EventRow], met: &Met) -> Result<(), Violation> {
    let mut last_of: BTreeMap<u8, Seq> = BTreeMap::new();
    for wish in wishes.iter().filter(|wish| wish.conversation == n) {
        let made = |row: &&EventRow| row.record.event.envelope.client_id == Some(wish.client_id());
        let seqs: Vec<Seq> = events.iter().filter(made).map(|row| row.record.event.seq()).collect();
        match &wish.settled {
            Some((Outcome::Done { first, last, .. }, _)) => {
                let nothing = seqs.is_empty() && first == last;
                if !nothing && seqs != (*first..=*last).collect::<Vec<_>>() {
                    return broken("acked is kept", format!("wish {} was told {first} to {last}, and made {seqs:?}", wish.number));
                }
            }
            _ if seqs.is_empty() => {}
            settled => return broken("failed never appears", format!("wish {} made {seqs:?}, and was told {settled:?}", wish.number)),
        }
        if wish.doubted && !wish.decided && !seqs.is_empty() {
            met.note(Rare::KeptUnacked);
        }
        if let Some(seq) = seqs.first() {
            let before = last_of.insert(wish.user, *seq).unwrap_or(0);
            if before > *seq {
                return broken("a sender's order", format!("wish {} stands at {seq}, before an earlier one at {before}", wish.number));
            }
        }
    }
    let known = |row: &&EventRow| wishes.iter().any(|wish| row.record.event.envelope.client_id == Some(wish.client_id()));
    match events.iter().find(|row| !known(row)) {
        Some(row) => broken("nothing is made up", format!("event {} of {n}", row.record.event.seq())),
        None => Ok(()),
    }
}
