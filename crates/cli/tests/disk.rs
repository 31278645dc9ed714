//! What becomes of the real program when its disk fails it (P9) or does not give back what was
//! written (P8): a server process on data of its own, with faults between it and its files, on
//! small file systems, and on files that were damaged.

#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a module of a test")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "disk/faults.rs"]
mod faults;
#[path = "promises/log.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod log;
#[path = "disk/mount.rs"]
mod mount;
#[path = "disk/p8_damage.rs"]
mod p8_damage;
#[path = "disk/p9_full.rs"]
mod p9_full;
#[path = "disk/p9_mounted.rs"]
mod p9_mounted;
#[path = "disk/p9_reads.rs"]
mod p9_reads;
#[path = "disk/p9_slow.rs"]
mod p9_slow;
#[path = "disk/p9_sync.rs"]
mod p9_sync;
#[path = "disk/people.rs"]
mod people;
#[path = "disk/prepared.rs"]
mod prepared;
#[path = "disk/process.rs"]
mod process;
#[path = "promises/random.rs"]
mod random;
#[path = "promises/raw.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod raw;
#[path = "disk/record.rs"]
mod record;
mod support;
