//! The allocator that a binary makes its own, jemalloc, and what it counts: the live heap is a
//! metric, so that a leak shows.
//!
//! Must not know: what is allocated.

pub use tikv_jemallocator::Jemalloc as Allocator;

use tikv_jemalloc_ctl::{epoch, stats};

/// Bytes that are allocated now. In a binary with another allocator, next to nothing.
pub fn live_bytes() -> u64 {
    // What is read is as of the last turn of the epoch. Neither fails but for a name that jemalloc
    // does not know.
    let allocated = epoch::advance().and_then(|_| stats::allocated::read());
    allocated.map_or(0, |bytes| bytes as u64)
}
