//! What was read last and is asked for all the time (a page of members names up to 1,000 users,
//! whose logs would all be asked): a bounded cache that a change makes forget, or brings forward.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values in one of the two generations of a cache.
const GENERATION_MAX: usize = 8_192;

/// Keeps the values that were asked for last: between [`GENERATION_MAX`] and twice as many.
pub(super) struct Kept<K, V> {
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Values that changed and were forgotten, ever.
    changes: u64,
    /// Times that a generation was let go, ever.
    turns: u64,
}

/// Given before a value is read, and asked back when it is kept: what changed in between may not
/// be what was read.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    changes: u64,
    turns: u64,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { young: HashMap::new(), old: HashMap::new(), changes: 0, turns: 0 }) }
    }
}

impl<K: Hash + Eq + Copy, V: Clone> Kept<K, V> {
    /// A value at hand, or the leave to bring one.
    pub(super) fn get(&self, key: K) -> Result<V, Ticket> {
        let mut inner = self.lock();
        if let Some(value) = inner.young.get(&key) {
            return Ok(value.clone());
        }
        match inner.old.remove(&key) {
            Some(value) => {
                inner.keep(key, value.clone());
                Ok(value)
            }
            None => Err(Ticket { changes: inner.changes, turns: inner.turns }),
        }
    }

    /// Keeps a value that was read with this leave.
    pub(super) fn keep(&self, ticket: Ticket, key: K, value: V) {
        let mut inner = self.lock();
        let unchanged = inner.changes == ticket.changes && inner.turns == ticket.turns;
        // One that was raised meanwhile is newer than what was read.
        if unchanged && !inner.young.contains_key(&key) {
            inner.keep(key, value);
        }
    }

    /// The value, which only grows, is at least this one now.
    pub(super) fn raise(&self, key: K, value: V)
    where
        V: Ord,
    {
        let mut inner = self.lock();
        // What was read may be ahead of what is told.
        let value = match inner.young.get(&key).or_else(|| inner.old.get(&key)) {
            Some(known) => value.max(known.clone()),
            None => value,
        };
        inner.keep(key, value);
    }

    /// The value is another now.
    pub(super) fn forget(&self, key: K) {
        let mut inner = self.lock();
        inner.changes += 1;
        inner.young.remove(&key);
        inner.old.remove(&key);
    }

    /// Every value may be another now.
    pub(super) fn forget_all(&self) {
        let mut inner = self.lock();
        inner.changes += 1;
        inner.young.clear();
        inner.old.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Inner<K, V> {
    fn keep(&mut self, key: K, value: V) {
        if self.young.len() >= GENERATION_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
            self.turns += 1;
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let kept = Kept::default();
        let ticket = kept.get(1).unwrap_err();
        kept.forget(1);
        kept.keep(ticket, 1, "before");
        let ticket = kept.get(1).expect_err("was read too early");
        kept.keep(ticket, 1, "after");
        assert_eq!(kept.get(1).ok(), Some("after"));
        kept.forget(1);
        assert!(kept.get(1).is_err());
    }

    #[test]
    fn what_rose_while_an_older_value_was_read_stands() {
        let kept = Kept::default();
        let ticket = kept.get(1).unwrap_err();
        kept.raise(1, 5);
        kept.keep(ticket, 1, 4);
        assert_eq!(kept.get(1).ok(), Some(5));
        kept.raise(1, 3);
        assert_eq!(kept.get(1).ok(), Some(5), "told of in order, after it was read");
        let ticket = kept.get(2).unwrap_err();
        kept.raise(2, 7);
        for n in 10..10 + 2 * GENERATION_MAX {
            kept.raise(n, 0);
        }
        kept.keep(ticket, 2, 6);
        assert!(kept.get(2).is_err(), "the newer value was let go meanwhile");
        let ticket = kept.get(3).unwrap_err();
        kept.forget_all();
        kept.keep(ticket, 3, 0);
        assert!(kept.get(3).is_err() && kept.get(10 + 2 * GENERATION_MAX - 1).is_err());
    }

    #[test]
    fn what_is_asked_for_stays_and_the_number_is_bounded() {
        let kept = Kept::default();
        for n in 0..5 * GENERATION_MAX {
            let Err(ticket) = kept.get(n) else { panic!("asked for the first time") };
            kept.keep(ticket, n, n);
            assert!(kept.get(0).is_ok(), "asked for all the time");
        }
        let inner = kept.lock();
        assert!(inner.young.len() + inner.old.len() <= 2 * GENERATION_MAX);
    }
}
