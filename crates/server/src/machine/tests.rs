//! The machine over a store of which it is not known, for a while, what became of a commit.

use std::sync::atomic::{AtomicUsize, Ordering};

use chirrup_core::aggregate::{Action, AggregateId, Digest, Origin, Outcome};
use chirrup_core::event::{History, Leaver};
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_core::{conversation, name};
use chirrup_store::kv::{CommitError, Entry, Key, Range, ReadError, Row, Table};
use chirrup_store::memory::MemoryKv;

use super::*;

/// What becomes of commits.
const MADE: usize = 0;
const UNKNOWN_AND_MADE: usize = 1;
const UNKNOWN_AND_NOT_MADE: usize = 2;

/// Longest wait for something that is to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store whose connection can break in the middle of a commit.
#[derive(Default)]
struct Breaking {
    inner: MemoryKv,
    fate: AtomicUsize,
}

impl Kv for Breaking {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.inner.get(keys)
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.inner.range(range)
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        let fate = self.fate.load(Ordering::Acquire);
        if fate != UNKNOWN_AND_NOT_MADE {
            self.inner.commit(rows)?;
        }
        if fate == MADE { Ok(()) } else { Err(CommitError::Unknown("the connection broke".to_owned())) }
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.inner.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        self.inner.cache_bytes()
    }
}

fn start() -> (Arc<Breaking>, Arc<Machine>) {
    let kv = Arc::new(Breaking::default());
    let options = Options { merge: Duration::from_millis(5), presence_grace_ms: 0 };
    let machine = Machine::start(Arc::clone(&kv) as _, options, Arc::default()).expect("an empty store");
    (kv, machine)
}

async fn ask(machine: &Machine, n: u8, aggregate: AggregateId, action: Action) -> Answer {
    let origin = Origin::Client { user: UserId([1; 16]), client_id: ClientId([n; 16]), digest: Digest::of(&[n]) };
    machine.submit(Command { aggregate, origin, stamp: machine.stamp(), action }).await
}

async fn in_group(machine: &Machine, n: u8, action: conversation::Action) -> Answer {
    ask(machine, n, AggregateId::Conversation(ConversationId([1; 16])), Action::Conversation(action)).await
}

async fn set_title(machine: &Machine, n: u8) -> Answer {
    in_group(machine, n, conversation::Action::SetTitle { title: format!("title {n}") }).await
}

/// Somebody with a group.
async fn prepare(machine: &Machine) {
    let claim = name::Action::Claim { user: UserId([1; 16]), name: "ana".to_owned(), display_name: "Ana".to_owned(), credential: None };
    let claimed = ask(machine, 1, AggregateId::Name("ana".to_owned()), Action::Name(claim)).await;
    assert!(matches!(claimed, Answer::Decided { outcome: Outcome::Done { .. }, .. }), "{claimed:?}");
    let group = conversation::Action::CreateGroup {
        title: "a group".to_owned(),
        history: History::Full,
        leaver: Leaver::Keeps,
        members: Vec::new(),
    };
    let created = in_group(machine, 2, group).await;
    assert!(matches!(created, Answer::Decided { outcome: Outcome::Done { .. }, .. }), "{created:?}");
}

async fn until_serving(machine: &Machine) {
    let serving = async {
        while machine.status() != Status::Serving {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, serving).await.expect("the store answers again");
}

fn place(answer: &Answer) -> (u64, bool) {
    match answer {
        Answer::Decided { outcome: Outcome::Done { last, .. }, duplicate } => (*last, *duplicate),
        other => panic!("not done: {other:?}"),
    }
}

async fn is_settled(fate: usize) {
    let (kv, machine) = start();
    prepare(&machine).await;
    let (before, _) = place(&set_title(&machine, 3).await);
    kv.fate.store(fate, Ordering::Release);
    assert_eq!(set_title(&machine, 4).await, Answer::Unknown);
    assert!(matches!(machine.status(), Status::Busy(_)), "{:?}", machine.status());
    assert_eq!(set_title(&machine, 5).await, Answer::StorageBusy, "nothing is decided on top of it");
    kv.fate.store(MADE, Ordering::Release);
    until_serving(&machine).await;
    assert_eq!(place(&set_title(&machine, 4).await), (before + 1, true), "it was committed in the end, once");
    assert_eq!(place(&set_title(&machine, 5).await), (before + 2, false));
    machine.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_batch_that_was_not_made_is_committed_again_until_it_is() {
    is_settled(UNKNOWN_AND_NOT_MADE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_batch_that_was_made_unheard_is_made_once() {
    is_settled(UNKNOWN_AND_MADE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_store_does_not_answer_stops_all_the_same() {
    let (kv, machine) = start();
    prepare(&machine).await;
    kv.fate.store(UNKNOWN_AND_NOT_MADE, Ordering::Release);
    assert_eq!(set_title(&machine, 3).await, Answer::Unknown);
    let stopping = tokio::task::spawn_blocking(move || machine.stop());
    tokio::time::timeout(PATIENCE, stopping).await.expect("in time").expect("no panic");
}
