//! The black box by which a chat server's promises are shown: it drives a server over its public
//! protocol, writes down everything that was asked, answered and seen, and judges that history
//! afterwards.
//!
//! Must not know: anything of the server's code, nor of our client's. [`history`] and
//! [`adapter`] do not know the protocol either: another chat server is judged through another
//! [`adapter::Adapter`].

pub mod adapter;
pub mod chirrup;
mod edge;
pub mod history;
pub mod judge;
pub mod probe;
mod random;
pub mod workload;
