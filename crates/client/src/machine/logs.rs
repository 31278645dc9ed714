//! How far this device knows each log, and the repair of gaps: what was handed on is dense from
//! where the log was begun; what lies beyond is held, or only known to exist and pulled.
//!
//! Must not know: what the events say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chirrup_core::ids::{ConversationId, Seq};
use chirrup_protocol::event::Event;

use crate::limits::HELD_MAX;

/// Which log: a conversation's, or (none) one's own user log.
pub type LogKey = Option<ConversationId>;

/// One log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Every event up to here was handed on, or lies before the log's beginning for this device;
    /// none while it is not known where the log begins.
    handled: Option<Seq>,
    /// Highest seq that is known to exist.
    head: Seq,
    /// Events beyond `handled` that came early, at most [`HELD_MAX`] by pushes.
    held: BTreeMap<Seq, Event>,
    pulling: bool,
}

/// All logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    known: HashMap<LogKey, Log>,
    /// Logs of which there is more than was handed on.
    behind: BTreeSet<LogKey>,
    /// Logs whose next event is here.
    here: BTreeSet<LogKey>,
}

impl Logs {
    /// A log that an earlier run knew.
    pub(super) fn restore(&mut self, key: LogKey, handled: Option<Seq>, head: Seq) {
        self.known.insert(key, Log { handled, head: head.max(handled.unwrap_or(0)), ..Log::default() });
        self.check(key);
    }

    /// How far a log was handed on; none if it is not known, or not where it begins.
    pub(super) fn handled(&self, key: LogKey) -> Option<Seq> {
        self.known.get(&key).and_then(|log| log.handled)
    }

    /// Begins a log behind `seq`, unless it has begun.
    pub(super) fn begin(&mut self, key: LogKey, seq: Seq) -> bool {
        let log = self.known.entry(key).or_default();
        if log.handled.is_some() {
            return false;
        }
        log.handled = Some(seq);
        log.head = log.head.max(seq);
        log.held = log.held.split_off(&(seq + 1));
        self.check(key);
        true
    }

    /// The log turned out to end before what was handed on: goes on from its head.
    pub(super) fn rewind(&mut self, key: LogKey, head: Seq) {
        if let Some(log) = self.known.get_mut(&key) {
            *log = Log { handled: Some(head), head, ..Log::default() };
            self.check(key);
        }
    }

    /// There are events up to `head`.
    pub(super) fn told(&mut self, key: LogKey, head: Seq) {
        let log = self.known.entry(key).or_default();
        log.head = log.head.max(head);
        self.check(key);
    }

    /// An event came; `keep` says whether it may be kept or only its existence noted.
    pub(super) fn pushed(&mut self, key: LogKey, event: Event, keep: bool) {
        let log = self.known.entry(key).or_default();
        log.head = log.head.max(event.seq);
        let next = log.handled.is_some_and(|handled| event.seq == handled + 1);
        if keep && log.handled.is_none_or(|handled| event.seq > handled) && (next || log.held.len() < HELD_MAX) {
            log.held.insert(event.seq, event);
        }
        self.check(key);
    }

    /// A page came: dense events after some seq. An empty one says that there is nothing to pull.
    pub(super) fn pulled(&mut self, key: LogKey, events: Vec<Event>, head: Seq) {
        let Some(log) = self.known.get_mut(&key) else { return };
        log.pulling = false;
        let handled = log.handled.unwrap_or(0);
        if events.is_empty() && !log.held.contains_key(&(handled + 1)) {
            log.head = handled;
            log.held.clear();
        } else {
            log.head = log.head.max(head);
            log.held.extend(events.into_iter().filter(|event| event.seq > handled).map(|event| (event.seq, event)));
        }
        self.check(key);
    }

    /// A pull came to nothing; another may follow.
    pub(super) fn pull_over(&mut self, key: LogKey) {
        if let Some(log) = self.known.get_mut(&key) {
            log.pulling = false;
        }
        self.check(key);
    }

    /// Takes the next event of a log, if it is here.
    pub(super) fn next(&mut self, key: LogKey) -> Option<Event> {
        let log = self.known.get_mut(&key)?;
        let handled = log.handled?;
        let event = log.held.remove(&(handled + 1))?;
        log.handled = Some(handled + 1);
        self.check(key);
        Some(event)
    }

    /// Forgets a log.
    pub(super) fn remove(&mut self, key: LogKey) -> bool {
        let known = self.known.remove(&key).is_some();
        self.check(key);
        known
    }

    /// Logs of which there is more than was handed on, the user's own first.
    pub(super) fn behind(&self) -> impl Iterator<Item = LogKey> {
        self.behind.iter().copied()
    }

    /// The same, with what there is.
    pub(super) fn heads_behind(&self) -> impl Iterator<Item = (LogKey, Seq)> {
        self.behind.iter().filter_map(|key| self.known.get(key).map(|log| (*key, log.head)))
    }

    /// Begins a pull of a log, unless its next event is here, one is under way or its beginning is
    /// not known: answers after which seq to pull, and how many events are missing there.
    pub(super) fn pull(&mut self, key: LogKey) -> Option<(Seq, u64)> {
        let log = self.known.get_mut(&key)?;
        let handled = log.handled?;
        if log.pulling || handled >= log.head || log.held.contains_key(&(handled + 1)) {
            return None;
        }
        log.pulling = true;
        let until = log.held.first_key_value().map_or(log.head, |(seq, _)| seq - 1);
        Some((handled, until - handled))
    }

    /// Conversations that are known of.
    pub(super) fn conversations(&self) -> impl Iterator<Item = ConversationId> {
        self.known.keys().copied().flatten()
    }

    /// The connection is gone, and with it all pulls.
    pub(super) fn lost(&mut self) {
        for log in self.known.values_mut() {
            log.pulling = false;
        }
    }

    /// Logs whose next event is here.
    pub(super) fn here(&self) -> Vec<LogKey> {
        self.here.iter().copied().collect()
    }

    fn check(&mut self, key: LogKey) {
        let log = self.known.get(&key);
        put(&mut self.behind, key, log.is_some_and(|log| log.handled.is_none_or(|handled| handled < log.head)));
        put(&mut self.here, key, log.is_some_and(|log| log.handled.is_some_and(|handled| log.held.contains_key(&(handled + 1)))));
    }
}

fn put(set: &mut BTreeSet<LogKey>, key: LogKey, within: bool) {
    if within {
        set.insert(key);
    } else {
        set.remove(&key);
    }
}
