//! P3: however often, in whatever order and company a command is sent, it has one effect.

use std::collections::BTreeMap;

use chirrup_core::aggregate::{AggregateId, Command, Digest, Origin, Outcome};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::ids::{ClientId, UserId};
use chirrup_engine::batch::Answer;
use proptest::prelude::*;

use crate::generator::{origin, user, users};
use crate::store::Fate;
use crate::world::{World, conversation, of_conversation};
use crate::{cases, judge};

/// A command on its way: what it asks is told by its number and its body.
#[derive(Clone, Copy, Debug)]
struct Sent {
    of: u8,
    by: u8,
    number: u64,
    body: u8,
}

impl Sent {
    /// Some make an event, some find nothing to do, some are refused, some are several events.
    fn action(self) -> Action {
        let text = Text { text: format!("{} {}", self.number, self.body), mentions: Vec::new(), mention_all: false };
        match self.number % 5 {
            0 => Action::Edit { target: 2, text },
            1 => Action::React { target: 2, emoji: "x".to_owned(), add: true },
            2 => Action::Add { users: vec![user(3), user(4), user(5)] },
            _ => {
                Action::Send { form: Form::Text, text, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
            }
        }
    }

    fn command(self, world: &mut World) -> Command {
        let (aggregate, action) = of_conversation(self.of, self.action());
        world.command(aggregate, origin(user(self.by), self.number, self.body), action)
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let body = prop_oneof![5 => Just(0_u8), 1 => Just(1)];
    (0..2_u8, 0..3_u8, 0..8_u64, body).prop_map(|(of, by, number, body)| Sent { of, by, number, body })
}

/// Each command one to four times, in any order.
fn several_times() -> impl Strategy<Value = Vec<Sent>> {
    let times =
        |sends: Vec<(Sent, usize)>| sends.into_iter().flat_map(|(sent, times)| std::iter::repeat_n(sent, times)).collect::<Vec<_>>();
    prop::collection::vec((sent(), 1..5_usize), 1..20).prop_map(times).prop_shuffle()
}

fn two_groups() -> World {
    let mut world = World::new();
    for of in 0..2 {
        let create =
            Action::CreateGroup { title: "t".to_owned(), history: History::Full, leaver: Leaver::Keeps, members: vec![user(1), user(2)] };
        let say = Sent { of, by: 0, number: 1_003, body: 0 };
        let (aggregate, action) = of_conversation(of, create);
        let create = world.command(aggregate, origin(user(0), 1_000, 0), action);
        let say = say.command(&mut world);
        world.ask(vec![vec![create, say]], Fate::Made);
    }
    world
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn p3_a_command_has_one_effect(
        sends in several_times(),
        sizes in prop::collection::vec((1..6_usize, 0..4_u8), 1..12),
    ) {
        let mut world = two_groups();
        let mut decided: BTreeMap<(u8, u8, u64), (u8, Outcome)> = BTreeMap::new();
        let mut sizes = sizes.iter().cycle();
        let mut left = sends.as_slice();
        while !left.is_empty() {
            let (size, restart) = sizes.next().expect("endless");
            let (batch, rest) = left.split_at((*size).min(left.len()));
            left = rest;
            if *restart == 0 {
                world.restart();
            }
            let commands = batch.iter().map(|sent| sent.command(&mut world)).collect();
            for (sent, answer) in batch.iter().zip(world.ask(vec![commands], Fate::Made)) {
                let before = decided.get(&(sent.of, sent.by, sent.number)).cloned();
                match (before, answer) {
                    (None, Answer::Decided { outcome, duplicate: false }) => {
                        decided.insert((sent.of, sent.by, sent.number), (sent.body, outcome));
                    }
                    (Some((body, first)), Answer::Decided { outcome, duplicate: true }) => {
                        prop_assert_eq!((body, first), (sent.body, outcome), "{:?}", sent);
                    }
                    (Some((body, _)), Answer::Conflict) => prop_assert_ne!(body, sent.body),
                    (before, answer) => prop_assert!(false, "{sent:?}, before {before:?}: {answer:?}"),
                }
            }
        }
        world.settle();
        let conversations = (0..2).map(|of| AggregateId::Conversation(conversation(of)));
        judge::sound(&world, &conversations.chain(users().map(AggregateId::User)).collect::<Vec<_>>())?;
    }
}

/// Also after more later commands than are kept of anything in memory.
#[test]
fn p3_a_retry_after_thousands_of_others_is_a_retry() {
    let mut world = two_groups();
    let first = Sent { of: 0, by: 1, number: 3, body: 0 };
    let command = first.command(&mut world);
    let answer = world.ask(vec![vec![command]], Fate::Made).pop();
    let Some(Answer::Decided { outcome, duplicate: false }) = answer else { panic!("{answer:?}") };
    for batch in 0..5_u64 {
        let number = |n: u64| 10_003 + batch * 5_000 + n * 5;
        let commands = (0..1_000).map(|n| Sent { number: number(n), ..first }.command(&mut world)).collect();
        world.ask(vec![commands], Fate::Made);
    }
    let again = first.command(&mut world);
    let other = Sent { body: 1, ..first }.command(&mut world);
    let answers = world.ask(vec![vec![again, other]], Fate::Made);
    assert_eq!(answers, [Answer::Decided { outcome, duplicate: true }, Answer::Conflict]);
}

/// Two commands that differ in nothing but their sender are two.
#[test]
fn p3_a_client_id_is_its_senders_own() {
    let mut world = two_groups();
    let id = ClientId([9; 16]);
    let by = |user: UserId| Origin::Client { user, client_id: id, digest: Digest([0; 16]) };
    let (aggregate, action) = of_conversation(0, Sent { of: 0, by: 0, number: 3, body: 0 }.action());
    for n in [0, 1] {
        let command = world.command(aggregate.clone(), by(user(n)), action.clone());
        let answers = world.ask(vec![vec![command]], Fate::Made);
        assert!(matches!(answers[..], [Answer::Decided { duplicate: false, .. }]), "{answers:?}");
    }
    assert_eq!(world.head(&aggregate), 4);
}
