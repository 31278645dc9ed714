//! The message sync queue of one machine: bounded, in order within a conversation, fair between
//! conversations.

use std::collections::{HashMap, VecDeque};

use chirrup_core::aggregate::{AggregateId, SHARDS};

use crate::batch::Submission;

/// Commands of one aggregate that may wait.
pub const AGGREGATE_WAITING_MAX: usize = 256;
/// Commands that may wait in all.
pub const WAITING_MAX: usize = 16_384;

/// Bytes that may wait in all.
pub const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes that one `take` gives, about.
pub const TAKE_BYTES_MAX: usize = 4 << 20;

/// The queue has no room for this command now; it is handed back.
pub struct Full(pub Submission);

/// Takes commands to the runner of their shard.
pub trait Queue: Send {
    /// Puts a command behind all others of its aggregate.
    fn push(&mut self, submission: Submission) -> Result<(), Full>;

    /// Takes up to `max` commands of these shards: one of each waiting aggregate in turn, so that
    /// a hot conversation delays only itself.
    fn take(&mut self, shards: &[u8], max: usize) -> Vec<Submission>;

    /// How many wait.
    fn len(&self) -> usize;

    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Default)]
struct Shard {
    waiting: HashMap<AggregateId, VecDeque<Submission>>,
    /// Aggregates with waiting commands, in the order of their turns.
    turns: VecDeque<AggregateId>,
}

/// The queue in memory.
pub struct LocalQueue {
    shards: Vec<Shard>,
    len: usize,
    bytes: usize,
    /// Where the next `take` begins, so that no shard is always last.
    next: usize,
}

impl Default for LocalQueue {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), len: 0, bytes: 0, next: 0 }
    }
}

impl Queue for LocalQueue {
    fn push(&mut self, submission: Submission) -> Result<(), Full> {
        let weight = submission.command.weight();
        if self.len >= WAITING_MAX || self.bytes + weight > WAITING_BYTES_MAX {
            return Err(Full(submission));
        }
        let aggregate = &submission.command.aggregate;
        let shard = &mut self.shards[usize::from(aggregate.shard())];
        match shard.waiting.get_mut(aggregate) {
            Some(waiting) if waiting.len() >= AGGREGATE_WAITING_MAX => return Err(Full(submission)),
            Some(waiting) => waiting.push_back(submission),
            None => {
                shard.turns.push_back(aggregate.clone());
                shard.waiting.insert(aggregate.clone(), VecDeque::from([submission]));
            }
        }
        self.len += 1;
        self.bytes += weight;
        Ok(())
    }

    fn take(&mut self, shards: &[u8], max: usize) -> Vec<Submission> {
        let mut taken = Vec::with_capacity(max.min(self.len));
        let (mut idle, mut bytes) = (0, 0);
        while taken.len() < max && bytes < TAKE_BYTES_MAX && idle < shards.len() {
            let shard = &mut self.shards[usize::from(shards[self.next % shards.len()])];
            self.next = (self.next + 1) % shards.len();
            match shard.turn() {
                Some(submission) => {
                    idle = 0;
                    bytes += submission.command.weight();
                    taken.push(submission);
                }
                None => idle += 1,
            }
        }
        self.len -= taken.len();
        self.bytes -= bytes;
        taken
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Shard {
    fn turn(&mut self) -> Option<Submission> {
        let aggregate = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&aggregate)?;
        let submission = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&aggregate);
        } else {
            self.turns.push_back(aggregate);
        }
        submission
    }
}
