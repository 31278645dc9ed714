//! One group under random commands: every view of every user equals what is counted by hand.

use std::collections::HashMap;

use chirrup_core::aggregate::{Action as AnyAction, AggregateId, Outcome, State};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Fact, Form, History, Leaver, Role, Text};
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::rows::Rows;
use chirrup_core::{aggregate, unread};
use chirrup_protocol::reply;
use chirrup_store::record::PositionRow;
use proptest::prelude::*;

use super::oracle::{Oracle, page};
use crate::testing::{World, conversation, user};
use crate::views::{TimelinePlace, ViewError, Which};

const USERS: u8 = 5;

/// A message is named by its place among all messages there were, modulo their number.
#[derive(Clone, Debug)]
enum Op {
    Send { by: u8, calls: Option<u8>, all: bool, thread: Option<usize>, also: bool, reply: Option<usize> },
    Edit { by: u8, at: usize, calls: Option<u8>, all: bool },
    Delete { by: u8, at: usize },
    React { by: u8, at: usize, emoji: u8, add: bool },
    Add { by: u8, who: u8 },
    Remove { by: u8, who: u8 },
    Leave { by: u8 },
    Promote { by: u8, who: u8 },
    Title { by: u8 },
    Read { by: u8, at: u64, stored: bool },
}

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

struct Group {
    world: World,
    id: ConversationId,
    /// Seqs of all messages there were.
    messages: Vec<Seq>,
    read: HashMap<UserId, Seq>,
}

fn text(calls: Option<u8>, all: bool) -> Text {
    Text { text: "words".to_owned(), mentions: calls.into_iter().map(user).collect(), mention_all: all }
}

