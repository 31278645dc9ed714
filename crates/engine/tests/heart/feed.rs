//! Walking a feed: over the ends of buckets, epochs and pages, from within a row.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chirrup_core::aggregate::{Action, AggregateId};
use chirrup_core::conversation::Action as Asked;
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::ids::ConversationId;
use chirrup_engine::batch::Submission;
use chirrup_engine::feed;
use chirrup_engine::runner::{FEED_ROW_ENTRIES_MAX, Runner};
use chirrup_store::keys::{self, FEED_BUCKET};
use chirrup_store::kv::{Kv, Row, Table};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, FeedEntry, FeedRow};
use proptest::prelude::*;

use crate::generator::{origin, user};
use crate::store::{Fate, Store};
use crate::world::{World, conversation, of_conversation};
use crate::{cases, judge};

const SHARD: u8 = 7;

/// A row: how far it lies beyond the one before, and how far each of its entries lies beyond
/// the entry before: in n, or only in k.
type Gaps = (u64, Vec<(u64, bool)>);

fn row() -> impl Strategy<Value = Gaps> {
    let gap = prop_oneof![6 => 1..4_u64, 1 => FEED_BUCKET - 3..FEED_BUCKET + 3];
    (gap, prop::collection::vec((1..4_u64, any::<bool>()), 0..3))
}

/// Rows of a feed as a runner makes them, each within its bucket; gives their entries' offsets.
fn write(kv: &dyn Kv, epochs: &[(u64, Vec<Gaps>)]) -> Vec<Offset> {
    let mut offsets = Vec::new();
    for (epoch, (start, rows)) in (1..).zip(epochs) {
        let mut at = Offset { epoch: epoch * 2, n: *start, k: 0 };
        for (gap, entries) in rows {
            at = Offset { n: at.n + gap, k: 0, ..at };
            let first = at;
            let mut row = vec![first];
            for (gap, same) in entries {
                at = if *same { Offset { k: at.k + 1, ..at } } else { Offset { n: at.n + gap, k: 0, ..at } };
                if at.n / FEED_BUCKET != first.n / FEED_BUCKET {
                    break;
                }
                row.push(at);
            }
            at = *row.last().expect("has its first");
            let entry = |offset: &Offset| FeedEntry {
                n: offset.n - first.n,
                k: offset.k,
                aggregate: AggregateId::Server,
                seq: 1,
                effects: false,
                timeline: false,
                digest: None,
                changes: None,
            };
            let feed_row = FeedRow { entries: row.iter().map(entry).collect() };
            kv.commit(&[
                Row { key: keys::feed_bucket(SHARD, first), value: Some(record::encode_number(&1)), version: 1 },
                Row { key: keys::feed(SHARD, first), value: Some(record::encode_feed(&feed_row)), version: 1 },
            ])
            .expect("memory takes it");
            offsets.extend(row);
        }
    }
    offsets
}

