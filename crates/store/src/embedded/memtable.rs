//! Rows of one table that are in the log but not yet in files.
//!
//! Must not know: files, and how a row got here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use byteview::ByteView;

/// What a row takes beside the bytes of its key and value, in the map.
const ROW_BYTES: u64 = 64;

/// A row of a memtable: its key, and its value unless it was removed.
pub(super) type Row = (ByteView, Option<ByteView>);

/// The rows of one table in one frame, in a buffer of their own: rows of different tables leave
/// memory at different times.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    bytes: u64,
}

impl Rows {
    /// Copies rows, in their order.
    pub(super) fn new<'a>(rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone) -> Self {
        let sizes = rows.clone().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len));
        let mut builder = ByteView::builder(sizes.sum());
        let mut end = 0;
        for (key, value) in rows.clone() {
            for part in [key, value.unwrap_or_default()] {
                builder[end..end + part.len()].copy_from_slice(part);
                end += part.len();
            }
        }
        let buffer = builder.freeze();
        let mut at = 0;
        let mut take = |length: usize| {
            at += length;
            buffer.slice(at - length..at)
        };
        let rows: Vec<Row> = rows.map(|(key, value)| (take(key.len()), value.map(|value| take(value.len())))).collect();
        let bytes = end as u64 + rows.len() as u64 * ROW_BYTES;
        Self { rows, bytes }
    }
}

/// Rows, and which frames they came from.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    rows: RwLock<BTreeMap<ByteView, Option<ByteView>>>,
    /// The first and the last frame that rows came from, 0 before there is one.
    first: AtomicU64,
    last: AtomicU64,
    bytes: AtomicU64,
}

impl Memtable {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ByteView, Option<ByteView>>> {
        // Nothing panics while the map is being changed but for want of memory.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the rows of frame `number`, all at once for readers. One caller at a time, numbers
    /// ascending.
    pub(super) fn write(&self, number: u64, rows: Rows) {
        let mut map = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        map.extend(rows.rows);
        drop(map);
        // What was overwritten counts on: its buffer may be held by a row beside it.
        self.bytes.fetch_add(rows.bytes, Ordering::Relaxed);
        self.last.store(number, Ordering::Release);
        if self.first().is_none() {
            self.first.store(number, Ordering::Release);
        }
    }

    /// The first frame that rows came from; `None` if there are no rows.
    pub(super) fn first(&self) -> Option<u64> {
        Some(self.first.load(Ordering::Acquire)).filter(|number| *number > 0)
    }

    /// The last frame that rows came from; 0 if there are no rows.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Memory, bytes, at most.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The rows of these keys that are here, all as of one moment.
    pub(super) fn get(&self, keys: &[ByteView]) -> Vec<Option<Row>> {
        let map = self.read();
        keys.iter().map(|key| map.get_key_value(key).map(|(key, value)| (key.clone(), value.clone()))).collect()
    }

    /// Rows between the bounds, in the direction asked, up to `limit` that were not removed.
    pub(super) fn range(&self, bounds: &(Bound<ByteView>, Bound<ByteView>), descending: bool, limit: usize) -> Vec<Row> {
        let map = self.read();
        let rows = map.range::<ByteView, _>((bounds.0.as_ref(), bounds.1.as_ref()));
        let mut live = 0;
        let enough = |row: &(&ByteView, &Option<ByteView>)| {
            let wanted = live < limit;
            live += usize::from(row.1.is_some());
            wanted
        };
        let owned = |(key, value): (&ByteView, &Option<ByteView>)| (key.clone(), value.clone());
        if descending { rows.rev().take_while(enough).map(owned).collect() } else { rows.take_while(enough).map(owned).collect() }
    }

    /// All rows in the order of their keys. Nothing may be written any more.
    pub(super) fn all(&self) -> Vec<Row> {
        self.read().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
