//! What goes in and out of a runner: submissions, and batches of rows with what follows once
//! they are durable.

use std::sync::Arc;

use chirrup_core::aggregate::{AggregateId, Command, Outcome};
use chirrup_core::event::Event;
use chirrup_store::kv::Row;
use chirrup_store::offset::Offset;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Decided, and durable. `duplicate`: it was decided before, by an earlier try.
    Decided {
        /// How.
        outcome: Outcome,
        /// Whether an earlier try decided.
        duplicate: bool,
    },
    /// The same client id was used for another request.
    Conflict,
    /// Nothing happened and nothing will of this try: the store has no room. To be tried later.
    StorageFull,
    /// Nothing happened and nothing will of this try: the store takes nothing until it is opened
    /// anew. To be tried after that.
    StorageFailed,
    /// Nothing happened and nothing will of this try: the store does not answer now. To be tried
    /// later.
    StorageBusy,
    /// Nothing happened: what it needs could not be read. Why, for the log. To be tried later.
    Failed(String),
    /// It is not known whether it took effect. To be tried again under the same client id.
    Unknown,
}

/// Told once, from the thread that commits; must not block.
pub type Answerer = Box<dyn FnOnce(Answer) + Send>;

/// A command on its way, and whom to tell.
pub struct Submission {
    /// What is asked.
    pub command: Command,
    /// Whom to tell.
    pub answer: Answerer,
}

/// An event that became durable.
#[derive(Clone, Debug)]
pub struct Published {
    /// Of which log.
    pub aggregate: AggregateId,
    /// Its shard.
    pub shard: u8,
    /// Its place in the shard's feed.
    pub offset: Offset,
    /// The event.
    pub event: Arc<Event>,
}

/// Rows to commit, and what follows when they are durable.
#[derive(Default)]
pub struct Batch {
    /// In the order in which they must be written.
    pub rows: Vec<Row>,
    /// In the order in which they were decided: of each shard by offset, of each log by seq.
    pub published: Vec<Published>,
    /// Told after `published` was handed on.
    pub answers: Vec<(Answerer, Answer)>,
    /// Which of the answers (ascending, by their place in `answers`) are told only when the
    /// effects of this event were taken, so that whoever is answered finds their own conversation
    /// list as it is then.
    pub awaiting: Vec<(usize, u8, Offset)>,
    /// Everything in it frees room (deletes, logouts): it may use the reserve of a full disk.
    pub frees_room: bool,
}
