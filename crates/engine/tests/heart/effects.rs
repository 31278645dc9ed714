//! Effects through the real reader and runner: sent twice, late, to a full store, over crashes.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use chirrup_core::aggregate::{Action, AggregateId, Command, Outcome, State, StateBody, fold};
use chirrup_core::conversation::Action as Asked;
use chirrup_core::event::{History, Leaver};
use chirrup_core::ids::UserId;
use chirrup_core::refusal::Refusal;
use chirrup_core::rows::Rows;
use chirrup_core::{name, names, user};
use chirrup_engine::batch::{Answer, Submission};
use chirrup_engine::effects::OUTSTANDING_MAX;
use chirrup_engine::queue::{AGGREGATE_WAITING_MAX, LocalQueue, Queue};
use chirrup_store::kv::Kv;
use chirrup_store::{keys, log};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::generator::{origin, user, users};
use crate::store::Fate;
use crate::world::{Told, World, conversation, listen, of_conversation};
use crate::{cases, judge};

/// What happens to effects on their way.
#[derive(Clone, Copy, Debug)]
struct Turn {
    commands: usize,
    effects: usize,
    /// Effects of before that come once more, before and after the new ones.
    again: (usize, usize),
    fate: Fate,
    recovery: Fate,
    save: bool,
    /// Reads that succeed before one fails, of the effect reader and of the runner.
    unread: (Option<usize>, Option<usize>),
}

fn turn() -> impl Strategy<Value = Turn> {
    let fate = || prop_oneof![4 => Just(Fate::Made), 1 => Just(Fate::Refused), 3 => (0..20_usize).prop_map(Fate::Torn)];
    let recovery = prop_oneof![1 => Just(Fate::Made), 1 => (0..6_usize).prop_map(Fate::Torn)];
    let unread = || prop::option::weighted(0.2, 0..12_usize);
    let again = prop_oneof![2 => Just((0, 0)), 1 => (0..3_usize, 0..3_usize)];
    (0..4_usize, 0..5_usize, again, fate(), recovery, any::<bool>(), (unread(), unread())).prop_map(
        |(commands, effects, again, fate, recovery, save, unread)| Turn { commands, effects, again, fate, recovery, save, unread },
    )
}

fn deaf(command: Command) -> Submission {
    Submission { command, answer: Box::new(|_| {}) }
}

/// Plays a turn in which these commands are asked, and gives their answers.
fn play(world: &mut World, commands: Vec<Command>, turn: &Turn) -> Vec<Answer> {
    let again = |world: &World, n: usize| world.sent.iter().rev().step_by(2).take(n).cloned().map(deaf).collect::<Vec<_>>();
    let mut effects = again(world, turn.again.0);
    if let Some(reads) = turn.unread.0 {
        world.kv.fail_read_after(reads);
    }
    effects.extend(world.effects(turn.effects));
    world.kv.heal();
    effects.extend(again(world, turn.again.1));
    world.tears = vec![turn.recovery];
    world.unread = turn.unread.1;
    let answers = world.ask_with(effects, vec![commands], turn.fate);
    if turn.save {
        world.save_marks();
    }
    answers
}

/// A sign-up: one of three names, in one of three spellings, by one of four people.
#[derive(Clone, Copy, Debug)]
struct SignUp {
    name: u8,
    spelling: u8,
    by: u8,
}

impl SignUp {
    fn name(self) -> String {
        let name = ["ada", "bob", "eve"][usize::from(self.name)];
        match self.spelling {
            0 => name.to_owned(),
            1 => name.to_uppercase(),
            _ => name.replace('a', "а").replace('o', "о").replace('e', "е"),
        }
    }

    fn aggregate(self) -> AggregateId {
        AggregateId::Name(names::fold(&self.name()))
    }

    /// The id that the edge makes of name and client id.
    fn user(self) -> UserId {
        let mut id = [0x80; 16];
        id[..2].copy_from_slice(&[self.name, self.by]);
        UserId(id)
    }

    fn command(self, world: &mut World) -> Command {
        let claim = name::Action::Claim {
            user: self.user(),
            name: self.name(),
            display_name: self.name(),
            credential: Some(format!("phc of {}", self.by)),
        };
        world.command(self.aggregate(), origin(self.user(), u64::from(self.by), self.spelling), Action::Name(claim))
    }
}

fn sign_up() -> impl Strategy<Value = SignUp> {
    (0..3_u8, 0..3_u8, 0..4_u8).prop_map(|(name, spelling, by)| SignUp { name, spelling, by })
}

fn state(world: &World, aggregate: &AggregateId) -> State {
    let mut state = State::new(aggregate);
    for row in log::events(&*world.kv, aggregate, 0, 10_000).expect("memory can be read") {
        fold(&mut state, &mut Rows::blind(), &row.record.event);
    }
    state
}

