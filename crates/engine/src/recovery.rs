//! What must be known of the store, and done to it, before the first command: the server's key, a
//! fresh epoch, how far each shard is durable, and whatever a torn commit has left made whole.
//!
//! Must not know: how commands are decided.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::aggregate::{AggregateId, Outcome, SHARDS, Verdict};
use chirrup_core::event::Envelope;
use chirrup_core::hash::{Hash, ServerKey};
use chirrup_core::ids::Seq;
use chirrup_store::copy::{self, Identity};
use chirrup_store::keys::{self, EPOCH, INCARNATION, SERVER};
use chirrup_store::kv::limits::{COMMIT_BYTES, READ_ROWS};
use chirrup_store::kv::{CommitError, Key, Kv, ReadError, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record;

use crate::feed::{self, Entry};
use crate::runner::{Loaded, MARK, Parts};

const KEY: &[u8] = b"key";
/// Beyond every offset.
const END: Offset = Offset { epoch: u32::MAX, n: u64::MAX, k: u16::MAX };

/// One mark a shard.
pub type Marks = [Offset; SHARDS as usize];

/// Random values for a store that is new.
pub struct Fresh {
    /// Becomes the server's key.
    pub key: [u8; 32],
    /// Becomes the store's incarnation: cursors of another incarnation answer `reset`.
    pub incarnation: u64,
}

/// What the store told.
pub struct Recovered {
    /// From which ids are made.
    pub key: ServerKey,
    /// Of the store.
    pub incarnation: u64,
    /// Above every epoch before.
    pub epoch: u32,
    /// Up to where each shard is durable.
    pub marks: Marks,
}

/// Why the store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// It could not be read.
    #[error("failed to read the store: {0}")]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error("failed to write the new epoch or a repair: {0}")]
    Commit(#[from] CommitError),
    /// Only a part of it is there.
    #[error("the store holds a part of another one: the chirrup copy that was begun, given again, goes on and finishes it")]
    UnfinishedCopy,
    /// Nothing is there.
    #[error("nothing is in the store: no server was ever started on it")]
    Empty,
}

/// Reads what the store knows, stores a higher epoch for every shard, and then makes whole what a
/// commit has left that was stopped between two partitions.
pub fn recover(kv: &dyn Kv, fresh: &Fresh) -> Result<Recovered, RecoveryError> {
    if copy::is_unfinished(kv)? {
        return Err(RecoveryError::UnfinishedCopy);
    }
    let (epoch, mut rows) = next_epoch(kv, 0)?;
    // A start that died may have left values of its own, of which nothing is seen yet: they are of a
    // lower epoch, and so of a lower version.
    let once = u64::from(epoch);
    let key = if let Some(key) = key(kv)? {
        key
    } else {
        rows.push(Row { key: keys::meta(SERVER, KEY), value: Some(fresh.key.to_vec()), version: once });
        fresh.key
    };
    let incarnation = if let Some(known) = incarnation(kv)? {
        known
    } else {
        let value = Some(record::encode_number(&fresh.incarnation));
        rows.push(Row { key: keys::meta(SERVER, INCARNATION), value, version: once });
        fresh.incarnation
    };
    // On a full disk too: there is no reading and no deleting before it.
    kv.commit_reserved(&rows)?;
    let mut marks = [Offset::default(); SHARDS as usize];
    for (shard, mark) in (0..SHARDS).zip(&mut marks) {
        *mark = make_whole(kv, epoch, shard)?;
    }
    Ok(Recovered { key: ServerKey(key), incarnation, epoch, marks })
}

/// The incarnation of the store; none of one that was never served.
pub fn incarnation(kv: &dyn Kv) -> Result<Option<u64>, ReadError> {
    number(kv, SERVER, INCARNATION)
}

/// Who a store is that is to be copied, and is not served.
pub fn identity(kv: &dyn Kv) -> Result<Identity, RecoveryError> {
    match (incarnation(kv)?, key(kv)?) {
        (Some(incarnation), Some(key)) => Ok(Identity { incarnation, key: Hash::of(&key), epoch: last_epoch(kv)? }),
        _ => Err(RecoveryError::Empty),
    }
}

/// Makes of a store that was restored or copied another one than it was: every cursor that was
/// given out before answers `reset`, for events may have been lost that it covers. All else
/// stays. `epoch`: the store's own is to be above it.
pub fn renew(kv: &dyn Kv, incarnation: u64, epoch: u32) -> Result<(), RecoveryError> {
    let (epoch, mut rows) = next_epoch(kv, epoch)?;
    let value = Some(record::encode_number(&incarnation));
    rows.push(Row { key: keys::meta(SERVER, INCARNATION), value, version: u64::from(epoch) });
    Ok(kv.commit_reserved(&rows)?)
}

/// The epoch of this start, which all shards have; 0 if there was none.
pub(crate) fn epoch(kv: &dyn Kv) -> Result<u32, ReadError> {
    Ok(number(kv, EPOCH, &[0])?.unwrap_or(0) as u32)
}

/// The highest epoch before; 0 if there was none.
fn last_epoch(kv: &dyn Kv) -> Result<u32, ReadError> {
    let mut epoch = 0;
    for shard in 0..SHARDS {
        epoch = epoch.max(number(kv, EPOCH, &[shard])?.unwrap_or(0) as u32);
    }
    Ok(epoch)
}

/// An epoch above every one before and above this one, and the rows that make it known.
fn next_epoch(kv: &dyn Kv, above: u32) -> Result<(u32, Vec<Row>), ReadError> {
    let epoch = last_epoch(kv)?.max(above) + 1;
    let row =
        |shard| Row { key: keys::meta(EPOCH, &[shard]), value: Some(record::encode_number(&u64::from(epoch))), version: u64::from(epoch) };
    Ok((epoch, (0..SHARDS).map(row).collect()))
}

/// Makes whole what was committed in part beyond a shard's mark; gives the mark beyond it.
///
/// A batch is written in this order: what it will hold (its rows in the feed), secrets, events
/// (the newest bucket of a log first), projections, verdicts, states, marks. Of each log, its
/// events are therefore all there or, at most, there beyond a gap: the latter never counted, and
/// are removed. The former count: whatever is made of them is made again.
fn make_whole(kv: &dyn Kv, epoch: u32, shard: u8) -> Result<Offset, RecoveryError> {
    let mark = stored_mark(kv, shard)?;
    let mut logs: BTreeMap<AggregateId, Vec<Entry>> = BTreeMap::new();
    let mut after = mark;
    loop {
        let page = feed::entries(kv, shard, after, END)?;
        let Some(last) = page.last() else { break };
        after = last.offset;
        for entry in page {
            logs.entry(entry.aggregate.clone()).or_default().push(entry);
        }
    }
    if logs.is_empty() {
        return Ok(mark);
    }
    // Above everything of earlier epochs, below everything of this one.
    let version = Offset { epoch, ..Offset::default() }.version(0);
    let mut durable = mark;
    for (aggregate, entries) in logs {
        let repair = Repair::of(kv, &aggregate, &entries, version)?;
        durable = durable.max(repair.durable);
        for rows in chunks(repair.rows) {
            kv.commit_reserved(&rows)?;
        }
    }
    kv.commit_reserved(&[Row { key: keys::meta(MARK, &[shard]), value: Some(record::encode_offset(durable)), version }])?;
    Ok(durable)
}

/// What makes one log whole.
struct Repair {
    rows: Vec<Row>,
    /// The last entry whose event is there.
    durable: Offset,
}

impl Repair {
    fn of(kv: &dyn Kv, aggregate: &AggregateId, entries: &[Entry], version: u64) -> Result<Self, ReadError> {
        let mut log = Loaded::repair(kv, aggregate)?;
        let mut parts = Parts::default();
        log.rows_to_write(aggregate, version, &mut parts);
        let orphans: Vec<&Entry> = entries.iter().filter(|entry| entry.seq > log.head()).collect();
        let removed = |entry: &&Entry| Row { key: keys::event(aggregate, entry.seq, entry.timeline), value: None, version };
        let mut rows: Vec<Row> = orphans.iter().map(removed).collect();
        rows.extend(confirmed(kv, aggregate, &orphans, &parts.events, log.head(), version)?);
        rows.extend([parts.events, parts.projections].into_iter().flatten());
        let mut durable = Offset::default();
        let mut verdicts: BTreeMap<Offset, (Key, Verdict)> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.seq <= log.head()) {
            let Some(event) = feed::event(kv, entry)? else { continue };
            durable = entry.offset;
            let Envelope { author, client_id, time, .. } = event.record.event.envelope;
            let command = Offset { k: 0, ..entry.offset };
            if let (Some(digest), Some(user), Some(client_id)) = (entry.digest, author, client_id) {
                let outcome = Outcome::Done { first: entry.seq, last: entry.seq, time };
                verdicts.insert(command, (keys::dedupe(aggregate, user, client_id), Verdict { digest, outcome }));
            } else if let Some((_, Verdict { outcome: Outcome::Done { last, .. }, .. })) = verdicts.get_mut(&command) {
                *last = entry.seq;
            }
        }
        let verdict = |(key, verdict)| Row { key, value: Some(record::encode_verdict(&verdict)), version };
        rows.extend(verdicts.into_values().map(verdict));
        rows.extend(parts.states);
        Ok(Self { rows, durable })
    }
}

