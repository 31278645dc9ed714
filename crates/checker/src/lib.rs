//! The black box by which a chat server's promises are shown: it drives a server over its public
//! protocol, writes down everything that was asked, answered and seen, and judges that history
//! afterwards.
//!
//! [`workload`] asks through an [`adapter`], of which [`chirrup`] is one; [`probe`] writes down what is
//! asked and seen as a [`history`]; [`judge`] judges it.
//!
//! Must not know: anything of the server's code, nor of our client's. Only [`chirrup`] knows the
//! protocol: another chat server is judged through another [`adapter::Adapter`].

pub mod adapter;
pub mod chirrup;
mod edge;
pub mod history;
pub mod judge;
pub mod probe;
mod random;
pub mod workload;
