//! Floors of the store: fjall alone, given random bytes in the server's own shapes, and a plain
//! file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use hdrhistogram::Histogram;

use super::PlainFile;
use super::shapes::Batch;
use crate::clock;
use crate::load::pages::{PAGE, Random};
use crate::load::sends::Span;

/// As the server's own.
const CACHE_BYTES: u64 = 64 << 20;
const MEMTABLE_BYTES: u64 = 64 << 20;
/// Bytes of a record in the plain file.
const RECORD_BYTES: usize = 300;
/// Rows between two syncs while a store is only filled.
const FILL_BATCH: u64 = 10_000;
/// Partitions of the store that pages are read from, as there are conversations.
const PARTITIONS: u64 = 1_000;

fn open(dir: &Path) -> Result<Database> {
    Ok(Database::builder(dir).cache_size(CACHE_BYTES).open()?)
}

fn keyspace(database: &Database, name: &str) -> Result<Keyspace> {
    Ok(database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES))?)
}

/// Rows of the server, over and over, as random bytes: rows a second, from `warm_up` on, with a
/// sync after each batch. Keys differ from one round to the next.
pub(crate) fn replay(dir: &Path, batches: &[Batch], span: Span) -> Result<f64> {
    let database = open(dir)?;
    let tables = batches.iter().flatten().map(|row| usize::from(row.table)).max().context("there are rows")? + 1;
    let keyspaces = (0..tables).map(|table| keyspace(&database, &table.to_string())).collect::<Result<Vec<_>>>()?;
    let mut random = Random(1);
    let began = clock::now();
    let (warm_up, end) = (Duration::from_secs(span.warm_up as u64), Duration::from_secs(span.seconds as u64));
    let mut counted = 0;
    for (turn, recorded) in batches.iter().cycle().enumerate() {
        let round = (turn / batches.len()) as u32;
        let passed = clock::since(began);
        if passed >= end {
            break;
        }
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for row in recorded {
            let key = another(&row.key, round);
            match row.value_bytes {
                Some(bytes) => batch.insert(&keyspaces[usize::from(row.table)], key, noise(&mut random, bytes)),
                None => batch.remove(&keyspaces[usize::from(row.table)], key),
            }
        }
        batch.commit()?;
        if passed >= warm_up {
            counted += recorded.len();
        }
    }
    Ok(counted as f64 / span.counted())
}

/// A key like another, of the same length and order within a round; short keys are those of
/// rows that are written again and again, and stay.
fn another(key: &[u8], round: u32) -> Vec<u8> {
    let mut key = key.to_vec();
    if key.len() >= 20 {
        for (byte, change) in key[8..12].iter_mut().zip(round.to_be_bytes()) {
            *byte ^= change;
        }
    }
    key
}

fn noise(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend_from_slice(&random.next().to_le_bytes());
    }
    value.truncate(bytes);
    value
}

/// Records a second in a plain file, synced after so many.
pub(crate) fn plain_file(dir: &Path, batch: usize, seconds: u64) -> Result<f64> {
    let mut file = PlainFile::create(&dir.join("plain"))?;
    let records = noise(&mut Random(2), RECORD_BYTES * batch);
    let began = clock::now();
    let mut written = 0;
    while clock::since(began) < Duration::from_secs(seconds) {
        file.write(&records)?;
        written += batch;
    }
    Ok(written as f64 / clock::since(began).as_secs_f64())
}

/// What a bare store of so many rows gives.
pub(crate) struct Reads {
    /// Times in microseconds of a range of 50 rows.
    pub(crate) range: Histogram<u64>,
    /// Seconds to open it.
    pub(crate) open_seconds: f64,
}

/// A store that is filled with rows of random bytes, to be read.
pub(crate) struct Filled {
    /// Where it is.
    pub(crate) dir: PathBuf,
    /// How many.
    pub(crate) rows: u64,
    /// Bytes of each.
    pub(crate) value_bytes: usize,
}

/// Fills a store with so many rows.
pub(crate) fn fill(dir: PathBuf, rows: u64, value_bytes: usize) -> Result<Filled> {
    let _ = fs::remove_dir_all(&dir);
    let mut random = Random(3);
    let database = open(&dir)?;
    let rows_each = rows / PARTITIONS;
    let table = keyspace(&database, "rows")?;
    for first in (0..rows_each * PARTITIONS).step_by(FILL_BATCH as usize) {
        let mut batch = database.batch();
        for row in first..(first + FILL_BATCH).min(rows_each * PARTITIONS) {
            batch.insert(&table, row_key(row % PARTITIONS, row / PARTITIONS), noise(&mut random, value_bytes));
        }
        batch.commit()?;
    }
    database.persist(PersistMode::SyncAll)?;
    Ok(Filled { dir, rows, value_bytes })
}

/// Opens a filled store and reads so many pages.
pub(crate) fn reads(filled: &Filled, pages: u64) -> Result<Reads> {
    let Filled { dir, rows, value_bytes } = filled;
    let mut random = Random(4);
    let began = clock::now();
    let database = open(dir)?;
    let table = keyspace(&database, "rows")?;
    let open_seconds = clock::since(began).as_secs_f64();
    let mut range = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    for turn in 0..pages + pages / 2 {
        let partition = random.next() % PARTITIONS;
        let last = PAGE + random.next() % (rows / PARTITIONS - PAGE);
        let began = clock::now();
        let mut bytes = 0;
        for row in table.range(row_key(partition, last - PAGE)..row_key(partition, last)).rev() {
            bytes += row.value()?.len();
        }
        if turn >= pages / 2 {
            range.saturating_record(u64::try_from(clock::since(began).as_micros()).unwrap_or(u64::MAX));
        }
        ensure!(bytes == PAGE as usize * *value_bytes, "a page of {bytes} bytes");
    }
    Ok(Reads { range, open_seconds })
}

fn row_key(partition: u64, row: u64) -> [u8; 24] {
    let mut key = [0; 24];
    // Partitions far apart, as ids are.
    key[..8].copy_from_slice(&partition.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[16..].copy_from_slice(&row.to_be_bytes());
    key
}
