//! The limits of the shell, each in this one place. Those that an operator may change are in
//! `config`; those that clients must know are in `chirrup_protocol::limits`.

/// Connections that the kernel may hold for us until they are accepted.
pub const ACCEPT_BACKLOG: u32 = 4_096;
/// A TLS handshake must be done in this time.
pub const TLS_HANDSHAKE_MS: u64 = 10_000;
/// A request's header must be there in this time.
pub const HTTP_HEADER_MS: u64 = 10_000;
/// Bytes of a request's header.
pub const HTTP_HEADER_BYTES_MAX: usize = 16 << 10;
/// A connection that does not become a WebSocket is closed after this time.
pub const HTTP_CONNECTION_MS: u64 = 60_000;
/// Bytes of a request's body on the administration address.
pub const HTTP_BODY_BYTES_MAX: usize = 4 << 10;
/// Connections on the administration address at once.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Bytes that a WebSocket reads at once.
pub const SOCKET_READ_BYTES: usize = 4 << 10;
/// Bytes that a WebSocket gathers before it writes them.
pub const SOCKET_WRITE_BYTES: usize = 16 << 10;
/// Bytes that a WebSocket may hold for the kernel: a batch and the largest reply.
pub const SOCKET_WRITE_BYTES_MAX: usize = 24 << 20;
/// Frames handed to a WebSocket between two looks at what else there is to do.
pub const FRAMES_AT_ONCE: usize = 256;
/// When a connection is about to be closed, requests that it made are answered for so long.
pub const CLOSING_MS: u64 = 500;
/// After a close, what the client still sends is read and dropped for so long, so that the close
/// reaches it.
pub const LINGER_MS: u64 = 1_000;
/// Bytes that are read and dropped after a close.
pub const LINGER_BYTES_MAX: usize = 1 << 20;
/// Bytes of the reason in a close frame (RFC 6455, section 5.5).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Passwords that wait for their turn to be hashed; more are refused as busy.
pub const HASHES_WAITING_MAX: usize = 1_024;
/// A password waits so long for its turn, then it is refused as busy.
pub const HASH_WAIT_MS: u64 = 10_000;
/// Names, and addresses, of which attempts are remembered (twice this many, in two generations).
pub const ATTEMPTS_REMEMBERED_MAX: usize = 32_768;
/// Wrong passwords for one name before its next attempt must wait.
pub const NAME_ATTEMPTS: u64 = 10;
/// One more attempt for a name is earned in this time.
pub const NAME_ATTEMPT_MS: u64 = 60_000;
/// One more attempt from an address is earned in this time.
pub const ADDRESS_ATTEMPT_MS: u64 = 5_000;
/// One more sign-up from an address is earned in this time.
pub const SIGN_UP_MS: u64 = 1_000;
/// Log-ins whose answer is kept for a retry that comes at the same time.
pub const RECENT_LOGINS_MAX: usize = 4_096;
/// How long such an answer is kept.
pub const RECENT_LOGIN_MS: u64 = 60_000;

/// Conversations of one connection that may wait for an unsettled send; the connection is closed
/// beyond it.
pub const UNSETTLED_MAX: usize = 1_024;
/// Time in which clients are asked to come back when the server stops: each gets its own.
pub const RECONNECT_SPREAD_MS: u64 = 5_000;
/// The least of it, so that a server that restarts at once is there again.
pub const RECONNECT_LEAST_MS: u64 = 500;
/// Signs of the first administrator's code: 128 bits in groups of four.
pub const FIRST_CODE_BYTES: usize = 16;
