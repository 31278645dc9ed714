//! chirrup-core
