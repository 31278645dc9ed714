//! What Chirrup promises, asked of the real program over real sockets: a server process with data
//! of its own, killed, restarted and cut off where the promise has to hold.

#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a module of a test")]

#[path = "promises/log.rs"]
mod log;
#[path = "promises/p1_ten_kills.rs"]
mod p1_ten_kills;
#[path = "promises/p3_one_effect.rs"]
mod p3_one_effect;
#[path = "promises/p4_unknown.rs"]
mod p4_unknown;
#[path = "promises/p5_reconnect.rs"]
mod p5_reconnect;
#[path = "promises/random.rs"]
mod random;
#[path = "promises/raw.rs"]
mod raw;
mod support;
