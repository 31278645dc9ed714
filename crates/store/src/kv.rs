//! The narrow trait over every K-V engine: tables of partitions of sorted rows.
//!
//! It knows bytes only. What a key or a value means is told by `keys` and `record`; which rows
//! must be written together, and in what order, is told by the caller.

use std::fmt;

/// A table of the store. The number is part of the on-disk format and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// (aggregate, bucket of seq) / (class, seq) → an event: envelope, body, fold.
    Event = 1,
    /// (aggregate, sender) / client id → the verdict of a command.
    Dedupe = 2,
    /// shard / offset → the events that one batch committed.
    Feed = 3,
    /// aggregate / – → folded state of an aggregate.
    State = 4,
    /// conversation / kind and key → members, deleted ordinals, reactions, thread index.
    Member = 5,
    /// user / (conversation, kind) → the user's conversation list and own positions.
    Inbox = 6,
    /// conversation / user → read and delivered positions.
    Position = 7,
    /// user / – → last active time.
    Activity = 8,
    /// user / – → password hash.
    Credential = 9,
    /// hash of a token / – → user and device.
    Token = 10,
    /// user / (conversation, seq) → a mention of that user.
    Mention = 11,
    /// fixed name / – → marks, epochs, keys of the server.
    Meta = 12,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Event,
        Self::Dedupe,
        Self::Feed,
        Self::State,
        Self::Member,
        Self::Inbox,
        Self::Position,
        Self::Activity,
        Self::Credential,
        Self::Token,
        Self::Mention,
        Self::Meta,
    ];

    /// The table with this number in the on-disk format; `None` for a number never given.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// Bounds of the parts of a row: what every driver accepts, and none has to accept beyond.
pub mod limits {
    /// A partition key is 1 to this many bytes.
    pub const PARTITION_BYTES: usize = 255;
    /// A sort key is at most this many bytes.
    pub const SORT_BYTES: usize = 255;
    /// A value is at most this many bytes.
    pub const VALUE_BYTES: usize = 1 << 20;
    /// All keys and values of one commit together are at most this many bytes.
    pub const COMMIT_BYTES: usize = 32 << 20;
    /// One `get` asks for at most this many keys, one `range` for at most this many rows.
    pub const READ_ROWS: usize = 10_000;
}

/// Where a row lives. A partition is the unit of atomicity; rows in it are sorted by `sort`,
/// compared as bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The table.
    pub table: Table,
    /// 1 to 255 bytes.
    pub partition: Vec<u8>,
    /// 0 to 255 bytes.
    pub sort: Vec<u8>,
}

impl Key {
    /// A key of its parts.
    pub fn new(table: Table, partition: impl Into<Vec<u8>>, sort: impl Into<Vec<u8>>) -> Self {
        Self { table, partition: partition.into(), sort: sort.into() }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:", self.table)?;
        for byte in &self.partition {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("/")?;
        for byte in &self.sort {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// One row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it goes.
    pub key: Key,
    /// The new value, at most 1 MiB; `None` removes the row.
    pub value: Option<Vec<u8>>,
    /// A write with a lower version never overwrites one with a higher version. Equal versions
    /// of the same key carry equal values. (A single-writer driver may rely on being the only
    /// writer, in order, instead of comparing.)
    pub version: u64,
}

/// Which rows of one partition to read, in ascending or descending order of `sort`.
#[derive(Clone, Debug)]
pub struct Range {
    /// The table.
    pub table: Table,
    /// The partition.
    pub partition: Vec<u8>,
    /// First sort key, inclusive.
    pub from: Vec<u8>,
    /// Sort key to stop before, exclusive; `None` reads to the end of the partition.
    pub until: Option<Vec<u8>>,
    /// Highest sort key first.
    pub descending: bool,
    /// At most this many rows, 1 to 10,000.
    pub limit: usize,
}

/// A row as read from a range: its sort key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine could not be asked, or not in time: the same read may work later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What was read is not what was written. Names the place.
    #[error("damaged data at {place}: {what}")]
    Damaged {
        /// File and offset, or key.
        place: String,
        /// What is wrong there.
        what: String,
    },
}

/// Why a commit failed, which is: what is known of its rows.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written and nothing will be. The same commit may work later (a full disk),
    /// unless the reason given is a row beyond the limits.
    #[error("the store refuses writes: {0}")]
    Refused(String),
    /// The rows may or may not be there, now or later. Only the very same rows may be written
    /// at their places until the outcome is known.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// The store takes no more writes until it is opened anew (an fsync failed). As `Unknown`
    /// for these rows.
    #[error("the store has stopped: {0}")]
    Stopped(String),
}

/// Whether ordinary commits would be taken now, for health and for refusing work at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// They would.
    Ready,
    /// There is too little room: reads and [`Kv::commit_reserved`] go on, and it ends by itself
    /// when there is room again. Says how much there is and how much is needed.
    Full(String),
    /// Nothing is written until the store is opened anew; reads go on. Says why.
    Stopped(String),
}

/// A K-V store. Blocking: callers decide on which thread. Reads see every commit that returned
/// before they began.
pub trait Kv: Send + Sync + 'static {
    /// The values of these keys, in the same order; at most 10,000 keys.
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError>;

    /// Rows of one partition.
    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError>;

    /// Writes the rows in this order (a later row wins over an earlier one of the same key).
    /// Durable when it returns. Atomic within a partition; whether also across partitions is
    /// the driver's, and callers must not need it. After [`CommitError::Unknown`] the very same
    /// rows may be committed again, until what became of them is known.
    fn commit(&self, rows: &[Row]) -> Result<(), CommitError>;

    /// As `commit`, for rows that must still fit when there is no more room for others: a
    /// deletion and what goes with it. A driver with a reserve gives it up for them.
    fn commit_reserved(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.commit(rows)
    }

    /// Whether ordinary commits would be taken now.
    fn status(&self) -> Status {
        Status::Ready
    }

    /// Partitions of a table after `after` (exclusive), in an order that is the driver's own but
    /// stable: the way through everything for copies, backups and checks. At most `limit`.
    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError>;

    /// Memory that the driver keeps for caches and unflushed rows, bytes: told apart from the
    /// live heap of everything else.
    fn cache_bytes(&self) -> u64;
}
