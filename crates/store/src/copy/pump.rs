//! Rows out of one store into another: read ahead in one thread, written by several, and marked
//! as copied in the order in which they were read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::limits::{AHEAD_BATCHES, BATCH_BYTES, BATCH_ROWS, MARK_BATCHES, WRITERS};
use super::mark::Mark;
use super::patience::Patience;
use super::tally::Tallies;
use super::walk::Walk;
use super::{CopyError, Side, VERSION};
use crate::kv::{Key, Kv, Row, Table};

/// Rows for one commit.
struct Batch {
    /// From 0, in the order of reading.
    number: u64,
    rows: Vec<Row>,
    /// Of all rows up to the end of this batch.
    tallies: Tallies,
}

/// What became of a batch: its number, its last row and the tallies up to there.
type Outcome = Result<(u64, Key, Tallies), CopyError>;

/// Copies all rows after the mark, and moves it on; `watch` sees it where it is durable, and says
/// whether to go on. When it ends, by whatever, the mark is where the next try has to begin.
pub(super) fn pump(
    from: &dyn Kv,
    to: &dyn Kv,
    mark: &mut Mark,
    patience: &Patience,
    watch: &mut dyn FnMut(&Mark) -> ControlFlow<()>,
) -> Result<(), CopyError> {
    let (batches, waiting) = sync_channel(AHEAD_BATCHES);
    let waiting = Mutex::new(waiting);
    let (done, outcomes) = sync_channel(AHEAD_BATCHES + WRITERS);
    let (last, tallies) = (mark.last(), mark.tallies);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            let (waiting, done) = (&waiting, done.clone());
            scope.spawn(move || write(to, waiting, &done, patience));
        }
        scope.spawn(move || {
            if let Err(error) = read(from, last.as_ref(), tallies, &batches, patience) {
                // Whoever would hear it has ended before.
                let _ = done.send(Err(error));
            }
        });
        let kept = keep(to, mark, &outcomes, patience, watch);
        if kept.is_err() {
            patience.stop();
        }
        // What threads send that have not ended yet is not needed.
        drop(outcomes);
        kept
    })
}

/// Reads batches, from the row after `last` on.
fn read(
    from: &dyn Kv,
    last: Option<&Key>,
    mut tallies: Tallies,
    batches: &SyncSender<Batch>,
    patience: &Patience,
) -> Result<(), CopyError> {
    let mut walk = Walk::new(from, &Table::ALL, last, patience);
    for number in 0.. {
        let (mut rows, mut bytes) = (Vec::with_capacity(BATCH_ROWS), 0);
        while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some((key, value)) = walk.next().map_err(|error| CopyError::Read(Side::Source, error))? else { break };
            tallies.add(&key, &value);
            bytes += key.partition.len() + key.sort.len() + value.len();
            rows.push(Row { key, value: Some(value), version: VERSION });
        }
        if rows.is_empty() || patience.is_stopped() || batches.send(Batch { number, rows, tallies }).is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes batches until there are no more.
fn write(to: &dyn Kv, waiting: &Mutex<Receiver<Batch>>, done: &SyncSender<Outcome>, patience: &Patience) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Batch { number, mut rows, tallies }) = next else { return };
        if patience.is_stopped() {
            // The reader may wait for room.
            continue;
        }
        let outcome = patience.commit(to, &rows).map_err(CopyError::from);
        let last = rows.pop().expect("no batch is empty").key;
        if done.send(outcome.map(|()| (number, last, tallies))).is_err() {
            patience.stop();
        }
    }
}

/// Moves the mark on behind what is durable, until all is.
fn keep(
    to: &dyn Kv,
    mark: &mut Mark,
    outcomes: &Receiver<Outcome>,
    patience: &Patience,
    watch: &mut dyn FnMut(&Mark) -> ControlFlow<()>,
) -> Result<(), CopyError> {
    // Written before an earlier one was.
    let mut early: BTreeMap<u64, (Key, Tallies)> = BTreeMap::new();
    let (mut next, mut marked) = (0, 0);
    let mut ended = Ok(());
    // Ends when the reader and all writers have.
    for outcome in outcomes {
        match outcome {
            Ok((number, last, tallies)) => _ = early.insert(number, (last, tallies)),
            Err(error) => {
                patience.stop();
                ended = ended.and(Err(error));
            }
        }
        while let Some((last, tallies)) = early.remove(&next) {
            mark.advance(last, tallies);
            next += 1;
        }
        if next >= marked + MARK_BATCHES && ended.is_ok() {
            mark.write(to, patience)?;
            marked = next;
        }
        if ended.is_ok() && watch(mark).is_break() {
            patience.stop();
            ended = Err(CopyError::Stopped);
        }
    }
    if next > marked && !matches!(ended, Err(CopyError::Commit(_))) {
        mark.write(to, &Patience::default())?;
    }
    ended
}
