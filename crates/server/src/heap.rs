//! An allocator that counts: the live heap is a metric, so that a leak shows. A binary makes it
//! its global allocator; without that, everything reads 0.
//!
//! Must not know: what is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

/// The system's allocator, with the bytes that live counted.
#[derive(Debug, Default)]
pub struct CountingAllocator;

/// Counters by thread slot, so that threads do not fight for one cache line. Their sum is what
/// counts: one thread may free what another allocated.
static LIVE: [Slot; SLOTS] = [const { Slot(AtomicI64::new(0)) }; SLOTS];
const SLOTS: usize = 16;

#[repr(align(64))]
struct Slot(AtomicI64);

/// Bytes that are allocated now.
pub fn live_bytes() -> u64 {
    let sum: i64 = LIVE.iter().map(|slot| slot.0.load(Ordering::Relaxed)).sum();
    u64::try_from(sum).unwrap_or(0)
}

fn count(bytes: i64) {
    // The address of a local tells threads apart well enough: their stacks are megabytes apart.
    let here = 0_u8;
    let slot = (std::ptr::from_ref(&here) as usize >> 20) % SLOTS;
    LIVE[slot].0.fetch_add(bytes, Ordering::Relaxed);
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// The one place with `unsafe`. Sound because every call is handed to `System` unchanged, which
// upholds the contract of `GlobalAlloc`; counting touches no memory but its own atomics and does
// not allocate.
#[expect(unsafe_code, reason = "a global allocator cannot be written without; see the proof above")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are handed on.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            count(signed(layout.size()));
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are handed on.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            count(signed(layout.size()));
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller's promises about `memory` and `layout` are handed on.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises about all three are handed on.
        let moved = unsafe { System.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(signed(size) - signed(layout.size()));
        }
        moved
    }
}
