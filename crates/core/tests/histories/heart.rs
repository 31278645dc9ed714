//! Drives one aggregate as the core's contract says, and no better: `step` is given the rows of
//! `needs` alone and `fold` those of `touches`, so that a row forgotten by either is found.

use std::collections::BTreeMap;

use chirrup_core::aggregate::{Action, AggregateId, Command, Origin, Stamp, State, fold, needs, step, touches};
use chirrup_core::event::{Draft, Envelope, Event, Sealed};
use chirrup_core::hash::{Hash, Salt};
use chirrup_core::ids::Seq;
use chirrup_core::refusal::Refusal;
use chirrup_core::rows::{Record, RowKey, RowValue, Rows};

/// Rows as a store would hold them.
pub(crate) type Stored = BTreeMap<RowKey, RowValue>;

/// A row as an event has left it.
pub(crate) struct Written {
    pub(crate) by: Seq,
    pub(crate) key: RowKey,
    pub(crate) value: Option<RowValue>,
}

/// An aggregate and everything that it ever was.
pub(crate) struct Heart {
    pub(crate) aggregate: AggregateId,
    pub(crate) state: State,
    pub(crate) rows: Stored,
    /// Every write of a row that events make.
    pub(crate) written: Vec<Written>,
    /// The state at each head, from 0.
    pub(crate) states: Vec<State>,
    /// The events as they were made.
    pub(crate) log: Vec<Event>,
    clock: u64,
}

impl Heart {
    pub(crate) fn new(aggregate: AggregateId) -> Self {
        let state = State::new(&aggregate);
        Self { states: vec![state.clone()], aggregate, state, rows: Stored::new(), written: Vec::new(), log: Vec::new(), clock: 0 }
    }

    pub(crate) fn head(&self) -> Seq {
        self.state.head
    }

    /// Asks; gives the events made. The clock of the edge goes back now and then.
    pub(crate) fn ask(&mut self, origin: Origin, action: Action) -> Result<&[Event], Refusal> {
        self.clock += 7;
        let time = if self.clock.is_multiple_of(5) { self.clock - 20 } else { self.clock };
        let mut salt = Salt::default();
        salt.0.copy_from_slice(&Hash::of(&self.clock.to_be_bytes()).0[..16]);
        let command = Command { aggregate: self.aggregate.clone(), origin, stamp: Stamp { time, salt }, action };
        let rows = load(&self.rows, needs(&self.state, &command));
        let step = step(&self.state, &rows, &command)?;
        let before = self.log.len();
        for draft in step.events {
            let event = seal(&self.state, &command, draft);
            let mut rows = load(&self.rows, touches(&event));
            rows.put(RowKey::Event(event.seq()), Some(RowValue::Event(Box::new(Record::new(event.clone())))));
            fold(&mut self.state, &mut rows, &event);
            for key in rows.take_changed() {
                let value = rows.get(&key).cloned();
                store(&mut self.rows, key.clone(), value.clone());
                self.written.push(Written { by: event.seq(), key, value });
            }
            self.states.push(self.state.clone());
            self.log.push(event);
        }
        for (key, value) in step.rows {
            store(&mut self.rows, key, value);
        }
        Ok(&self.log[before..])
    }

    /// The rows that no event makes: secrets.
    pub(crate) fn is_side(key: &RowKey) -> bool {
        matches!(key, RowKey::Credential(_) | RowKey::Token(_) | RowKey::DeviceToken(_))
    }

    /// The event as it is kept now: its content may have been removed.
    pub(crate) fn record(&self, seq: Seq) -> &Record {
        match self.rows.get(&RowKey::Event(seq)) {
            Some(RowValue::Event(record)) => record,
            other => panic!("no event {seq}: {other:?}"),
        }
    }

    /// Folds the events beyond a state's head into it and into rows of which each is as some event
    /// at or beyond that head has left it.
    pub(crate) fn fold_again(&self, mut state: State, mut stored: Stored) -> (State, Stored) {
        for seq in state.head + 1..=self.head() {
            let Some(RowValue::Event(record)) = stored.get(&RowKey::Event(seq)) else { panic!("no event {seq}") };
            let event = record.event.clone();
            let mut rows = load(&stored, touches(&event).into_iter().chain([RowKey::Event(seq)]).collect());
            fold(&mut state, &mut rows, &event);
            for key in rows.take_changed() {
                let value = rows.get(&key).cloned();
                store(&mut stored, key, value);
            }
        }
        (state, stored)
    }

    /// The rows that events make, as they are now.
    pub(crate) fn projections(&self) -> Stored {
        self.rows.iter().filter(|(key, _)| !Self::is_side(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Rows as a crash could leave them if the state is kept as of `mark`: of every row, one of
    /// the values that it had from then on, told by `choose(how many)`.
    pub(crate) fn torn(&self, mark: Seq, mut choose: impl FnMut(usize) -> usize) -> Stored {
        let mut values: BTreeMap<&RowKey, Vec<Option<&RowValue>>> = BTreeMap::new();
        for Written { by, key, value } in &self.written {
            let of_key = values.entry(key).or_insert_with(|| vec![None]);
            if *by <= mark {
                of_key.clear();
            }
            of_key.push(value.as_ref());
        }
        let mut stored = Stored::new();
        for (key, mut of_key) in values {
            // Events are written before everything that is made of them.
            of_key.retain(|value| !matches!(key, RowKey::Event(_)) || value.is_some());
            if let Some(value) = of_key[choose(of_key.len())] {
                stored.insert(key.clone(), value.clone());
            }
        }
        stored
    }
}

fn load(stored: &Stored, keys: Vec<RowKey>) -> Rows {
    let mut rows = Rows::default();
    for key in keys {
        let value = stored.get(&key).cloned();
        rows.load(key, value);
    }
    rows
}

fn store(stored: &mut Stored, key: RowKey, value: Option<RowValue>) {
    match value {
        Some(value) => stored.insert(key, value),
        None => stored.remove(&key),
    };
}

fn seal(state: &State, command: &Command, draft: Draft) -> Event {
    let sealed = draft.content.map(|content| Sealed { salt: command.stamp.salt, content });
    let envelope = Envelope {
        seq: state.head + 1,
        time: command.stamp.time.max(state.time),
        author: command.origin.user(),
        client_id: command.origin.client_id(),
        fact: draft.fact,
        content_hash: sealed.as_ref().map(Sealed::hash),
        prev: state.hash,
    };
    Event { envelope, sealed }
}
