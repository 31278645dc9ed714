//! Connections: how they are accepted, what they carry, when they end.
//!
//! Must not know: what a request does, how an event is stored.

pub mod frame;
pub mod order;
pub mod outbound;
pub mod transport;
pub mod websocket;
