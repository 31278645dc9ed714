//! chirrup-cli
fn main() {}
