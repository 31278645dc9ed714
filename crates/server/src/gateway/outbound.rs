//! What waits to be written to one client. Pushes are refused when too much waits: they are hints,
//! and the client is told later what to pull. Replies always find room: requests in flight are
//! bounded.
//!
//! Must not know: sockets, what a frame says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use chirrup_engine::sink::Sink;
use chirrup_protocol::error::Error;
use chirrup_protocol::limits::{IN_FLIGHT_MAX, OUTBOUND_BYTES_MAX, OUTBOUND_FRAMES_MAX};
use futures_util::task::AtomicWaker;

/// Room for frames that an idle connection keeps.
const SPARE_FRAMES: usize = 64;

/// The queue of one connection, shared with everybody who has something to say to it.
#[derive(Debug, Default)]
pub struct Outbound {
    waiting: Mutex<Waiting>,
    changed: AtomicBool,
    task: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    in_flight: usize,
    /// A push was refused, and the client does not know yet.
    missed: bool,
    closing: Option<Error>,
}

/// How it stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// Frames that were taken.
    pub taken: u64,
    /// Their bytes.
    pub taken_bytes: u64,
    /// Whether another request may be read: few enough are in flight, and the client takes
    /// what it is sent.
    pub may_read: bool,
    /// Requests in flight.
    pub in_flight: usize,
    /// Whether more than half of the room for pushes is taken.
    pub crowded: bool,
    /// Whether a push was refused since this was last told, and nothing is left to be written:
    /// the client can be told what to pull.
    pub behind: bool,
    /// Why the connection is to end.
    pub closing: Option<Error>,
}

impl Outbound {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in it can be half changed by a panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Ready if something has changed since this was last ready; otherwise the task is woken
    /// when it does. One task only.
    pub fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.changed.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// A request was read.
    pub fn request(&self) {
        self.lock().in_flight += 1;
    }

    /// A request is answered by this frame.
    pub fn reply(&self, frame: Bytes) {
        let mut waiting = self.lock();
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        self.notify();
    }

    /// Puts a push behind the others even if too many wait: the connection itself says so few that
    /// they always find room.
    pub fn say(&self, frame: Bytes) {
        let mut waiting = self.lock();
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        self.notify();
    }

    /// Takes frames that wait, behind those in `into`, until there are `max`; tells how it stands
    /// now.
    pub fn take(&self, into: &mut VecDeque<Bytes>, max: usize) -> Standing {
        let mut waiting = self.lock();
        let count = waiting.frames.len().min(max.saturating_sub(into.len()));
        let before = into.len();
        into.extend(waiting.frames.drain(..count));
        let bytes: usize = into.iter().skip(before).map(Bytes::len).sum();
        waiting.bytes -= bytes;
        if waiting.frames.is_empty() && waiting.frames.capacity() > SPARE_FRAMES {
            // A burst is over: an idle connection keeps no room for the next.
            waiting.frames = VecDeque::new();
        }
        Standing {
            taken: count as u64,
            taken_bytes: bytes as u64,
            may_read: waiting.in_flight < IN_FLIGHT_MAX && waiting.bytes < OUTBOUND_BYTES_MAX && waiting.closing.is_none(),
            in_flight: waiting.in_flight,
            crowded: waiting.frames.len() > OUTBOUND_FRAMES_MAX / 2 || waiting.bytes > OUTBOUND_BYTES_MAX / 2,
            behind: into.is_empty() && waiting.frames.is_empty() && std::mem::take(&mut waiting.missed),
            closing: waiting.closing.clone(),
        }
    }
}

impl Sink for Outbound {
    fn push(&self, frame: Bytes) -> bool {
        let mut waiting = self.lock();
        let full = waiting.frames.len() >= OUTBOUND_FRAMES_MAX || waiting.bytes + frame.len() > OUTBOUND_BYTES_MAX;
        if full || waiting.closing.is_some() {
            waiting.missed |= full;
            return false;
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        true
    }

    fn wake(&self) {
        self.notify();
    }

    fn close(&self, error: Error) {
        self.lock().closing.get_or_insert(error);
        self.notify();
    }
}

#[cfg(test)]
mod tests {
    use chirrup_protocol::error::Code;

