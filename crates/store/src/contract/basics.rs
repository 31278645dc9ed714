//! Single rows: written, replaced, removed, found again.

use super::{Checks, Subject, commit, get, put, remove};
use crate::kv::{Key, Table, limits};

pub(super) const CHECKS: &Checks = &[
    ("an empty store has nothing", empty),
    ("what was written is read", written_is_read),
    ("an empty commit works", empty_commit),
    ("a later row of one commit wins", later_row_wins),
    ("a removed row is gone, and may be written again", removed),
    ("get answers in the order asked, also for absent and repeated keys", get_in_order),
    ("tables and partitions do not mix", no_mixing),
    ("keys and values at their limits", at_the_limits),
    ("a lower version never overwrites a higher one", lower_version),
    ("a lower version does not bring back a removed row", lower_version_after_removal),
    ("equal versions may be written again", equal_version),
    ("what was committed is there after a reopen", durable),
    ("a commit that may use the reserve works as any other", reserved),
];

fn empty(subject: &mut dyn Subject) {
    let kv = subject.kv();
    for table in Table::ALL {
        assert_eq!(get(kv, table, b"p", b"s"), None);
        assert!(kv.partitions(table, None, 10).expect("partitions of an empty store").is_empty());
    }
    assert!(kv.get(&[]).expect("no keys asked").is_empty());
}

fn written_is_read(subject: &mut dyn Subject) {
    let kv = subject.kv();
    commit(kv, vec![put(Table::Event, b"p", b"s", b"one", 1), put(Table::Event, b"p", b"", b"empty sort", 1)]);
    assert_eq!(get(kv, Table::Event, b"p", b"s").as_deref(), Some(&b"one"[..]));
    assert_eq!(get(kv, Table::Event, b"p", b"").as_deref(), Some(&b"empty sort"[..]));
    commit(kv, vec![put(Table::Event, b"p", b"s", b"", 2)]);
    assert_eq!(get(kv, Table::Event, b"p", b"s").as_deref(), Some(&b""[..]), "an empty value is a value");
}

fn empty_commit(subject: &mut dyn Subject) {
    commit(subject.kv(), Vec::new());
}

fn later_row_wins(subject: &mut dyn Subject) {
    let kv = subject.kv();
    commit(
        kv,
        vec![
            put(Table::State, b"p", b"a", b"first", 1),
            remove(Table::State, b"p", b"b", 1),
            put(Table::State, b"p", b"a", b"second", 2),
            put(Table::State, b"p", b"b", b"back", 2),
            put(Table::State, b"p", b"c", b"gone", 1),
            remove(Table::State, b"p", b"c", 2),
        ],
    );
    assert_eq!(get(kv, Table::State, b"p", b"a").as_deref(), Some(&b"second"[..]));
    assert_eq!(get(kv, Table::State, b"p", b"b").as_deref(), Some(&b"back"[..]));
    assert_eq!(get(kv, Table::State, b"p", b"c"), None);
}

fn removed(subject: &mut dyn Subject) {
    let kv = subject.kv();
    commit(kv, vec![put(Table::Token, b"p", b"", b"one", 1)]);
    commit(kv, vec![remove(Table::Token, b"p", b"", 2), remove(Table::Token, b"never there", b"", 2)]);
    assert_eq!(get(kv, Table::Token, b"p", b""), None);
    assert!(kv.partitions(Table::Token, None, 10).expect("partitions").is_empty(), "no row, no partition");
    commit(kv, vec![put(Table::Token, b"p", b"", b"two", 3)]);
    assert_eq!(get(kv, Table::Token, b"p", b"").as_deref(), Some(&b"two"[..]));
}

fn get_in_order(subject: &mut dyn Subject) {
    let kv = subject.kv();
    commit(kv, (0..50u8).map(|n| put(Table::Member, b"p", &[n], &[n], 1)).collect());
    let asked: Vec<u8> = vec![49, 7, 200, 7, 0];
    let keys: Vec<Key> = asked.iter().map(|n| Key::new(Table::Member, *b"p", vec![*n])).collect();
    let wanted: Vec<_> = asked.iter().map(|n| (*n < 50).then(|| vec![*n])).collect();
    assert_eq!(kv.get(&keys).expect("get"), wanted);
}

