//! How the files of a table are laid out, and whether its directory is sound before it is opened.
//!
//! Must not know: what the rows mean, beyond how a table is read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lsm_tree::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy, PinningPolicy,
};
use lsm_tree::{CompressionType, Config, SequenceNumberCounter};
use xxhash_rust::xxh3::xxh3_128;

use super::error::OpenError;
use crate::kv::Table;

/// Open files of all trees together.
pub(super) const OPEN_FILES: usize = 512;

/// Bits of filter for each key: about one in a hundred absent keys costs a read.
const FILTER_BITS_PER_KEY: f32 = 10.0;

const BLOCK_BYTES: u32 = 4096;

/// The file of a tree that names its version: version u64, checksum u128, kind of checksum u8.
pub(super) const CURRENT: &str = "current";
const CURRENT_BYTES: usize = 25;

/// The directory of a table's tree.
pub(super) fn path(dir: &Path, table: Table) -> PathBuf {
    dir.join(format!("{:02}-{}", table as u8, format!("{table:?}").to_lowercase()))
}

/// The directory of a tree's files.
pub(super) fn files_dir(tree: &Path) -> PathBuf {
    tree.join("tables")
}

/// The configuration of a table's tree.
pub(super) fn config(path: &Path) -> Config {
    let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(FILTER_BITS_PER_KEY));
    // Rows at the top are soon merged, so compressing them is work in vain.
    let compression = CompressionPolicy::new([CompressionType::None, CompressionType::None, CompressionType::Lz4]);
    // A file's index and filter are a few hundred KiB: below the levels where they stay in memory, only
    // the piece that a read needs is brought there, lest they drive each other out.
    let partitioned = PartitioningPolicy::new([false, false, true]);
    Config::new(path, SequenceNumberCounter::default(), SequenceNumberCounter::default())
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_compression_policy(compression)
        .filter_policy(FilterPolicy::all(filter))
        .filter_block_pinning_policy(PinningPolicy::new([true, false]))
        .filter_block_partitioning_policy(partitioned.clone())
        .index_block_partitioning_policy(partitioned)
        .index_block_pinning_policy(PinningPolicy::new([true, true, false]))
}

/// Checks that a tree is there and that the list of its files is what was written. The library
/// does not check it, and removes files that the list does not name.
pub(super) fn check(dir: &Path, table: Table) -> Result<(), OpenError> {
    read_list(&path(dir, table)).map(drop)
}

/// The list of a tree's files, and what names it.
pub(super) struct List {
    pub(super) current: Vec<u8>,
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads the list of a tree's files, which must be what was written.
pub(super) fn read_list(tree: &Path) -> Result<List, OpenError> {
    let current = tree.join(CURRENT);
    let bytes = read(&current)?;
    let Ok(bytes) = <[u8; CURRENT_BYTES]>::try_from(bytes.as_slice()) else {
        return Err(OpenError::damaged(&current, 0, format!("{} bytes long, not {CURRENT_BYTES}", bytes.len())));
    };
    let version = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
    let checksum = u128::from_le_bytes(bytes[8..24].try_into().expect("16 bytes"));
    let name = format!("v{version}");
    let list = tree.join(&name);
    // Which of the two files is damaged cannot be told: the one that names has no checksum.
    let what = format!("it is not what {} says, or that file is damaged", current.display());
    match fs::read(&list) {
        Ok(list) if xxh3_128(&list) == checksum => Ok(List { current: bytes.to_vec(), name, bytes: list }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("read", &list)(error)),
        _ => Err(OpenError::damaged(&list, 0, what)),
    }
}

/// The version of a tree's files that counts on the disk.
pub(super) fn version(tree: &Path) -> io::Result<u64> {
    let bytes = fs::read(tree.join(CURRENT))?;
    let version = bytes.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(u64::from_le_bytes(*version))
}

fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OpenError::damaged(path, 0, "the file is missing"),
        _ => OpenError::io("read", path)(source),
    })
}
