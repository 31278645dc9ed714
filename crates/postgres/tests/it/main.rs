//! The driver against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod claim;
mod contract;
mod faults;
mod opening;
mod support;
