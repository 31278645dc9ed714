//! The seeded simulation: the production code of the engine driven by a seed, in one thread and in
//! virtual time, over a store of three replicas that crashes, forgets whom it told, and lets writes
//! come late. A judge hears every answer; a schedule that fails is shortened and replays exactly.
//!
//! [`plan`] draws a schedule from its seed, [`world`] lives through it, [`judge`] judges, [`shrink`]
//! shortens, [`run`] counts. [`control`] breaks rules on purpose.
//!
//! Must not know: sockets, threads, clocks, files. Nothing depends on it.

mod client;
pub mod control;
pub mod judge;
pub mod kv;
pub mod met;
mod node;
pub mod plan;
pub mod random;
pub mod run;
pub mod shrink;
pub mod world;
