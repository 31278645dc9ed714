//! A switch that ends a running merge of files early, so that closing need not wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

/// Once thrown, merges fail with `io::ErrorKind::Interrupted`; what they had written is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct AbortSwitch(Arc<AtomicBool>);

impl AbortSwitch {
    /// Ends merges, now and from now on.
    pub(super) fn throw(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was thrown.
    pub(super) fn is_thrown(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
        if self.is_thrown() {
            return Err(lsm_tree::Error::Io(io::ErrorKind::Interrupted.into()));
        }
        Ok(Verdict::Keep)
    }
}
