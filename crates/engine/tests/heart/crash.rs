//! Random commands in random batches, over a store that stops between any two partitions of a
//! commit and a process that comes back: what was acknowledged stays, what was not is settled by
//! a retry, and every row is what folding the log again gives.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::OnceLock;

use chirrup_core::aggregate::{AggregateId, Command, Outcome};
use chirrup_core::conversation::{Action, BUCKET};
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::ids::Seq;
use chirrup_engine::batch::Answer;
use chirrup_store::kv::Row;
use chirrup_store::{log, record};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::cases;
use crate::generator::{Ask, ask, creation, origin, resolve, user, users};
use crate::judge;
use crate::store::Fate;
use crate::world::{World, conversation, of_conversation};

const CONVERSATIONS: u8 = 2;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Made),
        1 => Just(Fate::Refused),
        3 => (0..40_usize).prop_map(Fate::Torn),
        3 => any::<u64>().prop_map(Fate::Scattered),
    ]
}

/// One turn of the machine.
#[derive(Clone)]
struct Turn {
    /// Commands in each of the batches that are decided before the first is committed.
    batches: Vec<usize>,
    /// Effects that go with the first of them.
    effects: usize,
    fate: Fate,
    /// What becomes of the commits of a recovery that follows.
    recovery: Vec<Fate>,
    /// A command that was settled is sent again: which, and whether with another body.
    again: Option<(prop::sample::Index, bool)>,
    /// The effect reader's marks are stored after it.
    save: bool,
    /// Reads that succeed before one fails while the commands are decided.
    unread: Option<usize>,
}

/// On one line, so that a failing history can be read.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, effects, fate, recovery, again, save, unread } = self;
        write!(
            f,
            "batches {batches:?} and {effects} effects: {fate:?}; recovery {recovery:?}, again {again:?}, marks saved: {save}, failing read {unread:?}"
        )
    }
}

fn turn(batch: std::ops::Range<usize>) -> impl Strategy<Value = Turn> {
    let recovery = prop::collection::vec(
        prop_oneof![1 => Just(Fate::Made), 2 => (0..9_usize).prop_map(Fate::Torn), 1 => any::<u64>().prop_map(Fate::Scattered)],
        0..4,
    );
    let again = prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<bool>()));
    let unread = prop::option::weighted(0.3, 0..30_usize);
    (prop::collection::vec(batch, 1..6), 0..4_usize, fate(), recovery, again, any::<bool>(), unread)
        .prop_map(|(batches, effects, fate, recovery, again, save, unread)| Turn { batches, effects, fate, recovery, again, save, unread })
}

