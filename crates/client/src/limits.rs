//! The limits of the SDK, each in this one place. What the server allows is told in `ready`.

/// Events that wait for the application. When they are that many, pushes are only noted and pulled
/// later, so that a slow application costs no memory and loses nothing.
pub const EVENTS_WAITING_MAX: usize = 1_024;
/// Requests of the application that wait or are in flight; more wait for their turn to enter.
pub const REQUESTS_WAITING_MAX: usize = 256;
/// Requests in flight before `ready` names the server's limit.
pub const IN_FLIGHT_FIRST: usize = 16;
/// Places in flight that the application cannot take, so that repairs always go on.
pub const IN_FLIGHT_RESERVED: usize = 8;
/// Messages and changes in the outbox.
pub const OUTBOX_MAX: usize = 10_000;
/// Entries of one conversation's outbox in flight at once.
pub const LANE_WINDOW: usize = 48;
/// Pages of events in flight at once.
pub const PULLS_MAX: usize = 4;
/// Conversations asked anew at once.
pub const REFRESHES_MAX: usize = 4;
/// Positions in flight at once.
pub const POSITIONS_MAX: usize = 8;
/// Pushes of one log that are kept while a gap before them is pulled.
pub const HELD_MAX: usize = 256;
/// Messages of one conversation that are kept folded.
pub const MESSAGES_KEPT_MAX: usize = 1_000;
/// Profiles that are kept.
pub const USERS_KEPT_MAX: usize = 10_000;

/// A connection must stand in this time.
pub const CONNECT_MS: u64 = 10_000;
/// `hello` must be answered in this time.
pub const HELLO_MS: u64 = 30_000;
/// A request must be answered in this time, or the connection is given up.
pub const REPLY_MS: u64 = 60_000;
/// How long a request of the application is tried if it does not say otherwise.
pub const REQUEST_MS: u64 = 30_000;
/// Longest wait before the first attempt to come back; it doubles with each further one.
pub const BACKOFF_FIRST_MS: u64 = 500;
/// Longest wait before any attempt.
pub const BACKOFF_MS_MAX: u64 = 30_000;
/// A connection that lived so long lets the wait begin at the first again.
pub const STABLE_MS: u64 = 10_000;
/// The least wait before a refused request is sent again.
pub const RETRY_MS_MIN: u64 = 50;

/// Bytes of a frame from the server: a page of the largest messages.
pub const FRAME_BYTES_MAX: usize = 32 << 20;
/// Settled entries in the outbox's file before it is written anew.
pub const OUTBOX_SETTLED_MAX: usize = 1_000;
