//! One group under random commands: every view of every user equals what is counted by hand.

use chirrup_core::event::{History, Leaver};
use chirrup_core::ids::Seq;
use proptest::prelude::*;

use super::group::{Group, Op, USERS};
use crate::testing::user;

fn op() -> impl Strategy<Value = Op> {
    let by = 0..USERS;
    let calls = || prop::option::weighted(0.3, 0..USERS);
    let all = || prop::bool::weighted(0.1);
    let at = any::<usize>;
    prop_oneof![
        8 => (by.clone(), calls(), all(), prop::option::weighted(0.3, at()), any::<bool>(), prop::option::weighted(0.2, at()))
            .prop_map(|(by, calls, all, thread, also, reply)| Op::Send { by, calls, all, thread, also, reply }),
        2 => (by.clone(), at(), calls(), all()).prop_map(|(by, at, calls, all)| Op::Edit { by, at, calls, all }),
        3 => (by.clone(), at()).prop_map(|(by, at)| Op::Delete { by, at }),
        3 => (by.clone(), at(), 0..3_u8, prop::bool::weighted(0.7)).prop_map(|(by, at, emoji, add)| Op::React { by, at, emoji, add }),
        3 => (by.clone(), 0..USERS).prop_map(|(by, who)| Op::Add { by, who }),
        2 => (by.clone(), 0..USERS).prop_map(|(by, who)| Op::Remove { by, who }),
        1 => by.clone().prop_map(|by| Op::Leave { by }),
        1 => (by.clone(), 0..USERS).prop_map(|(by, who)| Op::Promote { by, who }),
        1 => by.clone().prop_map(|by| Op::Title { by }),
        2 => (by, any::<u64>(), any::<bool>()).prop_map(|(by, at, stored)| Op::Read { by, at, stored }),
    ]
}

/// What stands in the log before the random commands: messages, reactions, messages. Enough of
/// them to fill buckets, and to leave one without a message.
fn fillers() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![
        5 => Just([0, 0, 0]),
        2 => (900..1_100_usize).prop_map(|n| [n, 0, 0]),
        1 => (0..1_000_usize, 1_000..2_100_usize, 0..200_usize).prop_map(|(a, b, c)| [a, b, c]),
    ]
}

/// A page that is asked for: which, by a number that is taken modulo the log's length, and how
/// many messages.
fn asked() -> impl Strategy<Value = Vec<(u8, u64, usize)>> {
    prop::collection::vec((0..4_u8, any::<u64>(), 1..9_usize), 1..6)
}

proptest! {
    #[test]
    fn every_view_equals_a_plain_count(
        rules in (any::<bool>(), any::<bool>()),
        fillers in fillers(),
        ops in prop::collection::vec(op(), 1..70),
        asked in asked(),
    ) {
        let history = if rules.0 { History::Full } else { History::FromJoin };
        let leaver = if rules.1 { Leaver::Keeps } else { Leaver::Loses };
        let mut group = Group::new(history, leaver, fillers);
        for op in ops {
            group.apply(&op);
        }
        let oracle = group.oracle();
        group.check_state();
        group.check_places(&oracle);
        let roots: Vec<Seq> = oracle.messages.values().filter(|m| m.last_reply.is_some()).map(|m| m.seq).take(3).collect();
        for who in (0..=USERS).map(user) {
            group.check_events(&oracle, who, asked[0].2 as u32 + oracle.head() as u32 / 10);
            group.check_history(&oracle, who, None, &asked);
            for root in roots.iter().chain(&[1, oracle.head() + 1]) {
                group.check_history(&oracle, who, Some(*root), &asked);
            }
            group.check_conversation(&oracle, who);
            group.check_members(&oracle, who);
        }
        group.forget_state();
        group.check_state();
    }
}
