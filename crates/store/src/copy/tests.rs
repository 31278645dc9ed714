//! Copies between stores in memory: whole, stopped at every commit, of damaged stores, into wrong
//! ones.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::event::{Content, Envelope, Event, Fact, Form, Sealed, Text};
use chirrup_core::hash::{Hash, Salt};
use chirrup_core::ids::{ConversationId, Seq};
use chirrup_core::rows::Record;

use super::*;
use crate::kv::{Entry, Range, Row};
use crate::memory::{Fault, MemoryKv};
use crate::offset::Offset;

const SOURCE: Identity = Identity { incarnation: 5, key: Hash([1; 32]), epoch: 3 };
/// Events of each log: into a second partition.
const EVENTS: Seq = BUCKET + 200;
/// Rows beside events, large enough for a few dozen batches.
const OTHERS: u32 = 1_500;
const OTHER_BYTES: usize = 20_000;

fn log_id(n: u8) -> AggregateId {
    AggregateId::Conversation(ConversationId([n; 16]))
}

/// A log of messages, every third of which is no message of the timeline.
fn log(of: &AggregateId, events: Seq) -> Vec<Row> {
    let mut prev = Envelope::genesis(of);
    let mut rows = Vec::new();
    for seq in 1..=events {
        let content = Content::Message(Text { text: format!("message {seq}"), mentions: Vec::new(), mention_all: false });
        let sealed = Sealed { salt: Salt([3; 16]), content };
        let timeline = !seq.is_multiple_of(3);
        let fact =
            Fact::MessageCreated { form: Form::Text, ordinal: timeline.then_some(seq), thread: None, reply_to: None, original_time: None };
        let content_hash = Some(sealed.hash());
        let envelope = Envelope { seq, time: 1, author: None, client_id: None, fact, content_hash, prev };
        prev = envelope.hash();
        let record = Record { event: Event { envelope, sealed: Some(sealed) }, fold: None };
        let value = Some(record::encode_event(Offset::default(), &record));
        rows.push(Row { key: keys::event(of, seq, timeline), value, version: 9 });
    }
    rows
}

/// A store with two logs, and rows of every table; among them those that are of it alone.
fn source() -> MemoryKv {
    let kv = MemoryKv::new();
    for n in [1, 2] {
        kv.commit(&log(&log_id(n), EVENTS)).unwrap();
    }
    let others = Table::ALL.into_iter().filter(|table| *table != Table::Event && *table != Table::State).cycle();
    let rows: Vec<Row> = (0..OTHERS)
        .zip(others)
        .map(|(n, table)| {
            let value = n.to_le_bytes().repeat(OTHER_BYTES / 4);
            // Few partitions with many rows, and many with one.
            let partition = if n % 2 == 0 { vec![table as u8] } else { n.to_be_bytes().to_vec() };
            Row { key: Key::new(table, partition, n.to_be_bytes()), value: Some(value), version: 7 }
        })
        .collect();
    kv.commit(&rows).unwrap();
    kv.commit(&[own(keys::EPOCH, &[0]), own(keys::SERVER, keys::INCARNATION), own(keys::SERVER, b"key")]).unwrap();
    kv
}

fn own(name: &str, sort: &[u8]) -> Row {
    Row { key: keys::meta(name, sort), value: Some(record::encode_number(&3)), version: 3 }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn copied(from: &dyn Kv, to: &dyn Kv) -> Result<Survey, CopyError> {
    copy(from, to, SOURCE, &mut go_on)
}

/// A store that takes so many commits, and of the one after them only a part.
struct Dying {
    kv: Arc<MemoryKv>,
    left: Mutex<usize>,
}

impl Kv for Dying {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.kv.get(keys)
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.kv.range(range)
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        let mut left = self.left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return self.kv.commit(rows);
        }
        self.kv.fail_next(Fault::StopAfterPartitions(1));
        self.kv.commit(rows).unwrap_err();
        Err(CommitError::Stopped("killed".to_owned()))
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.kv.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        0
    }
}

