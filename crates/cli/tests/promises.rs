//! What Chirrup promises, asked of the real program over real sockets: a server process with data
//! of its own, killed, restarted and cut off where the promise has to hold.

#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a module of a test")]

#[path = "promises/log.rs"]
mod log;
#[path = "promises/mutants.rs"]
mod mutants;
#[path = "promises/p16_felt.rs"]
mod p16_felt;
#[path = "promises/p17_clock.rs"]
mod p17_clock;
#[path = "promises/p1_named_points.rs"]
mod p1_named_points;
#[path = "promises/p1_power_cut.rs"]
mod p1_power_cut;
#[path = "promises/p1_ten_kills.rs"]
mod p1_ten_kills;
#[path = "promises/p2_pushes.rs"]
mod p2_pushes;
#[path = "promises/p3_one_effect.rs"]
mod p3_one_effect;
#[path = "promises/p4_owed.rs"]
mod p4_owed;
#[path = "promises/p4_unknown.rs"]
mod p4_unknown;
#[path = "promises/p5_reconnect.rs"]
mod p5_reconnect;
#[path = "promises/p6_only_forward.rs"]
mod p6_only_forward;
#[path = "promises/p8_torn_tail.rs"]
mod p8_torn_tail;
#[path = "promises/r8_order.rs"]
mod r8_order;
#[path = "promises/random.rs"]
mod random;
#[path = "promises/raw.rs"]
mod raw;
#[path = "promises/slow_and_stopping.rs"]
mod slow_and_stopping;
mod support;
#[path = "promises/unread.rs"]
mod unread;
