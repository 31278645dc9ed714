//! Counts where they are easily wrong.

use chirrup_core::aggregate::{Action as AnyAction, AggregateId};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Fact, History, Leaver};
use chirrup_core::unread;
use chirrup_protocol::reply;

use super::group::{Group, Op, send};
use crate::testing::user;
use crate::views::Which;

#[test]
fn who_cannot_see_a_message_is_not_called_by_it() {
    let mut group = Group::new(History::FromJoin, Leaver::Keeps, [0; 3]);
    for op in [Op::Add { by: 0, who: 2 }, send(0), Op::Remove { by: 0, who: 2 }, send(0), Op::Add { by: 0, who: 2 }, send(0)] {
        group.apply(&op);
    }
    let mentions = |group: &Group| group.world.views.conversation(user(2), group.id).unwrap().unwrap().mentions.count;
    // The second was sent while the user was no member.
    for (at, count) in [(1, 0), (0, 1), (2, 2)] {
        group.apply(&Op::Edit { by: 0, at, calls: Some(2), all: false });
        assert_eq!(mentions(&group), count);
    }
    group.apply(&Op::Edit { by: 0, at: 1, calls: None, all: true });
    assert_eq!(mentions(&group), 2);
    group.apply(&Op::Delete { by: 0, at: 0 });
    assert_eq!(mentions(&group), 1);
}

#[test]
fn a_member_of_three_times_sees_what_was_said_then() {
    let mut group = Group::new(History::FromJoin, Leaver::Keeps, [0; 3]);
    let sends = |group: &mut Group, n: usize| (0..n).for_each(|_| group.apply(&send(0)));
    for _ in 0..3 {
        sends(&mut group, 2);
        group.apply(&Op::Add { by: 0, who: 2 });
        sends(&mut group, 3);
        group.apply(&Op::Remove { by: 0, who: 2 });
    }
    let unread = |group: &Group| group.world.views.conversation(user(2), group.id).unwrap().unwrap().unread.count;
    assert_eq!(unread(&group), 9);
    // A message of the first time is deleted long after it was left behind.
    let first = group.oracle().history(user(2), None)[0].seq;
    group.apply(&Op::Delete { by: 0, at: group.messages.iter().position(|seq| *seq == first).unwrap() });
    assert_eq!(unread(&group), 8);
    group.move_to(user(2), first + 1, true);
    assert_eq!(unread(&group), 7);
    let newest = group.world.views.history(group.id, user(2), Which::Newest, None, 4).unwrap();
    assert_eq!((newest.messages.len(), newest.more_before, newest.more_after), (4, true, false));
}

#[test]
fn counts_end_where_they_are_not_exact_any_more() {
    let exact = unread::EXACT_MAX as usize;
    let mut group = Group::new(History::Full, Leaver::Keeps, [exact, 0, 0]);
    let told = |group: &Group| group.world.views.conversation(user(1), group.id).unwrap().unwrap();
    assert_eq!(told(&group).unread, reply::Unread { count: exact as u64, at_least: false });
    for _ in 0..2 {
        group.apply(&send(0));
    }
    assert_eq!(told(&group).unread, reply::Unread { count: exact as u64, at_least: true });
    for at in [3, exact / 2] {
        group.apply(&Op::Delete { by: 0, at });
    }
    assert_eq!(told(&group).unread, reply::Unread { count: exact as u64, at_least: false });
    for n in 1..=1_001_u64 {
        // Half of them call the user, half all members.
        let half = n.is_multiple_of(2);
        group.apply(&Op::Edit { by: 0, at: 3 * n as usize + 1, calls: half.then_some(1), all: !half });
        if n >= 1_000 {
            assert_eq!(told(&group).mentions, reply::Unread { count: 1_000, at_least: n > 1_000 });
        }
    }
}

#[test]
fn what_was_deleted_beyond_a_window_is_not_counted() {
    let mut group = Group::new(History::Full, Leaver::Keeps, [16_100, 0, 0]);
    let delete = |target| AnyAction::Conversation(Action::Delete { target });
    let aggregate = AggregateId::Conversation(group.id);
    // All but the first 50 and the last 60 messages.
    let commands = group.messages[50..16_040].iter().map(|seq| (aggregate.clone(), user(0), delete(*seq))).collect();
    group.world.run_all(commands);
    let told = group.world.views.conversation(user(1), group.id).unwrap().unwrap();
    assert_eq!(told.unread, reply::Unread { count: 110, at_least: false });
    let facts = group.world.events(&aggregate);
    assert!(facts.iter().filter(|e| matches!(e.envelope.fact, Fact::MessageDeleted { .. })).count() == 15_990);
}
