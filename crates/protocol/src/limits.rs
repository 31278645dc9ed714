//! The limits and intervals of a connection, told in `ready`. What one message or group can have
//! is in `chirrup_core::limits`.

use chirrup_core::limits as core;
use serde::{Deserialize, Serialize};

/// Bytes of a frame from a client.
pub const FRAME_BYTES_MAX: usize = 64 << 10;
/// Requests of one connection that may wait for their answers; more are not read.
pub const IN_FLIGHT_MAX: usize = 64;
/// Frames that wait for a slow reader; then it is told to pull.
pub const OUTBOUND_FRAMES_MAX: usize = 1_024;
/// Bytes that wait for a slow reader.
pub const OUTBOUND_BYTES_MAX: usize = 1 << 20;
/// Users that one connection watches.
pub const WATCH_MAX: usize = 200;
/// Conversations in a page.
pub const CONVERSATIONS_PAGE_MAX: u32 = 100;
/// Messages in a page.
pub const HISTORY_PAGE_MAX: u32 = 100;
/// Events in a page.
pub const EVENTS_PAGE_MAX: u32 = 500;
/// Members in a page.
pub const MEMBERS_PAGE_MAX: u32 = 1_000;
/// Accounts in a page, and profiles asked at once.
pub const USERS_PAGE_MAX: u32 = 500;
/// Profiles asked at once.
pub const USERS_AT_ONCE_MAX: usize = 100;
/// Members up to which receipts are pushed.
pub const RECEIPTS_MEMBERS_MAX: u32 = 100;
/// Characters of a password.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Characters of a password, at least.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// As told in `ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// See [`FRAME_BYTES_MAX`].
    pub frame_bytes_max: usize,
    /// See [`IN_FLIGHT_MAX`].
    pub in_flight_max: usize,
    /// Characters of a message.
    pub text_chars_max: usize,
    /// Bytes of a message.
    pub text_bytes_max: usize,
    /// Members that one message calls.
    pub mentions_max: usize,
    /// Members of a group.
    pub members_max: u32,
    /// Users that one connection watches.
    pub watch_max: usize,
    /// Messages in a page.
    pub history_page_max: u32,
    /// Events in a page.
    pub events_page_max: u32,
    /// The server sends a heartbeat so often; after two without any frame from the client the connection is dead.
    pub heartbeat_ms: u64,
    /// Typing is to be repeated so often, and forgotten after twice this time.
    pub typing_ms: u64,
    /// Positions are written so often.
    pub merge_ms: u64,
}

impl Limits {
    /// The limits, with the intervals that the server is configured to.
    pub fn new(heartbeat_ms: u64, typing_ms: u64, merge_ms: u64) -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            in_flight_max: IN_FLIGHT_MAX,
            text_chars_max: core::TEXT_CHARS_MAX,
            text_bytes_max: core::TEXT_BYTES_MAX,
            mentions_max: core::MENTIONS_MAX,
            members_max: core::MEMBERS_MAX,
            watch_max: WATCH_MAX,
            history_page_max: HISTORY_PAGE_MAX,
            events_page_max: EVENTS_PAGE_MAX,
            heartbeat_ms,
            typing_ms,
            merge_ms,
        }
    }
}
