//! Random histories of messages, reads, flushes that fail or stop half-way, and crashes.

use std::collections::HashMap;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::{Fact, Moved};
use chirrup_core::ids::{Seq, UserId};
use chirrup_store::kv::Kv;
use chirrup_store::memory::Fault;
use chirrup_store::record::PositionRow;
use proptest::prelude::*;

use super::support::{Answers, Bench, answers, asks, user};

const GROUPS: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    Send {
        group: usize,
        who: u8,
        crash: bool,
    },
    Raise {
        group: usize,
        who: u8,
        read: Option<u64>,
        delivered: u64,
    },
    /// Asks again for something that was not acknowledged.
    Retry(usize),
    Flush {
        limit: usize,
        fault: Option<Failure>,
        tell: bool,
    },
    Crash,
}

#[derive(Clone, Debug)]
enum Failure {
    Refuse,
    /// The rows of so many partitions are written, and nothing is known of it.
    Stop(usize),
    /// The same, and the process is gone.
    Crash(usize),
    /// All rows are written, and the process is gone before anybody is told.
    CrashAfter,
    /// The store cannot be read.
    Unread,
}

fn op() -> impl Strategy<Value = Op> {
    let failure = prop_oneof![
        Just(Failure::Refuse),
        (0..6_usize).prop_map(Failure::Stop),
        (0..6_usize).prop_map(Failure::Crash),
        Just(Failure::CrashAfter),
        Just(Failure::Unread),
    ];
    let (group, who) = (0..GROUPS, 1..4_u8);
    prop_oneof![
        4 => (group.clone(), who.clone(), prop::bool::weighted(0.1)).prop_map(|(group, who, crash)| Op::Send { group, who, crash }),
        4 => (group, who, prop::option::of(any::<u64>()), any::<u64>())
            .prop_map(|(group, who, read, delivered)| Op::Raise { group, who, read, delivered }),
        2 => any::<usize>().prop_map(Op::Retry),
        4 => (1..8_usize, prop::option::of(failure), any::<bool>()).prop_map(|(limit, fault, tell)| Op::Flush { limit, fault, tell }),
        1 => Just(Op::Crash),
    ]
}

/// What must and what may be, for each group and user.
#[derive(Default)]
struct Truth {
    /// Follows from the log.
    derived: HashMap<(usize, u8), PositionRow>,
    /// Asked for, by number.
    asked: Vec<((usize, u8), PositionRow)>,
    /// As it was seen last: by the user, and by the others.
    seen: HashMap<(usize, u8), (PositionRow, PositionRow)>,
}

struct History {
    bench: Bench,
    truth: Truth,
    answers: Answers,
}

impl History {
    fn send(&mut self, group: usize, who: u8, crash: bool) {
        let seq = if crash { self.bench.send_unheard(group, who) } else { self.bench.send(group, who) };
        let ordinal = self.bench.world.views.timeline_at(self.bench.group(group), seq).unwrap().ordinal;
        let position = PositionRow { read: seq, read_ordinal: ordinal, delivered: seq };
        self.truth.derived.entry((group, who)).or_default().merge(position);
        if crash {
            self.bench.crash();
        }
    }

    fn raise(&mut self, group: usize, who: u8, read: Option<u64>, delivered: u64) {
        let aggregate = AggregateId::Conversation(self.bench.group(group));
        let head = self.bench.world.views.head(&aggregate).unwrap();
        let read: Seq = read.map_or(0, |n| n % head + 1);
        let read_ordinal = self.bench.world.views.timeline_at(self.bench.group(group), read).unwrap().ordinal;
        self.ask((group, who), PositionRow { read, read_ordinal, delivered: delivered % head + 1 });
    }

    fn retry(&mut self, n: usize) {
        let acknowledged = self.acknowledged();
        let unsure = (0..).zip(&self.truth.asked).filter(|(number, _)| !acknowledged.contains(number));
        let unsure: Vec<_> = unsure.map(|(_, asked)| *asked).collect();
        if !unsure.is_empty() {
            let (place, position) = unsure[n % unsure.len()];
            self.ask(place, position);
        }
    }

    fn acknowledged(&self) -> Vec<u64> {
        self.answers.lock().unwrap().iter().filter(|(_, answer)| answer.is_ok()).map(|(n, _)| *n).collect()
    }

    fn ask(&mut self, (group, who): (usize, u8), position: PositionRow) {
        let number = self.truth.asked.len() as u64;
        self.truth.asked.push(((group, who), position));
        self.bench.raise(group, who, position, asks(&self.answers, number));
    }

