//! Positions beside a whole store in memory.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chirrup_core::aggregate::{Action as AnyAction, AggregateId, Outcome};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, History, Leaver, Moved, Text};
use chirrup_core::ids::{ConversationId, DeviceId, Seq, UserId};
use chirrup_core::user::Action as UserAction;
use chirrup_protocol::error::Error;
use chirrup_protocol::push::Push;
use chirrup_store::keys::{self, EPOCH};
use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Table};
use chirrup_store::record::{self, PositionRow};

use crate::positions::{NotRaised, Positions, Waiter};
use crate::recovery::{self, Marks};
use crate::router::{Connection, Router, Subscription};
use crate::sink::Sink;
use crate::testing::World;
use crate::views::PositionSource;

/// Answers to requests, by the number that each was given.
pub(super) type Answers = Arc<Mutex<Vec<(u64, Result<PositionRow, NotRaised>)>>>;

pub(super) fn user(n: u8) -> UserId {
    UserId([n; 16])
}

pub(super) fn answers() -> Answers {
    Arc::default()
}

pub(super) fn asks(log: &Answers, number: u64) -> Waiter {
    let log = Arc::clone(log);
    Box::new(move |answer| log.lock().unwrap().push((number, answer)))
}

pub(super) fn read_to(read: Seq, read_ordinal: u64) -> PositionRow {
    PositionRow { read, read_ordinal, delivered: read }
}

/// A store that cannot be read.
pub(super) struct Broken;

impl Kv for Broken {
    fn get(&self, _: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        Err(ReadError::Unavailable("broken".to_owned()))
    }

    fn range(&self, _: &Range) -> Result<Vec<Entry>, ReadError> {
        Err(ReadError::Unavailable("broken".to_owned()))
    }

    fn commit(&self, _: &[Row]) -> Result<(), CommitError> {
        Err(CommitError::Refused("broken".to_owned()))
    }

    fn partitions(&self, _: Table, _: Option<&[u8]>, _: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        Err(ReadError::Unavailable("broken".to_owned()))
    }

    fn cache_bytes(&self) -> u64 {
        0
    }
}

/// Keeps what is pushed.
#[derive(Default)]
struct Kept(Mutex<Vec<Bytes>>);

impl Sink for Kept {
    fn push(&self, frame: Bytes) -> bool {
        self.0.lock().unwrap().push(frame);
        true
    }

    fn wake(&self) {}

    fn close(&self, _: Error) {}
}

/// Three users in some groups, user 1 connected.
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) positions: Positions,
    pub(super) router: Router,
    sink: Arc<Kept>,
    groups: Vec<ConversationId>,
    /// Published events that the positions know of.
    known: usize,
}

impl Bench {
    pub(super) fn new(groups: usize) -> Self {
        let mut world = World::new();
        let start = world.marks(0);
        for n in 1..=3 {
            world.sign_up(user(n), &format!("user{n}"));
        }
        let sink = Arc::new(Kept::default());
        let mut router = Router::new(start);
        router.connect(Connection { id: 1, user: user(1), device: DeviceId([1; 16]), sink: sink.clone() });
        let positions = Positions::recover(&*world.kv, &start).unwrap();
        let mut bench = Self { world, positions, router, sink, groups: Vec::new(), known: 0 };
        for n in 0..groups {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            bench.groups.push(ConversationId(id));
            let (title, members) = ("a group".to_owned(), vec![user(2), user(3)]);
            bench.act(n, 1, Action::CreateGroup { title, history: History::Full, leaver: Leaver::Keeps, members });
            let visible = chirrup_core::visibility::Intervals::everything();
            bench.router.subscribe(1, vec![Subscription { conversation: bench.groups[n], visible, since: 1 }]);
        }
        bench
    }

    pub(super) fn group(&self, n: usize) -> ConversationId {
        self.groups[n]
    }

    pub(super) fn act(&mut self, group: usize, who: u8, action: Action) -> Outcome {
        let outcome = self.world.act(self.groups[group], user(who), action);
        self.publish();
        outcome
    }

