//! Random histories of members who come and go, connections that lag, lists that lag, and slow
//! readers: nobody sees what they must not, and nothing is lost without being named.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chirrup_core::access::{View, view};
use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::{Fact, History, Role};
use chirrup_core::ids::Seq;
use chirrup_core::visibility::Intervals;
use chirrup_protocol::event::Kind;
use chirrup_protocol::push::{Head, Push};
use proptest::prelude::*;

use super::support::{Bench, TestSink, conversation, created, edited, message, user};

const USERS: u8 = 4;
const CONVERSATIONS: u8 = 3;

#[derive(Clone, Debug)]
enum Op {
    Message {
        conversation: u8,
        edits: Option<u64>,
    },
    Member {
        conversation: u8,
        user: u8,
        joins: bool,
    },
    /// Applies the oldest effects of a conversation to the lists of its users.
    Effects {
        conversation: u8,
        count: usize,
    },
    Connect {
        user: u8,
        room: usize,
    },
    ReadList(usize),
    Subscribe(usize),
    Drain(usize),
    Heartbeat(usize),
    Disconnect(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let conversation = 0..CONVERSATIONS;
    prop_oneof![
        4 => (conversation.clone(), prop::option::of(1..20_u64)).prop_map(|(conversation, edits)| Op::Message { conversation, edits }),
        3 => (conversation.clone(), 0..USERS, any::<bool>()).prop_map(|(conversation, user, joins)| Op::Member { conversation, user, joins }),
        2 => (conversation, 1..3_usize).prop_map(|(conversation, count)| Op::Effects { conversation, count }),
        2 => (0..USERS, 0..5_usize).prop_map(|(user, room)| Op::Connect { user, room }),
        2 => any::<usize>().prop_map(Op::ReadList),
        2 => any::<usize>().prop_map(Op::Subscribe),
        2 => any::<usize>().prop_map(Op::Drain),
        1 => any::<usize>().prop_map(Op::Heartbeat),
        1 => any::<usize>().prop_map(Op::Disconnect),
    ]
}

/// An entry of a user's list: a member or not, what they see, and since which event.
type Entry = (bool, Intervals, Seq);

/// One conversation as it truly is.
#[derive(Default)]
struct Truth {
    /// Whether members lose everything when they go.
    loses: bool,
    history: Option<History>,
    /// What each member sees, and by which event they became one.
    members: HashMap<u8, (Intervals, Seq)>,
    former: HashMap<u8, Intervals>,
    /// For each event and user, what the user may get of it.
    views: Vec<HashMap<u8, View>>,
    /// Effects on lists that were not applied yet.
    effects: VecDeque<(u8, Entry)>,
}

/// A connection as its client sees it.
struct Client {
    id: u64,
    user: u8,
    sink: Arc<TestSink>,
    list: Option<Vec<(u8, Entry)>>,
    /// Was handed all of it.
    listed: bool,
    /// Events that were pushed, or are known of because the log was named as behind.
    known: HashSet<(u8, Seq)>,
    /// What must be known of in the end: conversation, and the seqs beyond the first up to the second.
    owed: Vec<(u8, Seq, Option<Seq>)>,
}

#[derive(Default)]
struct World {
    truth: HashMap<u8, Truth>,
    lists: HashMap<(u8, u8), Entry>,
    clients: Vec<Client>,
    next: u64,
}

impl World {
    fn begin(&mut self, bench: &mut Bench) {
        for c in 0..CONVERSATIONS {
            let history = if c == 0 { History::Full } else { History::FromJoin };
            let truth = Truth { loses: c == 2, history: Some(history), ..Truth::default() };
            self.truth.insert(c, truth);
            self.publish(bench, c, created(&[], history));
        }
    }

    /// Publishes an event and keeps what everybody may get of it.
    fn publish(&mut self, bench: &mut Bench, c: u8, fact: Fact) {
        let seq = bench.head(&AggregateId::Conversation(conversation(c))) + 1;
        let truth = self.truth.get_mut(&c).unwrap();
        let mut views: HashMap<u8, View> = truth.members.iter().map(|(who, (visible, _))| (*who, view(visible, seq, &fact))).collect();
        if let Fact::MemberRemoved { user: gone, visible, .. } = &fact
            && visible.contains(seq)
        {
            views.insert(gone.0[0], View::Whole);
        }
        truth.views.push(views);
        bench.publish(c, vec![fact]);
    }

