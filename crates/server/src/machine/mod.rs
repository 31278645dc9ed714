//! The machine that drives the engine: the threads of the runner, the committer, the keeper and
//! of doubts about who may watch whom.
//! Here meet what the engine must not know (threads, clocks) and what the rest of the server must
//! not know (in what order a command, its rows and its events go).

mod bell;
mod committer;
mod doubts;
mod intake;
mod keeper;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chirrup_core::aggregate::{Command, Stamp};
use chirrup_core::hash::ServerKey;
use chirrup_core::ids::Time;
use chirrup_core::presence::Presence;
use chirrup_engine::batch::{Answer, Published, Submission};
use chirrup_engine::effects::EffectReader;
use chirrup_engine::positions::Positions;
use chirrup_engine::presence;
use chirrup_engine::queue::Full;
use chirrup_engine::recovery::{self, Fresh, RecoveryError};
use chirrup_engine::router::Router;
use chirrup_engine::runner::Runner;
use chirrup_engine::views::Views;
use chirrup_store::kv::{self, Kv};
use tokio::sync::{Semaphore, oneshot};

use crate::edge::{self, Stamps};
use crate::metrics::Metrics;
use bell::Bell;
use committer::Job;
pub use intake::{Intake, Stale};

/// Reads of the store that may be under way at once; more wait their turn.
pub const READS_MAX: usize = 64;
/// How long the runner waits for commands before it looks whether it should stop.
const RUNNER_PATIENCE: Duration = Duration::from_millis(200);

/// How long a start waits for what the last run left to do.
const OWED_PATIENCE: Duration = Duration::from_secs(10);

/// Intervals of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Positions are merged and written so often.
    pub merge: Duration,
    /// How long somebody whose last connection closed still counts as online, ms.
    pub presence_grace_ms: u64,
}

/// Whether changes are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// They are.
    Serving,
    /// Only those that free room: the disk is full. Says how full.
    Full(String),
    /// None now: what became of the last batch is not known, and is asked until it is. Says why.
    Busy(String),
    /// None until a restart: the store has failed. Says how.
    ReadOnly(String),
    /// None: the server is about to stop.
    Stopping,
}

/// What the threads share.
struct Shared {
    key: ServerKey,
    kv: Arc<dyn Kv>,
    intake: Intake,
    views: Views,
    router: Mutex<Router>,
    presence: Mutex<Presence>,
    positions: Arc<Positions>,
    effects: Mutex<EffectReader>,
    keeper: Bell,
    doubts: Bell,
    /// Rung when what is not known is to be tried again at once.
    again: Bell,
    stamps: Stamps,
    metrics: Arc<Metrics>,
    /// Rises when a batch was not committed: what was decided since does not stand.
    generation: AtomicU64,
    /// Why it is not known what became of the batch that is being committed, while it is not.
    unsure: Mutex<Option<String>>,
    /// Whether the last batch that was not committed may have been, and not refused for want of room.
    fell_in_doubt: AtomicBool,
    /// Number of the last batch that is durable.
    settled: AtomicU64,
    stopping: AtomicBool,
}

/// The running engine of one process.
pub struct Machine {
    shared: Arc<Shared>,
    incarnation: u64,
    reads: Semaphore,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Lets everybody know of events that are durable.
    fn publish(&self, published: &[Published]) {
        if published.is_empty() {
            return;
        }
        self.positions.published(published);
        for event in published {
            self.views.published(event);
        }
        lock(&self.router).publish(published);
        doubts::published(self, published);
        if lock(&self.effects).published(published) {
            self.keeper.ring();
        }
    }

    /// Whether it is not known what became of the last batch. Nothing can be decided then, for what
    /// is read may be with it or without it.
    fn is_unsure(&self) -> bool {
        lock(&self.unsure).is_some()
    }

    /// The answer to what was not even tried, because something before it was not committed.
    fn not_taken(&self) -> Answer {
        match self.kv.status() {
            kv::Status::Stopped(_) => Answer::StorageFailed,
            kv::Status::Ready | kv::Status::Full(_) if self.fell_in_doubt.load(Ordering::Acquire) => Answer::StorageBusy,
            kv::Status::Ready | kv::Status::Full(_) => Answer::StorageFull,
        }
    }

    /// Lets watchers know who came and went.
    fn tell_presence(&self, now_ms: Time) {
        let mut presence = lock(&self.presence);
        presence.tick(now_ms);
        presence::tell(&mut presence, &mut lock(&self.router));
    }
}

impl Machine {
    /// Reads what the store knows and starts the threads.
    pub fn start(kv: Arc<dyn Kv>, options: Options, metrics: Arc<Metrics>) -> Result<Arc<Self>, RecoveryError> {
        let fresh = Fresh { key: edge::random(), incarnation: edge::incarnation() };
        let recovered = recovery::recover(&*kv, &fresh)?;
        let positions = Arc::new(Positions::recover(&*kv, &recovered.marks)?);
        let effects = EffectReader::recover(&*kv, &recovered.marks)?;
        let shared = Arc::new(Shared {
            key: recovered.key,
            views: Views::new(Arc::clone(&kv), Arc::clone(&positions) as _),
            router: Mutex::new(Router::new(recovered.marks)),
            presence: Mutex::new(Presence::new(options.presence_grace_ms)),
            positions,
            effects: Mutex::new(effects),
            keeper: Bell::default(),
            doubts: Bell::default(),
            again: Bell::default(),
            intake: Intake::new(),
            stamps: Stamps::default(),
            metrics,
            generation: AtomicU64::new(0),
            unsure: Mutex::new(None),
            fell_in_doubt: AtomicBool::new(false),
            settled: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            kv,
        });
        let (jobs, work) = committer::channel();
        let (rests, at_rest) = sync_channel(1);
        let runner = Runner::new(Arc::clone(&shared.kv), recovered.epoch);
        let threads = vec![
            spawn("committer", &shared, move |shared| committer::run(shared, &work)),
            spawn("runner", &shared, {
                let jobs = jobs.clone();
                move |shared| run(shared, runner, &jobs)
            }),
            spawn("keeper", &shared, move |shared| keeper::run(shared, &jobs, options.merge, &rests)),
            spawn("doubts", &shared, doubts::run),
        ];
        // What follows from the last run's changes is done first, so that a client whose retry is
        // answered `duplicate` finds it done. A store that takes nothing is served all the same.
        if at_rest.recv_timeout(OWED_PATIENCE).is_err() {
            tracing::warn!("what follows from the last changes before the stop is done later");
        }
        Ok(Arc::new(Self { shared, incarnation: recovered.incarnation, reads: Semaphore::new(READS_MAX), threads: Mutex::new(threads) }))
    }

