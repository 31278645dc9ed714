//! The queue: in order within an aggregate, fair between aggregates, bounded.

use std::collections::BTreeMap;

use chirrup_core::aggregate::{Action, AggregateId, Command, Origin, SHARDS};
use chirrup_core::conversation::Action as Asked;
use chirrup_core::event::{Form, Text};
use chirrup_core::hash::Salt;
use chirrup_core::ids::ConversationId;
use chirrup_core::limits::TEXT_BYTES_MAX;
use chirrup_engine::batch::Submission;
use chirrup_engine::queue::{AGGREGATE_WAITING_MAX, LocalQueue, Queue, TAKE_BYTES_MAX, WAITING_BYTES_MAX, WAITING_MAX};
use proptest::prelude::*;

use crate::cases;

fn conversation(n: u16) -> AggregateId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    AggregateId::Conversation(ConversationId(id))
}

/// A message that tells its number.
fn message(aggregate: &AggregateId, number: u64, bytes: usize) -> Submission {
    let text = Text { text: format!("{number:0>bytes$}"), mentions: Vec::new(), mention_all: false };
    let send = Asked::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None };
    let stamp = chirrup_core::aggregate::Stamp { time: number, salt: Salt::default() };
    let command = Command { aggregate: aggregate.clone(), origin: Origin::Timer, stamp, action: Action::Conversation(send) };
    Submission { command, answer: Box::new(|_| {}) }
}

fn number(submission: &Submission) -> (AggregateId, u64) {
    (submission.command.aggregate.clone(), submission.command.stamp.time)
}

fn all_shards() -> Vec<u8> {
    (0..SHARDS).collect()
}

/// Conversations of one shard.
fn neighbours(count: usize) -> Vec<AggregateId> {
    let shard = conversation(0).shard();
    (0..).map(conversation).filter(|id| id.shard() == shard).take(count).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Push(u16),
    Take { max: usize, shards: std::ops::Range<u8> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop_oneof![2 => 0..2_u16, 1 => 0..200_u16].prop_map(Step::Push),
        1 => (1..40_usize, 0..SHARDS, 1..=SHARDS).prop_map(|(max, from, len)| Step::Take { max, shards: from..SHARDS.min(from + len) }),
    ]
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// What goes in comes out once, of each aggregate in its order; a take gives what it can.
    #[test]
    fn commands_come_out_once_and_in_order(steps in prop::collection::vec(step(), 1..200)) {
        let mut queue = LocalQueue::default();
        let mut waiting: BTreeMap<AggregateId, Vec<u64>> = BTreeMap::new();
        let drain = Step::Take { max: 1_000, shards: 0..SHARDS };
        for (n, step) in (0..).zip(steps.into_iter().chain([drain])) {
            match step {
                Step::Push(to) => {
                    prop_assert!(queue.push(message(&conversation(to), n, 1)).is_ok());
                    waiting.entry(conversation(to)).or_default().push(n);
                }
                Step::Take { max, shards } => {
                    let shards: Vec<u8> = shards.collect();
                    let there: usize = waiting.iter().filter(|(id, _)| shards.contains(&id.shard())).map(|(_, of)| of.len()).sum();
                    let taken = queue.take(&shards, max);
                    prop_assert_eq!(taken.len(), there.min(max));
                    for submission in &taken {
                        let (aggregate, n) = number(submission);
                        prop_assert!(shards.contains(&aggregate.shard()));
                        let of = waiting.get_mut(&aggregate).expect("it was pushed");
                        prop_assert_eq!(of.remove(0), n, "out of order");
                    }
                    waiting.retain(|_, of| !of.is_empty());
                }
            }
            prop_assert_eq!(queue.len(), waiting.values().map(Vec::len).sum::<usize>());
        }
        prop_assert!(queue.is_empty());
    }

    /// A hot conversation delays another of its shard by no more than its turn.
    #[test]
    fn a_hot_conversation_delays_only_itself(hot in 1..AGGREGATE_WAITING_MAX, others in prop::collection::vec(1..6_usize, 1..8), max in 1..20_usize) {
        let ids = neighbours(others.len() + 1);
        let mut queue = LocalQueue::default();
        let counts: Vec<usize> = std::iter::once(hot).chain(others).collect();
        for (id, count) in ids.iter().zip(&counts) {
            for n in 0..*count {
                prop_assert!(queue.push(message(id, n as u64, 1)).is_ok());
            }
        }
        let mut taken = Vec::new();
        while !queue.is_empty() {
            taken.extend(queue.take(&all_shards(), max).iter().map(number));
        }
        // The nth command of each comes before the (n + 1)th command of any.
        for pair in taken.windows(2) {
            prop_assert!(pair[0].1 <= pair[1].1, "{:?} before {:?}", pair[0], pair[1]);
        }
    }

    /// Nor does a hot shard delay another: each gives one in turn.
    #[test]
    fn a_hot_shard_delays_no_other(hot in 10..200_usize, max in 2..20_usize) {
        let cool = (1..u16::MAX).map(conversation).find(|id| id.shard() != conversation(0).shard()).expect("there are many");
        let mut queue = LocalQueue::default();
        for n in 0..hot {
            prop_assert!(queue.push(message(&conversation(0), n as u64, 1)).is_ok());
        }
        prop_assert!(queue.push(message(&cool, 0, 1)).is_ok());
        let taken = queue.take(&all_shards(), max);
        prop_assert!(taken.iter().take(2).any(|submission| submission.command.aggregate == cool));
    }
}

#[test]
fn an_aggregate_has_so_many_places() {
    let mut queue = LocalQueue::default();
    let ids = neighbours(2);
    for n in 0..AGGREGATE_WAITING_MAX as u64 {
        assert!(queue.push(message(&ids[0], n, 1)).is_ok());
    }
    let full = queue.push(message(&ids[0], 999, 1)).expect_err("there is no place");
    assert_eq!(number(&full.0).1, 999, "it is handed back");
    assert!(queue.push(message(&ids[1], 0, 1)).is_ok(), "another has its own");
    assert_eq!(queue.take(&all_shards(), 1).len(), 1);
    assert!(queue.push(full.0).is_ok());
}

#[test]
fn the_queue_has_so_many_places() {
    let mut queue = LocalQueue::default();
    let mut pushed = 0;
    for n in 0.. {
        if queue.push(message(&conversation((n / 200) as u16), n, 1)).is_err() {
            break;
        }
        pushed += 1;
    }
    assert_eq!(pushed, WAITING_MAX);
    queue.take(&all_shards(), 1);
    assert!(queue.push(message(&conversation(9_999), 0, 1)).is_ok());
}

#[test]
fn the_queue_has_room_for_so_many_bytes() {
    let mut queue = LocalQueue::default();
    let mut bytes = 0;
    for n in 0.. {
        let submission = message(&conversation((n / 200) as u16), n, TEXT_BYTES_MAX);
        let weight = submission.command.weight();
        if queue.push(submission).is_err() {
            assert!(bytes + weight > WAITING_BYTES_MAX);
            break;
        }
        bytes += weight;
    }
    assert!(bytes <= WAITING_BYTES_MAX && queue.len() < WAITING_MAX);
    let taken = queue.take(&all_shards(), WAITING_MAX);
    let weight: usize = taken.iter().map(|submission| submission.command.weight()).sum();
    assert!((TAKE_BYTES_MAX..TAKE_BYTES_MAX + 2 * TEXT_BYTES_MAX).contains(&weight), "{weight}");
    assert!(queue.push(message(&conversation(0), 0, TEXT_BYTES_MAX)).is_ok());
}
