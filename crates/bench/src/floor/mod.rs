//! Floors: what this machine gives at best for the same work, without a line of the server's
//! code. Each is measured in the same run as the figure that stands beside it.

pub(crate) mod network;
pub(crate) mod shapes;
pub(crate) mod store;