/// The rows of earlier events that events which are not there would have changed, as they are: what
/// a store still has under way of the lost batch arrives below them, and changes nothing.
fn confirmed(
    kv: &dyn Kv,
    aggregate: &AggregateId,
    orphans: &[&Entry],
    made_again: &[Row],
    head: Seq,
    version: u64,
) -> Result<Vec<Row>, ReadError> {
    let seqs: BTreeSet<Seq> = orphans.iter().flat_map(|entry| &entry.changes).copied().filter(|seq| *seq <= head).collect();
    let places = seqs.into_iter().flat_map(|seq| [true, false].map(|timeline| keys::event(aggregate, seq, timeline)));
    let places: Vec<Key> = places.filter(|key| made_again.iter().all(|row| row.key != *key)).collect();
    let mut rows = Vec::new();
    for keys in places.chunks(READ_ROWS) {
        let there = keys.iter().zip(kv.get(keys)?).filter(|(_, value)| value.is_some());
        rows.extend(there.map(|(key, value)| Row { key: key.clone(), value, version }));
    }
    Ok(rows)
}

/// Rows in commits of a size that every store takes.
fn chunks(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut chunks = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        bytes += row.value.as_ref().map_or(0, Vec::len) + row.key.partition.len() + row.key.sort.len();
        if bytes > COMMIT_BYTES / 2 {
            chunks.push(Vec::new());
            bytes = 0;
        }
        chunks.last_mut().expect("begins with one").push(row);
    }
    chunks
}

