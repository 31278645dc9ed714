//! A server of one thread: what the machine does with runner, store and effects, without its
//! threads, and with a store that fails when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chirrup_core::aggregate::{Action, AggregateId, Command, Origin, Stamp};
use chirrup_core::hash::Salt;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::{conversation, user};
use chirrup_engine::batch::{Answer, Batch, Submission};
use chirrup_engine::effects::EffectReader;
use chirrup_engine::recovery::{self, Fresh, Marks};
use chirrup_engine::runner::Runner;
use chirrup_store::kv::{CommitError, Key, Kv, Range, Row, Table};
use chirrup_store::log;

use crate::generator::users;
use crate::store::{Fate, Store};

/// Batches that are decided and not committed.
const AHEAD: usize = 3;

/// Answers in the order of the commands.
pub(crate) type Told = Arc<Mutex<Vec<Option<Answer>>>>;

pub(crate) struct World {
    pub(crate) kv: Arc<Store>,
    pub(crate) effects: EffectReader,
    pub(crate) marks: Marks,
    /// Effects that were sent, to be sent again.
    pub(crate) sent: Vec<Command>,
    /// What becomes of the commits of the next recoveries.
    pub(crate) tears: Vec<Fate>,
    /// Reads that succeed before one fails, when the next commands are decided.
    pub(crate) unread: Option<usize>,
    /// Answers of commands with effects wait until these are taken, as in the machine.
    pub(crate) holds: bool,
    /// Commits that were torn so that a log had events beyond a gap.
    pub(crate) gaps: usize,
    runner: Runner,
    ticks: u64,
}

pub(crate) fn conversation(n: u8) -> ConversationId {
    ConversationId([0xc0 | n; 16])
}

impl World {
    /// A new store in which every user of the generator exists.
    pub(crate) fn new() -> Self {
        let mut world = Self::over(&[]);
        let create = |user: UserId| {
            let name = format!("user{}", user.0[0]);
            let action = user::Action::Create { name: name.clone(), display_name: name.clone() };
            let origin = Origin::Effect { source: AggregateId::Name(name), seq: 1, n: 0 };
            (AggregateId::User(user), origin, Action::User(action))
        };
        let all = users().map(create).map(|(aggregate, origin, action)| world.command(aggregate, origin, action)).collect();
        world.ask(vec![all], Fate::Made);
        world
    }

    /// A store that holds these rows.
    pub(crate) fn over(rows: &[Row]) -> Self {
        let kv = Arc::new(Store::default());
        kv.commit(rows).expect("memory takes it");
        let (runner, effects, marks) = start(&kv, Vec::new());
        Self { kv, effects, marks, sent: Vec::new(), tears: Vec::new(), unread: None, holds: false, gaps: 0, runner, ticks: 0 }
    }