    /// One flush, whose first part fails as told.
    fn flush(&mut self, limit: usize, mut fault: Option<Failure>, tell: bool) -> Result<(), TestCaseError> {
        loop {
            if matches!(fault, Some(Failure::Unread)) {
                assert!(fault.take().is_some());
                let _ = self.bench.positions.take_flush(&super::Broken, limit);
                return Ok(());
            }
            let flush = self.bench.positions.take_flush(&*self.bench.world.kv, limit).unwrap();
            let more = flush.positions.len() >= limit;
            match &fault {
                Some(Failure::Refuse) => self.bench.world.kv.fail_next(Fault::Refuse),
                Some(Failure::Stop(n) | Failure::Crash(n)) => self.bench.world.kv.fail_after_partitions(*n),
                _ => {}
            }
            self.look()?;
            let durable = self.bench.world.kv.commit(&flush.rows).is_ok();
            if matches!(fault.take(), Some(Failure::Crash(_) | Failure::CrashAfter)) {
                self.bench.crash();
                return Ok(());
            }
            let notes = self.bench.positions.flushed(flush, durable, &mut self.bench.router);
            if tell {
                self.bench.tell(notes);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// What anybody sees never goes back, and holds what follows from the log.
    fn look(&mut self) -> Result<(), TestCaseError> {
        for group in 0..GROUPS {
            for who in 1..4 {
                let pending = self.bench.pending(group, who).unwrap_or_default();
                let (mut own, mut others) = self.bench.stored(group, who);
                own.merge(pending);
                others.merge(pending);
                let derived = self.truth.derived.get(&(group, who)).copied().unwrap_or_default();
                let seen = self.truth.seen.entry((group, who)).or_default();
                for (now, before) in [(own, seen.0), (others, seen.1)] {
                    prop_assert!(holds(now, before), "went back from {before:?} to {now:?}");
                    prop_assert!(holds(now, derived), "{now:?} without {derived:?}");
                }
                *seen = (own, others);
            }
        }
        Ok(())
    }

    /// After a last crash and a flush that works: the registers are what they must be.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.bench.crash();
        let notes = self.bench.flush();
        self.bench.tell(notes);
        self.look()?;
        let acknowledged = self.acknowledged();
        for group in 0..GROUPS {
            for who in 1..4 {
                let (own, others) = self.bench.stored(group, who);
                let derived = self.truth.derived.get(&(group, who)).copied().unwrap_or_default();
                let (mut least, mut most) = (derived, derived);
                for (number, (_, position)) in (0..).zip(&self.truth.asked).filter(|(_, (place, _))| *place == (group, who)) {
                    most.merge(*position);
                    if acknowledged.contains(&number) {
                        least.merge(*position);
                        let told = position.read <= derived.read || self.told(user(who), group) >= position.read;
                        prop_assert!(told, "the log of user {who} does not tell {position:?}");
                    }
                }
                // A request that was never answered may be in the one row and not in the other.
                for found in [own, others] {
                    prop_assert!(holds(found, least) && holds(most, found), "{found:?} is not between {least:?} and {most:?}");
                }
            }
        }
        Ok(())
    }

    /// Up to where a user's log tells that they have read.
    fn told(&self, who: UserId, group: usize) -> Seq {
        let events = self.bench.world.events(&AggregateId::User(who));
        let moved = events.iter().filter_map(|event| match &event.envelope.fact {
            Fact::PositionsMoved { positions } => Some(positions),
            _ => None,
        });
        let here = |moved: &&Moved| moved.conversation == self.bench.group(group);
        moved.flatten().filter(here).map(|moved| moved.read).max().unwrap_or(0)
    }
}

/// Whether every register is at least as high.
fn holds(high: PositionRow, low: PositionRow) -> bool {
    high.read >= low.read && high.read_ordinal >= low.read_ordinal && high.delivered >= low.delivered
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The registers are the most of everything that was raised, whatever fails in between; what
    /// was acknowledged is among it, and the users' logs tell it.
    #[test]
    fn p6_positions_only_grow_and_nothing_acknowledged_is_lost(ops in prop::collection::vec(op(), 1..40)) {
        let mut history = History { bench: Bench::new(GROUPS), truth: Truth::default(), answers: answers() };
        for op in ops {
            match op {
                Op::Send { group, who, crash } => history.send(group, who, crash),
                Op::Raise { group, who, read, delivered } => history.raise(group, who, read, delivered),
                Op::Flush { limit, fault, tell } => history.flush(limit, fault, tell)?,
                Op::Retry(n) => history.retry(n),
                Op::Crash => history.bench.crash(),
            }
            history.look()?;
        }
        history.settle()?;
    }
}
