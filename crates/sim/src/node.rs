//! One process of the server, from its start to its death: the production runner, effect reader,
//! positions, views and router over a store, driven as `crates/server/src/machine` drives them,
//! one thing at a time.
//!
//! Must not know: who asks, and what they make of the answers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use chirrup_core::aggregate::{Action, AggregateId, Command, Origin, SHARDS, Stamp};
use chirrup_core::hash::Salt;
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_core::user;
use chirrup_engine::batch::{Answer, Answerer, Batch, Submission};
use chirrup_engine::effects::EffectReader;
use chirrup_engine::positions::{NOTES, NotRaised, Positions, Waiter};
use chirrup_engine::queue::{LocalQueue, Queue};
use chirrup_engine::recovery::{self, Fresh, RecoveryError};
use chirrup_engine::router::Router;
use chirrup_engine::runner::Runner;
use chirrup_engine::views::Views;
use chirrup_store::keys;
use chirrup_store::kv::{CommitError, Kv, Row};
use chirrup_store::offset::Offset;
use chirrup_store::record::{self, PositionRow};

use crate::control::{Control, Seam};
use crate::kv::ReplicatedKv;
use crate::met::{Met, Rare};
use crate::plan::{CONVERSATIONS, USERS};

/// Positions in one part of a flush: all that a schedule has, as which of them come first is left to
/// the order of a hash map, and a schedule must replay exactly.
const FLUSH_MAX: usize = USERS as usize * CONVERSATIONS as usize + 1;

/// Where answers arrive, with the number under which they were asked for.
pub(crate) type Told<T> = Arc<Mutex<Vec<(usize, T)>>>;

/// The process is no more.
pub(crate) struct Died;

/// A batch of which it is not known what became of it.
struct Doubt {
    number: u64,
    batch: Batch,
    rows: Vec<Row>,
}

/// What all lives of the server have in common.
pub(crate) struct Ground {
    pub(crate) kv: Arc<ReplicatedKv>,
    pub(crate) seam: Arc<Seam>,
    pub(crate) control: Option<Control>,
    pub(crate) met: Met,
    /// The time that is, ms, and how far the clock of the process is from it.
    pub(crate) now_ms: u64,
    pub(crate) skew_ms: i64,
    pub(crate) stamps: u64,
    /// Time of the last event.
    last_event_ms: u64,
    /// Effects that were sent.
    sent: HashMap<(AggregateId, u64, u32), u64>,
    /// Lives so far.
    pub(crate) lives: u64,
}

impl Ground {
    pub(crate) fn new(control: Option<Control>, met: Met) -> Self {
        let kv = Arc::new(ReplicatedKv::default());
        Self {
            seam: Arc::new(Seam::new(Arc::clone(&kv), control)),
            kv,
            control,
            met,
            // A few days after the beginning of time, so that a clock may be set back.
            now_ms: 1 << 30,
            skew_ms: 0,
            stamps: 0,
            last_event_ms: 0,
            sent: HashMap::new(),
            lives: 0,
        }
    }

    pub(crate) fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        self.now_ms += 1;
        let time = self.now_ms.saturating_add_signed(self.skew_ms);
        self.seam.now_ms.store(time, Ordering::Relaxed);
        Stamp { time, salt: Salt(u128::from(self.stamps).to_be_bytes()) }
    }
}

/// A life of the server.
pub(crate) struct Node {
    pub(crate) life: u64,
    runner: Runner,
    effects: EffectReader,
    positions: Arc<Positions>,
    pub(crate) views: Views,
    router: Router,
    queue: LocalQueue,
    notes: VecDeque<Command>,
    doubt: Option<Doubt>,
}

impl Node {
    /// Starts; fails only if it dies on the way.
    pub(crate) fn start(ground: &mut Ground) -> Result<Self, Died> {
        ground.lives += 1;
        ground.seam.starting.store(true, Ordering::Relaxed);
        let begun = Self::begin(ground);
        let Seam { starting, removed, refolded, .. } = &*ground.seam;
        starting.store(false, Ordering::Relaxed);
        ground.met.add(Rare::Removed, removed.swap(0, Ordering::Relaxed));
        ground.met.add(Rare::Refolded, refolded.swap(0, Ordering::Relaxed));
        begun.map_err(|_| {
            ground.met.note(Rare::CrashInRecovery);
            Died
        })
    }

