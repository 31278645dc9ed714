//! chirrup-cli
mod irc;

fn main() {}
