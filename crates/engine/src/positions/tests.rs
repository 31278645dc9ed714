//! The rules of positions one by one; all of them over random histories with crashes in
//! `histories`.

mod histories;
mod support;

use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, Text};
use chirrup_protocol::limits::RECEIPTS_MEMBERS_MAX;
use chirrup_store::keys;
use chirrup_store::kv::{Kv, Row, Table};
use support::{Bench, Broken, answers, asks, read_to, user};

use super::*;

#[test]
fn p6_a_sent_message_is_read_by_its_author_at_once() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let own = PositionRow { read: seq, read_ordinal: 1, delivered: seq };
    assert_eq!(bench.pending(0, 1), Some(own));
    assert_eq!(bench.pending(0, 2), None);

    // A reply that is only in its thread is not in the timeline, and moves nothing.
    let text = Text { text: "in the thread".to_owned(), mentions: vec![], mention_all: false };
    let (reply_to, thread_root, also_in_conversation, original_time) = (None, Some(seq), false, None);
    bench.act(0, 2, Action::Send { form: Form::Text, text, reply_to, thread_root, also_in_conversation, original_time });
    assert_eq!(bench.pending(0, 2), None);

    assert_eq!(bench.flush(), []);
    assert_eq!(bench.stored(0, 1), (own, own));
    assert!(bench.rows(0, 1).iter().all(Option::is_some) && bench.rows(0, 2).iter().all(Option::is_none));
}

#[test]
fn p6_a_read_is_shown_answered_and_told_when_it_is_written_and_not_before() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let (log, asked) = (answers(), read_to(seq, 1));
    bench.raise(0, 2, asked, asks(&log, seq));
    assert_eq!(bench.pending(0, 2), None);
    let flush = bench.positions.take_flush(&*bench.world.kv, 100).unwrap();
    assert_eq!((bench.pending(0, 2), log.lock().unwrap().len()), (None, 0));
    bench.world.kv.commit(&flush.rows).unwrap();
    let notes = bench.positions.flushed(flush, true, &mut bench.router);
    assert_eq!(*log.lock().unwrap(), [(seq, Ok(asked))]);
    assert_eq!(notes, [(user(2), vec![bench.moved(0, asked)])]);
    assert_eq!(bench.receipts(), [(user(2), seq)]);
    // Who looked into the store before it was written, and here after it, does not miss it.
    assert_eq!(bench.pending(0, 2), Some(asked));
}

#[test]
fn what_does_not_rise_is_answered_and_neither_written_nor_told() {
    let mut bench = Bench::new(1);
    let first = bench.send(0, 1);
    let seq = bench.send(0, 2);
    bench.flush();
    let log = answers();
    bench.raise(0, 2, read_to(first, 1), asks(&log, first));
    let flush = bench.positions.take_flush(&*bench.world.kv, 100).unwrap();
    assert!(flush.rows.iter().all(|row| row.key.table == Table::Meta), "{:?}", flush.rows);
    assert_eq!(bench.positions.flushed(flush, true, &mut bench.router), []);
    assert_eq!(*log.lock().unwrap(), [(first, Ok(PositionRow { read: seq, read_ordinal: 2, delivered: seq }))]);
    assert_eq!(bench.receipts(), []);
}

#[test]
fn delivered_alone_is_pushed_but_no_event_of_the_users_log() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let log = answers();
    bench.raise(0, 2, PositionRow { delivered: seq, ..PositionRow::default() }, asks(&log, 1));
    assert_eq!(bench.flush(), []);
    assert_eq!(bench.receipts(), [(user(2), 0)]);
    assert_eq!(bench.stored(0, 2).1, PositionRow { delivered: seq, ..PositionRow::default() });
}

/// A store with several writers keeps the row with the higher version.
#[test]
fn versions_tell_which_row_is_the_higher() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let log = answers();
    let mut versions = Vec::new();
    let delivered = |delivered| PositionRow { delivered, ..PositionRow::default() };
    for position in [delivered(1), delivered(seq), read_to(1, 0), read_to(seq, 1)] {
        bench.raise(0, 2, position, asks(&log, 1));
        let flush = bench.positions.take_flush(&*bench.world.kv, 100).unwrap();
        let own = keys::inbox_position(user(2), bench.group(0));
        versions.extend(flush.rows.iter().filter(|row| row.key == own).map(|row| row.version));
        bench.world.kv.commit(&flush.rows).unwrap();
        bench.positions.flushed(flush, true, &mut bench.router);
    }
    assert!(versions.len() == 4 && versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[test]
fn the_two_rows_of_a_user_are_made_equal() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 2);
    let higher = read_to(seq, 1);
    let row = Row {
        key: keys::position(bench.group(0), user(1)),
        value: Some(chirrup_store::record::encode_position(&higher)),
        version: 2 * seq,
    };
    bench.world.kv.commit(&[row]).unwrap();
    let log = answers();
    bench.raise(0, 1, read_to(1, 0), asks(&log, 1));
    bench.flush();
    assert_eq!(bench.stored(0, 1), (higher, higher));
}