    fn begin(ground: &Ground) -> Result<Self, RecoveryError> {
        let kv = Arc::clone(&ground.seam) as Arc<dyn Kv>;
        // Random for each life, as it is at the edge.
        let fresh = Fresh { key: [ground.lives as u8; 32], incarnation: ground.lives };
        let recovered = recovery::recover(&*kv, &fresh)?;
        if owes_positions(&ground.kv) {
            ground.met.note(Rare::PositionOwed);
        }
        let positions = Arc::new(Positions::recover(&*kv, &recovered.marks)?);
        let effects = EffectReader::recover(&*kv, &recovered.marks)?;
        Ok(Self {
            life: ground.lives,
            runner: Runner::new(Arc::clone(&kv), recovered.epoch),
            effects,
            views: Views::new(kv, Arc::clone(&positions) as _),
            positions,
            router: Router::new(recovered.marks),
            queue: LocalQueue::default(),
            notes: VecDeque::new(),
            doubt: None,
        })
    }

    pub(crate) fn in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.doubt.is_none() && self.queue.is_empty() && self.notes.is_empty() && self.effects.is_idle()
    }

    /// Puts a command into the queue; a full one refuses it.
    pub(crate) fn push(&mut self, submission: Submission) {
        if let Err(full) = self.queue.push(submission) {
            (full.0.answer)(Answer::StorageBusy);
        }
    }

    pub(crate) fn raise(&self, conversation: ConversationId, user: UserId, position: PositionRow, waiter: Waiter) {
        self.positions.raise(conversation, user, position, waiter);
    }

    /// Decides and commits what waits, with so many batches decided before the first is committed.
    pub(crate) fn work(&mut self, ground: &mut Ground, take: usize, ahead: usize) -> Result<(), Died> {
        if self.doubt.is_some() {
            return self.try_again(ground);
        }
        let all: Vec<u8> = (0..SHARDS).collect();
        let mut batches = VecDeque::new();
        for _ in 0..ahead.max(1) {
            let mut taken = VecDeque::from(self.queue.take(&all, take.div_ceil(ahead.max(1))));
            if !taken.is_empty() {
                batches.push_back(self.runner.prepare(&mut taken));
            }
        }
        while let Some((number, mut batch)) = batches.pop_front() {
            if ground.control == Some(Control::AckFirst) {
                tell(std::mem::take(&mut batch.answers));
                batch.awaiting.clear();
            }
            let rows = std::mem::take(&mut batch.rows);
            match commit(ground, &rows) {
                Ok(()) => self.made(ground, number, batch),
                Err(_) if ground.kv.is_dead() => {
                    ground.met.note(Rare::CrashInBatch);
                    return Err(Died);
                }
                Err(_) => {
                    let truth = match (ground.kv.holds(&rows), ground.kv.holds_any(&rows)) {
                        (true, _) => Some(Rare::UnknownAndWritten),
                        (false, false) => Some(Rare::UnknownAndNotWritten),
                        (false, true) => None,
                    };
                    if let Some(rare) = truth {
                        ground.met.note(rare);
                    }
                    self.fall(ground, batch, rows, number, batches);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Nothing stands that was decided on top of a batch of unknown fate; nothing is, until it is known.
    fn fall(&mut self, ground: &Ground, mut batch: Batch, rows: Vec<Row>, number: u64, ahead: VecDeque<(u64, Batch)>) {
        self.views.doubted();
        batch.awaiting.clear();
        refuse(std::mem::take(&mut batch.answers), &Answer::Unknown);
        for (_, batch) in ahead {
            ground.met.note(Rare::FellWithAnother);
            refuse(batch.answers, &Answer::StorageBusy);
        }
        self.refuse_all();
        self.runner.reset();
        if ground.control != Some(Control::DoubtForgotten) {
            self.doubt = Some(Doubt { number, batch, rows });
        }
    }

    fn refuse_all(&mut self) {
        let all: Vec<u8> = (0..SHARDS).collect();
        while !self.queue.is_empty() {
            for submission in self.queue.take(&all, usize::MAX) {
                (submission.answer)(Answer::StorageBusy);
            }
        }
    }

    /// Commits the very same rows again.
    fn try_again(&mut self, ground: &mut Ground) -> Result<(), Died> {
        let Some(Doubt { number, batch, rows }) = self.doubt.take() else { return Ok(()) };
        match commit(ground, &rows) {
            Ok(()) => self.made(ground, number, batch),
            Err(_) if ground.kv.is_dead() => {
                ground.met.note(Rare::UnknownAndCrash);
                return Err(Died);
            }
            Err(_) => {
                ground.met.note(Rare::UnknownAgain);
                self.doubt = Some(Doubt { number, batch, rows });
            }
        }
        self.refuse_all();
        self.runner.reset();
        Ok(())
    }

    fn made(&mut self, ground: &mut Ground, number: u64, batch: Batch) {
        self.runner.settle(number);
        let mut awaiting = batch.awaiting.iter().peekable();
        let mut told = Vec::new();
        for (place, (answerer, answer)) in batch.answers.into_iter().enumerate() {
            match awaiting.next_if(|(held, ..)| *held == place) {
                Some((_, shard, offset)) => self.effects.hold(*shard, *offset, Box::new(move || answerer(answer))),
                None => told.push((answerer, answer)),
            }
        }
        self.positions.published(&batch.published);
        for event in &batch.published {
            self.views.published(event);
            let time = event.event.envelope.time;
            if ground.now_ms.saturating_add_signed(ground.skew_ms) < time {
                ground.met.note(Rare::ClockBack);
            }
            ground.last_event_ms = ground.last_event_ms.max(time);
        }
        self.router.publish(&batch.published);
        self.effects.published(&batch.published);
        tell(told);
    }

    /// Puts the next effects into the queue.
    pub(crate) fn send_effects(&mut self, ground: &mut Ground, max: usize) {
        for _ in 0..max {
            let stamp = ground.stamp();
            let Ok(Some(submission)) = self.effects.next(&*ground.seam, || stamp) else { return };
            if let Origin::Effect { source, seq, n } = &submission.command.origin {
                let life = ground.sent.insert((source.clone(), *seq, *n), self.life);
                if life.is_some_and(|life| life < self.life) {
                    ground.met.note(Rare::EffectAgain);
                }
            }
            self.push(submission);
        }
    }

    /// Writes positions and marks, unless the committer is busy with a batch of unknown fate.
    pub(crate) fn flush(&mut self, ground: &mut Ground) -> Result<(), Died> {
        while self.doubt.is_none() {
            let merging = &ground.seam.merging;
            merging.store(true, Ordering::Relaxed);
            let taken = self.positions.take_flush(&*ground.seam, FLUSH_MAX);
            merging.store(false, Ordering::Relaxed);
            let Ok(mut flush) = taken else { return Ok(()) };
            let full = flush.positions.len() >= FLUSH_MAX;
            let mut rows = std::mem::take(&mut flush.rows);
            rows.extend(self.effects.marks());
            let result = commit(ground, &rows);
            if ground.kv.is_dead() {
                ground.met.note(Rare::CrashInFlush);
                return Err(Died);
            }
            for (user, positions) in self.positions.flushed(flush, result.is_ok(), &mut self.router) {
                let action = Action::User(user::Action::NotePositions { positions });
                self.notes.push_back(Command { aggregate: AggregateId::User(user), origin: Origin::Timer, stamp: ground.stamp(), action });
            }
            if !full || result.is_err() {
                break;
            }
        }
        for command in std::mem::take(&mut self.notes) {
            self.push(Submission { command, answer: Box::new(|_| {}) });
        }
        Ok(())
    }
}

/// Whether positions were written of which their users' logs may not tell yet.
fn owes_positions(kv: &ReplicatedKv) -> bool {
    let key = keys::meta(NOTES, &[]);
    let row = kv.peek(&key).and_then(|bytes| record::decode_notes(&key, &bytes).ok());
    row.is_some_and(|row| !row.notes.is_empty())
}

fn commit(ground: &Ground, rows: &[Row]) -> Result<(), CommitError> {
    if rows.is_empty() { Ok(()) } else { ground.seam.commit(rows) }
}

fn tell(answers: Vec<(Answerer, Answer)>) {
    for (answerer, answer) in answers {
        answerer(answer);
    }
}

fn refuse(answers: Vec<(Answerer, Answer)>, why: &Answer) {
    for (answerer, _) in answers {
        answerer(why.clone());
    }
}

/// A command whose answer arrives under this number.
pub(crate) fn listen(told: &Told<Answer>, number: usize, command: Command) -> Submission {
    let told = Arc::clone(told);
    let answer = move |answer| told.lock().unwrap_or_else(PoisonError::into_inner).push((number, answer));
    Submission { command, answer: Box::new(answer) }
}

/// The same for a position.
pub(crate) fn wait(told: &Told<Result<PositionRow, NotRaised>>, number: usize) -> Waiter {
    let told = Arc::clone(told);
    Box::new(move |result| told.lock().unwrap_or_else(PoisonError::into_inner).push((number, result)))
}

/// The place before the first of a feed.
pub(crate) const START: Offset = Offset { epoch: 0, n: 0, k: 0 };
