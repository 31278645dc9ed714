//! Sinks that can be looked into, and a router with logs to publish from.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chirrup_core::aggregate::{AggregateId, SHARDS};
use chirrup_core::event::{Calls, ConversationKind, Envelope, Event, Fact, Form, History, Leaver};
use chirrup_core::hash::Hash;
use chirrup_core::ids::{ConversationId, DeviceId, Seq, UserId};
use chirrup_core::visibility::Intervals;
use chirrup_protocol::error::Error;
use chirrup_protocol::push::Push;
use chirrup_store::offset::Offset;

use crate::batch::Published;
use crate::recovery::Marks;
use crate::router::{Connection, Router, Subscription};
use crate::sink::Sink;

/// Where the feeds of an empty store stand.
pub(super) const START: Marks = [Offset { epoch: 0, n: 0, k: 0 }; SHARDS as usize];

pub(super) fn user(n: u8) -> UserId {
    UserId([n; 16])
}

pub(super) fn device(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

pub(super) fn conversation(n: u8) -> ConversationId {
    ConversationId([n; 16])
}

pub(super) fn created(members: &[u8], history: History) -> Fact {
    let members = members.iter().map(|n| user(*n)).collect();
    Fact::ConversationCreated { kind: ConversationKind::Group, history, leaver: Leaver::Keeps, members }
}

pub(super) fn message() -> Fact {
    Fact::MessageCreated { form: Form::Text, ordinal: None, thread: None, reply_to: None, original_time: None }
}

pub(super) fn edited(target: Seq) -> Fact {
    Fact::MessageEdited { target, uncalled: Calls::default() }
}

pub(super) fn event(seq: Seq, fact: Fact) -> Event {
    let envelope = Envelope { seq, time: 1, author: None, client_id: None, fact, content_hash: None, prev: Hash([0; 32]) };
    Event { envelope, sealed: None }
}

/// Keeps what is pushed until it is taken; takes so many frames at a time.
pub(super) struct TestSink {
    room: AtomicUsize,
    frames: Mutex<Vec<Bytes>>,
    wakes: AtomicUsize,
    closed: Mutex<Option<Error>>,
}

impl Default for TestSink {
    fn default() -> Self {
        Self { room: AtomicUsize::new(usize::MAX), frames: Mutex::default(), wakes: AtomicUsize::new(0), closed: Mutex::default() }
    }
}

impl Sink for TestSink {
    fn push(&self, frame: Bytes) -> bool {
        let mut frames = self.frames.lock().unwrap();
        let taken = frames.len() < self.room.load(Ordering::Relaxed);
        if taken {
            frames.push(frame);
        }
        taken
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self, error: Error) {
        *self.closed.lock().unwrap() = Some(error);
    }
}

impl TestSink {
    /// From now on so many frames fit in all.
    pub(super) fn make_room(&self, frames: usize) {
        self.room.store(frames, Ordering::Relaxed);
    }

    pub(super) fn frames(&self) -> Vec<Bytes> {
        self.frames.lock().unwrap().clone()
    }

    pub(super) fn pushes(&self) -> Vec<Push> {
        self.frames().iter().map(|frame| serde_json::from_slice(frame).unwrap()).collect()
    }

    /// Takes out all that waits, as a connection that writes does.
    pub(super) fn drain(&self) -> Vec<Push> {
        let pushes = self.pushes();
        self.frames.lock().unwrap().clear();
        pushes
    }

    pub(super) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    pub(super) fn closed(&self) -> Option<Error> {
        self.closed.lock().unwrap().clone()
    }
}

/// A router, and logs of conversations and users.
pub(super) struct Bench {
    pub(super) router: Router,
    /// The last offset of each shard.
    pub(super) marks: Marks,
    heads: HashMap<AggregateId, Seq>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { router: Router::new(START), marks: START, heads: HashMap::new() }
    }

    /// Connects, by a device of the connection's own.
    pub(super) fn connect(&mut self, id: u64, who: u8) -> Arc<TestSink> {
        let sink = Arc::new(TestSink::default());
        let connection = Connection { id, user: user(who), device: device(id as u8), sink: sink.clone() };
        assert!(self.router.connect(connection));
        sink
    }

    pub(super) fn subscribe(&mut self, connection: u64, which: u8, visible: Intervals, since: Seq) {
        self.router.subscribe(connection, vec![Subscription { conversation: conversation(which), visible, since }]);
    }

    pub(super) fn head(&self, aggregate: &AggregateId) -> Seq {
        self.heads.get(aggregate).copied().unwrap_or(0)
    }

    /// Publishes the next events of a conversation as one batch.
    pub(super) fn publish(&mut self, which: u8, facts: Vec<Fact>) {
        self.publish_log(&AggregateId::Conversation(conversation(which)), facts);
    }

    /// Publishes the next events of a user as one batch.
    pub(super) fn publish_user(&mut self, who: u8, facts: Vec<Fact>) {
        self.publish_log(&AggregateId::User(user(who)), facts);
    }

    fn publish_log(&mut self, aggregate: &AggregateId, facts: Vec<Fact>) {
        let shard = aggregate.shard();
        let mut batch = Vec::new();
        for fact in facts {
            let seq = self.head(aggregate) + 1;
            self.heads.insert(aggregate.clone(), seq);
            let mark = &mut self.marks[usize::from(shard)];
            *mark = Offset { epoch: 1, n: mark.n + 1, k: 0 };
            batch.push(Published { aggregate: aggregate.clone(), shard, offset: *mark, event: Arc::new(event(seq, fact)) });
        }
        self.router.publish(&batch);
    }
}
