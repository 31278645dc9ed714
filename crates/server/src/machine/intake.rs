//! Where commands wait for the runner: the queue, with back-pressure for those who push and
//! wake-ups for the one who takes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chirrup_core::aggregate::SHARDS;
use chirrup_engine::batch::{Answer, Submission};
use chirrup_engine::queue::{Full, LocalQueue, Queue};
use tokio::sync::Notify;

/// Commands that go into one batch.
const BATCH_MAX: usize = 2_048;

/// Commands were refused for lack of room since the generation that the caller knew: its
/// connection may have an earlier one among them.
pub struct Stale(pub Submission);

/// The bounded queue between connections and the runner.
pub struct Intake {
    state: Mutex<State>,
    filled: Condvar,
    room: Notify,
}

struct State {
    queue: LocalQueue,
    generation: u64,
    /// Whoever takes is to come back, with or without commands.
    woken: bool,
    stopping: bool,
}

impl Intake {
    pub(super) fn new() -> Self {
        let state = State { queue: LocalQueue::default(), generation: 0, woken: false, stopping: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), room: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rises whenever waiting commands were refused.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Puts a command in, if there is room.
    pub fn try_push(&self, submission: Submission) -> Result<(), Full> {
        let mut state = self.lock();
        let was_empty = state.queue.is_empty();
        state.queue.push(submission)?;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Puts a command in as soon as there is room, unless commands were refused since
    /// `generation`.
    pub async fn push(&self, mut submission: Submission, generation: Option<u64>) -> Result<(), Stale> {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // From here on a wake-up is not missed.
            room.as_mut().enable();
            {
                let mut state = self.lock();
                if generation.is_some_and(|known| known != state.generation) {
                    return Err(Stale(submission));
                }
                let was_empty = state.queue.is_empty();
                match state.queue.push(submission) {
                    Ok(()) => {
                        drop(state);
                        if was_empty {
                            self.filled.notify_one();
                        }
                        return Ok(());
                    }
                    Err(Full(back)) => submission = back,
                }
            }
            room.await;
        }
    }

    /// Has [`Intake::take`] come back at once.
    pub(super) fn wake(&self) {
        self.lock().woken = true;
        self.filled.notify_one();
    }

    /// Waits until commands are there, somebody wakes it or `patience` is over, and takes a batch
    /// of them. `None` once the queue has been stopped and is empty.
    pub(super) fn take(&self, patience: Duration) -> Option<Vec<Submission>> {
        let mut state = self.lock();
        if state.queue.is_empty() && !state.stopping && !state.woken {
            state = self.filled.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.woken = false;
        if state.queue.is_empty() && state.stopping {
            return None;
        }
        let all: [u8; SHARDS as usize] = std::array::from_fn(|shard| shard as u8);
        let taken = state.queue.take(&all, BATCH_MAX);
        drop(state);
        if !taken.is_empty() {
            self.room.notify_waiters();
        }
        Some(taken)
    }

    /// Refuses everything that waits. Whoever pushes by an older generation is told.
    pub(super) fn refuse_all(&self, generation: u64, answer: &Answer) {
        let mut state = self.lock();
        let all: [u8; SHARDS as usize] = std::array::from_fn(|shard| shard as u8);
        while !state.queue.is_empty() {
            for submission in state.queue.take(&all, BATCH_MAX) {
                // Told before the generation rises, so that a connection that knows the new
                // generation also knows what was refused.
                (submission.answer)(answer.clone());
            }
        }
        state.generation = generation;
        drop(state);
        self.room.notify_waiters();
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.filled.notify_all();
    }
}