/// Each claimed name has one account, each account its name, and who was told so is the owner.
fn names_and_accounts(world: &World, asked: &[(SignUp, Option<Answer>)]) -> Result<(), TestCaseError> {
    let mut owners: BTreeMap<AggregateId, UserId> = BTreeMap::new();
    for (sign_up, _) in asked {
        let aggregate = sign_up.aggregate();
        let state = state(world, &aggregate);
        let StateBody::Name(name) = &state.body else { panic!("a name has the state of one") };
        let Some(owner) = name.owner else { continue };
        prop_assert_eq!(world.head(&aggregate), 2, "claimed and confirmed once");
        prop_assert!(name.confirmed, "{aggregate:?} was claimed and its account never made");
        owners.insert(aggregate, owner);
    }
    for (sign_up, answer) in asked {
        let owner = owners.get(&sign_up.aggregate()).copied();
        let account = AggregateId::User(sign_up.user());
        prop_assert!(world.head(&account) <= 1, "made twice");
        let account = state(world, &account);
        if let Some(account) = account.user() {
            prop_assert_eq!(owner, Some(sign_up.user()), "{:?} is an account without its name", account.name);
            prop_assert_eq!(AggregateId::Name(names::fold(&account.name)), sign_up.aggregate());
        } else {
            prop_assert_ne!(owner, Some(sign_up.user()), "a lost name");
        }
        match answer {
            Some(Answer::Decided { outcome: Outcome::Done { .. }, .. }) => prop_assert_eq!(owner, Some(sign_up.user())),
            Some(Answer::Decided { outcome: Outcome::Refused(refusal), .. }) => {
                prop_assert_eq!(refusal, &Refusal::NameTaken);
                prop_assert!(owner.is_some() && owner != Some(sign_up.user()));
            }
            _ => {}
        }
    }
    for owner in owners.values() {
        let credential = world.kv.get(&[keys::credential(*owner)]).expect("memory can be read").pop().flatten();
        prop_assert!(credential.is_some(), "an account without its password");
    }
    Ok(())
}

fn sign_ups_end_well(asks: Vec<SignUp>, turns: &[Turn]) -> Result<(), TestCaseError> {
    let mut world = World::over(&[]);
    let mut asked: Vec<(SignUp, Option<Answer>)> = asks.into_iter().map(|sign_up| (sign_up, None)).collect();
    let mut next = 0;
    for turn in turns {
        // Who got no answer asks again, or never.
        let now: Vec<usize> = (next..asked.len()).take(turn.commands).collect();
        let commands = now.iter().map(|n| asked[*n].0.command(&mut world)).collect();
        let answers = play(&mut world, commands, turn);
        next += now.len();
        for (n, answer) in now.into_iter().zip(answers) {
            asked[n].1 = Some(answer);
        }
    }
    asked.truncate(next);
    world.settle();
    names_and_accounts(&world, &asked)?;
    // A retry of those who know nothing makes no second account.
    for (sign_up, before) in &mut asked {
        let command = sign_up.command(&mut world);
        let answer = world.ask(vec![vec![command]], Fate::Made).pop();
        if matches!(before, Some(Answer::Unknown | Answer::StorageFull | Answer::Failed(_))) {
            let settled = matches!(answer, Some(Answer::Decided { .. } | Answer::Conflict));
            prop_assert!(settled, "{:?} of {:?}", answer, sign_up);
            *before = answer;
        }
    }
    world.settle();
    names_and_accounts(&world, &asked)?;
    let logs = asked.iter().flat_map(|(sign_up, _)| [sign_up.aggregate(), AggregateId::User(sign_up.user())]);
    judge::sound(&world, &logs.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>())
}

/// What members do to a group, and nothing else.
fn membership() -> impl Strategy<Value = Asked> {
    prop_oneof![
        3 => prop::collection::vec(1..4_u8, 1..3).prop_map(|users| Asked::Add { users: users.into_iter().map(user).collect() }),
        2 => (1..4_u8).prop_map(|n| Asked::Remove { user: user(n) }),
    ]
}

