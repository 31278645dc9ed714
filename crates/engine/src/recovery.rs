//! What must be known of the store before the first command: the server's key, a fresh epoch,
//! and how far each shard is durable.

use chirrup_core::aggregate::SHARDS;
use chirrup_core::hash::ServerKey;
use chirrup_store::keys;
use chirrup_store::kv::{CommitError, Kv, ReadError, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record;

use crate::feed;
use crate::runner::{EPOCH, MARK};

const SERVER: &str = "server";
const KEY: &[u8] = b"key";
const INCARNATION: &[u8] = b"incarnation";

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
    #[error("failed to write the new epoch: {0}")]
    Commit(#[from] CommitError),
}

/// Reads what the store knows and stores a higher epoch for every shard.
pub fn recover(kv: &dyn Kv, fresh: &Fresh) -> Result<Recovered, RecoveryError> {
    let mut marks = [Offset::default(); SHARDS as usize];
    let mut epoch = 0;
    for shard in 0..SHARDS {
        epoch = epoch.max(number(kv, EPOCH, &[shard])?.unwrap_or(0) as u32);
        marks[usize::from(shard)] = durable(kv, shard)?;
    }
    epoch += 1;
    let mut rows: Vec<Row> = (0..SHARDS)
        .map(|shard| Row {
            key: keys::meta(EPOCH, &[shard]),
            value: Some(record::encode_number(&u64::from(epoch))),
            version: u64::from(epoch),
        })
        .collect();
    let key = if let Some(key) = bytes(kv, KEY)? {
        key.try_into().map_err(|_| ReadError::Damaged { place: "the server's key".into(), what: "not 32 bytes".into() })?
    } else {
        rows.push(Row { key: keys::meta(SERVER, KEY), value: Some(fresh.key.to_vec()), version: 1 });
        fresh.key
    };
    let incarnation = if let Some(known) = number(kv, SERVER, INCARNATION)? {
        known
    } else {
        let value = Some(record::encode_number(&fresh.incarnation));
        rows.push(Row { key: keys::meta(SERVER, INCARNATION), value, version: 1 });
        fresh.incarnation
    };
    kv.commit(rows)?;
    Ok(Recovered { key: ServerKey(key), incarnation, epoch, marks })
}

/// A shard's mark, moved on over what was committed without it.
fn durable(kv: &dyn Kv, shard: u8) -> Result<Offset, ReadError> {
    let key = keys::meta(MARK, &[shard]);
    let mut mark = match kv.get(std::slice::from_ref(&key))?.pop().flatten() {
        Some(bytes) => record::decode_offset(&key, &bytes)?,
        None => Offset::default(),
    };
    let beyond = Offset { epoch: u32::MAX, n: u64::MAX, k: u16::MAX };
    for entry in feed::entries(kv, shard, mark, beyond)? {
        if feed::event(kv, &entry)?.is_some() {
            mark = entry.offset;
        }
    }
    Ok(mark)
}

fn bytes(kv: &dyn Kv, sort: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    Ok(kv.get(&[keys::meta(SERVER, sort)])?.pop().flatten())
}

fn number(kv: &dyn Kv, name: &str, sort: &[u8]) -> Result<Option<u64>, ReadError> {
    let key = keys::meta(name, sort);
    let value = kv.get(std::slice::from_ref(&key))?.pop().flatten();
    value.map(|bytes| record::decode_number(&key, &bytes)).transpose()
}