#[test]
fn everything_is_copied_but_what_is_of_one_store_alone() {
    let (from, to) = (source(), MemoryKv::new());
    let survey = copied(&from, &to).unwrap();
    assert_eq!((survey.logs.rows, survey.events), (2, 2 * EVENTS));
    assert!(survey.tallies.total().rows > u64::from(OTHERS));
    assert!(is_unfinished(&to).unwrap(), "until it is a store of its own");
    assert!(matches!(check(&from, &to, &mut go_on), Err(CopyError::Unfinished(Side::Target))));
    assert!(matches!(check(&to, &from, &mut go_on), Err(CopyError::Unfinished(Side::Source))));
    finish(&to).unwrap();
    assert!(!is_unfinished(&to).unwrap());
    assert_eq!(check(&from, &to, &mut go_on).unwrap(), survey);
    let values = |kv: &MemoryKv| {
        kv.get(&[own(keys::EPOCH, &[0]).key, own(keys::SERVER, keys::INCARNATION).key, own(keys::SERVER, b"key").key]).unwrap()
    };
    assert!(values(&from).iter().all(Option::is_some));
    assert_eq!(values(&to).iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn whatever_a_server_writes_later_stands_above_what_was_copied() {
    let (from, to) = (source(), MemoryKv::new());
    copied(&from, &to).unwrap();
    let key = own(keys::SERVER, b"key").key;
    assert!(to.get(std::slice::from_ref(&key)).unwrap()[0].is_some());
    to.commit(&[Row { key: key.clone(), value: Some(b"new".to_vec()), version: 1 }]).unwrap();
    assert_eq!(to.get(&[key]).unwrap()[0].as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_copy_that_died_at_any_commit_goes_on_and_ends_equal() {
    let from = source();
    let whole = copied(&from, &MemoryKv::new()).unwrap();
    let mut died = 0;
    for left in (0..).step_by(3) {
        let to = Arc::new(MemoryKv::new());
        let outcome = copied(&from, &Dying { kv: Arc::clone(&to), left: Mutex::new(left) });
        if outcome.is_ok() {
            break;
        }
        died += 1;
        assert!(matches!(outcome, Err(CopyError::Commit(CommitError::Stopped(_)))));
        // The first mark is all of its commit, so it is there however little of it is written.
        assert!(is_unfinished(&*to).unwrap());
        assert_eq!(copied(&from, &*to).unwrap(), whole, "after {left} commits");
    }
    assert!(died > 10, "there are enough places to die at: {died}");
}

#[test]
fn a_copy_that_was_stopped_goes_on_from_where_it_was() {
    let (from, to) = (source(), MemoryKv::new());
    let stop_at =
        |rows: u64| move |progress: Progress| if progress.rows >= rows { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let all = u64::from(OTHERS) + 2 * EVENTS;
    assert!(matches!(copy(&from, &to, SOURCE, &mut stop_at(all / 2)), Err(CopyError::Stopped)));
    let mut first = None;
    let survey = copy(&from, &to, SOURCE, &mut |progress| {
        first.get_or_insert(progress);
        ControlFlow::Continue(())
    });
    let Some(Progress { work: Work::Copying, rows, .. }) = first else { panic!("it was not copying: {first:?}") };
    assert!(rows > all / 2, "what was copied is not copied again");
    assert_eq!(survey.unwrap(), copied(&from, &MemoryKv::new()).unwrap());
    // All is copied: only the comparison is made again.
    copy(&from, &to, SOURCE, &mut |progress| {
        assert_eq!(progress.work, Work::Checking);
        ControlFlow::Continue(())
    })
    .unwrap();
}

#[test]
fn rows_of_unknown_fate_are_written_again() {
    let (from, to) = (source(), MemoryKv::new());
    let mut fails = 0;
    let survey = copy(&from, &to, SOURCE, &mut |_| {
        fails += 1;
        if fails == 3 {
            to.fail_after_partitions(1);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(survey.unwrap(), copied(&from, &MemoryKv::new()).unwrap());
}

#[test]
fn a_wrong_target_or_source_is_refused_and_not_written() {
    let from = source();
    let full = source();
    assert!(matches!(copied(&from, &full), Err(CopyError::NotEmpty(_))));
    assert!(!is_unfinished(&full).unwrap());

    let to = MemoryKv::new();
    copy(&from, &to, SOURCE, &mut |_| ControlFlow::Break(())).unwrap_err();
    for (other, served) in [
        (Identity { incarnation: 6, ..SOURCE }, false),
        (Identity { key: Hash([2; 32]), ..SOURCE }, false),
        (Identity { epoch: 4, ..SOURCE }, true),
    ] {
        let refused = copy(&from, &to, other, &mut go_on).unwrap_err();
        assert!(matches!((&refused, served), (CopyError::SourceServed, true) | (CopyError::OtherSource, false)), "{refused}");
    }
    assert!(matches!(copied(&to, &MemoryKv::new()), Err(CopyError::Unfinished(Side::Source))));
    copied(&from, &to).unwrap();
}

#[test]
fn what_differs_in_the_target_is_named_before_the_end() {
    let (from, to) = (source(), MemoryKv::new());
    copied(&from, &to).unwrap();
    let patience = Patience::default();
    let (there, sound) = walk::Walk::new(&from, &[Table::Inbox], None, &patience).next().unwrap().unwrap();
    let stray = Key::new(Table::Token, *b"stray", []);
    for (key, damaged, sound, wanted) in [
        (&there, Some(b"damaged".to_vec()), Some(&sound), "another value"),
        (&there, None, Some(&sound), "a row that only the source has"),
        (&stray, Some(Vec::new()), None, "a row that only the target has"),
    ] {
        let put = |value| to.commit(&[Row { key: key.clone(), value, version: u64::MAX }]).unwrap();
        put(damaged);
        match copied(&from, &to).unwrap_err() {
            CopyError::Differ { table, key: at, what } => assert_eq!((table, &at, what), (key.table, key, wanted)),
            other => panic!("{other}"),
        }
        assert!(is_unfinished(&to).unwrap());
        put(sound.cloned());
    }
    copied(&from, &to).unwrap();
}

/// What is wrong with a log of a store, which is the second of its two, and where.
fn broken(kv: &MemoryKv) -> (Seq, &'static str) {
    match copied(kv, &MemoryKv::new()).unwrap_err() {
        CopyError::Broken { side: Side::Target, log, seq, what } => {
            assert_eq!(log, log_id(2));
            (seq, what)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_log_that_is_not_whole_is_named_with_its_event() {
    let rows = log(&log_id(2), EVENTS);
    let value = |seq: Seq| rows[seq as usize - 1].value.clone();
    let damaged = |seq: Seq, value: Option<Vec<u8>>| {
        let kv = source();
        kv.commit(&[Row { value, version: 10, ..rows[seq as usize - 1].clone() }]).unwrap();
        kv
    };
    assert_eq!(broken(&damaged(7, None)), (7, "it is not there once"));
    assert_eq!(broken(&damaged(7, value(8))).1, "another event is in its place");
    assert_eq!(broken(&damaged(BUCKET - 1, None)).0, BUCKET - 1);

    // The same message, made after nothing.
    let alone = log(&log_id(3), 8).pop().unwrap().value;
    assert_eq!(broken(&damaged(8, alone)), (8, "it was not made after the one before"));

    // A text put in the place of another.
    let mut record = record::decode_event(&rows[7].key, rows[7].value.as_ref().unwrap()).unwrap().record;
    record.event.sealed.as_mut().unwrap().content = Content::Title("other".to_owned());
    assert_eq!(
        broken(&damaged(8, Some(record::encode_event(Offset::default(), &record)))),
        (8, "its content is not what it was made with")
    );

    // Twice, as a message of the timeline and as another.
    let kv = source();
    kv.commit(&[Row { key: keys::event(&log_id(2), 7, false), value: value(7), version: 10 }]).unwrap();
    assert_eq!(broken(&kv), (8, "it is not there once"));

    // A gap of a whole partition.
    let kv = source();
    let removed = (1..BUCKET).map(|seq| Row { value: None, version: 10, ..rows[seq as usize - 1].clone() });
    kv.commit(&removed.collect::<Vec<_>>()).unwrap();
    assert_eq!(broken(&kv), (BUCKET - 1, "it is not there, and later ones are"));
}
