//! Reading a store in full: what is in it, and whether its logs are whole.

use std::ops::ControlFlow;

use super::logs::Logs;
use super::patience::Patience;
use super::tally::{Tallies, Tally};
use super::walk::Walk;
use super::{CopyError, Progress, Side, Watch, Work, about_events, compare, is_unfinished};
use crate::kv::{Kv, Table};

/// Rows between two words on how far it is.
const TELL_ROWS: u64 = 10_000;

/// What is in a store, but for what is of that store alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Of its rows.
    pub tallies: Tallies,
    /// Of its logs: each counts with its name, its length and the hash of its last envelope,
    /// which holds that of the one before.
    pub logs: Tally,
    /// Of all logs.
    pub events: u64,
}

/// Told how many events and rows were read; says whether to go on.
pub(super) type Told<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// Reads every row of one store, and checks the chain of every log.
pub(super) fn survey(kv: &dyn Kv, side: Side, patience: &Patience, told: &mut Told<'_>) -> Result<Survey, CopyError> {
    let mut logs = Logs::new(kv, side, patience);
    logs.read(told)?;
    let mut tallies = Tallies::default();
    tallies.set(Table::Event, logs.rows);
    let others: Vec<Table> = Table::ALL.into_iter().filter(|table| *table != Table::Event).collect();
    let mut walk = Walk::new(kv, &others, None, patience);
    let mut rows = logs.rows.rows;
    while let Some((key, value)) = walk.next().map_err(|error| CopyError::Read(side, error))? {
        tallies.add(&key, &value);
        rows += 1;
        if rows.is_multiple_of(TELL_ROWS) && told(logs.rows.rows, rows).is_break() {
            return Err(CopyError::Stopped);
        }
    }
    Ok(Survey { tallies, logs: logs.logs, events: logs.rows.rows })
}

/// Compares two stores, neither of which is served, and neither of which changes.
pub fn check(from: &dyn Kv, to: &dyn Kv, watch: &mut Watch<'_>) -> Result<Survey, CopyError> {
    for (kv, side) in [(from, Side::Source), (to, Side::Target)] {
        if is_unfinished(kv).map_err(|error| CopyError::Read(side, error))? {
            return Err(CopyError::Unfinished(side));
        }
    }
    let patience = Patience::default();
    let events_total = 2 * about_events(from).map_err(|error| CopyError::Read(Side::Source, error))?;
    let mut told = |events, rows| watch(Progress { work: Work::Checking, events, events_total, rows });
    let source = survey(from, Side::Source, &patience, &mut told)?;
    let (events, rows) = (source.events, source.tallies.total().rows);
    let target = survey(to, Side::Target, &patience, &mut |more_events, more_rows| told(events + more_events, rows + more_rows))?;
    compare::compare(from, to, &source.tallies, &target.tallies, &patience)?;
    Ok(target)
}
