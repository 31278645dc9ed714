//! A history, found again by connection, by try and by conversation.

use std::collections::{BTreeMap, HashMap};

use super::log::body;
use super::verdict::{Rule, Violation};
use crate::history::{Act, At, ConnectionId, Event, Fault, History, Name, OpId, Record, Seq, What};

/// Time that presence may take, unless the history says otherwise: two heartbeats of 25 s and 5 s.
const PRESENCE_WITHIN_MS: u64 = 55_000;

/// An index of a history.
pub(super) struct Run<'a> {
    pub(super) records: &'a [Record],
    pub(super) links: BTreeMap<ConnectionId, Link<'a>>,
    pub(super) tries: Vec<Try<'a>>,
    /// By user and key.
    keys: HashMap<&'a str, HashMap<&'a str, Vec<usize>>>,
    /// By body.
    bodies: HashMap<&'a str, Vec<usize>>,
    /// The records of each conversation.
    pub(super) conversations: BTreeMap<&'a Name, Vec<usize>>,
    pub(super) faults: Vec<(At, &'a Fault)>,
    /// When the server served again after a fault.
    pub(super) healed: Vec<At>,
    /// When nothing was changed, since all was being read back.
    pub(super) quiet: Vec<(At, At)>,
    pub(super) presence_within: At,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) on: ConnectionId,
    pub(super) user: &'a Name,
    pub(super) device: &'a Name,
    pub(super) asked: At,
    pub(super) begun: At,
    pub(super) ended: At,
    pub(super) cursor: Option<&'a Name>,
    pub(super) reset: bool,
}

/// A try of a change.
#[derive(Debug)]
pub(super) struct Try<'a> {
    pub(super) on: ConnectionId,
    pub(super) user: &'a Name,
    pub(super) act: &'a Act,
    /// Where it is; none for one that would begin a conversation and was not acked.
    pub(super) conversation: Option<&'a Name>,
    pub(super) invoked: At,
    pub(super) outcome: Outcome<'a>,
    /// When the outcome came.
    pub(super) settled: At,
    pub(super) record: usize,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    Ok {
        seq: Seq,
        duplicate: bool,
    },
    Failed {
        code: &'a str,
    },
    /// Also what the history's end left open.
    Unknown,
}

