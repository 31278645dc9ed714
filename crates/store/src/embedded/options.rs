//! What can be chosen about an embedded store.

use std::fmt;
use std::sync::Arc;

use super::file::{FileLayer, StdFiles};

/// Memory for blocks read from disk, by default.
pub const DEFAULT_CACHE_BYTES: u64 = 64 << 20;
/// Memory for rows not yet written to tables, by default.
pub const DEFAULT_MEMTABLE_BYTES: u64 = 64 << 20;
/// Length of a segment of the log, by default.
pub const DEFAULT_SEGMENT_BYTES: u64 = 32 << 20;
/// Log that may be kept, and must be read again after a crash, by default.
pub const DEFAULT_LOG_BYTES: u64 = 256 << 20;
/// Length of a file of a table, by default. A file is handed to the system at once and then
/// synced, and a commit's own sync waits behind that, so it is not long.
pub const DEFAULT_TABLE_BYTES: u64 = 16 << 20;
/// Room on the disk below which ordinary commits are refused, by default: what the memtables,
/// a new segment and a compaction may still need.
pub const DEFAULT_LOW_WATER_BYTES: u64 = 160 << 20;
/// Room kept aside for commits that must fit on a full disk, by default: enough to write one
/// memtable, after which the log gives back as much.
pub const DEFAULT_RESERVE_BYTES: u64 = 48 << 20;

/// How an embedded store uses memory and disk. All sizes are bytes. None of them is part of the
/// format: they may change from one opening to the next.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// Memory for rows that are in the log but not yet in tables. A commit waits when it is
    /// full, until a part has been written.
    pub memtable_bytes: u64,
    /// Length of a segment of the log; one holding a larger commit is longer, and one that a commit
    /// waits for is an eighth as long.
    pub segment_bytes: u64,
    /// When this much of the log is kept, tables are written so that its oldest part can go.
    pub log_bytes: u64,
    /// Length of a file of a table. Merging files takes room for a few dozen of them for a while.
    pub table_bytes: u64,
    /// With less room than this on the disk, ordinary commits are refused.
    pub low_water_bytes: u64,
    /// Room kept aside on the disk, given up when a reserved commit or the writing of tables
    /// finds no other, and taken again when there is room. More than half of `memtable_bytes`.
    pub reserve_bytes: u64,
    /// What the log does its file access through.
    pub files: Arc<dyn FileLayer>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            cache_bytes: DEFAULT_CACHE_BYTES,
            memtable_bytes: DEFAULT_MEMTABLE_BYTES,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            log_bytes: DEFAULT_LOG_BYTES,
            table_bytes: DEFAULT_TABLE_BYTES,
            low_water_bytes: DEFAULT_LOW_WATER_BYTES,
            reserve_bytes: DEFAULT_RESERVE_BYTES,
            files: Arc::new(StdFiles),
        }
    }
}

impl EmbeddedOptions {
    /// Sizes for a store of a few megabytes on a small disk, as in tests: about 4 MiB of room is
    /// taken at once, and commits are refused below 3 MiB.
    pub fn small() -> Self {
        Self {
            cache_bytes: 1 << 20,
            memtable_bytes: 1 << 20,
            segment_bytes: 1 << 20,
            log_bytes: 4 << 20,
            table_bytes: 256 << 10,
            low_water_bytes: 3 << 20,
            reserve_bytes: 1 << 20,
            files: Arc::new(StdFiles),
        }
    }
}

impl fmt::Debug for EmbeddedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedOptions")
            .field("cache_bytes", &self.cache_bytes)
            .field("memtable_bytes", &self.memtable_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("log_bytes", &self.log_bytes)
            .field("table_bytes", &self.table_bytes)
            .field("low_water_bytes", &self.low_water_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .finish_non_exhaustive()
    }
}