proptest! {
    #![proptest_config(cases(2_500))]

    /// A crash between name and user leaves neither a lost name nor two users.
    #[test]
    fn p3_sign_ups_end_well(asks in prop::collection::vec(sign_up(), 1..10), turns in prop::collection::vec(turn(), 1..10)) {
        sign_ups_end_well(asks, &turns)?;
    }

    /// A late "added" does not undo a "removed".
    #[test]
    fn lists_end_as_the_conversation_has_them(
        from_join in any::<bool>(),
        loses in any::<bool>(),
        asks in prop::collection::vec(membership(), 1..20),
        turns in prop::collection::vec(turn(), 1..10),
    ) {
        let mut world = World::new();
        let create = Asked::CreateGroup {
            title: "t".to_owned(),
            history: if from_join { History::FromJoin } else { History::Full },
            leaver: if loses { Leaver::Loses } else { Leaver::Keeps },
            members: vec![user(1)],
        };
        let mut actions = std::iter::once(create).chain(asks);
        let mut number = 0;
        for turn in &turns {
            let mut commands = Vec::new();
            for action in actions.by_ref().take(turn.commands) {
                number += 1;
                let (aggregate, action) = of_conversation(0, action);
                commands.push(world.command(aggregate, origin(user(0), number, 0), action));
            }
            play(&mut world, commands, turn);
        }
        // The oldest effects come last of all.
        world.settle();
        let late: Vec<Submission> = world.sent.iter().rev().cloned().map(deaf).collect();
        world.run(vec![late], Fate::Made);
        world.settle();
        lists_equal_members(&world)?;
        let mut logs = vec![AggregateId::Conversation(conversation(0))];
        logs.extend(users().map(AggregateId::User));
        judge::sound(&world, &logs)?;
    }
}

/// The list of each user is as the conversation has it.
fn lists_equal_members(world: &World) -> Result<(), TestCaseError> {
    let aggregate = AggregateId::Conversation(conversation(0));
    for user in users() {
        let member = judge::member(world, &aggregate, user);
        let entry = judge::entry(world, user, conversation(0));
        let member = member.map(|member| (member.role.is_some(), member.visible));
        prop_assert_eq!(member, entry.map(|entry| (entry.joined, entry.visible)), "the list of {:?}", user);
    }
    Ok(())
}

/// Two shards whose queues are full of commands for each other's targets do not wait for each
/// other: what finds no room is given back, and the commands go on.
#[test]
fn full_queues_do_not_wait_for_each_other() {
    let mut world = World::new();
    let people = [user(1), user(2)];
    let (aggregate, create) = of_conversation(
        0,
        Asked::CreateGroup { title: "t".into(), history: History::Full, leaver: Leaver::Keeps, members: people.to_vec() },
    );
    let sign_up = SignUp { name: 0, spelling: 0, by: 0 };
    let begin = vec![world.command(aggregate.clone(), origin(user(0), 1, 0), create), sign_up.command(&mut world)];
    world.ask(vec![begin], Fate::Made);

    let mut queue = LocalQueue::default();
    let told = Told::default();
    let mut fill = |world: &mut World, of: UserId| {
        for n in 0..AGGREGATE_WAITING_MAX as u64 {
            let action = Action::User(user::Action::SetProfile { display_name: format!("{n}") });
            let command = world.command(AggregateId::User(of), origin(of, n, 0), action);
            assert!(queue.push(listen(&told, command)).is_ok());
        }
    };
    for of in [people[0], people[1], sign_up.user()] {
        fill(&mut world, of);
    }
    let shards: Vec<u8> = (0..64).collect();
    let (mut given_back, mut turns) = (0, 0);
    while !(queue.is_empty() && world.effects.is_idle()) {
        turns += 1;
        assert!(turns < 1_000, "it does not end");
        let stamp = world.stamp();
        while let Some(effect) = world.effects.next(&*world.kv, || stamp).expect("memory can be read") {
            if let Err(full) = queue.push(effect) {
                world.effects.put_back(full.0);
                given_back += 1;
                break;
            }
        }
        let taken = queue.take(&shards, 10);
        world.run(vec![taken], Fate::Made);
    }
    assert!(given_back > 0, "no queue was ever full");
    assert!(told.lock().unwrap_or_else(PoisonError::into_inner).iter().all(Option::is_some));
    for person in people {
        assert!(judge::entry(&world, person, conversation(0)).is_some_and(|entry| entry.joined));
    }
    assert!(state(&world, &AggregateId::User(sign_up.user())).user().is_some());
}

/// More sign-ups at once than effects may be outstanding, each answered when its account exists:
/// no answer waits for an effect that waits for that answer.
#[test]
fn held_answers_do_not_hold_effects() {
    let mut world = World::over(&[]);
    world.holds = true;
    let told = Told::default();
    let claims = (0..OUTSTANDING_MAX as u64 + 100).map(|n| {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let name = format!("name{n}");
        let claim = name::Action::Claim { user: UserId(id), name: name.clone(), display_name: name.clone(), credential: None };
        let command = world.command(AggregateId::Name(names::fold(&name)), origin(UserId(id), n, 0), Action::Name(claim));
        listen(&told, command)
    });
    let claims: Vec<Submission> = claims.collect();
    let count = claims.len();
    world.run(vec![claims], Fate::Made);
    let answered = || told.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().count();
    assert_eq!(answered(), 0, "an account does not exist before its effect was taken");
    world.settle();
    assert_eq!(answered(), count);
}
