//! Single rules of the views.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chirrup_core::aggregate::{Action as AnyAction, AggregateId, Outcome};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_core::user as core_user;
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::event::{ConversationKind, Kind};
use chirrup_store::keys;
use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Table};
use chirrup_store::memory::MemoryKv;
use chirrup_store::record::{self, PositionRow};

use crate::testing::{World, conversation, nth_user, user};
use crate::views::{PositionSource, ViewError, Views, Which};

fn say(words: &str) -> Action {
    let text = Text { text: words.to_owned(), mentions: Vec::new(), mention_all: false };
    Action::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
}

#[test]
fn a_direct_conversation_names_the_other() {
    let mut world = World::of(3);
    world.act(conversation(1), user(1), Action::CreateDirect { with: user(2) });
    world.act(conversation(1), user(1), say("hello"));
    for (who, other) in [(1, 2), (2, 1)] {
        let told = world.views.conversation(user(who), conversation(1)).unwrap().unwrap();
        assert_eq!((told.kind, told.with, told.title, told.members), (ConversationKind::Direct, Some(user(other)), None, 2));
    }
    assert_eq!(world.views.conversation(user(3), conversation(1)).unwrap(), None);
    assert_eq!(world.views.conversation(user(1), conversation(2)).unwrap(), None);
}

#[test]
fn a_list_is_told_in_pages_with_its_flags() {
    let mut world = World::of(10);
    world.act(conversation(0), user(2), Action::CreateDirect { with: user(3) });
    for n in 1..=7 {
        world.act(conversation(n), user(1), Action::CreateDirect { with: user(9) });
        // Some have no positions, some have positions but are not of the list.
        if n % 2 == 0 {
            world.write_position(conversation(n), user(1), PositionRow { read: 1, read_ordinal: 0, delivered: 1 });
            world.write_position(conversation(100 + n), user(1), PositionRow { read: 1, read_ordinal: 0, delivered: 1 });
        }
    }
    let mute = core_user::Action::SetMuted { conversation: conversation(4), muted: true };
    let mark = core_user::Action::SetMarkedUnread { conversation: conversation(5), marked: true };
    for action in [mute, mark] {
        world.run(AggregateId::User(user(1)), user(1), AnyAction::User(action));
    }
    for limit in 1..=8 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.views.conversations(user(1), after.as_deref(), limit).unwrap();
            assert!(page.conversations.len() <= limit as usize);
            seen.extend(page.conversations.iter().map(|c| (c.conversation, c.read, c.muted, c.marked_unread)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let all: Vec<_> = (1..=7).map(|n| (conversation(n), u64::from(n % 2 == 0), n == 4, n == 5)).collect();
        assert_eq!(seen, all, "pages of {limit}");
    }
    assert!(matches!(world.views.conversations(user(1), Some("x"), 5), Err(ViewError::BadPage)));
    let heard: Vec<_> = world.views.subscriptions(user(1)).unwrap().iter().map(|s| (s.conversation, s.since)).collect();
    assert_eq!(heard, (1..=7).map(|n| (conversation(n), 1)).collect::<Vec<_>>());
}

/// A position that is written, and no longer pending, as soon as the store was asked for anything.
struct Overtaking {
    kv: Arc<MemoryKv>,
    rows: Vec<Row>,
    position: PositionRow,
    is_written: AtomicBool,
}

impl Overtaking {
    fn overtake<T>(&self, answer: T) -> T {
        if !self.is_written.swap(true, Ordering::Relaxed) {
            self.kv.commit(&self.rows).unwrap();
        }
        answer
    }
}

impl PositionSource for Overtaking {
    fn pending(&self, _: ConversationId, asked: UserId) -> Option<PositionRow> {
        Some(self.position).filter(|_| asked == user(0) && !self.is_written.load(Ordering::Relaxed))
    }
}

impl Kv for Overtaking {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.overtake(self.kv.get(keys))
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.overtake(self.kv.range(range))
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.kv.commit(rows)
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.kv.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        self.kv.cache_bytes()
    }
}

