//! Frames: what one write to the log holds. A frame is one commit, and the unit that is whole
//! or not there after a crash.
//!
//! ```text
//! frame   = magic u32, payload bytes u32, salt u64, number u64, hash u64, payload, zeros
//! payload = row*
//! row     = table u8, kind u8, key bytes u16, value bytes u32, key, value
//! ```
//!
//! All numbers are little endian. The hash is xxh3-64 over the header before it and the payload.
//! The salt is that of the segment, so a frame that strayed from another place, or that somebody
//! hid in a value, is not taken for one. Must not know: which files there are.

use std::io;

use xxhash_rust::xxh3::Xxh3;

use super::file::LayerFile;
use crate::kv::{Row, Table, limits};

/// Frames begin at multiples of this, bytes: that of a page, and of what a disk writes at once.
/// So a write never touches what was synced before, a block that is lost takes one frame with it
/// at most, and no more is written than would be anyway.
pub(super) const ALIGN: u64 = 4096;

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 32;

/// The longest payload: keys and values of one commit, and what tells the rows apart.
pub(super) const MAX_PAYLOAD_BYTES: usize = limits::COMMIT_BYTES + (limits::COMMIT_BYTES >> 1);

/// The bytes that begin a frame.
pub(super) const MAGIC: [u8; 4] = *b"chfr";

const ROW_HEADER_BYTES: usize = 8;
const KIND_REMOVED: u8 = 0;
const KIND_VALUE: u8 = 1;

/// The header of a frame, as read. Says nothing yet about whether the frame is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) payload_bytes: usize,
    pub(super) salt: u64,
    pub(super) number: u64,
    hash: u64,
}

impl Header {
    /// `None` if these bytes do not begin a frame.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let payload_bytes = u32_at(4) as usize;
        let known = bytes.starts_with(&MAGIC) && payload_bytes <= MAX_PAYLOAD_BYTES;
        known.then(|| Self { payload_bytes, salt: u64_at(8), number: u64_at(16), hash: u64_at(24) })
    }

    /// Bytes of the whole frame in the file.
    pub(super) fn frame_bytes(&self) -> u64 {
        padded(HEADER_BYTES + self.payload_bytes) as u64
    }

    /// Whether `frame` (header, payload and more) is the frame of this header, whole.
    pub(super) fn matches(&self, frame: &[u8]) -> bool {
        frame.len() >= HEADER_BYTES + self.payload_bytes && self.hash == hash(&frame[..HEADER_BYTES + self.payload_bytes])
    }
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN as usize)
}

fn hash(frame: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&frame[..HEADER_BYTES - 8]);
    hasher.update(&frame[HEADER_BYTES..]);
    hasher.digest()
}

/// A frame with its rows, not yet told where it will stand.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    payload_bytes: usize,
}

impl Frame {
    /// A frame of these rows, or why they are beyond the limits.
    pub(super) fn new(rows: &[Row]) -> Result<Self, String> {
        let size: usize = rows.iter().map(row_bytes).sum();
        let mut bytes = Vec::with_capacity(padded(HEADER_BYTES + size));
        bytes.resize(HEADER_BYTES, 0);
        for row in rows {
            push_row(&mut bytes, row)?;
        }
        let payload_bytes = bytes.len() - HEADER_BYTES;
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(format!("a commit of {payload_bytes} bytes; at most {MAX_PAYLOAD_BYTES} are taken"));
        }
        bytes.resize(padded(bytes.len()), 0);
        Ok(Self { bytes, payload_bytes })
    }

    /// Bytes of the whole frame in the file.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether the file has this frame at `offset`, whole, as it was sealed last.
    pub(super) fn is_at(&self, file: &dyn LayerFile, offset: u64) -> io::Result<bool> {
        let hashed = &self.bytes[..HEADER_BYTES + self.payload_bytes];
        let mut found = vec![0; hashed.len()];
        file.read_exact_at(&mut found, offset)?;
        Ok(found == hashed)
    }

    /// Gives the frame its place, and returns the bytes to write there.
    pub(super) fn seal(&mut self, salt: u64, number: u64) -> &[u8] {
        let length = u32::try_from(self.payload_bytes).expect("at most MAX_PAYLOAD_BYTES");
        self.bytes[0..4].copy_from_slice(&MAGIC);
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&salt.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&number.to_le_bytes());
        let hash = hash(&self.bytes[..HEADER_BYTES + self.payload_bytes]);
        self.bytes[24..32].copy_from_slice(&hash.to_le_bytes());
        &self.bytes
    }

    /// The rows.
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..HEADER_BYTES + self.payload_bytes]
    }
}

