//! The way of a message between gateway and store: queue, runner, effects, positions, router,
//! sessions, presence. Everything here is polled or called: no tokio, thread, socket or clock of
//! its own, so that a simulation can drive exactly this code.
//!
//! Must not know: sockets, HTTP, configuration.

pub mod batch;
pub mod effects;
pub mod feed;
pub mod positions;
pub mod presence;
pub mod queue;
pub mod recovery;
pub mod router;
pub mod runner;
pub mod session;
pub mod sink;
#[cfg(test)]
mod testing;
pub mod views;
