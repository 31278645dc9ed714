//! A switch that ends a running merge of files early: for closing, or for the room it takes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chirrup_mutants::kill_point;
use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

/// While thrown, merges fail with `io::ErrorKind::Interrupted`; what they had written is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct AbortSwitch(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    for_room: AtomicBool,
    for_ever: AtomicBool,
}

impl AbortSwitch {
    /// Ends merges, now and from now on.
    pub(super) fn throw_for_ever(&self) {
        self.0.for_ever.store(true, Ordering::Relaxed);
    }

    /// Ends merges for want of room, or lets them be made again.
    pub(super) fn throw_for_room(&self, thrown: bool) {
        self.0.for_room.store(thrown, Ordering::Relaxed);
    }

    /// Whether it is thrown.
    pub(super) fn is_thrown(&self) -> bool {
        self.0.for_room.load(Ordering::Relaxed) || self.0.for_ever.load(Ordering::Relaxed)
    }
}

impl Factory for AbortSwitch {
    fn name(&self) -> &'static str {
        "abort"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(self.clone())
    }
}

impl CompactionFilter for AbortSwitch {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        kill_point!(Merging);
        if self.is_thrown() {
            return Err(lsm_tree::Error::Io(io::ErrorKind::Interrupted.into()));
        }
        Ok(Verdict::Keep)
    }
}