fn stored_mark(kv: &dyn Kv, shard: u8) -> Result<Offset, ReadError> {
    let key = keys::meta(MARK, &[shard]);
    match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
        Some(bytes) => record::decode_offset(&key, &bytes),
        None => Ok(Offset::default()),
    }
}

fn key(kv: &dyn Kv) -> Result<Option<[u8; 32]>, ReadError> {
    let key = keys::meta(SERVER, KEY);
    let Some(bytes) = kv.get(std::slice::from_ref(&key))?.pop().flatten() else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| ReadError::Damaged { place: format!("{key:?}"), what: "not 32 bytes".into() })?;
    Ok(Some(bytes))
}

fn number(kv: &dyn Kv, name: &str, sort: &[u8]) -> Result<Option<u64>, ReadError> {
    let key = keys::meta(name, sort);
    let value = kv.get(std::slice::from_ref(&key))?.pop().flatten();
    value.map(|bytes| record::decode_number(&key, &bytes)).transpose()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use chirrup_store::memory::MemoryKv;

    use super::*;

    const FRESH: Fresh = Fresh { key: [7; 32], incarnation: 11 };

    fn copy(from: &MemoryKv, to: &MemoryKv, ends: bool) {
        let go_on = if ends { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let copied = copy::copy(from, to, identity(from).unwrap(), &mut |_| go_on);
        assert_eq!(copied.is_ok(), ends);
    }

    #[test]
    fn a_store_is_itself_served_again_and_again_and_after_a_copy_another_with_the_same_key() {
        let (from, to) = (MemoryKv::new(), MemoryKv::new());
        assert!(matches!(identity(&from), Err(RecoveryError::Empty)));
        for epoch in 1..4 {
            assert_eq!(recover(&from, &FRESH).unwrap().epoch, epoch);
        }
        copy(&from, &to, true);
        let source = identity(&from).unwrap();
        assert_eq!(source.epoch, 3);
        renew(&to, 12, source.epoch).unwrap();
        copy::finish(&to).unwrap();
        let served = recover(&to, &Fresh { key: [0; 32], incarnation: 0 }).unwrap();
        assert_eq!((served.key.0, served.incarnation, served.epoch), ([7; 32], 12, 5));
    }

    #[test]
    fn a_part_of_another_store_is_not_served() {
        let (from, to) = (MemoryKv::new(), MemoryKv::new());
        recover(&from, &FRESH).unwrap();
        copy(&from, &to, false);
        assert!(matches!(recover(&to, &FRESH), Err(RecoveryError::UnfinishedCopy)));
        copy(&from, &to, true);
        assert!(matches!(recover(&to, &FRESH), Err(RecoveryError::UnfinishedCopy)));
        copy::finish(&to).unwrap();
        recover(&to, &FRESH).unwrap();
    }
}
