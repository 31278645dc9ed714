//! Every bound of the driver, in one place.

use std::time::Duration;

/// One request is given up after this long, and tried again if there is time.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A commit is told to be unknown after this long.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// A read is told to be unavailable after this long.
pub const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// Opening fails after this long, not counting the wait for a claim.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection is given up that does not come about in this time.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An idle connection is asked whether it lives so often, and is dead after this long.
pub const KEEPALIVE: Duration = Duration::from_secs(3);
/// Pause before a request is tried again.
pub const AGAIN: Duration = Duration::from_millis(50);

/// Seconds after which a claim that is not renewed can be another's.
pub const CLAIM_SECONDS: i32 = 6;
/// How often it is renewed.
pub const CLAIM_RENEW: Duration = Duration::from_secs(1);
/// How long after a renewal was sent rows may be: the servers count whole seconds, and their
/// clocks may differ by the rest.
pub const CLAIM_VALID: Duration = Duration::from_secs(4);
/// How often whoever waits for a claim looks whether its holder lives.
pub const CLAIM_LOOK: Duration = Duration::from_millis(250);

/// Requests of one commit that are under way at once.
pub const WRITES_IN_FLIGHT: usize = 256;
/// Requests of one `get` that are under way at once.
pub const READS_IN_FLIGHT: usize = 64;
/// Rows of a partition up to this many bytes are written as one mutation, which is atomic; more
/// of them in several, in their order.
pub const PART_BYTES: usize = 4 << 20;
/// Rows that are written as one mutation at most (the protocol counts them in 16 bits).
pub const PART_ROWS: usize = 10_000;
/// Bytes of a row that its keys and values do not count, about.
pub const ROW_BYTES: usize = 64;
/// The largest mutation that is ever sent: a part to which the largest row came last.
pub const MUTATION_BYTES: usize = PART_BYTES + (2 << 20);

/// Rows in one page of a range: with the largest values 100 MiB.
pub const PAGE_ROWS: i32 = 100;
/// Rows of one partition that one request of a `get` asks for.
pub const GET_ROWS: usize = 100;
/// Partitions in one page.
pub const PAGE_PARTITIONS: i32 = 1_000;

/// How long a removed row is remembered. A write that comes later than this with a lower version
/// would bring it back: hints are kept for three hours, and replicas must be repaired within it.
pub const REMOVED_SECONDS: u32 = 864_000;
