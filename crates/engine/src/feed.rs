//! Walking the feed of a shard: the one order by which effects, positions, views and cursors
//! resume.

use chirrup_core::aggregate::AggregateId;
use chirrup_store::keys;
use chirrup_store::kv::{Key, Kv, ReadError};
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
}

/// Entries beyond `after` and up to `until`, ascending, at least one page of them if there are
/// so many. Where the answer is empty, there are none.
pub fn entries(kv: &dyn Kv, shard: u8, after: Offset, until: Offset) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    let mut start = after;
    loop {
        let buckets = keys::feed_buckets(shard, start, 2);
        let rows = kv.range(&buckets)?;
        for (sort, _) in &rows {
            let Some(bucket) = keys::feed_bucket_start(sort) else { continue };
            if bucket > until {
                return Ok(entries);
            }
            // A row that begins before `after` may reach beyond it.
            let mut from = bucket.max(first_row(kv, shard, after, bucket)?);
            loop {
                let range = keys::feed_after(shard, from, PAGE);
                let page = kv.range(&range)?;
                for (sort, value) in &page {
                    let key = Key::new(range.table, range.partition.clone(), sort.clone());
                    let first = Offset::from_bytes(sort)
                        .ok_or_else(|| ReadError::Damaged { place: format!("{key:?}"), what: "not an offset".into() })?;
                    for entry in record::decode_feed(&key, value)?.entries {
                        let offset = Offset { n: first.n + entry.n, k: entry.k, ..first };
                        if offset > after && offset <= until {
                            let record::FeedEntry { aggregate, seq, effects, timeline, .. } = entry;
                            entries.push(Entry { offset, aggregate, seq, effects, timeline });
                        }
                    }
                    from = Offset { k: first.k + 1, ..first };
                }
                if page.len() < PAGE {
                    break;
                }
                if !entries.is_empty() {
                    return Ok(entries);
                }
            }
        }
        let Some(last) = rows.last().and_then(|(sort, _)| keys::feed_bucket_start(sort)) else { return Ok(entries) };
        if rows.len() < 2 || !entries.is_empty() {
            return Ok(entries);
        }
        start = Offset { n: last.n + keys::FEED_BUCKET, ..last };
    }
}

/// The feed row in which `after` stands, if it is in the bucket that begins at `bucket`.
fn first_row(kv: &dyn Kv, shard: u8, after: Offset, bucket: Offset) -> Result<Offset, ReadError> {
    let same = after.epoch == bucket.epoch && after.n / keys::FEED_BUCKET == bucket.n / keys::FEED_BUCKET;
    if !same {
        return Ok(bucket);
    }
    let row = kv.range(&keys::feed_before(shard, after))?;
    Ok(row.first().and_then(|(sort, _)| Offset::from_bytes(sort)).unwrap_or(bucket))
}

/// The event of an entry; none if the entry's batch was not committed as it was meant: the event
/// is not there, or was made again elsewhere in the feed.
pub fn event(kv: &dyn Kv, entry: &Entry) -> Result<Option<EventRow>, ReadError> {
    Ok(log::event(kv, &entry.aggregate, entry.seq)?.filter(|row| row.offset == entry.offset))
}
