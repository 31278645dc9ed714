//! Moving everything from one store to another, whatever they are made of.
//!
//! Every row of every table is copied but for those that each store has of its own
//! ([`keys::is_of_one_store`]), then the target is read in full and compared. From the first row
//! to the last step a mark in the target says how far the copy is: a store with it is not to be
//! served, and the same copy goes on from there. Must not know: what a store is made of, what a
//! row means beyond its place in a log, who may have a store open.

mod check;
mod compare;
mod logs;
mod mark;
mod patience;
mod pump;
mod tally;
#[cfg(test)]
mod tests;
mod walk;

use std::ops::ControlFlow;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::hash::Hash;
use chirrup_core::ids::Seq;

pub use check::{Survey, check};
use mark::{Mark, Stage};
use patience::Patience;
pub use tally::{Tallies, Tally};

use crate::keys;
use crate::kv::{CommitError, Key, Kv, ReadError, Table};
use crate::record;

/// Bounds of a copy's work.
pub mod limits {
    use std::time::Duration;

    /// Rows of one commit into the target.
    pub const BATCH_ROWS: usize = 2_000;
    /// Keys and values of one commit into the target, bytes: the row that reaches it is the last.
    pub const BATCH_BYTES: usize = 1 << 20;
    /// Batches that wait to be written while the next ones are read.
    pub const AHEAD_BATCHES: usize = 4;
    /// Commits into the target under way at once.
    pub const WRITERS: usize = 4;
    /// The mark is written again after so many batches: at most these are copied again.
    pub const MARK_BATCHES: u64 = 4;
    /// Partitions asked for at once.
    pub const PARTITIONS: usize = 1_000;
    /// Rows of one partition asked for at once.
    pub const RANGE_ROWS: usize = 1_000;
    /// Partitions of which the first rows are asked for at once.
    pub const AHEAD_PARTITIONS: usize = 32;
    /// So many first rows of each.
    pub const FIRST_ROWS: usize = 64;
    /// Threads that ask for them.
    pub const READERS: usize = 8;
    /// How often a store that does not answer is asked again.
    pub const TRIES: u32 = 20;
    /// How long it is left alone before.
    pub const PAUSE: Duration = Duration::from_millis(500);
}

/// The version of every row that is copied: below all that a server writes, which begins at 1.
/// Versions are of use between writers of one store, and the target has no other.
const VERSION: u64 = 0;

/// What tells a source from every other, and from itself at another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of the store.
    pub incarnation: u64,
    /// Of the server's key.
    pub key: Hash,
    /// Rises with each start of a server.
    pub epoch: u32,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is copied.
    Source,
    /// Where to.
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// What a copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Rows are written.
    Copying,
    /// What was written is read and compared.
    Checking,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub work: Work,
    /// Events so far, those of earlier tries too.
    pub events: u64,
    /// About how many events there are.
    pub events_total: u64,
    /// Rows so far, events among them.
    pub rows: u64,
}

/// Told now and then how far a copy is; says whether to go on.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Why a copy did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store could not be read.
    #[error("failed to read the {0}: {1}")]
    Read(Side, #[source] ReadError),
    /// The target does not take rows.
    #[error("failed to write the target: {0}")]
    Commit(#[from] CommitError),
    /// There is something in the target.
    #[error(
        "the target is not empty (there are rows in its table {0:?}): a copy needs an empty one; chirrup copy --check tells whether it is the whole copy of this source"
    )]
    NotEmpty(Table),
    /// The target holds a part of another store.
    #[error("the target holds the unfinished copy of another source: finish that one, or take an empty target")]
    OtherSource,
    /// The source is not any more what the first part was copied of.
    #[error("the source was served since its copy was begun: take an empty target and begin anew")]
    SourceServed,
    /// A part is not copied.
    #[error("the {0} is itself an unfinished copy: finish that one first, by the same chirrup copy as before")]
    Unfinished(Side),
    /// The two have not the same rows.
    #[error("source and target differ in table {table:?}: {what}, first at {key:?}")]
    Differ {
        /// Where.
        table: Table,
        /// The first row that differs, in the source's order of partitions.
        key: Key,
        /// How it differs.
        what: &'static str,
    },
    /// The two were read as different, and then as equal.
    #[error("table {0:?} of source and target was read in two ways: the memory or the disk of a machine is not sound")]
    ReadTwice(Table),
    /// A log is not whole.
    #[error("the log {log:?} of the {side} is broken at event {seq}: {what}")]
    Broken {
        /// Of which store.
        side: Side,
        /// Which log.
        log: AggregateId,
        /// Where in it.
        seq: Seq,
        /// What is wrong there.
        what: &'static str,
    },
    /// It was told to.
    #[error("stopped before the end")]
    Stopped,
}

