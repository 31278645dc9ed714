//! The core: what a chat is, as pure machines. Each kind of aggregate answers a command with
//! events (`step`) and folds events into its state and rows (`fold`).
//!
//! Must not know: clocks, randomness, threads, sockets, stores, JSON.

pub mod access;
pub mod aggregate;
pub mod codec;
pub mod conversation;
pub mod effects;
pub mod event;
pub mod hash;
pub mod ids;
pub mod limits;
pub mod name;
pub mod names;
pub mod presence;
pub mod refusal;
pub mod rows;
pub mod server;
pub mod unread;
pub mod user;
pub mod visibility;
