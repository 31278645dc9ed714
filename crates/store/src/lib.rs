//! Durable storage: the `Kv` trait, its drivers, and the records of Chirrup above it.
//!
//! Must not know: tokio, sockets, the protocol.

pub mod kv;