fn row_bytes(row: &Row) -> usize {
    ROW_HEADER_BYTES + 1 + row.key.partition.len() + row.key.sort.len() + row.value.as_ref().map_or(0, Vec::len)
}

fn push_row(bytes: &mut Vec<u8>, row: &Row) -> Result<(), String> {
    let (partition, sort) = (&row.key.partition, &row.key.sort);
    let value = row.value.as_deref().unwrap_or_default();
    if partition.is_empty() || partition.len() > limits::PARTITION_BYTES {
        return Err(format!("a partition key of {} bytes; 1 to {} are taken", partition.len(), limits::PARTITION_BYTES));
    }
    if sort.len() > limits::SORT_BYTES {
        return Err(format!("a sort key of {} bytes; at most {} are taken", sort.len(), limits::SORT_BYTES));
    }
    if value.len() > limits::VALUE_BYTES {
        return Err(format!("a value of {} bytes; at most {} are taken", value.len(), limits::VALUE_BYTES));
    }
    bytes.push(row.key.table as u8);
    bytes.push(if row.value.is_some() { KIND_VALUE } else { KIND_REMOVED });
    let key_bytes = u16::try_from(1 + partition.len() + sort.len()).expect("at most 511, checked above");
    bytes.extend_from_slice(&key_bytes.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(value.len()).expect("at most 1 MiB, checked above").to_le_bytes());
    super::key::push(bytes, partition, sort);
    bytes.extend_from_slice(value);
    Ok(())
}

/// A row of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameRow<'a> {
    pub(super) table: Table,
    /// As `key` encodes it.
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// The rows of a payload, in the order of the commit.
///
/// # Errors
/// Says what is wrong with the payload; cannot be for one whose frame was whole and written by
/// this version.
pub(super) fn rows(payload: &[u8]) -> impl Iterator<Item = Result<FrameRow<'_>, String>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let row = take_row(&mut rest);
        if row.is_none() {
            rest = &[];
        }
        Some(row.ok_or_else(|| "a row that is not in the format of this version".to_owned()))
    })
}

fn take_row<'a>(rest: &mut &'a [u8]) -> Option<FrameRow<'a>> {
    let (header, tail) = rest.split_at_checked(ROW_HEADER_BYTES)?;
    let key_bytes = u16::from_le_bytes(header[2..4].try_into().ok()?);
    let value_bytes = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let (key, tail) = tail.split_at_checked(usize::from(key_bytes))?;
    let (value, tail) = tail.split_at_checked(value_bytes as usize)?;
    let value = match header[1] {
        KIND_VALUE => Some(value),
        KIND_REMOVED if value.is_empty() => None,
        _ => return None,
    };
    *rest = tail;
    Some(FrameRow { table: Table::from_number(header[0])?, key, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::Key;

    fn frame() -> Frame {
        let row = |sort: &[u8], value: Option<&[u8]>| Row {
            key: Key::new(Table::Inbox, *b"part", sort),
            value: value.map(<[u8]>::to_vec),
            version: 1,
        };
        Frame::new(&[row(b"a", Some(b"one")), row(b"", None), row(b"b", Some(b""))]).unwrap()
    }

    #[test]
    fn rows_come_back_in_order() {
        let frame = frame();
        let rows: Vec<_> = rows(frame.payload()).map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row.key).collect::<Vec<_>>(), [b"\x04parta", &b"\x04part"[..], b"\x04partb"]);
        assert_eq!(rows.iter().map(|row| row.value).collect::<Vec<_>>(), [Some(&b"one"[..]), None, Some(b"")]);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut frame = frame();
        let whole = frame.seal(7, 9).to_vec();
        let hashed = HEADER_BYTES + frame.payload_bytes;
        assert!(Header::parse(&whole).unwrap().matches(&whole));
        for bit in 0..hashed * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = Header::parse(&bytes).is_some_and(|header| header.matches(&bytes));
            assert!(!found, "bit {bit} flipped unnoticed");
        }
    }

    #[test]
    fn rows_beyond_the_limits_are_refused() {
        let row = |partition: usize, sort: usize, value: usize| Row {
            key: Key::new(Table::Inbox, vec![1; partition], vec![1; sort]),
            value: Some(vec![0; value]),
            version: 1,
        };
        assert!(Frame::new(&[row(255, 255, 1 << 20)]).is_ok());
        for beyond in [row(0, 1, 1), row(256, 1, 1), row(1, 256, 1), row(1, 1, (1 << 20) + 1)] {
            assert!(Frame::new(&[beyond]).is_err());
        }
        let many: Vec<Row> = (0..64).map(|_| row(1, 1, 1 << 20)).collect();
        assert!(Frame::new(&many).unwrap_err().contains("at most"));
    }
}
