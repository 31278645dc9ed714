//! The one committer: makes batches durable in their order, and only then lets the world know.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use chirrup_engine::batch::{Answer, Answerer, Batch};
use chirrup_mutants::kill_point;
use chirrup_store::kv::{CommitError, Row};
use chirrup_store::offset::Offset;

use super::{Shared, lock};
use crate::edge;

/// Batches that wait for the one that is being committed. One is enough: the runner decides the
/// next while a commit is under way.
const WAITING_MAX: usize = 1;

/// Pause before a batch is tried again of which it is not known what became of it.
const AGAIN: Duration = Duration::from_millis(200);
/// So often it is tried again when the server is about to stop.
const STOPPING_TRIES_MAX: usize = 3;

/// Told what became of rows.
pub(super) type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// Work for the committer.
pub(super) enum Job {
    /// What the runner decided.
    Decided {
        /// The runner's number of the batch.
        number: u64,
        /// Batches of an older generation stand on something that was not committed.
        generation: u64,
        /// The rows and what follows.
        batch: Batch,
    },
    /// Rows that no command decides: positions, marks, activity.
    Rows(Vec<Row>, Done),
}

pub(super) fn channel() -> (SyncSender<Job>, Receiver<Job>) {
    sync_channel(WAITING_MAX)
}

/// Runs until every sender is gone.
pub(super) fn run(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Decided { number, generation, batch } => {
                if generation == shared.generation.load(Ordering::Acquire) {
                    decided(shared, number, batch);
                } else {
                    refuse(batch.answers, &shared.not_taken());
                }
            }
            Job::Rows(rows, done) => {
                kill_point!(MarksUncommitted);
                // What is not known is written again by its owner, merged with what has come since.
                let result = commit(shared, &rows, false);
                kill_point!(MarksCommitted);
                done(result);
            }
        }
    }
}

fn commit(shared: &Shared, rows: &[Row], reserved: bool) -> Result<(), CommitError> {
    if rows.is_empty() {
        return Ok(());
    }
    let begun = edge::instant();
    let (count, bytes) = (rows.len() as u64, rows.iter().map(|r| r.value.as_ref().map_or(0, Vec::len) as u64).sum());
    let result = if reserved { shared.kv.commit_reserved(rows) } else { shared.kv.commit(rows) };
    shared.metrics.committed(count, bytes, edge::since(begun), result.is_ok());
    result
}

fn decided(shared: &Arc<Shared>, number: u64, mut batch: Batch) {
    let rows = std::mem::take(&mut batch.rows);
    let mut result = commit(shared, &rows, batch.frees_room);
    if let Err(CommitError::Unknown(why)) = result {
        doubt(shared, &mut batch, why);
        result = settle(shared, &rows, batch.frees_room);
    }
    match result {
        Ok(()) => {
            kill_point!(Committed);
            shared.settled.store(number, Ordering::Release);
            shared.metrics.decided(batch.answers.len() as u64, batch.published.len() as u64);
            let answers = hold(shared, &batch.awaiting, batch.answers);
            shared.publish(&batch.published);
            kill_point!(Published);
            for (answer, how) in answers {
                answer(how);
                kill_point!(Answering);
            }
            kill_point!(Answered);
            if lock(&shared.effects).has_answered() {
                // Those who wait for effects are told by the keeper, now and not at its next look.
                shared.keeper.ring();
            }
        }
        Err(error) => {
            tracing::error!(%error, commands = batch.answers.len(), "a batch was not committed");
            let answer = match error {
                CommitError::Refused(_) => Answer::StorageFull,
                CommitError::Unknown(_) | CommitError::Stopped(_) => Answer::Unknown,
            };
            fall(shared, &mut batch, &answer);
        }
    }
}

/// Ends the waiting for a batch of which it is not known what became of it. Whoever asked is told so,
/// and nothing more is decided until it is known.
fn doubt(shared: &Shared, batch: &mut Batch, why: String) {
    tracing::warn!(%why, commands = batch.answers.len(), "it is not known whether a batch was committed: it is tried again until it is");
    *lock(&shared.unsure) = Some(why);
    fall(shared, batch, &Answer::Unknown);
}

/// Commits the very same rows again until it is known what became of them. A refusal says nothing of
/// the try before it.
fn settle(shared: &Shared, rows: &[Row], reserved: bool) -> Result<(), CommitError> {
    let mut tries_left = STOPPING_TRIES_MAX;
    loop {
        shared.again.wait(AGAIN);
        let result = commit(shared, rows, reserved);
        if matches!(result, Ok(()) | Err(CommitError::Stopped(_))) {
            *lock(&shared.unsure) = None;
            tracing::warn!(committed = result.is_ok(), "it is known what became of the batch");
            return result;
        }
        if shared.stopping.load(Ordering::Acquire) {
            tries_left -= 1;
            if tries_left == 0 {
                return result;
            }
        }
    }
}

/// Gives all who wait for a batch this answer, and has everything fall that was decided on top of it.
fn fall(shared: &Shared, batch: &mut Batch, answer: &Answer) {
    shared.views.doubted();
    shared.fell_in_doubt.store(*answer == Answer::Unknown, Ordering::Release);
    batch.awaiting.clear();
    refuse(std::mem::take(&mut batch.answers), answer);
    // After the answers: see `Intake::refuse_all`.
    shared.generation.fetch_add(1, Ordering::AcqRel);
    shared.intake.wake();
}

/// Leaves answers that wait for effects to the effect reader, and gives back the others.
fn hold(shared: &Shared, awaiting: &[(usize, u8, Offset)], answers: Vec<(Answerer, Answer)>) -> Vec<(Answerer, Answer)> {
    if awaiting.is_empty() {
        return answers;
    }
    let mut effects = lock(&shared.effects);
    let mut awaiting = awaiting.iter().peekable();
    let mut others = Vec::with_capacity(answers.len());
    for (place, (answer, how)) in answers.into_iter().enumerate() {
        match awaiting.next_if(|(held, ..)| *held == place) {
            Some((_, shard, offset)) => effects.hold(*shard, *offset, Box::new(move || answer(how))),
            None => others.push((answer, how)),
        }
    }
    others
}

fn refuse(answers: Vec<(Answerer, Answer)>, why: &Answer) {
    for (answer, _) in answers {
        answer(why.clone());
    }
}
