//! The protocol: wire forms of the core's types, the table of errors, the limits. `PROTOCOL.md`
//! numbers the rules.
//!
//! Must not know: sockets, stores, how anything is done.

pub mod choice;
pub mod error;
pub mod event;
pub mod limits;
pub mod push;
pub mod reply;
pub mod request;
pub mod text;

/// Version of the protocol.
pub const VERSION: u32 = 1;
/// Rises when the server can do more within a version.
pub const FEATURE_LEVEL: u32 = 1;
/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "chirrup.v1";
/// Path of the WebSocket.
pub const PATH: &str = "/v1/ws";
