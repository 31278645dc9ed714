//! chirrup-engine