    use super::*;

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![b'x'; bytes])
    }

    fn standing(outbound: &Outbound) -> Standing {
        outbound.take(&mut VecDeque::new(), 0)
    }

    #[test]
    fn pushes_are_refused_when_too_many_wait_and_replies_are_not() {
        let outbound = Outbound::default();
        for _ in 0..OUTBOUND_FRAMES_MAX {
            assert!(outbound.push(frame(1)));
        }
        assert!(!outbound.push(frame(1)));
        outbound.reply(frame(1));
        let mut taken = VecDeque::new();
        assert_eq!(outbound.take(&mut taken, usize::MAX).taken_bytes, OUTBOUND_FRAMES_MAX as u64 + 1);
        assert_eq!(taken.len(), OUTBOUND_FRAMES_MAX + 1);
        assert!(outbound.push(frame(1)), "there is room again");
    }

    #[test]
    fn pushes_are_refused_when_too_many_bytes_wait() {
        let outbound = Outbound::default();
        assert!(outbound.push(frame(OUTBOUND_BYTES_MAX)));
        assert!(!outbound.push(frame(1)));
        let full = standing(&outbound);
        assert!(full.crowded && !full.may_read, "who does not take answers asks no more");
        assert_eq!(outbound.take(&mut VecDeque::new(), 1).taken, 1);
        assert!(outbound.push(frame(1)) && standing(&outbound).may_read);
    }

    #[test]
    fn requests_in_flight_are_bounded() {
        let outbound = Outbound::default();
        for _ in 0..IN_FLIGHT_MAX {
            assert!(standing(&outbound).may_read);
            outbound.request();
        }
        assert!(!standing(&outbound).may_read);
        outbound.reply(frame(1));
        assert!(standing(&outbound).may_read);
    }

    #[test]
    fn the_first_reason_to_close_stands_and_nothing_is_pushed_after_it() {
        let outbound = Outbound::default();
        outbound.close(Error::new(Code::TokenInvalid, "first"));
        outbound.close(Error::new(Code::ShuttingDown, "second"));
        assert_eq!(standing(&outbound).closing.map(|e| e.code), Some(Code::TokenInvalid));
        assert!(!outbound.push(frame(1)));
    }

    #[test]
    fn a_missed_push_is_told_once_and_only_when_nothing_waits() {
        let outbound = Outbound::default();
        assert!(outbound.push(frame(OUTBOUND_BYTES_MAX)) && !outbound.push(frame(1)));
        let mut frames = VecDeque::new();
        assert!(!outbound.take(&mut frames, 0).behind, "one waits");
        assert!(!outbound.take(&mut frames, 1).behind, "one is still to be written");
        frames.clear();
        assert!(outbound.take(&mut frames, 1).behind);
        assert!(!outbound.take(&mut frames, 1).behind);
    }

    #[tokio::test]
    async fn the_task_is_woken_by_every_kind_of_change() {
        let outbound = Outbound::default();
        let changes: [fn(&Outbound); 4] = [
            |o| o.reply(frame(1)),
            |o| o.say(frame(1)),
            |o| {
                // A push alone wakes nobody: a wake-up follows the last of a batch.
                assert!(o.push(frame(1)));
                o.wake();
            },
            |o| o.close(Error::new(Code::Internal, "for a test")),
        ];
        for change in changes {
            let waiting = std::future::poll_fn(|cx| outbound.poll_changed(cx));
            let waiting = tokio::time::timeout(std::time::Duration::from_secs(10), waiting);
            let (woken, ()) = tokio::join!(waiting, async { change(&outbound) });
            woken.expect("woken");
        }
    }
}
