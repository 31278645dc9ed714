//! Names and the server, over random histories; and limits that random histories do not reach.

use chirrup_core::aggregate::{Action, AggregateId};
use chirrup_core::conversation::Action as Asked;
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::hash::Hash;
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_core::limits::{EDITS_MAX, MEMBERS_MAX, REACTION_USERS_MAX, REACTIONS_MAX};
use chirrup_core::refusal::Refusal;
use chirrup_core::{name, server};
use proptest::prelude::*;

use crate::cases;
use crate::generator::{origin, user};
use crate::heart::Heart;

proptest! {
    #![proptest_config(cases(1_000))]

    /// the first claim wins, for ever, and is repeated at will by its own user only.
    #[test]
    fn a_name_has_one_owner(asks in prop::collection::vec((0..3_u8, any::<bool>()), 1..12)) {
        let mut heart = Heart::new(AggregateId::Name("ada".to_owned()));
        let mut owner = None;
        let mut confirmed = false;
        for (n, (who, claim)) in (0..).zip(asks) {
            let made = if claim {
                let claim = name::Action::Claim { user: user(who), name: "Ada".into(), display_name: "Ada".into(), credential: None };
                let made = heart.ask(origin(user(who), n, 0), Action::Name(claim)).map(<[_]>::len);
                let expected = match owner {
                    None => Ok(1),
                    Some(owner) if owner == who => Ok(0),
                    Some(_) => Err(Refusal::NameTaken),
                };
                owner.get_or_insert(who);
                (made, expected)
            } else {
                let made = heart.ask(origin(user(who), n, 0), Action::Name(name::Action::Confirm)).map(<[_]>::len);
                let first = owner.is_some() && !confirmed;
                confirmed |= first;
                (made, Ok(usize::from(first)))
            };
            prop_assert_eq!(made.0, made.1);
        }
    }

    /// the code works once, until somebody has become an administrator; once there is an administrator there is always one.
    #[test]
    fn the_server_keeps_an_administrator(asks in prop::collection::vec((0..4_u8, 0..4_u8, 0..4_u8), 1..30)) {
        let mut heart = Heart::new(AggregateId::Server);
        let mut administrators: Vec<UserId> = Vec::new();
        let mut code = None;
        for (n, (what, who, whom)) in (0..).zip(asks) {
            let (who, whom) = (user(who), user(whom));
            let (action, expected) = match what {
                0 => {
                    code = Some(n % 3);
                    (server::Action::MakeFirstCode { code: Hash([(n % 3) as u8; 32]) }, Ok(()))
                }
                1 => {
                    let right = code == Some(n % 3);
                    if right {
                        code = None;
                        administrators.retain(|user| *user != who);
                        administrators.push(who);
                    }
                    let expected = if right { Ok(()) } else { Err(Refusal::CodeInvalid) };
                    (server::Action::RedeemFirstCode { code: Hash([(n % 3) as u8; 32]) }, expected)
                }
                _ => {
                    let make = what == 2;
                    let may = administrators.contains(&who);
                    let last = may && !make && administrators == [whom];
                    if may && make && !administrators.contains(&whom) {
                        code = None; // There is no first administrator to be made any more.
                    }
                    if may && !last {
                        administrators.retain(|user| *user != whom);
                        administrators.extend(make.then_some(whom));
                    }
                    let expected = match (may, last) {
                        (false, _) => Err(Refusal::NotAdministrator),
                        (_, true) => Err(Refusal::LastAdministrator),
                        _ => Ok(()),
                    };
                    (server::Action::SetAdministrator { user: whom, administrator: make }, expected)
                }
            };
            let decided = heart.ask(origin(who, n, 0), Action::Server(action.clone())).map(drop);
            prop_assert_eq!(decided, expected, "{:?} asked {:?}", who, action);
            let mut found = heart.state.server().expect("it is the server").administrators.clone();
            let mut expected = administrators.clone();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}

struct Group(Heart, u64);

impl Group {
    fn new(members: Vec<UserId>) -> Self {
        let mut group = Self(Heart::new(AggregateId::Conversation(ConversationId([7; 16]))), 0);
        let (history, leaver) = (History::Full, Leaver::Keeps);
        group.ask(Asked::CreateGroup { title: "t".into(), history, leaver, members }).expect("it is new");
        group
    }

    fn ask(&mut self, action: Asked) -> Result<usize, Refusal> {
        self.ask_by(user(0), action)
    }

    fn ask_by(&mut self, user: UserId, action: Asked) -> Result<usize, Refusal> {
        self.1 += 1;
        self.0.ask(origin(user, self.1, 0), Action::Conversation(action)).map(<[_]>::len)
    }

    fn say(&mut self) -> u64 {
        let (form, text) = (Form::Text, text("said"));
        let send = Asked::Send { form, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None };
        self.ask(send).expect("a member may");
        self.0.head()
    }
}

fn text(text: &str) -> Text {
    Text { text: text.to_owned(), mentions: Vec::new(), mention_all: false }
}

#[test]
fn a_message_can_be_edited_so_often() {
    let mut group = Group::new(Vec::new());
    let target = group.say();
    for n in 0..=EDITS_MAX {
        let expected = if n < EDITS_MAX { Ok(1) } else { Err(Refusal::TooManyEdits(EDITS_MAX as u32)) };
        assert_eq!(group.ask(Asked::Edit { target, text: text(&n.to_string()) }), expected);
    }
}

#[test]
fn a_message_has_so_many_emoji() {
    let mut group = Group::new(Vec::new());
    let target = group.say();
    for n in 0..=REACTIONS_MAX {
        let expected = if n < REACTIONS_MAX { Ok(1) } else { Err(Refusal::TooManyReactions(REACTIONS_MAX as u32)) };
        assert_eq!(group.ask(Asked::React { target, emoji: n.to_string(), add: true }), expected);
    }
    assert_eq!(group.ask(Asked::React { target, emoji: "0".into(), add: false }), Ok(1));
    assert_eq!(group.ask(Asked::React { target, emoji: "new".into(), add: true }), Ok(1));
}

#[test]
fn so_many_are_named_under_an_emoji_and_all_are_counted() {
    let all = REACTION_USERS_MAX as u8 + 10;
    let mut group = Group::new((1..all).map(user).collect());
    let target = group.say();
    let put = |group: &mut Group, who: u8, add: bool| {
        assert_eq!(group.ask_by(user(who), Asked::React { target, emoji: "x".into(), add }), Ok(1));
        let reaction = group.0.record(target).fold.as_ref().and_then(|fold| fold.reactions.first()).expect("somebody is left").clone();
        (reaction.count, reaction.users.len())
    };
    for who in 0..all {
        let counted = usize::from(who) + 1;
        assert_eq!(put(&mut group, who, true), (counted as u64, counted.min(REACTION_USERS_MAX)));
    }
    assert_eq!(put(&mut group, 0, false), (u64::from(all) - 1, REACTION_USERS_MAX - 1));
}

#[test]
fn a_group_has_so_many_members() {
    let member = |n: u32| {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        UserId(id)
    };
    let mut group = Group::new((2..MEMBERS_MAX).map(member).collect());
    let full = Err(Refusal::GroupFull(MEMBERS_MAX));
    assert_eq!(group.ask(Asked::Add { users: vec![member(0), member(1)] }), full, "all or none");
    assert_eq!(group.ask(Asked::Add { users: vec![member(0), member(2)] }), Ok(1), "who is there already takes no place");
    assert_eq!(group.ask(Asked::Add { users: vec![member(1)] }), full);
}
