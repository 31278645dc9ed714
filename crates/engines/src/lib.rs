//! Real storage engines for tests: started on loopback, killed, paused, started again, and ended
//! with the tests that used them.
//!
//! Must not know: any of our crates, what is stored.

pub mod cassandra;
mod packages;
pub mod postgres;
mod process;
