//! chirrup-bench
fn main() {}
