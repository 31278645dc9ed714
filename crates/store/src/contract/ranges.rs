//! Ranges within a partition, and the way through all partitions.

use std::collections::BTreeSet;

use super::{Checks, Subject, commit, put, remove};
use crate::kv::{Kv, Range, Table};

pub(super) const CHECKS: &Checks = &[
    ("a range is sorted by bytes, both ways", sorted),
    ("a range is from inclusive, until exclusive", bounds),
    ("a range stops at its limit", limited),
    ("a range ends at the edge of its partition, also beside bytes of 0xff and 0x00", edges),
    ("a range skips removed rows", skips_removed),
    ("every partition is listed once, page by page", partitions),
    ("partitions with bytes of 0xff are listed", partitions_at_the_edge),
];

fn range(table: Table, partition: &[u8]) -> Range {
    Range { table, partition: partition.to_vec(), from: Vec::new(), until: None, descending: false, limit: 10_000 }
}

fn sorts(kv: &dyn Kv, range: &Range) -> Vec<Vec<u8>> {
    kv.range(range).expect("a range within the limits works").into_iter().map(|(sort, _)| sort).collect()
}

const SORTS: [&[u8]; 9] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"];

fn fill(kv: &dyn Kv, table: Table, partition: &[u8]) {
    commit(kv, SORTS.iter().rev().map(|sort| put(table, partition, sort, partition, 1)).collect());
}

fn sorted(subject: &mut dyn Subject) {
    fill(subject.kv(), Table::Event, b"p");
    for _ in 0..2 {
        let ascending = range(Table::Event, b"p");
        assert_eq!(sorts(subject.kv(), &ascending), SORTS);
        let mut reversed = sorts(subject.kv(), &Range { descending: true, ..ascending });
        reversed.reverse();
        assert_eq!(reversed, SORTS);
        subject.reopen();
    }
}

fn bounds(subject: &mut dyn Subject) {
    let kv = subject.kv();
    fill(kv, Table::Event, b"p");
    for from in SORTS {
        for until in SORTS {
            let wanted: Vec<_> = SORTS.into_iter().filter(|sort| *sort >= from && *sort < until).collect();
            let asked = Range { from: from.to_vec(), until: Some(until.to_vec()), ..range(Table::Event, b"p") };
            assert_eq!(sorts(kv, &asked), wanted, "{from:?} until {until:?}");
            let mut reversed = sorts(kv, &Range { descending: true, ..asked });
            reversed.reverse();
            assert_eq!(reversed, wanted, "{from:?} until {until:?}, descending");
        }
    }
}

fn limited(subject: &mut dyn Subject) {
    let kv = subject.kv();
    fill(kv, Table::Event, b"p");
    for limit in 1..=SORTS.len() + 1 {
        let shown = limit.min(SORTS.len());
        let asked = Range { limit, ..range(Table::Event, b"p") };
        assert_eq!(sorts(kv, &asked), SORTS[..shown]);
        let mut last = sorts(kv, &Range { descending: true, ..asked });
        last.reverse();
        assert_eq!(last, SORTS[SORTS.len() - shown..]);
    }
}

fn edges(subject: &mut dyn Subject) {
    let kv = subject.kv();
    let partitions: [&[u8]; 9] = [b"\0", b"\0\0", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff"];
    for partition in partitions {
        fill(kv, Table::Member, partition);
    }
    for partition in partitions {
        for descending in [false, true] {
            let found = kv.range(&Range { descending, ..range(Table::Member, partition) }).expect("range");
            assert_eq!(found.len(), SORTS.len(), "{partition:?}");
            assert!(found.iter().all(|(_, value)| value == partition), "a row of another partition in {partition:?}");
        }
    }
    assert!(sorts(kv, &range(Table::Member, b"a\xfe")).is_empty());
    assert!(sorts(kv, &range(Table::Inbox, b"a")).is_empty());
}

fn skips_removed(subject: &mut dyn Subject) {
    let kv = subject.kv();
    commit(kv, (0..100u8).map(|n| put(Table::Event, b"p", &[n], &[n], 1)).collect());
    commit(kv, (0..100u8).filter(|n| n % 3 != 0).map(|n| remove(Table::Event, b"p", &[n], 2)).collect());
    let kept: Vec<Vec<u8>> = (0..100u8).filter(|n| n % 3 == 0).map(|n| vec![n]).collect();
    assert_eq!(sorts(kv, &range(Table::Event, b"p")), kept);
    let first_ten = Range { limit: 10, ..range(Table::Event, b"p") };
    assert_eq!(sorts(kv, &first_ten), kept[..10], "the limit counts rows that are there");
}

/// All partitions, in pages of `limit`; panics if one is listed twice.
fn listed(kv: &dyn Kv, table: Table, limit: usize) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = kv.partitions(table, after.as_deref(), limit).expect("partitions");
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return all };
        after = Some(last.clone());
        for partition in page {
            assert!(all.insert(partition.clone()), "{partition:?} listed twice");
        }
    }
}

fn partitions(subject: &mut dyn Subject) {
    let mut wanted = BTreeSet::new();
    for n in 0..200u32 {
        let partition = format!("{}", n * n).into_bytes();
        let rows = (0..=n % 4).map(|sort| put(Table::Inbox, &partition, &sort.to_be_bytes(), b"", 1));
        commit(subject.kv(), rows.collect());
        wanted.insert(partition);
    }
    for limit in [1, 7, 200, 1_000] {
        assert_eq!(listed(subject.kv(), Table::Inbox, limit), wanted);
    }
    subject.reopen();
    assert_eq!(listed(subject.kv(), Table::Inbox, 13), wanted, "after a reopen");
    assert!(listed(subject.kv(), Table::Member, 13).is_empty());
}

fn partitions_at_the_edge(subject: &mut dyn Subject) {
    let kv = subject.kv();
    let names: [&[u8]; 7] = [b"\0", b"\xfe", b"\xff", b"\xff\xff", b"\xff\0", &[0xff; 255], &[0; 255]];
    for name in names {
        commit(kv, vec![put(Table::Feed, name, b"\xff", b"", 1), put(Table::Feed, name, b"", b"", 1)]);
    }
    let wanted: BTreeSet<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    assert_eq!(listed(kv, Table::Feed, 1), wanted);
    assert_eq!(listed(kv, Table::Feed, 3), wanted);
}
