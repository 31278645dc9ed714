//! Random histories, compared with a plain map after every step.

use std::collections::BTreeMap;

use super::{Checks, Subject, commit};
use crate::kv::{Key, Range, Row, Table};

pub(super) const CHECKS: &Checks = &[("random histories read as a plain map", random_histories)];

const SEEDS: u64 = 6;
const STEPS: u32 = 120;

type Model = BTreeMap<Key, Vec<u8>>;

/// A small generator (splitmix64): the histories must be the same everywhere, for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Few different keys, of bytes that sort badly, so that rows meet often.
    fn bytes(&mut self, least: u64, most: u64) -> Vec<u8> {
        let length = least + self.below(most - least + 1);
        (0..length).map(|_| [0x00, 0x01, 0x61, 0xfe, 0xff][self.below(5) as usize]).collect()
    }

    fn table(&mut self) -> Table {
        Table::ALL[self.below(3) as usize]
    }

    fn row(&mut self, version: u64) -> Row {
        let key = Key::new(self.table(), self.bytes(1, 2), self.bytes(0, 3));
        let size = if self.below(20) == 0 { 20_000 } else { self.below(40) };
        let value = (self.below(3) > 0).then(|| (0..size).map(|_| self.next().to_le_bytes()[0]).collect());
        Row { key, value, version }
    }
}

fn random_histories(subject: &mut dyn Subject) {
    let mut model = Model::new();
    let mut version = 0;
    for seed in 0..SEEDS {
        println!("  seed {seed}");
        let mut random = Random(seed);
        for _ in 0..STEPS {
            match random.below(10) {
                0..=4 => {
                    version += 1;
                    let rows: Vec<Row> = (0..random.below(30)).map(|_| random.row(version)).collect();
                    let rows = last_of_each_key(rows);
                    apply(&mut model, &rows);
                    commit(subject.kv(), rows);
                }
                5..=6 => compare_range(subject, &model, &mut random),
                7 => compare_partitions(subject, &model, random.table()),
                8 => compare_keys(subject, &model, &mut random),
                _ => {
                    subject.reopen();
                }
            }
        }
        for table in Table::ALL {
            compare_partitions(subject, &model, table);
        }
    }
}

/// Rows of one version and key carry one value, so only the last of a key may stay.
fn last_of_each_key(rows: Vec<Row>) -> Vec<Row> {
    let last: BTreeMap<Key, Row> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    last.into_values().rev().collect()
}

fn apply(model: &mut Model, rows: &[Row]) {
    for row in rows {
        match &row.value {
            Some(value) => model.insert(row.key.clone(), value.clone()),
            None => model.remove(&row.key),
        };
    }
}

fn compare_range(subject: &dyn Subject, model: &Model, random: &mut Random) {
    let range = Range {
        table: random.table(),
        partition: random.bytes(1, 2),
        from: random.bytes(0, 3),
        until: (random.below(2) == 0).then(|| random.bytes(0, 3)),
        descending: random.below(2) == 0,
        limit: 1 + random.below(12) as usize,
    };
    let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = model
        .iter()
        .filter(|(key, _)| key.table == range.table && key.partition == range.partition)
        .filter(|(key, _)| key.sort >= range.from && range.until.as_ref().is_none_or(|until| key.sort < *until))
        .map(|(key, value)| (key.sort.clone(), value.clone()))
        .collect();
    if range.descending {
        wanted.reverse();
    }
    wanted.truncate(range.limit);
    assert_eq!(subject.kv().range(&range).expect("range"), wanted, "{range:?}");
}

fn compare_partitions(subject: &dyn Subject, model: &Model, table: Table) {
    let mut found = subject.kv().partitions(table, None, 10_000).expect("partitions");
    found.sort();
    let mut wanted: Vec<Vec<u8>> = model.keys().filter(|key| key.table == table).map(|key| key.partition.clone()).collect();
    wanted.dedup();
    assert_eq!(found, wanted, "{table:?}");
}

fn compare_keys(subject: &dyn Subject, model: &Model, random: &mut Random) {
    let keys: Vec<Key> = (0..20).map(|_| random.row(0).key).collect();
    let wanted: Vec<_> = keys.iter().map(|key| model.get(key).cloned()).collect();
    assert_eq!(subject.kv().get(&keys).expect("get"), wanted);
}