/// Whether a store holds a copy that did not come to its end, and is not to be served.
pub fn is_unfinished(kv: &dyn Kv) -> Result<bool, ReadError> {
    Ok(mark::read(kv)?.is_some())
}

/// Copies every row, or those that an earlier try has not, and compares. `source` is who `from`
/// is. Afterwards the target has yet to be made a store of its own, and then [`finish`]ed.
pub fn copy(from: &dyn Kv, to: &dyn Kv, source: Identity, watch: &mut Watch<'_>) -> Result<Survey, CopyError> {
    if is_unfinished(from).map_err(|error| CopyError::Read(Side::Source, error))? {
        return Err(CopyError::Unfinished(Side::Source));
    }
    let mut mark = begin(to, source)?;
    let events_total = about_events(from).map_err(|error| CopyError::Read(Side::Source, error))?;
    let patience = Patience::default();
    if mark.stage == Stage::Copying {
        let mut watch = |mark: &Mark| {
            let Tally { rows: events, .. } = mark.tallies.of(Table::Event);
            watch(Progress { work: Work::Copying, events, events_total, rows: mark.tallies.total().rows })
        };
        if watch(&mark).is_break() {
            return Err(CopyError::Stopped);
        }
        pump::pump(from, to, &mut mark, &patience, &mut watch)?;
        mark.stage = Stage::Copied;
        mark.write(to, &patience)?;
    }
    let survey = check::survey(to, Side::Target, &patience, &mut |events, rows| {
        watch(Progress { work: Work::Checking, events, events_total, rows })
    })?;
    compare::compare(from, to, &mark.tallies, &survey.tallies, &patience)?;
    mark.stage = Stage::Checked;
    mark.write(to, &patience)?;
    Ok(survey)
}

/// Takes the mark of a copy away that was compared: the target is a store like any other.
///
/// # Panics
/// If [`copy`] has not come to its end before: that is what the mark is there to prevent.
pub fn finish(to: &dyn Kv) -> Result<(), CopyError> {
    let mark = mark::read(to).map_err(|error| CopyError::Read(Side::Target, error))?;
    let Some(mark) = mark else { return Ok(()) };
    assert!(mark.stage == Stage::Checked, "only what was compared is finished");
    mark.remove(to, &Patience::default())
}

/// The mark of a copy that goes on, or the first one of a copy that begins.
fn begin(to: &dyn Kv, source: Identity) -> Result<Mark, CopyError> {
    let read = |error| CopyError::Read(Side::Target, error);
    if let Some(mark) = mark::read(to).map_err(read)? {
        return match mark.source() {
            known if known == source => Ok(mark),
            known if Identity { epoch: source.epoch, ..known } == source => Err(CopyError::SourceServed),
            _ => Err(CopyError::OtherSource),
        };
    }
    for table in Table::ALL {
        if !to.partitions(table, None, 1).map_err(read)?.is_empty() {
            return Err(CopyError::NotEmpty(table));
        }
    }
    let mut mark = Mark::new(source);
    mark.write(to, &Patience::default())?;
    Ok(mark)
}

/// How many events there are, as the states tell, which may be some behind.
fn about_events(kv: &dyn Kv) -> Result<u64, ReadError> {
    let mut events = 0;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = kv.partitions(Table::State, after.as_deref(), limits::PARTITIONS)?;
        let states: Vec<Key> = page.iter().filter_map(|partition| Some(keys::state(&AggregateId::from_bytes(partition)?))).collect();
        for (key, value) in states.iter().zip(kv.get(&states)?) {
            events += value.map_or(Ok(0), |bytes| record::decode_state(key, &bytes).map(|row| row.state.head))?;
        }
        let Some(last) = page.into_iter().last() else { return Ok(events) };
        after = Some(last);
    }
}
