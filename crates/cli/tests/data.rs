//! What an operator does with the data of the real program: backups while it serves and their
//! restoring (P14), data of other formats and of another process (P13), and what is found and
//! saved of damaged data (P8).

#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a module of a test")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "promises/log.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod log;
#[path = "data/p13_format.rs"]
mod p13_format;
#[path = "data/p14_backup.rs"]
mod p14_backup;
#[path = "data/p14_kills.rs"]
mod p14_kills;
#[path = "data/p8_damage.rs"]
mod p8_damage;
#[path = "promises/raw.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod raw;
mod support;
#[path = "data/world.rs"]
mod world;
