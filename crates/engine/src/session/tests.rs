//! Sessions over random histories: a device is told exactly what changed since its cursor.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::aggregate::{Action as AnyAction, AggregateId, SHARDS};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Fact, Form, History, Leaver, Moved, Text};
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_core::user;
use chirrup_protocol::reply::SyncPage;
use chirrup_store::offset::Offset;
use proptest::prelude::*;

use super::cursor::{self, Page};
use super::{Heads, OWN_EVENTS_MAX, Sessions};
use crate::recovery::Marks;
use crate::testing::{self, World};
use crate::views::ViewError;

const INCARNATION: u64 = 77;
const USERS: u8 = 4;
const CONVERSATIONS: u8 = 6;

/// Heads of what was published beyond the first `floor` events and up to the first `now`.
struct Table<'a> {
    world: &'a World,
    floor: usize,
    now: usize,
}

impl Heads for Table<'_> {
    fn marks(&self) -> Marks {
        self.world.marks(self.now)
    }

    fn moved(&self, asked: &[(ConversationId, Offset)]) -> Vec<Option<bool>> {
        let floor = self.world.marks(self.floor);
        let moved = |(conversation, cursor): &(ConversationId, Offset)| {
            let aggregate = AggregateId::Conversation(*conversation);
            let beyond = |p: &&crate::batch::Published| p.aggregate == aggregate && p.offset > *cursor;
            let known = *cursor >= floor[usize::from(aggregate.shard())];
            known.then(|| self.world.published.iter().any(|p| beyond(&p)))
        };
        asked.iter().map(moved).collect()
    }
}