    fn member(&mut self, bench: &mut Bench, c: u8, who: u8, joins: bool) {
        let seq = bench.head(&AggregateId::Conversation(conversation(c))) + 1;
        let truth = self.truth.get_mut(&c).unwrap();
        if joins == truth.members.contains_key(&who) {
            return;
        }
        if joins {
            let mut visible = truth.former.remove(&who).unwrap_or_default();
            match truth.history {
                Some(History::FromJoin) => visible.open(seq, 0),
                _ => visible = Intervals::everything(),
            }
            truth.members.insert(who, (visible.clone(), seq));
            truth.effects.push_back((who, (true, visible.clone(), seq)));
            for client in self.clients.iter_mut().filter(|client| client.user == who) {
                client.owed.push((c, seq - 1, None));
            }
            self.publish(bench, c, Fact::MemberAdded { user: user(who), role: Role::Member, visible });
        } else {
            let (mut visible, _) = truth.members.remove(&who).unwrap();
            if truth.loses {
                visible.clear();
            } else {
                visible.close(seq, 0);
            }
            truth.former.insert(who, visible.clone());
            truth.effects.push_back((who, (false, visible.clone(), seq)));
            let readable = !visible.is_empty();
            for client in self.clients.iter_mut().filter(|client| client.user == who) {
                if readable {
                    client.owed.iter_mut().filter(|owed| owed.0 == c && owed.2.is_none()).for_each(|owed| owed.2 = Some(seq));
                } else {
                    client.owed.retain(|owed| owed.0 != c);
                }
            }
            self.publish(bench, c, Fact::MemberRemoved { user: user(who), role: Role::Member, visible });
        }
    }

    fn effects(&mut self, bench: &mut Bench, c: u8, count: usize) {
        for _ in 0..count {
            let Some((who, entry)) = self.truth.get_mut(&c).unwrap().effects.pop_front() else { return };
            let (joined, visible, seq) = entry.clone();
            self.lists.insert((who, c), entry);
            let (conversation_id, source) = (conversation(c), (seq, 0));
            let fact = if joined {
                Fact::ConversationAdded { conversation: conversation_id, visible, source }
            } else {
                Fact::ConversationRemoved { conversation: conversation_id, visible, source }
            };
            bench.publish_user(who, vec![fact]);
            self.told(bench, who, c, seq);
        }
    }

    /// A user's list told the router of the membership that began at `since`: if it still is so,
    /// everything from here on is owed to those who did not hear before.
    fn told(&mut self, bench: &Bench, who: u8, c: u8, since: Seq) {
        let stands = self.truth[&c].members.get(&who).is_some_and(|(_, joined)| *joined == since);
        let head = bench.head(&AggregateId::Conversation(conversation(c)));
        for client in self.clients.iter_mut().filter(|client| client.user == who && stands) {
            if !client.owed.iter().any(|owed| owed.0 == c && owed.2.is_none()) {
                client.owed.push((c, head, None));
            }
        }
    }

    fn read_list(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let own = self.lists.iter().filter(|((who, _), entry)| *who == client.user && entry.0);
        client.list = Some(own.map(|((_, c), entry)| (*c, entry.clone())).collect());
    }

    fn subscribe(&mut self, bench: &mut Bench, at: usize) {
        let Some(list) = self.clients[at].list.take() else { return };
        bench.router.listed(self.clients[at].id);
        self.clients[at].listed = true;
        for (c, (_, visible, since)) in list {
            bench.subscribe(self.clients[at].id, c, visible, since);
            let who = self.clients[at].user;
            // A list that lags, of who was removed and added again: the router knows better.
            if self.truth[&c].members.contains_key(&who) {
                let head = bench.head(&AggregateId::Conversation(conversation(c)));
                let client = &mut self.clients[at];
                if !client.owed.iter().any(|owed| owed.0 == c && owed.2.is_none()) {
                    client.owed.push((c, head, None));
                }
            }
        }
    }

    /// The connection writes all that waits and asks where it is behind. What it gets must be
    /// what its user may get.
    fn drain(&mut self, bench: &mut Bench, at: usize) -> Result<(), TestCaseError> {
        let behind = bench.router.take_behind(self.clients[at].id);
        self.take(at, &behind)
    }

