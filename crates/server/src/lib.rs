//! The shell around the engine: sockets, HTTP, configuration, clocks. Everything that decides is
//! in `chirrup_core`, everything that orders and stores in `chirrup_engine`; here it is given
//! threads, connections and time.
//!
//! Must not know: how rows are laid out, how a client keeps its state.

pub mod app;
pub mod auth;
pub mod backup;
pub mod command;
pub mod config;
pub mod copy;
pub mod edge;
pub mod gateway;
pub mod heap;
pub mod http;
pub mod limits;
pub mod machine;
pub mod metrics;
pub mod telemetry;
pub mod tls;
