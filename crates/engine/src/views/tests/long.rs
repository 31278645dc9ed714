//! Pages of the longest messages: cut so that an answer stays small, and not read in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, Text};
use chirrup_core::ids::Seq;
use chirrup_core::limits::TEXT_BYTES_MAX;
use chirrup_protocol::event::Message;
use chirrup_store::keys;
use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Table};
use chirrup_store::memory::MemoryKv;

use crate::testing::{World, conversation, user};
use crate::views::budget::ROWS_AT_ONCE;
use crate::views::{PAGE_TEXT_BYTES_MAX, Views, Which};

/// Messages, each as long as can be.
const MESSAGES: usize = 150;

/// Counts the bytes of values that are read.
struct Counting {
    kv: Arc<MemoryKv>,
    read: AtomicUsize,
}

impl Kv for Counting {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let values = self.kv.get(keys)?;
        self.read.fetch_add(values.iter().flatten().map(Vec::len).sum(), Ordering::Relaxed);
        Ok(values)
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        let entries = self.kv.range(range)?;
        self.read.fetch_add(entries.iter().map(|(_, value)| value.len()).sum(), Ordering::Relaxed);
        Ok(entries)
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.kv.commit(rows)
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.kv.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        self.kv.cache_bytes()
    }
}

/// A direct conversation of long messages, from 2 on; in the thread of the first if asked.
fn long(in_thread: bool) -> (Arc<Counting>, Views) {
    let mut world = World::of(2);
    world.act(conversation(1), user(0), Action::CreateDirect { with: user(1) });
    for n in 0..=MESSAGES {
        let text = Text { text: "\u{1f426}".repeat(TEXT_BYTES_MAX / 4), mentions: Vec::new(), mention_all: false };
        let thread_root = (in_thread && n > 0).then_some(2);
        let form = Form::Text;
        world.act(
            conversation(1),
            user(0),
            Action::Send { form, text, reply_to: None, thread_root, also_in_conversation: false, original_time: None },
        );
    }
    let kv = Arc::new(Counting { kv: Arc::clone(&world.kv), read: AtomicUsize::new(0) });
    let views = Views::new(Arc::clone(&kv) as _, Arc::clone(&world.pending) as _);
    (kv, views)
}

/// Takes what was read, which must be no more than a page for each side and a last bite.
fn assert_read(kv: &Counting, sides: usize) {
    // A row has some more than its text.
    let row = TEXT_BYTES_MAX + 1_000;
    let bound = sides * (PAGE_TEXT_BYTES_MAX + ROWS_AT_ONCE * row);
    let read = kv.read.swap(0, Ordering::Relaxed);
    assert!(read <= bound, "{read} bytes were read, of at most {bound}");
}

fn seqs(messages: &[Message]) -> Vec<Seq> {
    let bytes: usize = messages.iter().map(|m| m.text.as_ref().map_or(0, String::len)).sum();
    assert!((1..=PAGE_TEXT_BYTES_MAX).contains(&bytes), "{bytes}");
    messages.iter().map(|m| m.seq).collect()
}

#[test]
fn pages_of_long_messages_are_cut_short_and_lead_on() {
    for (thread, first) in [(None, 2), (Some(2), 3)] {
        let (kv, views) = long(thread.is_some());
        let all: Vec<Seq> = (first..=2 + MESSAGES as Seq).collect();
        let page = |which| {
            let page = views.history(conversation(1), user(1), which, thread, 100).unwrap();
            assert_read(&kv, if matches!(which, Which::Around(_)) { 2 } else { 1 });
            page
        };
        let (mut back, mut next) = (Vec::new(), Which::Newest);
        loop {
            let page = page(next);
            back = [seqs(&page.messages), back].concat();
            next = Which::Before(back[0]);
            if !page.more_before {
                break;
            }
        }
        assert_eq!(back, all);
        let (mut forth, mut after) = (Vec::new(), 0);
        loop {
            let page = page(Which::After(after));
            forth.extend(seqs(&page.messages));
            after = forth[forth.len() - 1];
            if !page.more_after {
                break;
            }
        }
        assert_eq!(forth, all);
        let middle = 2 + MESSAGES as Seq / 2;
        let around = page(Which::Around(middle));
        let seqs = seqs(&around.messages);
        let place = seqs.binary_search(&middle).expect("the message itself");
        assert!(place.abs_diff(seqs.len() / 2) <= 1 && around.more_before && around.more_after, "{seqs:?}");
    }
}

#[test]
fn pages_of_long_events_are_cut_short_and_lead_on() {
    let (kv, views) = long(false);
    let mut seen = Vec::new();
    while seen.len() < 2 + MESSAGES {
        let page = views.events_for(conversation(1), user(1), seen.len() as Seq, 500).unwrap();
        assert_read(&kv, 1);
        assert!(!page.events.is_empty() && page.events.len() < MESSAGES && page.head == 2 + MESSAGES as Seq);
        seen.extend(page.events.iter().map(|event| event.seq));
        let key = keys::event(&chirrup_core::aggregate::AggregateId::Conversation(conversation(1)), seen[seen.len() - 1], true);
        let bytes = kv.kv.get(std::slice::from_ref(&key)).unwrap().pop().flatten();
        if let Some(bytes) = bytes {
            let last = chirrup_store::record::decode_event(&key, &bytes).unwrap();
            assert_eq!(page.digest, Some(last.record.event.envelope.hash().to_string()), "of the last event of the page");
        }
    }
    assert_eq!(seen, (1..=2 + MESSAGES as Seq).collect::<Vec<_>>());
}