    fn take(&mut self, at: usize, behind: &[Head]) -> Result<(), TestCaseError> {
        let client = &mut self.clients[at];
        for push in client.sink.drain() {
            let Push::Event(log) = push else { return Err(TestCaseError::fail("an event was expected")) };
            let Some(id) = log.conversation else { continue };
            let (c, seq) = (id.0[0], log.event.seq);
            let may = self.truth[&c].views[seq as usize - 1].get(&client.user);
            let got = if log.event.kind == Kind::Hidden { View::Hidden } else { View::Whole };
            prop_assert_eq!(may, Some(&got), "user {} got {} of conversation {}", client.user, seq, c);
            prop_assert!(client.known.insert((c, seq)), "{} of conversation {} came twice", seq, c);
        }
        for head in behind {
            let Some(id) = head.conversation else { continue };
            let truth = &self.truth[&id.0[0]];
            let visible = truth.members.get(&client.user).map(|(visible, _)| visible).or_else(|| truth.former.get(&client.user));
            let last = visible.map_or(0, |visible| visible.last(truth.views.len() as Seq));
            prop_assert!(head.head <= last, "behind names what cannot be read");
            client.known.extend((1..=head.head).map(|seq| (id.0[0], seq)));
        }
        Ok(())
    }

    fn run(&mut self, bench: &mut Bench, op: &Op) -> Result<(), TestCaseError> {
        let pick = |n: usize, clients: &[Client]| (!clients.is_empty()).then(|| n % clients.len());
        match *op {
            Op::Message { conversation, edits } => {
                let head = self.truth[&conversation].views.len() as Seq;
                let fact = edits.filter(|target| *target <= head).map_or_else(message, edited);
                self.publish(bench, conversation, fact);
            }
            Op::Member { conversation, user, joins } => self.member(bench, conversation, user, joins),
            Op::Effects { conversation, count } => self.effects(bench, conversation, count),
            Op::Connect { user, room } => {
                self.next += 1;
                let sink = bench.connect(self.next, user);
                sink.make_room(room);
                let (known, owed) = (HashSet::new(), Vec::new());
                self.clients.push(Client { id: self.next, user, sink, list: None, listed: false, known, owed });
            }
            Op::ReadList(n) => {
                if let Some(at) = pick(n, &self.clients) {
                    self.read_list(at);
                }
            }
            Op::Subscribe(n) => {
                if let Some(at) = pick(n, &self.clients) {
                    self.subscribe(bench, at);
                }
            }
            Op::Drain(n) => {
                if let Some(at) = pick(n, &self.clients) {
                    self.drain(bench, at)?;
                }
            }
            Op::Heartbeat(n) => {
                if let Some(at) = pick(n, &self.clients) {
                    let beat = bench.router.heartbeat(self.clients[at].id).expect("connected");
                    prop_assert_eq!(beat.marks, self.clients[at].listed.then_some(bench.marks));
                    // All up to the marks was pushed before, or is named: at this very moment
                    // nothing is owed that is not known.
                    self.take(at, &beat.behind)?;
                    self.clients[at].settle(bench)?;
                }
            }
            Op::Disconnect(n) => {
                if let Some(at) = pick(n, &self.clients) {
                    let gone = self.clients.swap_remove(at);
                    bench.router.disconnect(gone.id);
                }
            }
        }
        Ok(())
    }
}

impl Client {
    /// Everything that is owed is known of.
    fn settle(&self, bench: &Bench) -> Result<(), TestCaseError> {
        for (c, after, until) in &self.owed {
            let until = until.unwrap_or(bench.head(&AggregateId::Conversation(conversation(*c))));
            for seq in after + 1..=until {
                prop_assert!(self.known.contains(&(*c, seq)), "user {} lost {seq} of conversation {c}", self.user);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// P5 and P16 at the router.
    #[test]
    fn p16_nothing_is_lost_silently_and_nobody_sees_too_much(ops in prop::collection::vec(op(), 1..80)) {
        let mut bench = Bench::new();
        let mut world = World::default();
        world.begin(&mut bench);
        for op in ops {
            world.run(&mut bench, &op)?;
        }
        for at in 0..world.clients.len() {
            world.drain(&mut bench, at)?;
            world.clients[at].settle(&bench)?;
        }
    }
}
