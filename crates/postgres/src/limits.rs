//! Every bound of the driver, in one place.

use std::time::Duration;

/// A commit is told to be unknown after this long.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// A read is told to be unavailable after this long.
pub const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// Opening fails after this long.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// One request is given up after this long, with its connection, and tried again if there is time.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection is given up that is not ready in this time.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before anything is tried again.
pub const AGAIN: Duration = Duration::from_millis(50);

/// Connections for reads; each takes many at once.
pub const READERS: usize = 4;

/// How often the claim is looked after.
pub const CLAIM_LOOK: Duration = Duration::from_secs(1);
/// How long opening waits for the lock of a server that is just ending.
pub const CLAIM_WAIT: Duration = Duration::from_secs(2);
/// What the engine is told for each session: when it gives up a statement, a lock, a transaction
/// whose client is silent, and a client that is gone.
pub const SESSION_BOUNDS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; \
     SET idle_in_transaction_session_timeout = '5s'; \
     SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET tcp_user_timeout = '10s'";
