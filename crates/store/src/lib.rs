//! Durable storage: the `Kv` trait, its drivers, and the records of Chirrup above it.
//!
//! Must not know: tokio, sockets, the protocol.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod copy;
pub mod embedded;
pub mod keys;
pub mod kv;
pub mod log;
pub mod memory;
pub mod offset;
pub mod record;
pub mod stages;