#[test]
fn receipts_stop_where_there_are_too_many_members() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let read = |bench: &mut Bench, seq| {
        let log = answers();
        bench.raise(0, 2, read_to(seq, 1), asks(&log, seq));
        bench.flush();
        bench.receipts().len()
    };
    assert_eq!(read(&mut bench, seq), 1);
    let others = |n: u32| (0..n).map(|n| user(100 + n as u8)).collect::<Vec<_>>();
    let present = 3;
    let (add, one) = (others(RECEIPTS_MEMBERS_MAX - present), user(99));
    bench.act(0, 1, Action::Add { users: add });
    let seq = bench.send(0, 1);
    assert_eq!(read(&mut bench, seq), 1);
    bench.act(0, 1, Action::Add { users: vec![one] });
    let seq = bench.send(0, 1);
    assert_eq!(read(&mut bench, seq), 0);
    // Counted from the store, it is the same.
    bench.crash();
    let seq = bench.send(0, 1);
    assert_eq!(read(&mut bench, seq), 0);
    bench.act(0, 1, Action::Remove { user: one });
    let seq = bench.send(0, 1);
    assert_eq!(read(&mut bench, seq), 1);
}

#[test]
fn p10_too_many_requests_are_refused_as_busy() {
    let bench = Bench::new(0);
    let log = answers();
    let ask = |n: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        bench.positions.raise(ConversationId(id), user(1), read_to(1, 0), asks(&log, n as u64));
    };
    for n in 0..=ASKED_MAX {
        ask(n);
    }
    assert_eq!(*log.lock().unwrap(), [(ASKED_MAX as u64, Err(NotRaised::Busy))]);
    assert!(bench.positions.needs_flush());
    for _ in ASKED_MAX..WAITERS_MAX {
        ask(0);
    }
    assert_eq!(log.lock().unwrap().len(), 1);
    ask(0);
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[test]
fn p10_room_is_given_back_whatever_becomes_of_a_flush() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let log = answers();
    let held = |bench: &Bench| {
        let state = bench.positions.lock();
        (state.asked, state.waiters, state.owed.len())
    };
    bench.raise(0, 2, read_to(seq, 1), asks(&log, 1));
    bench.raise(0, 2, read_to(seq, 1), asks(&log, 2));
    assert_eq!(held(&bench), (1, 2, 0));
    // Not read: it stays.
    assert!(bench.positions.take_flush(&Broken, 100).is_err());
    bench.raise(0, 2, read_to(seq, 1), asks(&log, 3));
    assert_eq!(held(&bench), (1, 3, 0));
    // Not written: it is written again, and nobody waits for it.
    let flush = bench.positions.take_flush(&*bench.world.kv, 100).unwrap();
    assert_eq!(held(&bench), (1, 3, 0));
    bench.positions.flushed(flush, false, &mut bench.router);
    assert_eq!(held(&bench), (1, 0, 0));
    assert!(log.lock().unwrap().iter().all(|(_, answer)| *answer == Err(NotRaised::Unknown)));
    // Taken and dropped.
    bench.raise(0, 2, read_to(seq, 1), asks(&log, 4));
    drop(bench.positions.take_flush(&*bench.world.kv, 100).unwrap());
    let notes = bench.flush();
    assert_eq!(held(&bench), (0, 0, 1));
    bench.tell(notes);
    assert_eq!(held(&bench), (0, 0, 0));
    let seq = bench.send(0, 1);
    // Written, and told.
    bench.raise(0, 2, read_to(seq, 1), asks(&log, 5));
    let notes = bench.flush();
    assert_eq!(held(&bench), (0, 0, 1));
    bench.tell(notes);
    assert_eq!(held(&bench), (0, 0, 0));
}

#[test]
fn what_the_log_does_not_tell_is_sent_again() {
    let mut bench = Bench::new(1);
    let seq = bench.send(0, 1);
    let log = answers();
    bench.raise(0, 2, read_to(seq, 1), asks(&log, seq));
    let notes = bench.flush();
    assert_eq!(notes.len(), 1);
    for _ in 1..NOTE_AGAIN_FLUSHES {
        assert_eq!(bench.flush(), []);
    }
    assert_eq!(bench.flush(), notes);
    bench.crash();
    assert_eq!(bench.flush(), notes);
    bench.tell(notes);
    for _ in 0..2 * NOTE_AGAIN_FLUSHES {
        assert_eq!(bench.flush(), []);
    }
    bench.crash();
    assert_eq!(bench.flush(), [], "the row was brought up to date");
}

#[test]
fn a_user_is_told_in_lists_of_bounded_length() {
    let mut bench = Bench::new(NOTE_POSITIONS_MAX + 1);
    let log = answers();
    for n in 0..=NOTE_POSITIONS_MAX {
        bench.raise(n, 2, read_to(1, 0), asks(&log, n as u64));
    }
    let lengths: Vec<(UserId, usize)> = bench.flush().iter().map(|(who, list)| (*who, list.len())).collect();
    assert_eq!(lengths, [(user(2), NOTE_POSITIONS_MAX), (user(2), 1)]);
}

#[test]
fn a_flush_in_parts_marks_the_feed_with_its_last() {
    let mut bench = Bench::new(3);
    for n in 0..3 {
        bench.send(n, 1);
    }
    let marks = |flush: &Flush| flush.rows.iter().filter(|row| row.key.table == Table::Meta).count();
    let mut counts = Vec::new();
    for _ in 0..3 {
        let flush = bench.positions.take_flush(&*bench.world.kv, 1).unwrap();
        counts.push((flush.positions.len(), marks(&flush) > 0));
        bench.world.kv.commit(&flush.rows).unwrap();
        bench.positions.flushed(flush, true, &mut bench.router);
    }
    assert_eq!(counts, [(1, false), (1, false), (1, true)]);
    assert_eq!(bench.positions.take_flush(&*bench.world.kv, 1).unwrap().positions.len(), 0);
}
