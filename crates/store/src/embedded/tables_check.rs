//! Finds which file of a table is damaged, and where, once something of it could not be read;
//! and checks files in full.
//!
//! The library checks every block that it reads, but does not tell where it was. Must not know:
//! the library.

use std::fs;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_128;

/// What a block of a file begins with: magic 4 bytes, kind u8, checksum of what follows u128,
/// its length u32, its length uncompressed u32, checksum of all this u32. Little endian.
const BLOCK_HEADER_BYTES: usize = 33;
pub(super) const BLOCK_MAGIC: &[u8] = b"LSM\x03";
/// The kind of a block that holds rows.
const KIND_DATA: u8 = 0;

/// A damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) path: PathBuf,
    /// Where in it, bytes from its start.
    pub(super) offset: u64,
    pub(super) what: String,
}

/// A file and the xxh3-128 that its bytes should have.
pub(super) struct Expected {
    pub(super) path: PathBuf,
    pub(super) checksum: u128,
}

/// Reads a file in full. `Ok(None)` if it is what was written.
pub(super) fn check(file: &Expected) -> std::io::Result<Option<Damage>> {
    let bytes = fs::read(&file.path)?;
    if xxh3_128(&bytes) == file.checksum {
        return Ok(None);
    }
    let (offset, what) = first_bad_block(&bytes);
    Ok(Some(Damage { path: file.path.clone(), offset, what: what.to_owned() }))
}

/// The first of these files that is damaged.
pub(super) fn find(files: &[Expected]) -> Option<Damage> {
    files.iter().find_map(|file| match check(file) {
        Ok(damage) => damage,
        Err(error) => Some(Damage { path: file.path.clone(), offset: 0, what: format!("failed to read it: {error}") }),
    })
}

/// Where the first block begins that is not what was written. The blocks of rows come first,
/// one behind the other; when they are sound, the damage is in what follows.
fn first_bad_block(bytes: &[u8]) -> (u64, &'static str) {
    let mut at = 0;
    loop {
        let what = match block_at(bytes, at) {
            Block::Rows { end, .. } => {
                at = end;
                continue;
            }
            Block::Other => "the index, the filter or the description of the file, from here on, is not what was written",
            Block::BadHeader => "the header of a block is not what was written",
            Block::BadContent { .. } => "a block is not what was written",
            Block::End => "the file ends before its end",
        };
        return (at as u64, what);
    }
}

/// What stands at a place of a file where a block should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A sound block of rows.
    Rows {
        /// Where the next begins.
        end: usize,
        /// Whether it surely is compressed.
        compressed: bool,
    },
    /// A block of another kind: no rows follow.
    Other,
    /// Nothing that can be made out.
    BadHeader,
    /// A block of rows whose content is not what was written.
    BadContent {
        /// Where the next begins, or the file ends.
        end: usize,
    },
    /// The end of the file.
    End,
}

/// What stands at a place.
pub(super) fn block_at(bytes: &[u8], at: usize) -> Block {
    let Some(header) = bytes.get(at..at + BLOCK_HEADER_BYTES) else { return Block::End };
    let field = |from: usize, to: usize| &header[from..to];
    let number = |from: usize| u32::from_le_bytes(field(from, from + 4).try_into().expect("4 bytes"));
    if !header.starts_with(BLOCK_MAGIC) || number(29) != low_bytes(xxh3_128(&header[..29])) {
        return Block::BadHeader;
    }
    if header[4] != KIND_DATA {
        return Block::Other;
    }
    let checksum = u128::from_le_bytes(field(5, 21).try_into().expect("16 bytes"));
    let (length, uncompressed) = (number(21), number(25));
    let end = at + BLOCK_HEADER_BYTES + length as usize;
    match bytes.get(at + BLOCK_HEADER_BYTES..end) {
        Some(content) if xxh3_128(content) == checksum => Block::Rows { end, compressed: length != uncompressed },
        _ => Block::BadContent { end: end.min(bytes.len()) },
    }
}

fn low_bytes(checksum: u128) -> u32 {
    u32::try_from(checksum & u128::from(u32::MAX)).expect("masked")
}
