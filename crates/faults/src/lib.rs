//! Breaks a real server while the checker chats with it: power cuts, kills at any moment and at named
//! points, standstills, ends in mid-load. What was acked must be there afterwards, once, in one
//! order, for everybody.
//!
//! Must not know: anything of the server's code, nor how a history is judged. It knows the server's
//! program, its flags and the line that it prints when it serves.

pub mod disk;
mod edge;
pub mod plan;
pub mod points;
pub mod process;
pub mod report;
pub mod run;
mod slow;
mod stage;