fn asks(of: impl Strategy<Value = u8>, length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(u8, Ask)>> {
    let begin = prop::collection::vec(creation(), usize::from(CONVERSATIONS));
    (begin, prop::collection::vec((of, ask()), length)).prop_map(|(begin, mut asks)| {
        for (n, action) in (0..CONVERSATIONS).zip(begin) {
            asks.insert(usize::from(n), (n, Ask { user: user(0), action }));
        }
        asks
    })
}

/// A command of a client, from its making until it is settled.
struct Asked {
    of: u8,
    by: Ask,
    number: u64,
    settled: Option<Outcome>,
}

struct Run {
    world: World,
    asked: Vec<Asked>,
    waiting: VecDeque<usize>,
}

impl Run {
    fn new(world: World, asks: Vec<(u8, Ask)>) -> Self {
        let number = |(number, (of, by))| Asked { of, by, number, settled: None };
        let asked: Vec<Asked> = (1..).zip(asks).map(number).collect();
        Self { world, waiting: (0..asked.len()).collect(), asked }
    }

    /// The command of an ask, made anew for each try, with the same client id and body.
    fn command(&mut self, n: usize, body: u8) -> Command {
        let Asked { of, by, number, .. } = &mut self.asked[n];
        let (aggregate, action) = of_conversation(*of, by.action.clone());
        let origin = origin(by.user, *number, body);
        self.world.command(aggregate, origin, action)
    }

    /// What an ask names is fixed when it is sent first.
    fn fix(&mut self, n: usize) {
        let of = AggregateId::Conversation(conversation(self.asked[n].of));
        let head = self.world.head(&of);
        let by = &mut self.asked[n].by;
        by.action = resolve(by.action.clone(), head);
    }

    fn turn(&mut self, turn: &Turn) -> Result<(), TestCaseError> {
        let mut sent: Vec<usize> = Vec::new();
        let mut batches: Vec<Vec<Command>> = Vec::new();
        for size in &turn.batches {
            let taken: Vec<usize> = (0..*size).map_while(|_| self.waiting.pop_front()).collect();
            batches.push(taken.iter().map(|n| self.command(*n, 0)).collect());
            sent.extend(taken);
        }
        let settled: Vec<usize> = (0..self.asked.len()).filter(|n| self.asked[*n].settled.is_some()).collect();
        let again = turn.again.filter(|_| !settled.is_empty()).map(|(which, other)| (*which.get(&settled), other));
        if let Some((n, other)) = again {
            let command = self.command(n, u8::from(other));
            batches.last_mut().expect("a turn has a batch").push(command);
        }
        self.world.tears.clone_from(&turn.recovery);
        let effects = self.world.effects(turn.effects);
        // Where nothing exists yet, what is refused is not remembered.
        self.world.unread = turn.unread.filter(|_| sent.iter().all(|n| *n >= usize::from(CONVERSATIONS)));
        let answers = self.world.ask_with(effects, batches, turn.fate);
        let mut retried = VecDeque::new();
        for (n, answer) in sent.into_iter().zip(&answers) {
            match answer {
                Answer::Decided { outcome, .. } => self.asked[n].settled = Some(outcome.clone()),
                Answer::StorageFull | Answer::StorageFailed | Answer::StorageBusy | Answer::Unknown | Answer::Failed(_) => {
                    retried.push_back(n);
                }
                Answer::Conflict => prop_assert!(false, "a conflict of {:?}", self.asked[n].by),
            }
        }
        if let Some((n, other)) = again {
            match answers.last().expect("it was sent") {
                Answer::Decided { outcome, duplicate: true } if !other => prop_assert_eq!(Some(outcome), self.asked[n].settled.as_ref()),
                Answer::Conflict if other => {}
                Answer::StorageFull | Answer::StorageFailed | Answer::StorageBusy | Answer::Unknown | Answer::Failed(_) => {}
                answer => prop_assert!(false, "{answer:?} of {:?}, sent again, other body: {other}", self.asked[n].by),
            }
        }
        retried.append(&mut self.waiting);
        self.waiting = retried;
        if turn.save {
            self.world.save_marks();
        }
        Ok(())
    }

    /// Goes on until every command is settled.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        let calm = Turn { batches: vec![8], effects: 8, fate: Fate::Made, recovery: Vec::new(), again: None, save: false, unread: None };
        while !self.waiting.is_empty() {
            self.turn(&calm)?;
        }
        self.world.settle();
        Ok(())
    }

    /// What was acknowledged is there.
    fn acked(&self) -> Result<(), TestCaseError> {
        for Asked { of, by, number, settled } in &self.asked {
            let Some(Outcome::Done { first, last, .. }) = settled else { continue };
            let id = origin(by.user, *number, 0).client_id();
            let events = log::events(&*self.world.kv, &AggregateId::Conversation(conversation(*of)), first - 1, 1_000);
            let own = |e: &&record::EventRow| e.record.event.envelope.client_id == id && e.record.event.envelope.author == Some(by.user);
            let events = events.expect("memory can be read");
            let made = events.iter().filter(own).map(|e| e.record.event.seq()).collect::<Vec<Seq>>();
            let nothing = made.is_empty() && first == last;
            prop_assert!(nothing || made == (*first..=*last).collect::<Vec<_>>(), "{by:?} was told {first} to {last} and made {made:?}");
        }
        Ok(())
    }

    /// Every command is sent again after a restart: the same answers, and not a row changes.
    fn all_again(&mut self) -> Result<(), TestCaseError> {
        self.world.restart();
        let before = judge::raw(&self.world);
        let commands = (0..self.asked.len()).map(|n| self.command(n, 0)).collect();
        let answers = self.world.ask(vec![commands], Fate::Made);
        for (asked, answer) in self.asked.iter().zip(answers) {
            let outcome = asked.settled.clone().expect("all are settled");
            prop_assert_eq!(answer, Answer::Decided { outcome, duplicate: true }, "{:?}", asked.by);
        }
        self.world.settle();
        prop_assert_eq!(judge::raw(&self.world), before);
        Ok(())
    }

    /// The lists of the users are as the conversations have it.
    fn lists(&self) -> Result<(), TestCaseError> {
        for n in 0..CONVERSATIONS {
            for user in users() {
                let member = judge::member(&self.world, &AggregateId::Conversation(conversation(n)), user);
                let entry = judge::entry(&self.world, user, conversation(n));
                let member = member.map(|member| (member.role.is_some(), member.visible));
                prop_assert_eq!(member, entry.map(|entry| (entry.joined, entry.visible)), "{:?} in {}", user, n);
            }
        }
        Ok(())
    }
}