    /// Lets the positions know of what became durable.
    fn publish(&mut self) {
        self.positions.published(&self.world.published[self.known..]);
        // As each start does it.
        let epoch = u64::from(recovery::epoch(&*self.world.kv).unwrap()) + 1;
        let value = Some(record::encode_number(&epoch));
        self.world.kv.commit(&[Row { key: keys::meta(EPOCH, &[0]), value, version: epoch }]).unwrap();
        self.known = self.world.published.len();
    }

    /// Makes a message durable, and lets nobody know of it.
    pub(super) fn send_unheard(&mut self, group: usize, who: u8) -> Seq {
        let text = Text { text: "hello".to_owned(), mentions: vec![], mention_all: false };
        let (reply_to, thread_root, also_in_conversation, original_time) = (None, None, false, None);
        let send = Action::Send { form: Form::Text, text, reply_to, thread_root, also_in_conversation, original_time };
        match self.world.act(self.groups[group], user(who), send) {
            Outcome::Done { last, .. } => last,
            Outcome::Refused(why) => panic!("{why}"),
        }
    }

    pub(super) fn send(&mut self, group: usize, who: u8) -> Seq {
        let seq = self.send_unheard(group, who);
        self.publish();
        seq
    }

    pub(super) fn raise(&self, group: usize, who: u8, position: PositionRow, waiter: Waiter) {
        self.positions.raise(self.groups[group], user(who), position, waiter);
    }

    pub(super) fn pending(&self, group: usize, who: u8) -> Option<PositionRow> {
        self.positions.pending(self.groups[group], user(who))
    }

    /// Flushes everything; what the users' logs are to be told.
    pub(super) fn flush(&mut self) -> Vec<(UserId, Vec<Moved>)> {
        let flush = self.positions.take_flush(&*self.world.kv, usize::MAX).unwrap();
        self.world.kv.commit(&flush.rows).unwrap();
        self.positions.flushed(flush, true, &mut self.router)
    }

    /// Lets the users' logs tell it.
    pub(super) fn tell(&mut self, notes: Vec<(UserId, Vec<Moved>)>) {
        for (who, positions) in notes {
            self.world.run(AggregateId::User(who), who, AnyAction::User(UserAction::NotePositions { positions }));
        }
        self.publish();
    }

    /// Everything in memory is lost, and begun again from the store.
    pub(super) fn crash(&mut self) {
        self.known = self.world.published.len();
        let marks: Marks = self.world.marks(self.known);
        self.positions = Positions::recover(&*self.world.kv, &marks).unwrap();
    }

    /// The rows for the user and for the others.
    pub(super) fn rows(&self, group: usize, who: u8) -> [Option<PositionRow>; 2] {
        let places = [keys::inbox_position(user(who), self.groups[group]), keys::position(self.groups[group], user(who))];
        let mut values = self.world.kv.get(&places).unwrap().into_iter().zip(&places);
        std::array::from_fn(|_| {
            let (value, key) = values.next().unwrap();
            value.map(|bytes| record::decode_position(key, &bytes).unwrap())
        })
    }

    pub(super) fn stored(&self, group: usize, who: u8) -> (PositionRow, PositionRow) {
        let [own, others] = self.rows(group, who).map(Option::unwrap_or_default);
        (own, others)
    }

    pub(super) fn moved(&self, group: usize, position: PositionRow) -> Moved {
        Moved { conversation: self.groups[group], read: position.read, delivered: position.delivered }
    }

    /// Receipts that were pushed to user 1 since the last call: whose, and read up to where.
    pub(super) fn receipts(&self) -> Vec<(UserId, Seq)> {
        let frames = std::mem::take(&mut *self.sink.0.lock().unwrap());
        let receipt = |frame: &Bytes| match serde_json::from_slice(frame).unwrap() {
            Push::Position(updated) => Some((updated.user, updated.read)),
            _ => None,
        };
        frames.iter().filter_map(receipt).collect()
    }
}
