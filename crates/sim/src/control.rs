//! Rules broken on purpose, where the production code meets what is around it: a simulation that
//! does not find them shows nothing. No other build has them, for no other has this crate.
//!
//! Must not know: how a schedule is judged.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chirrup_core::aggregate::Outcome;
use chirrup_engine::positions::NOTES;
use chirrup_engine::runner::MARK;
use chirrup_store::keys::{self, SERVER};
use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Table};
use chirrup_store::record;

use crate::kv::ReplicatedKv;

macro_rules! controls {
    ($($variant:ident $name:literal $about:literal)*) => {
        /// A rule that is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Control {
            $(#[doc = $about] $variant,)*
        }

        impl Control {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is given on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it is, a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }
        }
    };
}

controls! {
    NoRefold "no-refold" "A start does not look at what a feed has beyond its mark."
    MarkFirst "mark-first" "The mark of a shard is written before what it covers."
    WallClock "wall-clock" "The version of a row is the time at which it is written."
    DedupeByAge "dedupe-by-age" "What a client id has done is forgotten after a day."
    DedupeByBucket "dedupe-by-bucket" "What a client id has done is looked for in the bucket of the next event."
    AckFirst "ack-first" "Answers are given before the commit."
    PositionsLastWins "positions-last-wins" "What was asked last decides how far somebody has read."
    KeyUnversioned "key-unversioned" "Every start that finds no key of the server writes one in the same version."
    OwedByNumber "owed-by-number" "The version of the row of positions that are owed is its number, which two lives can share."
    DoubtForgotten "doubt-forgotten" "A batch of unknown fate is dropped, and others are decided in its place."
}

impl FromStr for Control {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|one| one.name() == given).ok_or_else(|| format!("there is no control {given:?}"))
    }
}

/// A day, ms.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Seqs that end a bucket, of [`Control::DedupeByBucket`]: what was made there is looked for in the next.
const BUCKET: u64 = 3;

/// The store as the production code sees it: with nothing broken, as it is.
pub struct Seam {
    kv: Arc<ReplicatedKv>,
    control: Option<Control>,
    /// The clock of the process, ms.
    pub now_ms: AtomicU64,
    /// Whether a start is under way.
    pub starting: AtomicBool,
    /// Events that starts have removed.
    pub removed: AtomicU64,
    /// Rows of logs that starts have written again.
    pub refolded: AtomicU64,
    /// Whether positions are being merged with those that are stored.
    pub merging: AtomicBool,
}

impl Seam {
    /// A store, and what is broken about it.
    pub fn new(kv: Arc<ReplicatedKv>, control: Option<Control>) -> Self {
        Self {
            kv,
            control,
            now_ms: AtomicU64::new(0),
            starting: AtomicBool::new(false),
            merging: AtomicBool::new(false),
            removed: AtomicU64::new(0),
            refolded: AtomicU64::new(0),
        }
    }

    fn forgets(&self, key: &Key, value: &[u8]) -> bool {
        let Ok(verdict) = record::decode_verdict(key, value) else { return false };
        let Outcome::Done { last, time, .. } = verdict.outcome else { return false };
        match self.control {
            Some(Control::DedupeByAge) => self.now_ms.load(Ordering::Relaxed).saturating_sub(time) > DAY_MS,
            Some(Control::DedupeByBucket) => last.is_multiple_of(BUCKET),
            _ => false,
        }
    }
}

fn number_of_owed(row: &Row) -> Option<u64> {
    let value = row.value.as_ref().filter(|_| row.key == keys::meta(NOTES, &[]))?;
    Some(record::decode_notes(&row.key, value).ok()?.number)
}

fn is_position(key: &Key) -> bool {
    key.table == Table::Position || key.table == Table::Inbox && keys::inbox_row(&key.sort).is_some_and(|(_, is_entry)| !is_entry)
}

impl Kv for Seam {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        if self.control == Some(Control::PositionsLastWins) && self.merging.load(Ordering::Relaxed) {
            return Ok(vec![None; keys.len()]);
        }
        let mut values = self.kv.get(keys)?;
        if matches!(self.control, Some(Control::DedupeByAge | Control::DedupeByBucket)) {
            for (key, value) in keys.iter().zip(&mut values).filter(|(key, _)| key.table == Table::Dedupe) {
                *value = value.take().filter(|value| !self.forgets(key, value));
            }
        }
        Ok(values)
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        if self.control == Some(Control::NoRefold) && self.starting.load(Ordering::Relaxed) && range.table == Table::Feed {
            return Ok(Vec::new());
        }
        self.kv.range(range)
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        if self.starting.load(Ordering::Relaxed) {
            let of_logs = rows.iter().filter(|row| row.key.table != Table::Meta);
            let (removed, refolded): (Vec<_>, Vec<_>) = of_logs.partition(|row| row.key.table == Table::Event && row.value.is_none());
            self.removed.fetch_add(removed.len() as u64, Ordering::Relaxed);
            self.refolded.fetch_add(refolded.len() as u64, Ordering::Relaxed);
        }
        let mut rows = rows.to_vec();
        match self.control {
            Some(Control::WallClock) => {
                // As Cassandra does it, if it is not told; epochs are kept apart from it.
                let now = self.now_ms.load(Ordering::Relaxed);
                for row in rows.iter_mut().filter(|row| row.key.table != Table::Meta) {
                    row.version = now;
                }
            }
            Some(Control::PositionsLastWins) => {
                let now = self.now_ms.load(Ordering::Relaxed);
                for row in rows.iter_mut().filter(|row| is_position(&row.key)) {
                    row.version = now;
                }
            }
            Some(Control::KeyUnversioned) => {
                for row in rows.iter_mut().filter(|row| row.key.partition == SERVER.as_bytes()) {
                    row.version = 1;
                }
            }
            Some(Control::OwedByNumber) => {
                for row in &mut rows {
                    row.version = number_of_owed(row).unwrap_or(row.version);
                }
            }
            Some(Control::MarkFirst) => {
                let mark = keys::meta(MARK, &[0]).partition;
                rows.sort_by_key(|row| row.key.table != Table::Meta || row.key.partition != mark);
            }
            _ => {}
        }
        self.kv.commit(&rows)
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.kv.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        self.kv.cache_bytes()
    }
}