#[test]
fn p6_a_position_that_is_written_while_it_is_read_is_told() {
    let told: [fn(&Views) -> u64; 4] = [
        |views| views.conversation(user(0), conversation(1)).unwrap().unwrap().read,
        |views| views.conversations(user(0), None, 10).unwrap().conversations[0].read,
        |views| views.position(conversation(1), user(0)).unwrap().read,
        |views| views.positions(conversation(1), user(0)).unwrap().positions[0].read,
    ];
    for told in told {
        let mut world = World::of(2);
        world.act(conversation(1), user(0), Action::CreateDirect { with: user(1) });
        let Outcome::Done { last, .. } = world.act(conversation(1), user(1), say("hello")) else { panic!("not done") };
        let position = PositionRow { read: last, read_ordinal: 1, delivered: last };
        let row = |key| Row { key, value: Some(record::encode_position(&position)), version: u64::MAX };
        let rows = vec![row(keys::inbox_position(user(0), conversation(1))), row(keys::position(conversation(1), user(0)))];
        let kv = Arc::clone(&world.kv);
        let overtaking = Arc::new(Overtaking { kv, rows, position, is_written: AtomicBool::new(false) });
        let views = Views::new(Arc::clone(&overtaking) as _, overtaking);
        assert_eq!(told(&views), last);
    }
}

/// Whoever is asked about has just said something more.
struct Talkative(Mutex<World>);

impl PositionSource for Talkative {
    fn pending(&self, conversation: ConversationId, user: UserId) -> Option<PositionRow> {
        let outcome = self.0.lock().unwrap().act(conversation, user, say("more"));
        let Outcome::Done { last, .. } = outcome else { panic!("not done: {outcome:?}") };
        Some(PositionRow { read: last, read_ordinal: last - 1, delivered: last })
    }
}

#[test]
fn no_position_is_beyond_the_head_that_is_told_with_it() {
    let mut world = World::of(2);
    world.act(conversation(1), user(0), Action::CreateDirect { with: user(1) });
    let kv = Arc::clone(&world.kv);
    let views = Views::new(kv, Arc::new(Talkative(Mutex::new(world))));
    let one = views.conversation(user(0), conversation(1)).unwrap().unwrap();
    let listed = views.conversations(user(0), None, 10).unwrap().conversations.remove(0);
    for told in [one, listed] {
        assert_eq!((told.read, told.delivered), (told.head, told.head));
    }
}

#[test]
fn a_users_own_log_is_whole() {
    let mut world = World::of(3);
    world.act(conversation(1), user(1), Action::CreateDirect { with: user(2) });
    let page = world.views.user_events(user(1), 0, 10).unwrap();
    assert_eq!((page.head, page.events.len()), (2, 2));
    assert!(matches!(page.events[1].kind, Kind::ConversationAdded { since: 1, .. }));
    let rest = world.views.user_events(user(1), 1, 10).unwrap();
    assert_eq!((rest.events.as_slice(), rest.digest), (&page.events[1..], page.digest));
    assert_eq!(world.views.user_events(user(8), 0, 10).unwrap().head, 0);
}

#[test]
fn positions_of_a_large_group_are_not_told() {
    let mut world = World::new();
    let members = (1..=99).map(user).collect();
    let create = Action::CreateGroup { title: "g".to_owned(), history: History::Full, leaver: Leaver::Keeps, members };
    world.act(conversation(1), user(0), create);
    world.write_position(conversation(1), user(9), PositionRow { read: 1, read_ordinal: 0, delivered: 1 });
    assert_eq!(world.views.positions(conversation(1), user(0)).unwrap().positions.len(), 1);
    world.act(conversation(1), user(0), Action::Add { users: vec![user(150)] });
    let refused = world.views.positions(conversation(1), user(0)).unwrap_err();
    assert_eq!(Error::from(refused).code, Code::LimitReached);
    world.act(conversation(1), user(150), Action::Leave);
    assert_eq!(world.views.positions(conversation(1), user(0)).unwrap().positions.len(), 1);
}

