//! chirrup-client