    /// Every row there is, of every table but the marks and epochs of the server itself.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for table in Table::ALL {
            for partition in self.kv.partitions(table, None, 10_000).expect("memory can be read") {
                let range = Range { table, partition, from: Vec::new(), until: None, descending: false, limit: 10_000 };
                for (sort, value) in self.kv.range(&range).expect("memory can be read") {
                    let key = Key::new(table, range.partition.clone(), sort);
                    rows.push(Row { key, value: Some(value), version: 1 });
                }
            }
        }
        rows
    }

    pub(crate) fn command(&mut self, aggregate: AggregateId, origin: Origin, action: Action) -> Command {
        Command { aggregate, origin, stamp: self.stamp(), action }
    }

    pub(crate) fn stamp(&mut self) -> Stamp {
        self.ticks += 1;
        Stamp { time: 1_000_000 + self.ticks, salt: Salt(u128::from(self.ticks).to_be_bytes()) }
    }

    /// Decides these batches, a few before the first is committed, as a runner does that is ahead
    /// of the committer. The first meets its fate; if that is not good, the others fall with it.
    pub(crate) fn ask(&mut self, batches: Vec<Vec<Command>>, fate: Fate) -> Vec<Answer> {
        self.ask_with(Vec::new(), batches, fate)
    }

    /// The same, with effects before the first batch.
    pub(crate) fn ask_with(&mut self, effects: Vec<Submission>, batches: Vec<Vec<Command>>, fate: Fate) -> Vec<Answer> {
        let told = Told::default();
        let listen = |batch: Vec<Command>| batch.into_iter().map(|command| listen(&told, command)).collect();
        let mut submissions: Vec<Vec<Submission>> = batches.into_iter().map(listen).collect();
        if let Some(first) = submissions.first_mut() {
            first.splice(0..0, effects);
        }
        self.run(submissions, fate);
        let answers = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        answers.into_iter().map(|answer| answer.expect("every command is answered")).collect()
    }

    /// As [`World::ask`], for commands that have somebody who listens.
    pub(crate) fn run(&mut self, batches: Vec<Vec<Submission>>, fate: Fate) {
        if let Some(reads) = self.unread.take() {
            self.kv.fail_read_after(reads);
        }
        let mut fate = Some(fate);
        let mut waiting: VecDeque<VecDeque<Submission>> = batches.into_iter().map(VecDeque::from).collect();
        let mut ahead: VecDeque<(u64, Batch)> = VecDeque::new();
        let failed = loop {
            while ahead.len() < AHEAD
                && let Some(batch) = waiting.front_mut()
            {
                ahead.push_back(self.runner.prepare(batch));
                if batch.is_empty() {
                    waiting.pop_front();
                }
            }
            let Some((number, batch)) = ahead.pop_front() else { break None };
            if batch.rows.is_empty() {
                self.made(number, batch);
            } else if let Some(answer) = self.commit(number, batch, fate.take().unwrap_or(Fate::Made)) {
                break Some(answer);
            }
        };
        self.kv.heal();
        let Some(answer) = failed else { return };
        for (_, batch) in ahead {
            refuse(batch, &answer);
        }
        for submission in waiting.into_iter().flatten() {
            (submission.answer)(answer.clone());
        }
        match answer {
            Answer::StorageFull => self.runner.reset(),
            _ => self.restart(),
        }
    }

    fn commit(&mut self, number: u64, mut batch: Batch, fate: Fate) -> Option<Answer> {
        let rows = std::mem::take(&mut batch.rows);
        let beyond: Vec<(AggregateId, Seq)> = batch.published.iter().map(|event| (event.aggregate.clone(), event.event.seq())).collect();
        self.kv.plan([fate]);
        let answer = match self.kv.commit(&rows) {
            Ok(()) => {
                self.made(number, batch);
                return None;
            }
            Err(CommitError::Refused(_)) => Answer::StorageFull,
            Err(_) => Answer::Unknown,
        };
        self.kv.heal();
        let is_there = |of: &AggregateId, seq| log::event(&*self.kv, of, seq).expect("memory can be read").is_some();
        self.gaps += usize::from(beyond.iter().any(|(of, seq)| is_there(of, *seq) && !is_there(of, seq - 1) && *seq > 1));
        refuse(batch, &answer);
        Some(answer)
    }

    fn made(&mut self, number: u64, batch: Batch) {
        self.runner.settle(number);
        let mut awaiting = batch.awaiting.iter().filter(|_| self.holds).peekable();
        let mut told = Vec::new();
        for (place, (answerer, answer)) in batch.answers.into_iter().enumerate() {
            match awaiting.next_if(|(held, ..)| *held == place) {
                Some((_, shard, offset)) => self.effects.hold(*shard, *offset, Box::new(move || answerer(answer))),
                None => told.push((answerer, answer)),
            }
        }
        self.effects.published(&batch.published);
        for event in &batch.published {
            self.marks[usize::from(event.shard)] = event.offset;
        }
        for (answerer, answer) in told {
            answerer(answer);
        }
    }

    /// The process dies and comes back.
    pub(crate) fn restart(&mut self) {
        (self.runner, self.effects, self.marks) = start(&self.kv, std::mem::take(&mut self.tears));
        self.kv.arrive();
    }

    /// The next effects, at most so many, or as many as can be read.
    pub(crate) fn effects(&mut self, max: usize) -> Vec<Submission> {
        let stamp = self.stamp();
        let mut effects = Vec::new();
        while effects.len() < max
            && let Ok(Some(effect)) = self.effects.next(&*self.kv, || stamp)
        {
            self.sent.push(effect.command.clone());
            effects.push(effect);
        }
        effects
    }

    /// Sends effects until none is left.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let effects = self.effects(7);
            if effects.is_empty() {
                assert!(self.effects.is_idle(), "no effect to send, and yet not all are taken");
                return;
            }
            self.run(vec![effects], Fate::Made);
        }
        panic!("effects without an end");
    }

    /// Stores the effect reader's marks.
    pub(crate) fn save_marks(&mut self) {
        let rows = self.effects.marks();
        self.kv.commit(&rows).expect("memory takes it");
    }

    pub(crate) fn head(&self, aggregate: &AggregateId) -> Seq {
        log::events(&*self.kv, aggregate, 0, 10_000).expect("memory can be read").len() as Seq
    }
}

/// Recovers, again whenever the recovery itself is torn.
fn start(kv: &Arc<Store>, tears: Vec<Fate>) -> (Runner, EffectReader, Marks) {
    kv.plan(tears);
    let recovered = (0..100).find_map(|_| recovery::recover(&**kv, &Fresh { key: [7; 32], incarnation: 7 }).ok());
    kv.heal();
    let recovered = recovered.expect("a recovery that is not torn works");
    let effects = EffectReader::recover(&**kv, &recovered.marks).expect("memory can be read");
    (Runner::new(Arc::clone(kv) as Arc<dyn Kv>, recovered.epoch), effects, recovered.marks)
}

/// A command whose answer is put in the next place.
pub(crate) fn listen(told: &Told, command: Command) -> Submission {
    let place = {
        let mut answers = told.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push(None);
        answers.len() - 1
    };
    let told = Arc::clone(told);
    let answer = move |answer| told.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(answer);
    Submission { command, answer: Box::new(answer) }
}

fn refuse(batch: Batch, answer: &Answer) {
    for (answerer, _) in batch.answers {
        answerer(answer.clone());
    }
}

/// A command of a conversation, with a place for it.
pub(crate) fn of_conversation(n: u8, action: conversation::Action) -> (AggregateId, Action) {
    (AggregateId::Conversation(conversation(n)), Action::Conversation(action))
}