    /// Asks for a change and waits until it is decided and durable. Waits for room in the queue.
    pub async fn submit(&self, command: Command) -> Answer {
        let (told, answer) = oneshot::channel();
        let submission = Submission { command, answer: Box::new(move |answer| drop(told.send(answer))) };
        if self.shared.intake.push(submission, None).await.is_err() {
            return Answer::Unknown;
        }
        answer.await.unwrap_or(Answer::Unknown)
    }

    /// As [`Machine::submit`], told by a callback; see [`Intake::push`] for `generation`.
    pub async fn push(&self, submission: Submission, generation: Option<u64>) -> Result<(), Stale> {
        self.shared.intake.push(submission, generation).await
    }

    /// Puts a command in if there is room now.
    pub fn try_push(&self, submission: Submission) -> Result<(), Full> {
        self.shared.intake.try_push(submission)
    }

    /// The answer to what is not even tried, because something before it was not committed.
    pub fn not_taken(&self) -> Answer {
        self.shared.not_taken()
    }

    /// Rises whenever waiting commands were refused because a batch was not committed.
    pub fn generation(&self) -> u64 {
        self.shared.intake.generation()
    }

    /// Runs a read of the store on a thread that may block; at most [`READS_MAX`] at once.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Views) -> T + Send + 'static) -> T {
        let _turn = self.reads.acquire().await.expect("the semaphore is never closed");
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || read(&shared.views)).await {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Reads of committed data, for threads that may block.
    pub fn views(&self) -> &Views {
        &self.shared.views
    }

    /// Who is connected and hears what.
    pub fn router(&self) -> MutexGuard<'_, Router> {
        lock(&self.shared.router)
    }

    /// Who is there.
    pub fn presence(&self) -> MutexGuard<'_, Presence> {
        lock(&self.shared.presence)
    }

    /// Tells watchers what changed in [`Machine::presence`]; call it after a change.
    pub fn tell_presence(&self) {
        self.shared.tell_presence(edge::now_ms());
    }

    /// Has it found out soon what [`Machine::presence`] has put in doubt.
    pub fn settle_doubts(&self) {
        self.shared.doubts.ring();
    }

    /// How far everybody has read.
    pub fn positions(&self) -> &Positions {
        &self.shared.positions
    }

    /// From which ids are made.
    pub fn key(&self) -> &ServerKey {
        &self.shared.key
    }

    /// Of the store: cursors of another are of no use.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        self.shared.intake.waiting()
    }

    /// The store, for its figures.
    pub fn kv(&self) -> &dyn Kv {
        &*self.shared.kv
    }

    /// A stamp for a command that is made now.
    pub fn stamp(&self) -> Stamp {
        self.shared.stamps.next()
    }

    /// Whether changes are taken.
    pub fn status(&self) -> Status {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Status::Stopping;
        }
        if let Some(why) = &*lock(&self.shared.unsure) {
            return Status::Busy(why.clone());
        }
        match self.shared.kv.status() {
            kv::Status::Ready => Status::Serving,
            kv::Status::Full(why) => Status::Full(why),
            kv::Status::Stopped(why) => Status::ReadOnly(why),
        }
    }

    /// Decides and commits what waits, writes what is merged, and ends the threads. Blocks.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.intake.stop();
        self.shared.keeper.ring();
        self.shared.doubts.ring();
        self.shared.again.ring();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the machine has panicked");
            }
        }
    }
}

fn spawn(name: &str, shared: &Arc<Shared>, body: impl FnOnce(&Arc<Shared>) + Send + 'static) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&shared)).expect("the system can start a thread")
}

/// The runner's thread: takes what waits, decides it, hands it to the committer.
fn run(shared: &Arc<Shared>, mut runner: Runner, jobs: &SyncSender<Job>) {
    let mut generation = shared.generation.load(Ordering::Acquire);
    while let Some(submissions) = shared.intake.take(RUNNER_PATIENCE) {
        let mut now = shared.generation.load(Ordering::Acquire);
        if now == generation && shared.is_unsure() {
            // Of a sender none may be taken behind one that is refused here.
            now = shared.generation.fetch_add(1, Ordering::AcqRel) + 1;
        }
        if now != generation {
            // What these commands would stand on is gone, and so is the order of their senders.
            runner.reset();
            for submission in submissions {
                (submission.answer)(shared.not_taken());
            }
            shared.intake.refuse_all(now, &shared.not_taken());
            generation = now;
            continue;
        }
        let mut submissions = VecDeque::from(submissions);
        while !submissions.is_empty() {
            runner.settle(shared.settled.load(Ordering::Acquire));
            let (number, batch) = runner.prepare(&mut submissions);
            if jobs.send(Job::Decided { number, generation, batch }).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
