//! Finds which file of a table is damaged, and where, once something of it could not be read;
//! and checks files in full.
//!
//! The library checks every block that it reads, but does not tell where it was. Must not know:
//! the library.

use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

/// What a block of a file begins with: magic 4 bytes, kind u8, checksum of what follows u128,
/// its length u32, its length uncompressed u32, checksum of all this u32. Little endian.
const BLOCK_HEADER_BYTES: usize = 33;
const BLOCK_MAGIC: &[u8] = b"LSM\x03";
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

/// The first of these files that is damaged. Otherwise `dir` is named, with `what`.
pub(super) fn locate(files: &[Expected], dir: &Path, what: &str) -> Damage {
    let found = files.iter().find_map(|file| match check(file) {
        Ok(damage) => damage,
        Err(error) => Some(Damage { path: file.path.clone(), offset: 0, what: format!("failed to read it: {error}") }),
    });
    found.unwrap_or_else(|| Damage { path: dir.to_owned(), offset: 0, what: what.to_owned() })
}

/// Where the first block begins that is not what was written. The blocks of rows come first,
/// one behind the other; when they are sound, the damage is in what follows.
fn first_bad_block(bytes: &[u8]) -> (u64, &'static str) {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + BLOCK_HEADER_BYTES) {
        let field = |from: usize, to: usize| &header[from..to];
        let own = u32::from_le_bytes(field(29, 33).try_into().expect("4 bytes"));
        if !header.starts_with(BLOCK_MAGIC) || own != low_bytes(xxh3_128(&header[..29])) {
            return (at as u64, "the header of a block is not what was written");
        }
        if header[4] != KIND_DATA {
            return (at as u64, "the index, the filter or the description of the file, from here on, is not what was written");
        }
        let checksum = u128::from_le_bytes(field(5, 21).try_into().expect("16 bytes"));
        let length = u32::from_le_bytes(field(21, 25).try_into().expect("4 bytes")) as usize;
        let content = bytes.get(at + BLOCK_HEADER_BYTES..at + BLOCK_HEADER_BYTES + length);
        if content.is_none_or(|content| xxh3_128(content) != checksum) {
            return (at as u64, "a block is not what was written");
        }
        at += BLOCK_HEADER_BYTES + length;
    }
    (at as u64, "the file ends before its end")
}

fn low_bytes(checksum: u128) -> u32 {
    u32::try_from(checksum & u128::from(u32::MAX)).expect("masked")
}
