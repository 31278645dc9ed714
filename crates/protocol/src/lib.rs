//! chirrup-protocol