fn no_mixing(subject: &mut dyn Subject) {
    let kv = subject.kv();
    // Partition and sort key must not run into each other.
    let places: [(&[u8], &[u8]); 5] = [(b"a", b"bc"), (b"ab", b"c"), (b"abc", b""), (b"a\0", b"bc"), (b"a", b"\0bc")];
    for (at, table) in Table::ALL.into_iter().enumerate() {
        let rows = places.iter().enumerate();
        commit(kv, rows.map(|(n, (p, s))| put(table, p, s, format!("{at}.{n}").as_bytes(), 1)).collect());
    }
    for (at, table) in Table::ALL.into_iter().enumerate() {
        for (n, (partition, sort)) in places.iter().enumerate() {
            let value = get(kv, table, partition, sort);
            assert_eq!(value, Some(format!("{at}.{n}").into_bytes()), "{table:?} {partition:?} {sort:?}");
        }
    }
}

fn at_the_limits(subject: &mut dyn Subject) {
    let kv = subject.kv();
    let partition = vec![0xff; limits::PARTITION_BYTES];
    let sort = vec![0xff; limits::SORT_BYTES];
    let value: Vec<u8> = (0..limits::VALUE_BYTES).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    commit(kv, vec![put(Table::Event, &partition, &sort, &value, 1), put(Table::Event, &[0], &sort, b"x", 1)]);
    assert_eq!(get(kv, Table::Event, &partition, &sort), Some(value.clone()));
    assert!(subject.reopen() || get(subject.kv(), Table::Event, &[0], &sort).is_some());
    assert_eq!(get(subject.kv(), Table::Event, &partition, &sort), Some(value));
}

fn lower_version(subject: &mut dyn Subject) {
    if !subject.compares_versions() {
        return;
    }
    let kv = subject.kv();
    commit(kv, vec![put(Table::Event, b"p", b"s", b"new", 9)]);
    commit(kv, vec![put(Table::Event, b"p", b"s", b"old", 8)]);
    assert_eq!(get(kv, Table::Event, b"p", b"s").as_deref(), Some(&b"new"[..]));
    commit(kv, vec![remove(Table::Event, b"p", b"s", 8)]);
    assert_eq!(get(kv, Table::Event, b"p", b"s").as_deref(), Some(&b"new"[..]), "a late removal");
}

fn lower_version_after_removal(subject: &mut dyn Subject) {
    if !subject.compares_versions() {
        return;
    }
    commit(subject.kv(), vec![put(Table::Event, b"p", b"s", b"one", 1)]);
    commit(subject.kv(), vec![remove(Table::Event, b"p", b"s", 5)]);
    commit(subject.kv(), vec![put(Table::Event, b"p", b"s", b"late", 4)]);
    assert_eq!(get(subject.kv(), Table::Event, b"p", b"s"), None);
    subject.reopen();
    commit(subject.kv(), vec![put(Table::Event, b"p", b"s", b"late", 4)]);
    assert_eq!(get(subject.kv(), Table::Event, b"p", b"s"), None, "after a reopen");
    commit(subject.kv(), vec![put(Table::Event, b"p", b"s", b"higher", 6)]);
    assert_eq!(get(subject.kv(), Table::Event, b"p", b"s").as_deref(), Some(&b"higher"[..]));
}

fn equal_version(subject: &mut dyn Subject) {
    let kv = subject.kv();
    for _ in 0..2 {
        commit(kv, vec![put(Table::Event, b"p", b"s", b"same", 3), remove(Table::Event, b"p", b"t", 3)]);
        assert_eq!(get(kv, Table::Event, b"p", b"s").as_deref(), Some(&b"same"[..]));
    }
}

fn durable(subject: &mut dyn Subject) {
    for round in 0..3u8 {
        let rows = Table::ALL.into_iter().flat_map(|table| {
            [
                put(table, b"p", &[round], &[round], u64::from(round) + 1),
                put(table, b"p", b"last", &[round], u64::from(round) + 1),
                remove(table, b"p", &[round.wrapping_sub(1)], u64::from(round) + 1),
            ]
        });
        commit(subject.kv(), rows.collect());
        if !subject.reopen() {
            return;
        }
        for table in Table::ALL {
            assert_eq!(get(subject.kv(), table, b"p", &[round]), Some(vec![round]), "{table:?}");
            assert_eq!(get(subject.kv(), table, b"p", b"last"), Some(vec![round]), "{table:?}");
            assert_eq!(get(subject.kv(), table, b"p", &[round.wrapping_sub(1)]), None, "{table:?}");
        }
    }
}

fn reserved(subject: &mut dyn Subject) {
    let kv = subject.kv();
    commit(kv, vec![put(Table::Event, b"p", b"s", b"one", 1)]);
    kv.commit_reserved(&[remove(Table::Event, b"p", b"s", 2)]).expect("a reserved commit works");
    assert_eq!(get(kv, Table::Event, b"p", b"s"), None);
}
