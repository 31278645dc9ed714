//! Walking the feed of a shard: the one order by which effects, positions, views and cursors
//! resume.
//!
//! Must not know: who walks, and why.

use chirrup_core::aggregate::{AggregateId, Digest};
use chirrup_store::keys;
use chirrup_store::kv::{self, Key, Kv, Range, ReadError};
use chirrup_store::log;
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, EventRow};

/// Feed rows read at once.
const PAGE: usize = 64;

/// An entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub offset: Offset,
    /// Which log.
    pub aggregate: AggregateId,
    /// Which event.
    pub seq: u64,
    /// Whether the event has effects on other aggregates.
    pub effects: bool,
    /// Whether it is a message of a timeline.
    pub timeline: bool,
    /// Of the request, at the first event of a client's command.
    pub digest: Option<Digest>,
    /// Earlier events of the log whose rows it changes.
    pub changes: Vec<u64>,
}

/// The next entries beyond `after` and up to `until`, ascending: as many as one read of the store
/// gives. Empty only if there are none.
pub fn entries(kv: &dyn Kv, shard: u8, after: Offset, until: Offset) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    let mut from = after;
    while let Some(bucket) = next_bucket(kv, shard, from)?
        && bucket <= until
    {
        let range = keys::feed_after(shard, first_row(kv, shard, after, bucket)?, PAGE);
        for row in &kv.range(&range)? {
            open(&range, row, &mut entries)?;
        }
        entries.retain(|entry| entry.offset > after && entry.offset <= until);
        if !entries.is_empty() {
            return Ok(entries);
        }
        // All rows but the first lie beyond `after`: if nothing was found among so many, the
        // partition has nothing up to `until`.
        from = Offset { n: bucket.n + keys::FEED_BUCKET, ..bucket };
    }
    Ok(entries)
}

/// The first offset of the next partition that has rows, from the one of `from` on.
fn next_bucket(kv: &dyn Kv, shard: u8, from: Offset) -> Result<Option<Offset>, ReadError> {
    let range = keys::feed_buckets(shard, from, 1);
    let start = |(sort, _): &kv::Entry| keys::feed_bucket_start(sort).ok_or_else(|| damaged(&range, sort));
    kv.range(&range)?.first().map(start).transpose()
}

/// The row at which to begin in a partition: the last that begins at or before `after`, as it
/// may reach beyond it.
fn first_row(kv: &dyn Kv, shard: u8, after: Offset, bucket: Offset) -> Result<Offset, ReadError> {
    if after < bucket {
        return Ok(bucket);
    }
    let range = keys::feed_before(shard, after);
    let row = kv.range(&range)?.first().map(|row| offset(&range, row)).transpose()?;
    Ok(row.unwrap_or(bucket))
}

/// Adds the entries of a row.
fn open(range: &Range, row: &kv::Entry, entries: &mut Vec<Entry>) -> Result<(), ReadError> {
    let first = offset(range, row)?;
    let (sort, value) = row;
    let key = Key::new(range.table, range.partition.clone(), sort.clone());
    entries.extend(record::decode_feed(&key, value)?.entries.into_iter().map(|entry| {
        let offset = Offset { n: first.n + entry.n, k: entry.k, ..first };
        let record::FeedEntry { aggregate, seq, effects, timeline, digest, changes, .. } = entry;
        Entry { offset, aggregate, seq, effects, timeline, digest, changes: changes.unwrap_or_default() }
    }));
    Ok(())
}

fn offset(range: &Range, (sort, _): &kv::Entry) -> Result<Offset, ReadError> {
    Offset::from_bytes(sort).ok_or_else(|| damaged(range, sort))
}

fn damaged(range: &Range, sort: &[u8]) -> ReadError {
    let key = Key::new(range.table, range.partition.clone(), sort);
    ReadError::Damaged { place: format!("{key:?}"), what: "not a place in a feed".to_owned() }
}

/// The event of an entry; none if the entry's batch was not committed as it was meant: the event
/// is not there, or was made again elsewhere in the feed.
pub fn event(kv: &dyn Kv, entry: &Entry) -> Result<Option<EventRow>, ReadError> {
    Ok(log::event(kv, &entry.aggregate, entry.seq)?.filter(|row| row.offset == entry.offset))
}
