//! The contract of [`Kv`], as checks that any driver can be put through.
//!
//! A driver implements [`Subject`] and calls [`run`] from a test. Each check gets a store of its
//! own and panics with its name and what differs. Must not know: any driver.

mod basics;
mod model;
mod ranges;
mod stopped;

use crate::kv::{Key, Kv, Row, Table};

/// A store under test, and what its driver can do.
pub trait Subject {
    /// The store.
    fn kv(&self) -> &dyn Kv;

    /// Closes the store and opens it again on the same data. `false` if the driver keeps
    /// nothing; checks of durability are then skipped.
    fn reopen(&mut self) -> bool {
        false
    }

    /// Makes the next commit stop after its first `partitions` partitions. `false` if the
    /// driver cannot be made to; checks of stopped commits are then skipped.
    fn stop_after(&self, partitions: usize) -> bool {
        let _ = partitions;
        false
    }

    /// Whether the driver compares versions. A driver that is the only writer, in order, need
    /// not; checks of late writes are then skipped.
    fn compares_versions(&self) -> bool {
        true
    }
}

/// A named check.
pub struct Check {
    /// Says what must hold.
    pub name: &'static str,
    /// Panics when it does not.
    pub check: fn(&mut dyn Subject),
}

/// Every check, in the order in which [`run`] makes them.
pub fn checks() -> Vec<Check> {
    [basics::CHECKS, ranges::CHECKS, stopped::CHECKS, model::CHECKS]
        .into_iter()
        .flatten()
        .map(|(name, check)| Check { name, check: *check })
        .collect()
}

/// Puts a driver through every check, each on a fresh and empty store from `make`.
///
/// # Panics
/// At the first check that fails; its name is printed before.
pub fn run(make: impl Fn() -> Box<dyn Subject>) {
    for Check { name, check } in checks() {
        println!("contract: {name}");
        let mut subject = make();
        check(subject.as_mut());
    }
}

/// The checks of one part.
type Checks = [(&'static str, fn(&mut dyn Subject))];

fn put(table: Table, partition: &[u8], sort: &[u8], value: &[u8], version: u64) -> Row {
    Row { key: Key::new(table, partition, sort), value: Some(value.to_vec()), version }
}

fn remove(table: Table, partition: &[u8], sort: &[u8], version: u64) -> Row {
    Row { key: Key::new(table, partition, sort), value: None, version }
}

fn get(kv: &dyn Kv, table: Table, partition: &[u8], sort: &[u8]) -> Option<Vec<u8>> {
    let mut values = kv.get(&[Key::new(table, partition, sort)]).expect("a read of one key works");
    assert_eq!(values.len(), 1, "one key gives one answer");
    values.pop().flatten()
}

#[expect(clippy::needless_pass_by_value, reason = "rows are made where they are handed in")]
fn commit(kv: &dyn Kv, rows: Vec<Row>) {
    kv.commit(&rows).expect("a commit within the limits works");
}
