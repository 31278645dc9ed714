//! What one batch may hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chirrup_core::aggregate::{Action, AggregateId, Command};
use chirrup_core::conversation::Action as Asked;
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::ids::UserId;
use chirrup_core::limits::{MEMBERS_AT_ONCE_MAX, TEXT_BYTES_MAX};
use chirrup_engine::batch::{Answer, Submission};
use chirrup_engine::runner::Runner;
use chirrup_store::kv::limits::{COMMIT_BYTES, VALUE_BYTES};
use chirrup_store::kv::{Kv, Row};
use chirrup_store::{keys, log, record};

use crate::generator::{origin, user};
use crate::store::Store;
use crate::world::{Told, World, conversation, listen};

/// A runner whose batches are looked at before they are committed.
struct Bench {
    world: World,
    kv: Arc<dyn Kv>,
    runner: Runner,
    asked: u64,
}

impl Bench {
    fn new() -> Self {
        let kv: Arc<dyn Kv> = Arc::new(Store::default());
        let mut bench = Self { world: World::over(&[]), runner: Runner::new(Arc::clone(&kv), 1), kv, asked: 0 };
        let create = Asked::CreateGroup { title: "t".into(), history: History::Full, leaver: Leaver::Keeps, members: vec![user(1)] };
        bench.ask(vec![create]);
        bench
    }

    fn command(&mut self, action: Asked) -> Command {
        self.asked += 1;
        let aggregate = AggregateId::Conversation(conversation(0));
        self.world.command(aggregate, origin(user(0), self.asked, 0), Action::Conversation(action))
    }

    /// Decides and commits all of these; gives the number of batches.
    fn ask(&mut self, actions: Vec<Asked>) -> usize {
        let told = Told::default();
        let count = actions.len();
        let commands: Vec<Command> = actions.into_iter().map(|action| self.command(action)).collect();
        let mut waiting: VecDeque<Submission> = commands.into_iter().map(|command| listen(&told, command)).collect();
        let mut batches = 0;
        while !waiting.is_empty() {
            let before = waiting.len();
            let (number, batch) = self.runner.prepare(&mut waiting);
            assert!(waiting.len() < before, "each batch takes some");
            assert!(batch.rows.iter().map(size).sum::<usize>() <= COMMIT_BYTES / 2, "a commit with room to spare");
            assert!(batch.rows.iter().all(|row| row.value.as_ref().is_none_or(|value| value.len() <= VALUE_BYTES)));
            self.kv.commit(&batch.rows).expect("memory takes it");
            self.runner.settle(number);
            for (answerer, answer) in batch.answers {
                answerer(answer);
            }
            batches += 1;
        }
        let answers: Vec<Answer> = told.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect();
        assert_eq!(answers.len(), count);
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Decided { duplicate: false, .. })));
        batches
    }
}

fn size(row: &Row) -> usize {
    row.key.partition.len() + row.key.sort.len() + row.value.as_ref().map_or(0, Vec::len)
}

fn say(bytes: usize) -> Asked {
    let text = Text { text: "x".repeat(bytes), mentions: Vec::new(), mention_all: false };
    Asked::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
}

/// Long messages, and then a small change of each, which writes all of them again.
#[test]
fn a_batch_has_as_many_bytes_as_a_commit_takes() {
    let mut bench = Bench::new();
    assert!(bench.ask(vec![say(TEXT_BYTES_MAX); 700]) > 1);
    let react = |n: u64| Asked::React { target: n, emoji: "x".to_owned(), add: true };
    assert!(bench.ask((2..702).map(react).collect()) > 1);
    assert_eq!(bench.ask(vec![say(1); 2_000]), 1, "short ones fit");
}

#[test]
fn members_at_once_count_by_their_rows() {
    let mut bench = Bench::new();
    let member = |n: usize| {
        let mut id = [9; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        UserId(id)
    };
    let add = |n: usize| Asked::Add { users: (n * MEMBERS_AT_ONCE_MAX..(n + 1) * MEMBERS_AT_ONCE_MAX).map(member).collect() };
    bench.ask((0..90).map(add).collect());
}

/// An answer is told by whom it was asked for, in the order of asking.
#[test]
fn answers_are_told_in_order() {
    let mut bench = Bench::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting: VecDeque<Submission> = VecDeque::new();
    for n in 0..50 {
        let command = bench.command(say(1));
        let order = Arc::clone(&order);
        let answer = Box::new(move |_| order.lock().unwrap_or_else(PoisonError::into_inner).push(n));
        waiting.push_back(Submission { command, answer });
    }
    let (_, batch) = bench.runner.prepare(&mut waiting);
    for (answerer, answer) in batch.answers {
        answerer(answer);
    }
    assert_eq!(*order.lock().unwrap_or_else(PoisonError::into_inner), (0..50).collect::<Vec<_>>());
}

/// P8: a log whose chain is broken is not gone on with.
#[test]
fn p8_a_broken_chain_is_found() {
    let mut bench = Bench::new();
    bench.ask(vec![say(1), say(2)]);
    let aggregate = AggregateId::Conversation(conversation(0));
    let event = log::event(&*bench.kv, &aggregate, 2).expect("memory can be read").expect("it is there");
    let mut other = event.record.clone();
    other.event.envelope.time += 1;
    let key = keys::event(&aggregate, 2, true);
    bench.kv.commit(&[Row { key, value: Some(record::encode_event(event.offset, &other)), version: u64::MAX }]).expect("memory takes it");
    let mut runner = Runner::new(Arc::clone(&bench.kv), 2);
    let mut waiting = VecDeque::from([Submission { command: bench.command(say(3)), answer: Box::new(|_| {}) }]);
    let (_, batch) = runner.prepare(&mut waiting);
    assert!(batch.rows.is_empty());
    assert!(matches!(&batch.answers[0].1, Answer::Failed(why) if why.contains("event 3") && why.contains("does not follow")));
}