impl Try<'_> {
    /// Its seq, if it was acked.
    pub(super) fn acked(&self) -> Option<Seq> {
        match self.outcome {
            Outcome::Ok { seq, .. } => Some(seq),
            _ => None,
        }
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

impl<'a> Run<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut run = Self {
            records: &history.records,
            links: BTreeMap::new(),
            tries: Vec::new(),
            keys: HashMap::new(),
            bodies: HashMap::new(),
            conversations: BTreeMap::new(),
            faults: Vec::new(),
            healed: Vec::new(),
            quiet: Vec::new(),
            presence_within: PRESENCE_WITHIN_MS * 1_000_000,
        };
        let mut ops = HashMap::new();
        for (index, record) in history.records.iter().enumerate() {
            run.settings(record);
            run.connection(record);
            run.change(index, record, &mut ops);
            if let Some(conversation) = conversation(&record.what) {
                run.conversations.entry(conversation).or_default().push(index);
            }
        }
        for (n, t) in run.tries.iter().enumerate() {
            if let Some(key) = t.act.key() {
                run.keys.entry(t.user).or_default().entry(key).or_default().push(n);
            }
            if let Some(body) = t.act.body() {
                run.bodies.entry(body).or_default().push(n);
            }
        }
        run
    }

    fn settings(&mut self, record: &'a Record) {
        match &record.what {
            What::Terms { presence_within_ms } => self.presence_within = presence_within_ms * 1_000_000,
            What::Fault { kind, .. } => self.faults.push((record.at, kind)),
            What::Healed { .. } => self.healed.push(record.at),
            What::ReadBackBegins { .. } => self.quiet.push((record.at, At::MAX)),
            What::ReadBackEnds => {
                if let Some(last) = self.quiet.last_mut() {
                    last.1 = record.at;
                }
            }
            _ => {}
        }
    }

    fn connection(&mut self, record: &'a Record) {
        match &record.what {
            What::Connected { on, user, device, asked, cursor, reset } => {
                let link =
                    Link { on: *on, user, device, asked: *asked, begun: record.at, ended: At::MAX, cursor: cursor.as_ref(), reset: *reset };
                self.links.insert(*on, link);
            }
            What::Ended { on } => {
                if let Some(link) = self.links.get_mut(on) {
                    link.ended = record.at;
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, index: usize, record: &'a Record, ops: &mut HashMap<OpId, usize>) {
        match &record.what {
            What::Invoke { op, on, act } => {
                let Some(link) = self.links.get(on) else { return };
                ops.insert(*op, self.tries.len());
                self.tries.push(Try {
                    on: *on,
                    user: link.user,
                    act,
                    conversation: act.conversation(),
                    invoked: record.at,
                    outcome: Outcome::Unknown,
                    settled: At::MAX,
                    record: index,
                });
            }
            What::Ok { op, seq, conversation, duplicate } => {
                if let Some(t) = ops.get(op).map(|n| &mut self.tries[*n]) {
                    t.outcome = Outcome::Ok { seq: *seq, duplicate: *duplicate };
                    t.conversation = t.conversation.or(conversation.as_ref());
                    t.settled = record.at;
                    t.record = index;
                }
            }
            What::Failed { op, code } => {
                if let Some(t) = ops.get(op).map(|n| &mut self.tries[*n]) {
                    t.outcome = Outcome::Failed { code };
                    t.settled = record.at;
                }
            }
            What::Unknown { op, .. } => {
                if let Some(t) = ops.get(op).map(|n| &mut self.tries[*n]) {
                    t.settled = record.at;
                }
            }
            _ => {}
        }
    }

    /// Tries of this user under this key.
    pub(super) fn of_key(&self, user: &str, key: &str) -> impl Iterator<Item = &Try<'a>> {
        self.keys.get(user).and_then(|of_user| of_user.get(key)).into_iter().flatten().map(|n| &self.tries[*n])
    }

    /// Tries that say this.
    pub(super) fn of_body(&self, body: &str) -> impl Iterator<Item = &Try<'a>> {
        self.bodies.get(body).into_iter().flatten().map(|n| &self.tries[*n])
    }

    /// Tries whose effect an event may be: by its key or, where the server tells none, by its body.
    pub(super) fn of_event(&self, event: &Event) -> Vec<&Try<'a>> {
        let Some(author) = &event.author else { return Vec::new() };
        match (&event.key, body(event)) {
            (Some(key), _) => self.of_key(author, key).collect(),
            (None, Some(body)) => self.of_body(body).filter(|t| t.user == author).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Tries by user and key.
    pub(super) fn by_key(&self) -> impl Iterator<Item = Vec<&Try<'a>>> {
        self.keys.values().flat_map(HashMap::values).map(|tries| tries.iter().map(|n| &self.tries[*n]).collect())
    }

    /// The connection of a record that has one.
    pub(super) fn link(&self, on: ConnectionId) -> Option<&Link<'a>> {
        self.links.get(&on)
    }

    /// Whether this time is within a read back.
    pub(super) fn is_quiet(&self, from: At, to: At) -> bool {
        self.quiet.iter().any(|(begun, ended)| *begun <= from && to <= *ended)
    }
}

/// The conversation that a record is about.
fn conversation(what: &What) -> Option<&Name> {
    match what {
        What::Live { conversation, .. }
        | What::Events { conversation, .. }
        | What::Messages { conversation, .. }
        | What::Absent { conversation, .. }
        | What::Walked { conversation, .. } => Some(conversation),
        What::Conversation { listed, .. } => Some(&listed.conversation),
        What::Position { position, .. } => Some(&position.conversation),
        What::Ok { conversation, .. } => conversation.as_ref(),
        _ => None,
    }
}

/// Begins a violation, to be completed by the methods of [`Violation`].
pub(super) fn broken(rule: Rule, record: usize, why: impl Into<String>) -> Violation {
    Violation { rule, record: record + 1, conversation: None, seq: None, body: None, reader: None, path: None, why: why.into() }
}

impl Violation {
    pub(super) fn on(mut self, conversation: &Name) -> Self {
        self.conversation = Some(conversation.clone());
        self
    }

    pub(super) fn seq(mut self, seq: Seq) -> Self {
        self.seq = Some(seq);
        self
    }

    pub(super) fn body(mut self, body: Option<&Name>) -> Self {
        self.body = body.cloned();
        self
    }

    pub(super) fn by(mut self, link: &Link<'_>, path: &'static str) -> Self {
        self.reader = Some(format!("{}/{}#{}", link.user, link.device, link.on));
        self.path = Some(path);
        self
    }
}