fn everything() -> Vec<AggregateId> {
    let conversations = (0..CONVERSATIONS).map(|n| AggregateId::Conversation(conversation(n)));
    conversations.chain(users().map(AggregateId::User)).collect()
}

fn survives(world: World, asks: Vec<(u8, Ask)>, turns: &[Turn]) -> Result<World, TestCaseError> {
    let mut run = Run::new(world, asks);
    for turn in turns {
        for n in run.waiting.iter().copied().take(turn.batches.iter().sum()).collect::<Vec<_>>() {
            run.fix(n);
        }
        run.turn(turn)?;
        judge::sound(&run.world, &everything())?;
    }
    for n in run.waiting.clone() {
        run.fix(n);
    }
    run.finish()?;
    judge::sound(&run.world, &everything())?;
    run.acked()?;
    run.lists()?;
    run.all_again()?;
    Ok(run.world)
}

/// A store in which the first conversation stands a little before the end of its first bucket.
fn before_the_bucket_ends() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let mut world = World::new();
        let create = Action::CreateGroup {
            title: "t".to_owned(),
            history: History::FromJoin,
            leaver: Leaver::Keeps,
            members: vec![user(1), user(2)],
        };
        let text = Text { text: "…".to_owned(), mentions: Vec::new(), mention_all: false };
        let say =
            Action::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None };
        let actions = std::iter::once(create).chain(std::iter::repeat_n(say, BUCKET as usize - 5));
        let mut commands = Vec::new();
        for (n, action) in (1_000_000..).zip(actions) {
            let (aggregate, action) = of_conversation(0, action);
            commands.push(world.command(aggregate, origin(user(0), n, 0), action));
        }
        world.ask(vec![commands], Fate::Made);
        world.settle();
        world.save_marks();
        world.rows()
    })
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn a_torn_store_is_repaired(asks in asks(0..CONVERSATIONS, 1..40), turns in prop::collection::vec(turn(1..4), 1..8)) {
        survives(World::new(), asks, &turns)?;
    }
}

/// The same where a log goes on in another partition.
#[test]
fn a_torn_store_is_repaired_between_buckets() {
    let gaps = Cell::new(0);
    let histories = (asks(0..1_u8, 4..30), prop::collection::vec(turn(2..12), 1..4));
    let survived = TestRunner::new(cases(200)).run(&histories, |(asks, turns)| {
        let world = survives(World::over(before_the_bucket_ends()), asks, &turns)?;
        gaps.set(gaps.get() + world.gaps);
        Ok(())
    });
    if let Err(failure) = survived {
        panic!("{failure}");
    }
    assert!(gaps.get() > 0, "no commit was torn between two buckets of a log");
}
