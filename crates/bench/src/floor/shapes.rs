//! The shapes of what the server wrote: which tables, how many rows, how long, in which batches.
//! Read from the log files that a run left, by a reader of this crate's own (the format is
//! described in `crates/store/src/embedded/frame.rs`).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Frames begin at multiples of this.
const ALIGN: usize = 4096;
const HEADER_BYTES: usize = 32;
const ROW_HEADER_BYTES: usize = 8;
const MAGIC: &[u8] = b"chfr";

/// One row that was written.
pub(crate) struct Shape {
    /// Its table's number.
    pub(crate) table: u8,
    /// Its key.
    pub(crate) key: Vec<u8>,
    /// Length of its value; none if it was removed.
    pub(crate) value_bytes: Option<usize>,
}

/// One batch that was written.
pub(crate) type Batch = Vec<Shape>;

/// The batches in the log of a store, oldest first, that were written after one of this number.
pub(crate) fn recorded(data: &Path, after: u64) -> Result<Vec<Batch>> {
    let mut batches = numbered(data)?;
    batches.retain(|(number, _)| *number > after);
    ensure!(!batches.is_empty(), "no batches after {after} under {}", data.display());
    Ok(batches.into_iter().map(|(_, batch)| batch).collect())
}

/// The number of the last batch in the log of a store.
pub(crate) fn last_number(data: &Path) -> Result<u64> {
    Ok(numbered(data)?.last().map_or(0, |(number, _)| *number))
}

fn numbered(data: &Path) -> Result<Vec<(u64, Batch)>> {
    let log = find_log(data).with_context(|| format!("no log under {}", data.display()))?;
    let mut batches = Vec::new();
    for entry in fs::read_dir(&log)? {
        let bytes = fs::read(entry?.path())?;
        let mut at = ALIGN;
        while let Some((number, payload, next)) = frame(&bytes, at) {
            batches.push((number, rows(payload)?));
            at = next;
        }
    }
    batches.sort_by_key(|(number, _)| *number);
    Ok(batches)
}

fn find_log(data: &Path) -> Option<std::path::PathBuf> {
    let direct = data.join("log");
    if direct.is_dir() {
        return Some(direct);
    }
    let folders = fs::read_dir(data).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    folders.map(|folder| folder.join("log")).find(|log| log.is_dir())
}

fn number_at<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(bytes.get(at..at + N)?);
    Some(u64::from_le_bytes(wide))
}

/// The frame at a place: its number, its payload, and where the next begins.
fn frame(bytes: &[u8], at: usize) -> Option<(u64, &[u8], usize)> {
    let rest = bytes.get(at..)?;
    if !rest.starts_with(MAGIC) {
        return None;
    }
    let payload_bytes = number_at::<4>(rest, 4)? as usize;
    let payload = rest.get(HEADER_BYTES..HEADER_BYTES + payload_bytes)?;
    Some((number_at::<8>(rest, 16)?, payload, at + (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGN)))
}

fn rows(payload: &[u8]) -> Result<Batch> {
    let mut batch = Batch::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let key_bytes = number_at::<2>(rest, 2).context("a row has a header")? as usize;
        let value_bytes = number_at::<4>(rest, 4).context("a row has a header")? as usize;
        let key = rest.get(ROW_HEADER_BYTES..ROW_HEADER_BYTES + key_bytes).context("a row has a key")?.to_vec();
        batch.push(Shape { table: rest[0], key, value_bytes: (rest[1] != 0).then_some(value_bytes) });
        rest = rest.get(ROW_HEADER_BYTES + key_bytes + value_bytes..).context("a row has a value")?;
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(number: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC, &(payload.len() as u32).to_le_bytes(), &[0; 8], &number.to_le_bytes(), &[0; 8], payload].concat();
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    #[test]
    fn frames_are_followed_to_the_last() {
        let payload = [&[3, 1, 2, 0, 4, 0, 0, 0], b"kkvvvv".as_slice(), &[5, 0, 1, 0, 0, 0, 0, 0], b"k"].concat();
        let bytes = [framed(7, &payload), framed(8, &[]), vec![0; ALIGN]].concat();
        let (number, payload, next) = frame(&bytes, 0).unwrap();
        assert_eq!((number, next), (7, ALIGN));
        let batch = rows(payload).unwrap();
        let shapes: Vec<_> = batch.iter().map(|row| (row.table, row.key.as_slice(), row.value_bytes)).collect();
        assert_eq!(shapes, [(3, b"kk".as_slice(), Some(4)), (5, b"k", None)]);
        assert_eq!(frame(&bytes, next).map(|(number, ..)| number), Some(8));
        assert!(frame(&bytes, 2 * ALIGN).is_none());
        assert!(rows(&payload[..9]).is_err());
    }
}