fn say(words: Text) -> Action {
    Action::Send { form: Form::Text, text: words, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
}

impl Group {
    fn new(history: History, leaver: Leaver, fillers: [usize; 3]) -> Self {
        let mut world = World::of(USERS);
        let id = conversation(9);
        let create = Action::CreateGroup { title: "first".to_owned(), history, leaver, members: vec![user(1)] };
        world.act(id, user(0), create);
        let mut group = Self { world, id, messages: Vec::new(), read: HashMap::new() };
        for (n, count) in fillers.into_iter().enumerate() {
            let react = |add| Action::React { target: 2, emoji: "x".to_owned(), add };
            let filler = |i: usize| if n == 1 { react(i.is_multiple_of(2)) } else { say(text(None, false)) };
            let aggregate = AggregateId::Conversation(id);
            let commands = (0..count).map(|i| (aggregate.clone(), user(0), AnyAction::Conversation(filler(i)))).collect();
            let outcomes = group.world.run_all(commands);
            for outcome in outcomes.iter().filter(|_| n != 1) {
                group.sent(user(0), outcome);
            }
        }
        group
    }

    fn sent(&mut self, by: UserId, outcome: &Outcome) {
        if let Outcome::Done { last, .. } = outcome {
            self.messages.push(*last);
            self.move_to(by, *last, true);
        }
    }

    fn message(&self, at: usize) -> Seq {
        self.messages.get(at % self.messages.len().max(1)).copied().unwrap_or(1)
    }

    fn oracle(&self) -> Oracle {
        Oracle::new(self.world.events(&AggregateId::Conversation(self.id)))
    }

    /// A position rises, in the store or only in memory.
    fn move_to(&mut self, by: UserId, seq: Seq, stored: bool) {
        let read = self.read.entry(by).or_default();
        *read = seq.max(*read);
        let read_ordinal = self.world.views.timeline_at(self.id, *read).unwrap().ordinal;
        let position = PositionRow { read: *read, read_ordinal, delivered: *read };
        if stored {
            self.world.write_position(self.id, by, position);
        } else {
            self.world.pending.set(self.id, by, position);
        }
    }

    fn apply(&mut self, op: Op) {
        let (by, action) = match op {
            Op::Send { by, calls, all, thread, also, reply } => {
                let action = Action::Send {
                    form: Form::Text,
                    text: text(calls, all),
                    reply_to: reply.map(|at| self.message(at)),
                    thread_root: thread.map(|at| self.message(at)),
                    also_in_conversation: also,
                    original_time: None,
                };
                let outcome = self.world.act(self.id, user(by), action);
                return self.sent(user(by), &outcome);
            }
            Op::Read { by, at, stored } => {
                if let Some(last) = self.oracle().seen(user(by)).last() {
                    self.move_to(user(by), at % last + 1, stored);
                }
                return;
            }
            Op::Edit { by, at, calls, all } => {
                let text = Text { text: format!("edit {at}"), ..text(calls, all) };
                (by, Action::Edit { target: self.message(at), text })
            }
            Op::Delete { by, at } => (by, Action::Delete { target: self.message(at) }),
            Op::React { by, at, emoji, add } => (by, Action::React { target: self.message(at), emoji: emoji.to_string(), add }),
            Op::Add { by, who } => (by, Action::Add { users: vec![user(who)] }),
            Op::Remove { by, who } => (by, Action::Remove { user: user(who) }),
            Op::Leave { by } => (by, Action::Leave),
            Op::Promote { by, who } => (by, Action::SetRole { user: user(who), role: Role::Owner }),
            Op::Title { by } => (by, Action::SetTitle { title: format!("title {}", self.oracle().head()) }),
        };
        self.world.act(self.id, user(by), action);
    }

    fn check_state(&self) {
        let aggregate = AggregateId::Conversation(self.id);
        let (mut state, mut rows) = (State::new(&aggregate), Rows::blind());
        let events = self.world.events(&aggregate);
        for event in &events {
            aggregate::fold(&mut state, &mut rows, event);
        }
        let views = &self.world.views;
        assert_eq!(views.state(&aggregate).unwrap(), state);
        assert_eq!(views.head(&aggregate).unwrap(), state.head);
        let last = views.last_event(&aggregate).unwrap().unwrap();
        assert_eq!(last.offset, self.world.published.iter().rfind(|p| p.aggregate == aggregate).unwrap().offset);
        assert_eq!(last.record.event.envelope, events.last().unwrap().envelope);
    }

    /// Events are dense, and the same whatever the pages.
    fn check_events(&self, oracle: &Oracle, who: UserId, limit: u32) {
        let views = &self.world.views;
        let Some(expected) = oracle.events_for(who) else {
            assert!(matches!(views.events_for(self.id, who, 0, limit), Err(ViewError::NotFound)));
            return;
        };
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let page = views.events_for(self.id, who, got.len() as Seq, limit).unwrap();
            assert_eq!(page.head, expected.len() as Seq);
            assert_eq!(page.events.len(), (limit as usize).min(expected.len() - got.len()));
            got.extend(page.events);
            assert_eq!(page.digest, Some(oracle.digest(got.len() as Seq)));
        }
        assert_eq!(got, expected);
        for beyond in [expected.len() as Seq, expected.len() as Seq + 5, Seq::MAX >> 11] {
            let page = views.events_for(self.id, who, beyond, limit).unwrap();
            assert_eq!((page.events.len(), page.digest), (0, None));
        }
    }

    /// Pages at random places, and all pages one after the other in both directions.
    fn check_history(&self, oracle: &Oracle, who: UserId, thread: Option<Seq>, asked: &[(u8, u64, usize)]) {
        let views = &self.world.views;
        let list = oracle.history(who, thread);
        let Some(last) = oracle.seen(who).last() else {
            assert!(matches!(views.history(self.id, who, Which::Newest, thread, 5), Err(ViewError::NotFound)));
            return;
        };
        let nothing = thread.is_some_and(|root| list.is_empty() && !(oracle.messages.contains_key(&root) && oracle.seen(who).sees(root)));
        for (which, at, limit) in asked {
            let at = at % (oracle.head() + 3);
            let which = match which {
                0 => Which::Newest,
                1 => Which::Before(at),
                2 => Which::After(at),
                _ => Which::Around(at),
            };
            let got = views.history(self.id, who, which, thread, *limit as u32);
            if nothing {
                assert!(matches!(got, Err(ViewError::MessageNotFound)), "{got:?}");
                continue;
            }
            let (messages, more_before, more_after) = page(&list, which, *limit);
            let expected = reply::History { messages: messages.to_vec(), more_before, more_after, head: last };
            assert_eq!(got.unwrap(), expected, "{which:?}, {limit} of thread {thread:?}");
        }
        if nothing {
            return;
        }
        let limit = asked.first().map_or(1, |(_, _, limit)| *limit).max(list.len() / 20) as u32;
        let (mut back, mut next) = (Vec::new(), Which::Newest);
        loop {
            let page = views.history(self.id, who, next, thread, limit).unwrap();
            back.splice(0..0, page.messages);
            if !page.more_before {
                break;
            }
            next = Which::Before(back[0].seq);
        }
        assert_eq!(back, list);
        let mut forth = Vec::new();
        loop {
            let after = forth.last().map_or(0, |m: &chirrup_protocol::event::Message| m.seq);
            let page = views.history(self.id, who, Which::After(after), thread, limit).unwrap();
            forth.extend(page.messages);
            if !page.more_after {
                break;
            }
        }
        assert_eq!(forth, list);
    }

    /// Counts by their definitions, and all else that a user is told of the conversation.
    fn check_conversation(&self, oracle: &Oracle, who: UserId) {
        let got = self.world.views.conversation(who, self.id).unwrap();
        let seen = oracle.seen(who);
        let Some(last) = seen.last() else {
            assert_eq!(got, None);
            return;
        };
        let got = got.unwrap();
        let read = self.read.get(&who).copied().unwrap_or(0);
        assert_eq!((got.head, got.joined, got.read, got.delivered), (last, seen.member, read, read));
        assert_eq!(got.title, oracle.title(who));
        assert_eq!(got.members as usize, if seen.member { oracle.members().len() } else { 0 });
        assert_eq!(got.unread, reply::Unread { count: oracle.unread(who, read), at_least: false });
        let mentions = oracle.mentions(who, read);
        assert_eq!(got.mentions, reply::Unread { count: mentions.min(1_000), at_least: mentions > 1_000 });
        assert_eq!(got.last_message, oracle.history(who, None).last().cloned());
        let listed = self.world.views.conversations(who, None, 10).unwrap();
        assert_eq!((listed.conversations, listed.next), (vec![got], None));
    }

    fn check_members(&self, oracle: &Oracle, who: UserId) {
        let views = &self.world.views;
        if !oracle.seen(who).member {
            assert!(matches!(views.members(self.id, who, None, 5), Err(ViewError::NotFound)));
            assert!(matches!(views.positions(self.id, who), Err(ViewError::NotFound)));
            return;
        }
        let mut got = Vec::new();
        let mut after = None;
        loop {
            let page = views.members(self.id, who, after, 2).unwrap();
            got.extend(page.members.into_iter().map(|m| m.user.user));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(got, oracle.members().into_iter().collect::<Vec<_>>());
        let told: Vec<_> = views.positions(self.id, who).unwrap().positions.iter().map(|p| (p.user, p.read)).collect();
        let read: Vec<_> = got.iter().filter_map(|user| Some((*user, *self.read.get(user)?))).collect();
        assert_eq!(told, read);
    }

    fn check_places(&self, oracle: &Oracle) {
        for seq in [0, 1, 2, oracle.head() / 2, 999, 1_000, 1_001, oracle.head(), oracle.head() + 1, Seq::MAX >> 11] {
            let place = TimelinePlace { exists: seq > 0 && seq <= oracle.head(), ordinal: oracle.ordinal_at(seq) };
            assert_eq!(self.world.views.timeline_at(self.id, seq).unwrap(), place, "{seq}");
        }
    }
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
            group.apply(op);
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
    }
}

