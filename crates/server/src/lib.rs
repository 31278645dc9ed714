//! chirrup-server
