//! The connection's life: wanted, tried, opened, live, lost, waited for; and when it is to be
//! given up. Must not know what the frames say.

use chirrup_protocol::error::{Code, Error as Refusal, Retry};

use super::random::Random;
use crate::limits::{BACKOFF_FIRST_MS, BACKOFF_MS_MAX, CONNECT_MS, HELLO_MS, STABLE_MS};

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It could not be made.
    #[error("failed to connect: {0}")]
    Connect(String),
    /// It broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server ended it.
    #[error("{0}")]
    Closed(Refusal),
    /// The server asked to come back later.
    #[error("the server asked to come back")]
    ComeBack,
    /// Nothing was heard for two heartbeats, or no answer came.
    #[error("the server was silent for too long")]
    Silent,
}

/// Where the connection is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody wanted one yet.
    Idle,
    /// The next attempt is due at `until_ms`.
    Waiting {
        /// By the clock that is handed in.
        until_ms: u64,
        /// What happened.
        failure: Failure,
    },
    /// Being made.
    Connecting,
    /// Made; `hello` waits for its answer.
    Opening,
    /// A session.
    Live,
    /// The session ended for good.
    Ended(Refusal),
}

/// The life of the connection.
pub(super) struct Link {
    status: Status,
    since_ms: u64,
    /// Attempts since the last connection that lived long enough.
    attempts: u32,
    heard_ms: u64,
    heartbeat_ms: Option<u64>,
    come_back_ms: Option<u64>,
    /// What the server said before it closed.
    farewell: Option<Refusal>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { status: Status::Idle, since_ms: 0, attempts: 0, heard_ms: 0, heartbeat_ms: None, come_back_ms: None, farewell: None }
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    pub(super) fn live(&self) -> bool {
        self.status == Status::Live
    }

    /// Whether the server asked to be left; nothing new is sent then.
    pub(super) fn leaving(&self) -> bool {
        self.come_back_ms.is_some()
    }

    fn enter(&mut self, status: Status, now_ms: u64) {
        self.status = status;
        self.since_ms = now_ms;
    }

    pub(super) fn connecting(&mut self, now_ms: u64) {
        self.attempts = self.attempts.saturating_add(1);
        (self.come_back_ms, self.farewell, self.heartbeat_ms) = (None, None, None);
        self.enter(Status::Connecting, now_ms);
    }

    pub(super) fn opening(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.enter(Status::Opening, now_ms);
    }

    pub(super) fn ready(&mut self, now_ms: u64, heartbeat_ms: Option<u64>) {
        self.heartbeat_ms = heartbeat_ms;
        self.enter(Status::Live, now_ms);
    }

    pub(super) fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    pub(super) fn come_back(&mut self, after_ms: u64) {
        self.come_back_ms = Some(after_ms);
    }

    /// Why the server ends the connection; the first that it says counts.
    pub(super) fn closing(&mut self, refusal: Refusal) {
        self.farewell.get_or_insert(refusal);
    }

    /// The connection is gone: waits, or ends for good. Full jitter: a wait is anything up to the
    /// bound that doubles; what the server asked for comes before it.
    pub(super) fn lost(&mut self, now_ms: u64, failure: Failure, random: &mut Random) {
        if self.live() && now_ms.saturating_sub(self.since_ms) >= STABLE_MS {
            self.attempts = 0;
        }
        let failure = match (self.farewell.take(), self.come_back_ms) {
            (Some(refusal), _) => Failure::Closed(refusal),
            (None, Some(_)) => Failure::ComeBack,
            (None, None) => failure,
        };
        let asked_ms = match &failure {
            Failure::Closed(refusal) if refusal.retry == Retry::Never => {
                self.enter(Status::Ended(refusal.clone()), now_ms);
                return;
            }
            // At once, but not over and over.
            Failure::Closed(refusal) if refusal.retry == Retry::Now && self.attempts <= 1 => Some(0),
            Failure::Closed(refusal) => refusal.after_ms,
            _ => None,
        };
        let asked_ms = self.come_back_ms.take().or(asked_ms);
        let bound = BACKOFF_FIRST_MS.saturating_mul(1 << self.attempts.saturating_sub(1).min(16)).min(BACKOFF_MS_MAX);
        let wait_ms = asked_ms.unwrap_or_else(|| random.up_to(bound));
        self.enter(Status::Waiting { until_ms: now_ms + wait_ms, failure }, now_ms);
    }

    /// When something is due: an attempt, or giving up.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        match &self.status {
            Status::Idle | Status::Ended(_) => None,
            Status::Waiting { until_ms, .. } => Some(*until_ms),
            Status::Connecting => Some(self.since_ms + CONNECT_MS),
            Status::Opening => Some(self.since_ms + HELLO_MS),
            Status::Live => self.heartbeat_ms.map(|ms| self.heard_ms + 2 * ms),
        }
    }
}

/// The verdict of a close code, if the server gave one of its own and had not said more before.
pub(super) fn verdict(close: u16, reason: &str) -> Option<Refusal> {
    // Several codes share 4000, which says only that the request was refused.
    let code = Code::ALL.iter().find(|code| code.close() == close && close != 4000)?;
    Some(Refusal::new(*code, if reason.is_empty() { code.name() } else { reason }))
}