/// The random histories do meet what they are there for.
#[test]
fn a_member_of_three_times_sees_what_was_said_then() {
    let mut group = Group::new(History::FromJoin, Leaver::Keeps, [0; 3]);
    let sends = |group: &mut Group, n: usize| (0..n).for_each(|_| group.apply(send(0)));
    for _ in 0..3 {
        sends(&mut group, 2);
        group.apply(Op::Add { by: 0, who: 2 });
        sends(&mut group, 3);
        group.apply(Op::Remove { by: 0, who: 2 });
    }
    let unread = |group: &Group| group.world.views.conversation(user(2), group.id).unwrap().unwrap().unread.count;
    assert_eq!(unread(&group), 9);
    // A message of the first time is deleted long after it was left behind.
    let first = group.oracle().history(user(2), None)[0].seq;
    group.apply(Op::Delete { by: 0, at: group.messages.iter().position(|seq| *seq == first).unwrap() });
    assert_eq!(unread(&group), 8);
    group.move_to(user(2), first + 1, true);
    assert_eq!(unread(&group), 7);
    let newest = group.world.views.history(group.id, user(2), Which::Newest, None, 4).unwrap();
    assert_eq!((newest.messages.len(), newest.more_before, newest.more_after), (4, true, false));
}

fn send(by: u8) -> Op {
    Op::Send { by, calls: None, all: false, thread: None, also: false, reply: None }
}

#[test]
fn counts_end_where_they_are_not_exact_any_more() {
    let exact = unread::EXACT_MAX as usize;
    let mut group = Group::new(History::Full, Leaver::Keeps, [exact, 0, 0]);
    let told = |group: &Group| group.world.views.conversation(user(1), group.id).unwrap().unwrap();
    assert_eq!(told(&group).unread, reply::Unread { count: exact as u64, at_least: false });
    for _ in 0..2 {
        group.apply(send(0));
    }
    assert_eq!(told(&group).unread, reply::Unread { count: exact as u64, at_least: true });
    for at in [3, exact / 2] {
        group.apply(Op::Delete { by: 0, at });
    }
    assert_eq!(told(&group).unread, reply::Unread { count: exact as u64, at_least: false });
    for n in 1..=1_001_u64 {
        // Half of them call the user, half all members.
        let half = n.is_multiple_of(2);
        group.apply(Op::Edit { by: 0, at: 3 * n as usize + 1, calls: half.then_some(1), all: !half });
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
