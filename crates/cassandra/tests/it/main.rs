//! The driver against a real Cassandra.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod contract;
mod faults;
mod opening;
mod reading;
mod support;
