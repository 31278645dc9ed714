//! A whole store in memory for tests: commands are decided by the runner and effects sent by
//! their reader, as in production, one batch after the other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chirrup_core::aggregate::{Action, AggregateId, Command, Digest, Origin, Outcome, SHARDS, Stamp};
use chirrup_core::event::Event;
use chirrup_core::hash::Salt;
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_core::{conversation, name, names};
use chirrup_store::keys;
use chirrup_store::kv::{Kv, Row};
use chirrup_store::memory::MemoryKv;
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, PositionRow};

use crate::batch::{Answer, Published, Submission};
use crate::effects::EffectReader;
use crate::recovery::{Fresh, Marks, recover};
use crate::runner::Runner;
use crate::views::{PositionSource, Views};

/// Positions that a test holds back from the store.
#[derive(Default)]
pub(crate) struct Pending(Mutex<HashMap<(ConversationId, UserId), PositionRow>>);

impl Pending {
    pub(crate) fn set(&self, conversation: ConversationId, user: UserId, position: PositionRow) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((conversation, user), position);
    }
}

impl PositionSource for Pending {
    fn pending(&self, conversation: ConversationId, user: UserId) -> Option<PositionRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(conversation, user)).copied()
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) kv: Arc<MemoryKv>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) views: Views,
    /// Everything that became durable, in order.
    pub(crate) published: Vec<Published>,
    runner: Runner,
    effects: EffectReader,
    commands: u64,
}

/// Ids that sort as their numbers do.
pub(crate) fn user(n: u8) -> UserId {
    nth_user(n.into())
}

pub(crate) fn conversation(n: u8) -> ConversationId {
    nth_conversation(n.into())
}

pub(crate) fn nth_user(n: u16) -> UserId {
    UserId(id(n))
}

pub(crate) fn nth_conversation(n: u16) -> ConversationId {
    ConversationId(id(n))
}

fn id(n: u16) -> [u8; 16] {
    let [high, low] = n.to_be_bytes();
    let mut id = [low; 16];
    id[0] = high;
    id
}

impl World {
    pub(crate) fn new() -> Self {
        let kv = Arc::new(MemoryKv::new());
        let recovered = recover(&*kv, &Fresh { key: [1; 32], incarnation: 1 }).unwrap();
        let pending = Arc::new(Pending::default());
        Self {
            views: Views::new(Arc::clone(&kv) as _, Arc::clone(&pending) as _),
            runner: Runner::new(Arc::clone(&kv) as _, recovered.epoch),
            effects: EffectReader::recover(&*kv, &recovered.marks).unwrap(),
            kv,
            pending,
            published: Vec::new(),
            commands: 0,
        }
    }

    /// A world in which the users `0..count` have accounts, named by their numbers.
    pub(crate) fn of(count: u8) -> Self {
        let mut world = Self::new();
        for n in 0..count {
            world.sign_up(user(n), &format!("user{n}"));
        }
        world
    }

    /// Signs a user up under a name.
    pub(crate) fn sign_up(&mut self, user: UserId, name: &str) {
        let action = name::Action::Claim { user, name: name.to_owned(), display_name: name.to_owned(), credential: Some("phc".to_owned()) };
        self.run(AggregateId::Name(names::fold(name)), user, Action::Name(action));
    }

    /// Asks something of a conversation.
    pub(crate) fn act(&mut self, conversation: ConversationId, user: UserId, action: conversation::Action) -> Outcome {
        self.run(AggregateId::Conversation(conversation), user, Action::Conversation(action))
    }

    /// Runs one command and all effects of it.
    pub(crate) fn run(&mut self, aggregate: AggregateId, user: UserId, action: Action) -> Outcome {
        self.run_all(vec![(aggregate, user, action)]).pop().expect("one answer a command")
    }

    /// Runs commands in one batch, then all their effects.
    pub(crate) fn run_all(&mut self, commands: Vec<(AggregateId, UserId, Action)>) -> Vec<Outcome> {
        let commands = commands.into_iter().map(|(aggregate, user, action)| {
            self.commands += 1;
            let bytes = u128::from(self.commands).to_be_bytes();
            let origin = Origin::Client { user, client_id: ClientId(bytes), digest: Digest::of(&bytes) };
            Command { aggregate, origin, stamp: Stamp { time: 1_000 + self.commands, salt: Salt(bytes) }, action }
        });
        let answers = Arc::new(Mutex::new(Vec::new()));
        let answered = |command| {
            let answers = Arc::clone(&answers);
            Submission { command, answer: Box::new(move |answer| answers.lock().unwrap().push(answer)) }
        };
        let submissions = commands.map(answered).collect();
        self.commit(submissions);
        let stamp = Stamp { time: 1_000 + self.commands, salt: Salt([7; 16]) };
        while let Some(effect) = self.effects.next(&*self.kv, || stamp).unwrap() {
            self.commit(vec![effect]);
        }
        assert!(self.effects.is_idle(), "all effects are taken");
        let outcome = |answer| match answer {
            Answer::Decided { outcome, duplicate: false } => outcome,
            other => panic!("not decided: {other:?}"),
        };
        let answers = std::mem::take(&mut *answers.lock().unwrap());
        answers.into_iter().map(outcome).collect()
    }

    fn commit(&mut self, submissions: Vec<Submission>) {
        let mut waiting = VecDeque::from(submissions);
        while !waiting.is_empty() {
            let (number, batch) = self.runner.prepare(&mut waiting);
            self.kv.commit(&batch.rows).unwrap();
            self.runner.settle(number);
            self.effects.published(&batch.published);
            for published in batch.published {
                self.views.published(&published);
                self.published.push(published);
            }
            for (answerer, answer) in batch.answers {
                answerer(answer);
            }
        }
    }

    /// Writes positions as their owner does: for the user, and for the other members.
    pub(crate) fn write_position(&mut self, conversation: ConversationId, user: UserId, position: PositionRow) {
        let value = Some(record::encode_position(&position));
        self.commands += 1;
        let row = |key| Row { key, value: value.clone(), version: self.commands };
        self.kv.commit(&[row(keys::inbox_position(user, conversation)), row(keys::position(conversation, user))]).unwrap();
    }

    /// The events of a log as they were published.
    pub(crate) fn events(&self, aggregate: &AggregateId) -> Vec<Arc<Event>> {
        self.published.iter().filter(|p| p.aggregate == *aggregate).map(|p| Arc::clone(&p.event)).collect()
    }

    /// The marks after the first `count` published events.
    pub(crate) fn marks(&self, count: usize) -> Marks {
        let mut marks = [Offset::default(); SHARDS as usize];
        for published in &self.published[..count] {
            marks[usize::from(published.shard)] = published.offset;
        }
        marks
    }
}
