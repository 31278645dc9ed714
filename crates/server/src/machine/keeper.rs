//! The keeper's thread: sends effects, and writes what is merged over a while (positions, marks,
//! last activity).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use chirrup_core::aggregate::{Action, AggregateId, Command, Origin};
use chirrup_core::user;
use chirrup_engine::batch::Submission;
use chirrup_engine::presence;
use chirrup_store::kv::{self, CommitError, Row};

use super::committer::Job;
use super::{Shared, lock};
use crate::edge;

/// How long the keeper sleeps if nobody rings.
const PATIENCE: Duration = Duration::from_millis(50);
/// Positions written in one commit. Taking, reading, committing and answering them each holds back
/// messages for as long as one part takes, so a part is small: some 0.1 ms.
const FLUSH_MAX: usize = 256;

/// Runs until the machine stops; then writes what is left. Tells `at_rest` when no effect is left
/// to send, or none can be.
pub(super) fn run(shared: &Arc<Shared>, jobs: &SyncSender<Job>, merge: Duration, at_rest: &SyncSender<()>) {
    let mut notes = VecDeque::new();
    let mut flushed = edge::instant();
    let mut health = Health { store: kv::Status::Ready, unread: None };
    // What the last run left is looked at now.
    shared.keeper.ring();
    loop {
        shared.keeper.wait(PATIENCE.min(merge));
        let stopping = shared.stopping.load(Ordering::Acquire);
        health.look(shared);
        send_effects(shared, &mut health);
        if shared.kv.status() != kv::Status::Ready || lock(&shared.effects).is_idle() {
            // Heard once, at the start.
            let _ = at_rest.try_send(());
        }
        send_notes(shared, &mut notes);
        shared.tell_presence(edge::now_ms());
        if stopping || due(flushed, merge) || shared.positions.needs_flush() {
            flushed = edge::instant();
            flush(shared, jobs, &mut notes);
            send_notes(shared, &mut notes);
        }
        if stopping {
            return;
        }
    }
}

/// What the operator was told, so that they are told what changes, and not the same again and again.
struct Health {
    store: kv::Status,
    /// Why effects cannot be read, if so.
    unread: Option<String>,
}

impl Health {
    /// Tells how the store is, if that is another thing than before.
    fn look(&mut self, shared: &Shared) {
        let store = shared.kv.status();
        // How much room there is changes all the time.
        if std::mem::discriminant(&store) == std::mem::discriminant(&self.store) {
            return;
        }
        match &store {
            kv::Status::Ready => tracing::warn!("the store takes everything again"),
            kv::Status::Full(why) => tracing::warn!(%why, "the disk is full: only reading and deleting go on"),
            kv::Status::Stopped(why) => tracing::error!(%why, "the store has failed: only reading goes on, until a restart"),
        }
        self.store = store;
    }

    /// Tells why effects cannot be read, unless that was told last.
    fn effects_read(&mut self, error: Option<String>) {
        if let Some(error) = error.as_ref().filter(|_| error != self.unread) {
            tracing::error!(%error, "effects cannot be read; they are tried again");
        }
        self.unread = error;
    }
}

fn due(since: Instant, interval: Duration) -> bool {
    edge::since(since) >= interval
}

fn send_effects(shared: &Shared, health: &mut Health) {
    let mut effects = lock(&shared.effects);
    loop {
        match effects.next(&*shared.kv, || shared.stamps.next()) {
            Ok(Some(submission)) => {
                if let Err(full) = shared.intake.try_push(submission) {
                    effects.put_back(full.0);
                    return;
                }
            }
            Ok(None) => return health.effects_read(None),
            Err(error) => return health.effects_read(Some(error.to_string())),
        }
    }
}

/// Tells a user's other devices how far one has read. Merged, so what finds no room waits.
fn send_notes(shared: &Shared, notes: &mut VecDeque<Command>) {
    while let Some(command) = notes.pop_front() {
        let submission = Submission { command, answer: Box::new(|_| {}) };
        if let Err(full) = shared.intake.try_push(submission) {
            notes.push_front(full.0.command);
            return;
        }
    }
}

fn flush(shared: &Arc<Shared>, jobs: &SyncSender<Job>, notes: &mut VecDeque<Command>) {
    loop {
        let mut flush = match shared.positions.take_flush(&*shared.kv, FLUSH_MAX) {
            Ok(flush) => flush,
            Err(error) => {
                tracing::error!(%error, "positions cannot be read; they are tried again");
                return;
            }
        };
        let full = flush.positions.len() >= FLUSH_MAX;
        let mut rows = std::mem::take(&mut flush.rows);
        rows.extend(lock(&shared.effects).marks());
        rows.extend(presence::activity_rows(&mut lock(&shared.presence)));
        let result = commit(jobs, rows);
        let ok = result.is_ok();
        lock(&shared.presence).activity_stored(ok);
        // Why nothing is written at all is told once.
        if let Err(error) = result
            && shared.kv.status() == kv::Status::Ready
        {
            tracing::error!(%error, "positions were not written; they are tried again");
        }
        for (user, positions) in shared.positions.flushed(flush, ok, &mut lock(&shared.router)) {
            notes.push_back(Command {
                aggregate: AggregateId::User(user),
                origin: Origin::Timer,
                stamp: shared.stamps.next(),
                action: Action::User(user::Action::NotePositions { positions }),
            });
        }
        if !full || !ok {
            return;
        }
    }
}

/// Has rows committed and waits for it.
fn commit(jobs: &SyncSender<Job>, rows: Vec<Row>) -> Result<(), CommitError> {
    if rows.is_empty() {
        return Ok(());
    }
    let (told, result) = sync_channel(1);
    let stopped = || CommitError::Stopped("the committer has ended".into());
    jobs.send(Job::Rows(rows, Box::new(move |outcome| drop(told.send(outcome))))).map_err(|_| stopped())?;
    result.recv().map_err(|_| stopped())?
}