#[test]
fn members_are_found_behind_many_who_have_left() {
    let mut world = World::new();
    let create = Action::CreateGroup { title: "g".to_owned(), history: History::Full, leaver: Leaver::Keeps, members: Vec::new() };
    world.act(conversation(1), user(0), create);
    for hundred in 0..24 {
        let users = (1 + hundred * 100..=(hundred + 1) * 100).map(nth_user).collect();
        world.act(conversation(1), user(0), Action::Add { users });
    }
    let stay = |n: &u16| n.is_multiple_of(400) || *n < 3;
    let leave = |n| (AggregateId::Conversation(conversation(1)), nth_user(n), AnyAction::Conversation(Action::Leave));
    world.run_all((1..=2_400).filter(|n| !stay(n)).map(leave).collect());
    for limit in [1, 2, 4, 8, 9, 10] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.views.members_after(conversation(1), after, limit).unwrap();
            assert!((1..=limit).contains(&page.members.len()));
            seen.extend(page.members.into_iter().map(|(user, _)| user));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..=2_400).filter(stay).map(nth_user).collect::<Vec<_>>(), "pages of {limit}");
    }
    assert!(world.views.positions(conversation(1), user(0)).is_ok(), "few are left");
}

#[test]
fn a_lost_event_is_damage_and_never_a_gap() {
    let mut world = World::of(3);
    world.act(conversation(1), user(1), Action::CreateDirect { with: user(2) });
    for _ in 0..5 {
        world.act(conversation(1), user(1), say("hello"));
    }
    let key = keys::event(&AggregateId::Conversation(conversation(1)), 4, true);
    world.kv.commit(&[Row { key, value: None, version: u64::MAX }]).unwrap();
    let views = &world.views;
    assert_eq!(views.events_for(conversation(1), user(2), 0, 3).unwrap().events.len(), 3);
    let Err(ViewError::Read(damaged @ ReadError::Damaged { .. })) = views.events_for(conversation(1), user(2), 0, 4) else {
        panic!("event 4 is lost")
    };
    assert!(damaged.to_string().contains("event 4"), "{damaged}");
    let told = Error::from(ViewError::from(damaged));
    assert_eq!(told.code, Code::Internal);
    assert!(!told.message.contains('4'), "places in the store are not told: {told}");
}

#[test]
fn damaged_rows_are_told_by_their_place() {
    let mut world = World::of(3);
    world.act(conversation(1), user(1), Action::CreateDirect { with: user(2) });
    world.act(conversation(1), user(1), say("hello"));
    let aggregate = AggregateId::Conversation(conversation(1));
    let sound = world.kv.get(&[keys::event(&aggregate, 2, true)]).unwrap().pop().flatten();
    let mut torn = sound.clone().unwrap();
    torn.truncate(torn.len() - 1);
    for value in [Some(torn), Some(Vec::new()), Some(vec![200]), Some(record::encode_number(&7))] {
        let key = keys::event(&aggregate, 2, true);
        world.kv.commit(&[Row { key, value, version: u64::MAX }]).unwrap();
        let history = world.views.history(conversation(1), user(2), Which::Newest, None, 5);
        assert!(matches!(history, Err(ViewError::Read(ReadError::Damaged { .. }))), "{history:?}");
        assert!(world.views.conversation(user(2), conversation(1)).is_err());
    }
    let key = keys::event(&aggregate, 2, true);
    world.kv.commit(&[Row { key, value: sound, version: u64::MAX }]).unwrap();
    assert_eq!(world.views.history(conversation(1), user(2), Which::Newest, None, 5).unwrap().messages.len(), 1);
}