/// A session from its first page to its last: (reset, conversations told, cursor).
fn session(world: &World, heads: &dyn Heads, who: UserId, cursor: Option<&str>) -> (bool, Vec<ConversationId>, String) {
    let sessions = Sessions::new(&world.views, heads, INCARNATION);
    let begun = sessions.begin(who, cursor).unwrap();
    assert_eq!(begun.user_head, world.events(&AggregateId::User(who)).len() as u64);
    let mut told = Vec::new();
    let mut page = begun.page;
    loop {
        for conversation in &page.conversations {
            assert_eq!(Some(conversation), world.views.conversation(who, conversation.conversation).unwrap().as_ref());
            told.push(conversation.conversation);
        }
        match page {
            SyncPage { next: Some(next), cursor: None, .. } => page = sessions.page(who, &next).unwrap(),
            SyncPage { next: None, cursor: Some(cursor), .. } => return (begun.reset, told, cursor),
            neither => panic!("a page leads to the next or has the cursor: {neither:?}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Create { by: u8, conversation: u8, from_join: bool, loses: bool, members: Vec<u8> },
    Send { by: u8, conversation: u8 },
    Add { by: u8, conversation: u8, who: u8 },
    Remove { by: u8, conversation: u8, who: u8 },
    Mute { by: u8, conversation: u8, muted: bool },
    Mark { by: u8, conversation: u8, marked: bool },
    Moved { by: u8, conversations: Vec<u8> },
}

fn op() -> impl Strategy<Value = Op> {
    let by = 0..USERS;
    let at = 0..CONVERSATIONS;
    let on = any::<bool>;
    prop_oneof![
        2 => (by.clone(), at.clone(), on(), on(), prop::collection::vec(0..USERS, 0..3))
            .prop_map(|(by, conversation, from_join, loses, members)| Op::Create { by, conversation, from_join, loses, members }),
        5 => (by.clone(), at.clone()).prop_map(|(by, conversation)| Op::Send { by, conversation }),
        2 => (by.clone(), at.clone(), by.clone()).prop_map(|(by, conversation, who)| Op::Add { by, conversation, who }),
        2 => (by.clone(), at.clone(), by.clone()).prop_map(|(by, conversation, who)| Op::Remove { by, conversation, who }),
        1 => (by.clone(), at.clone(), on()).prop_map(|(by, conversation, muted)| Op::Mute { by, conversation, muted }),
        1 => (by.clone(), at.clone(), on()).prop_map(|(by, conversation, marked)| Op::Mark { by, conversation, marked }),
        1 => (by, prop::collection::vec(at, 1..3)).prop_map(|(by, conversations)| Op::Moved { by, conversations }),
    ]
}

fn say() -> Action {
    let text = Text { text: "words".to_owned(), mentions: Vec::new(), mention_all: false };
    Action::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
}

fn apply(world: &mut World, op: Op) {
    let conversation = |n: u8| testing::conversation(n);
    let own = |action| AnyAction::User(action);
    let (aggregate, by, action) = match op {
        Op::Create { by, conversation: at, from_join, loses, members } => {
            let create = Action::CreateGroup {
                title: "group".to_owned(),
                history: if from_join { History::FromJoin } else { History::Full },
                leaver: if loses { Leaver::Loses } else { Leaver::Keeps },
                members: members.into_iter().map(testing::user).collect(),
            };
            (AggregateId::Conversation(conversation(at)), by, AnyAction::Conversation(create))
        }
        Op::Send { by, conversation: at } => (AggregateId::Conversation(conversation(at)), by, AnyAction::Conversation(say())),
        Op::Add { by, conversation: at, who } => {
            let add = Action::Add { users: vec![testing::user(who)] };
            (AggregateId::Conversation(conversation(at)), by, AnyAction::Conversation(add))
        }
        Op::Remove { by, conversation: at, who } => {
            let remove = Action::Remove { user: testing::user(who) };
            (AggregateId::Conversation(conversation(at)), by, AnyAction::Conversation(remove))
        }
        Op::Mute { by, conversation: at, muted } => {
            (AggregateId::User(testing::user(by)), by, own(user::Action::SetMuted { conversation: conversation(at), muted }))
        }
        Op::Mark { by, conversation: at, marked } => {
            (AggregateId::User(testing::user(by)), by, own(user::Action::SetMarkedUnread { conversation: conversation(at), marked }))
        }
        Op::Moved { by, conversations } => {
            let moved = |n| Moved { conversation: conversation(n), read: 1, delivered: 1 };
            let positions = conversations.into_iter().map(moved).collect();
            (AggregateId::User(testing::user(by)), by, own(user::Action::NotePositions { positions }))
        }
    };
    world.run(aggregate, testing::user(by), action);
}

/// The conversations that changed for a user since the first `since` published events, counted
/// from all events: those that their own log names, and those they are in that have an event.
/// What they may see nothing of is not among them.
fn changed(world: &World, who: UserId, since: usize) -> Vec<ConversationId> {
    let mut list: BTreeMap<ConversationId, (bool, bool)> = BTreeMap::new();
    let mut changed = BTreeSet::new();
    for (n, published) in world.published.iter().enumerate() {
        let mut names = Vec::new();
        match (&published.aggregate, &published.event.envelope.fact) {
            (AggregateId::User(user), fact) if *user == who => match fact {
                Fact::ConversationAdded { conversation, .. } => {
                    list.insert(*conversation, (true, true));
                    names.push(*conversation);
                }
                Fact::ConversationRemoved { conversation, visible, .. } => {
                    list.insert(*conversation, (false, !visible.is_empty()));
                    names.push(*conversation);
                }
                Fact::MuteChanged { conversation, .. } | Fact::UnreadMarked { conversation, .. } => names.push(*conversation),
                Fact::PositionsMoved { positions } => names.extend(positions.iter().map(|p| p.conversation)),
                _ => {}
            },
            _ => {}
        }
        if n >= since {
            changed.extend(names);
        }
    }
    for published in &world.published[since..] {
        if let AggregateId::Conversation(conversation) = published.aggregate
            && list.get(&conversation).is_some_and(|(joined, _)| *joined)
        {
            changed.insert(conversation);
        }
    }
    let readable = |conversation: &ConversationId| list.get(conversation).is_some_and(|(_, readable)| *readable);
    changed.into_iter().filter(readable).collect()
}

proptest! {
    #[test]
    fn a_device_is_told_exactly_what_changed(
        before in prop::collection::vec(op(), 0..50),
        between in prop::collection::vec(op(), 0..25),
        floor in any::<prop::sample::Index>(),
    ) {
        let mut world = World::of(USERS);
        for op in before {
            apply(&mut world, op);
        }
        let then = world.published.len();
        let mut cursors = Vec::new();
        for who in (0..USERS).map(testing::user) {
            let (reset, told, cursor) = session(&world, &Table { world: &world, floor: 0, now: then }, who, None);
            prop_assert!(!reset);
            prop_assert_eq!(told, changed(&world, who, 0));
            cursors.push((who, cursor));
        }
        for op in between {
            apply(&mut world, op);
        }
        let now = world.published.len();
        let heads = Table { world: &world, floor: floor.index(now + 1), now };
        for (who, cursor) in cursors {
            let (reset, told, next) = session(&world, &heads, who, Some(&cursor));
            prop_assert!(!reset);
            prop_assert_eq!(told, changed(&world, who, then));
            let (reset, told, _) = session(&world, &heads, who, Some(&next));
            prop_assert!(!reset && told.is_empty(), "told {:?} again", told);
        }
    }

    #[test]
    fn cursors_and_page_tokens_survive_their_texts(
        marks in prop::collection::vec((0..4_u32, any::<u64>(), 0..3_u16), SHARDS as usize),
        top in any::<u32>(),
        since in any::<bool>(),
        after in any::<Option<[u8; 16]>>(),
    ) {
        let mut until = [Offset::default(); SHARDS as usize];
        for (mark, (epoch, n, k)) in until.iter_mut().zip(marks) {
            *mark = Offset { epoch: top.saturating_sub(epoch), n, k };
        }
        let text = cursor::encode(INCARNATION, &until);
        prop_assert_eq!(cursor::decode(INCARNATION, &text), Some(until));
        prop_assert_eq!(cursor::decode(INCARNATION + 1, &text), None);
        let page = Page { since: since.then_some(until), until, after: after.map(ConversationId) };
        let text = cursor::encode_page(INCARNATION, &page);
        prop_assert_eq!(cursor::decode(INCARNATION, &text), None);
        prop_assert_eq!(cursor::decode_page(INCARNATION, &text), Some(page));
        prop_assert!(text.len() < 4_000);
    }

    #[test]
    fn other_texts_are_no_cursors(cut in any::<prop::sample::Index>(), noise in any::<Vec<u8>>(), text in any::<String>()) {
        let marks = [Offset { epoch: 3, n: 70_000, k: 1 }; SHARDS as usize];
        let whole = cursor::encode(INCARNATION, &marks);
        prop_assert_eq!(cursor::decode(INCARNATION, &whole[..cut.index(whole.len())]), None);
        let longer = format!("{whole}AA");
        prop_assert_eq!(cursor::decode(INCARNATION, &longer), None);
        prop_assert_eq!(cursor::decode(INCARNATION, &text), None);
        let mut bytes = vec![1];
        bytes.extend_from_slice(&INCARNATION.to_be_bytes());
        bytes.extend_from_slice(&noise);
        // Whatever these are, looking at them does no harm.
        let text = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &bytes);
        if let Some(marks) = cursor::decode(INCARNATION, &text) {
            prop_assert_eq!(cursor::decode(INCARNATION, &cursor::encode(INCARNATION, &marks)), Some(marks));
        }
        let _ = cursor::decode_page(INCARNATION, &text);
    }
}

/// A user in many direct conversations, with one message each.
fn sociable(count: u16) -> World {
    let mut world = World::of(2);
    let create = || AnyAction::Conversation(Action::CreateDirect { with: testing::user(0) });
    let aggregate = |n| AggregateId::Conversation(testing::nth_conversation(n));
    world.run_all((0..count).map(|n| (aggregate(n), testing::user(1), create())).collect());
    world
}

#[test]
fn a_long_list_is_told_in_pages_that_any_connection_continues() {
    let mut world = sociable(250);
    let who = testing::user(1);
    let then = world.published.len();
    let heads = Table { world: &world, floor: 0, now: then };
    let first = Sessions::new(&world.views, &heads, INCARNATION).begin(who, None).unwrap().page;
    assert_eq!((first.conversations.len(), first.cursor), (100, None));
    // What comes between two pages is not covered by the cursor.
    world.act(testing::nth_conversation(0), who, say());
    let heads = Table { world: &world, floor: 0, now: world.published.len() };
    let sessions = Sessions::new(&world.views, &heads, INCARNATION);
    let second = sessions.page(who, &first.next.unwrap()).unwrap();
    assert_eq!((second.conversations.len(), second.conversations[0].conversation), (100, testing::nth_conversation(100)));
    let third = sessions.page(who, &second.next.unwrap()).unwrap();
    assert_eq!((third.conversations.len(), third.next), (50, None));
    assert_eq!(cursor::decode(INCARNATION, third.cursor.as_ref().unwrap()), Some(world.marks(then)));
    let (_, told, _) = session(&world, &heads, who, third.cursor.as_deref());
    assert_eq!(told, [testing::nth_conversation(0)]);
}

#[test]
fn more_changes_than_a_page_holds_follow_in_the_next() {
    let mut world = sociable(250);
    let who = testing::user(0);
    let heads = Table { world: &world, floor: 0, now: world.published.len() };
    let (_, told, cursor) = session(&world, &heads, who, None);
    assert_eq!(told.len(), 250);
    let say_in = |n: u16| (AggregateId::Conversation(testing::nth_conversation(n)), testing::user(1), AnyAction::Conversation(say()));
    world.run_all((0..250).filter(|n| n % 2 == 0).map(say_in).collect());
    for floor in [0, world.published.len()] {
        let heads = Table { world: &world, floor, now: world.published.len() };
        let sessions = Sessions::new(&world.views, &heads, INCARNATION);
        assert_eq!(sessions.begin(who, Some(&cursor)).unwrap().page.conversations.len(), 100);
        let (_, told, _) = session(&world, &heads, who, Some(&cursor));
        assert_eq!(told, (0..250).filter(|n| n % 2 == 0).map(testing::nth_conversation).collect::<Vec<_>>());
    }
}

#[test]
fn a_very_long_list_is_looked_through_in_short_pages() {
    let mut world = sociable(2_300);
    let who = testing::user(1);
    let cursor = super::cursor(INCARNATION, &world.marks(world.published.len()));
    let changed: Vec<_> = [5, 1_005, 2_299].map(testing::nth_conversation).to_vec();
    for conversation in &changed {
        world.act(*conversation, testing::user(0), say());
    }
    let heads = Table { world: &world, floor: 0, now: world.published.len() };
    let begun = Sessions::new(&world.views, &heads, INCARNATION).begin(who, Some(&cursor)).unwrap();
    assert_eq!((begun.page.conversations.len(), begun.page.next.is_some()), (1, true));
    assert_eq!(session(&world, &heads, who, Some(&cursor)).1, changed);
    assert_eq!(world.views.subscriptions(who).unwrap().len(), 2_300);
}

#[test]
fn a_cursor_of_no_use_answers_reset_and_everything() {
    let mut world = sociable(3);
    let who = testing::user(1);
    let all: Vec<_> = (0..3).map(testing::nth_conversation).collect();
    let now = world.published.len();
    let cursor = super::cursor(INCARNATION, &world.marks(now));
    let other_store = super::cursor(INCARNATION + 1, &world.marks(now));
    let cut = &cursor[..cursor.len() - 1];
    let heads = Table { world: &world, floor: 0, now };
    for useless in ["", "no cursor", &other_store, cut] {
        let (reset, told, next) = session(&world, &heads, who, Some(useless));
        assert!(reset, "{useless:?}");
        assert_eq!((told, next), (all.clone(), cursor.clone()));
    }
    assert!(!session(&world, &heads, who, Some(&cursor)).0);
    // From the future, as after a restore that kept the incarnation.
    world.act(testing::nth_conversation(0), who, say());
    let future = super::cursor(INCARNATION, &world.marks(world.published.len()));
    let heads = Table { world: &world, floor: 0, now };
    assert!(session(&world, &heads, who, Some(&future)).0);
    let sessions = Sessions::new(&world.views, &heads, INCARNATION);
    for useless in ["", &cursor] {
        assert!(matches!(sessions.page(who, useless), Err(ViewError::BadPage)));
    }
}

#[test]
fn a_device_that_missed_too_much_of_its_own_log_is_told_everything() {
    let mut world = sociable(2);
    let who = testing::user(1);
    let cursor = super::cursor(INCARNATION, &world.marks(world.published.len()));
    let moved = |n: u64| {
        let positions = vec![Moved { conversation: testing::nth_conversation(0), read: n, delivered: n }];
        (AggregateId::User(who), who, AnyAction::User(user::Action::NotePositions { positions }))
    };
    for (count, told_count) in [(1, 1), (OWN_EVENTS_MAX - 1, 1), (600, 2)] {
        world.run_all((0..count).map(moved).collect());
        let heads = Table { world: &world, floor: 0, now: world.published.len() };
        let (reset, told, _) = session(&world, &heads, who, Some(&cursor));
        assert_eq!((reset, told.len()), (false, told_count));
    }
}
