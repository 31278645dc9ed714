//! What nobody should send, sent to the real program: it answers with an error that tells what is
//! wrong, or takes it as it is; it goes on serving others; and it keeps nothing of it.

#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a module of a test")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "bad_input/frames.rs"]
mod frames;
#[path = "bad_input/heap.rs"]
mod heap;
#[path = "bad_input/json.rs"]
mod json;
#[path = "bad_input/params.rs"]
mod params;
#[path = "promises/raw.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod raw;
#[path = "bad_input/samples.rs"]
mod samples;
mod support;
#[path = "bad_input/texts.rs"]
mod texts;
#[path = "bad_input/upgrades.rs"]
mod upgrades;
#[path = "bad_input/utf8.rs"]
mod utf8;
#[path = "bad_input/wire.rs"]
mod wire;
#[path = "bad_input/world.rs"]
mod world;