/// A place in a feed, or beside one.
fn near(offsets: &[Offset], at: prop::sample::Index, beside: u8) -> Offset {
    let offset = if offsets.is_empty() { Offset::default() } else { *at.get(offsets) };
    match beside {
        0 => Offset { n: offset.n + 1, k: 0, ..offset },
        1 => Offset { n: offset.n.saturating_sub(1), k: u16::MAX, ..offset },
        2 => Offset { epoch: offset.epoch + 1, n: 0, k: 0 },
        3 => Offset { n: offset.n / FEED_BUCKET * FEED_BUCKET, k: 0, ..offset },
        _ => offset,
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_walk_meets_every_entry_once(
        epochs in prop::collection::vec((prop_oneof![Just(0), FEED_BUCKET - 8..FEED_BUCKET + 2], prop::collection::vec(row(), 0..12)), 0..4),
        many in prop_oneof![4 => Just(0), 1 => 60..150_usize],
        from in (any::<prop::sample::Index>(), 0..9_u8),
        until in (any::<prop::sample::Index>(), 0..9_u8),
    ) {
        let kv = Store::default();
        let mut epochs = epochs;
        // More rows than are read at once.
        epochs.push((FEED_BUCKET - 40, vec![(1, vec![(1, false)]); many]));
        let offsets = write(&kv, &epochs);
        let (after, until) = (near(&offsets, from.0, from.1), near(&offsets, until.0, until.1));
        for (after, until) in [(Offset::default(), judge::END), (after, judge::END), (after, until)] {
            let mut walked = Vec::new();
            let mut at = after;
            loop {
                let page = feed::entries(&kv, SHARD, at, until).expect("memory can be read");
                let Some(last) = page.last() else { break };
                at = last.offset;
                walked.extend(page.into_iter().map(|entry| entry.offset));
            }
            let expected: Vec<Offset> = offsets.iter().copied().filter(|offset| *offset > after && *offset <= until).collect();
            prop_assert_eq!(walked, expected, "beyond {} up to {}", after, until);
        }
        prop_assert!(feed::entries(&kv, SHARD + 1, Offset::default(), judge::END).expect("memory can be read").is_empty());
    }
}

/// A walk begins where it has to, however much lies before.
#[test]
fn a_walk_reads_no_more_than_its_page() {
    let kv = Store::default();
    let offsets = write(&kv, &[(0, vec![(1, vec![(1, false)]); 2_000])]);
    kv.take_reads();
    for after in offsets.iter().step_by(333) {
        assert!(!feed::entries(&kv, SHARD, *after, judge::END).expect("memory can be read").is_empty());
        assert!(kv.take_reads() <= 3, "one for the partition, one for the row, one for the page");
    }
}

fn say() -> Asked {
    let text = Text { text: "…".to_owned(), mentions: Vec::new(), mention_all: false };
    Asked::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
}

/// What a runner writes: each row within its bucket and of a bounded size, and nothing lost where
/// one batch goes over the end of a bucket.
#[test]
fn a_batch_over_the_end_of_a_bucket_is_found_from_both_sides() {
    let mut world = World::over(&[]);
    let create = Asked::CreateGroup { title: "t".into(), history: History::Full, leaver: Leaver::Keeps, members: vec![user(1)] };
    let mut number = 0;
    let mut ask = |world: &mut World, action: Asked, times: u64| {
        let mut commands = Vec::new();
        for _ in 0..times {
            number += 1;
            let (aggregate, action) = of_conversation(0, action.clone());
            commands.push(world.command(aggregate, origin(user(0), number, 0), action));
        }
        world.ask(vec![commands], Fate::Made);
    };
    ask(&mut world, create, 1);
    // What is refused or has nothing to do takes a position as well.
    let idle = FEED_BUCKET - 1 - 100;
    for batch in 0..idle / 5_000 {
        ask(&mut world, Asked::SetTitle { title: "t".into() }, if batch == 0 { 5_000 + idle % 5_000 } else { 5_000 });
    }
    let aggregate = AggregateId::Conversation(conversation(0));
    let before = world.marks[usize::from(aggregate.shard())];
    let sends = FEED_ROW_ENTRIES_MAX as u64 + 300;
    ask(&mut world, say(), sends);

    let feed_rows = world.rows().into_iter().filter(|row| row.key.table == Table::Feed);
    for row in feed_rows {
        let first = Offset::from_bytes(&row.key.sort).expect("an offset");
        let entries = record::decode_feed(&row.key, &row.value.expect("it is there")).expect("it was encoded").entries;
        assert!(entries.len() <= FEED_ROW_ENTRIES_MAX);
        assert!(entries.iter().all(|entry| (first.n + entry.n) / FEED_BUCKET == first.n / FEED_BUCKET), "{first} goes over the end");
    }
    let walked = judge::walk(&*world.kv, aggregate.shard(), before);
    assert_eq!(walked.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (2..2 + sends).collect::<Vec<_>>());
    assert!(walked.first().is_some_and(|entry| entry.offset.n < FEED_BUCKET));
    assert!(walked.last().is_some_and(|entry| entry.offset.n > FEED_BUCKET));
    for entry in walked.iter().step_by(97) {
        let rest = judge::walk(&*world.kv, aggregate.shard(), entry.offset);
        assert_eq!(rest.len() as u64, 1 + sends - entry.seq);
        assert!(feed::event(&*world.kv, entry).expect("memory can be read").is_some());
    }
}

/// Order in a batch is by shard and offset, whatever order maps have: two runs are the same run.
#[test]
fn the_same_commands_make_the_same_rows() {
    let run = || {
        let kv: Arc<dyn Kv> = Arc::new(Store::default());
        let mut world = World::over(&[]);
        let mut runner = Runner::new(kv, 1);
        let mut submissions = VecDeque::new();
        for n in 0..100_u8 {
            let create = Asked::CreateGroup { title: "t".into(), history: History::Full, leaver: Leaver::Keeps, members: vec![user(1)] };
            let aggregate = AggregateId::Conversation(ConversationId([n; 16]));
            let command = world.command(aggregate, origin(user(0), u64::from(n), 0), Action::Conversation(create));
            submissions.push_back(Submission { command, answer: Box::new(|_| {}) });
        }
        runner.prepare(&mut submissions).1.rows
    };
    let rows = run();
    assert_eq!(rows, run());
    let shards: BTreeMap<u8, usize> = rows.iter().filter(|row| row.key.table == Table::Feed).map(|row| (row.key.partition[0], 1)).collect();
    assert!(shards.len() > 30);
}
