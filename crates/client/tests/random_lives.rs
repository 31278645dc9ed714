//! The machine through random lives: connections break at any point, acks are lost, pushes come
//! twice, late or not at all, the server refuses for now, the process dies at any write. In the end
//! every message is there once and in its sender's order, and the application was given every event
//! once and in order.

#![expect(clippy::unwrap_used, reason = "tests")]

mod world;

use std::collections::BTreeSet;

use chirrup_client::Follow;
use chirrup_client::view::ConversationView;
use chirrup_core::conversation::Action;
use chirrup_core::event::{History, Leaver, Role, Text};
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_protocol::event::Kind;
use chirrup_protocol::reply::{Conversation, Unread};
use world::chat::Chat;
use world::device::Device;
use world::server::{Server, send};
use world::{Dice, seeds};

const STEPS: u64 = 400;

struct World {
    server: Server,
    devices: Vec<Device>,
    dice: Dice,
    now_ms: u64,
    acts: u64,
    seed: u64,
}

fn group(n: u8) -> ConversationId {
    ConversationId([n; 16])
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut server = Server::default();
        server.busy_one_in = [0, 3, 10][dice.below(3) as usize];
        server.reset_one_in = 4;
        let (history, leaver) =
            (*dice.pick(&[History::Full, History::FromJoin]).unwrap(), *dice.pick(&[Leaver::Keeps, Leaver::Loses]).unwrap());
        for n in 1..=3 {
            let members = (1..=3).map(Server::user).collect();
            let create = Action::CreateGroup { title: format!("group {n}"), history, leaver, members };
            server.act(group(n), Server::user(9), ClientId([n; 16]), create).unwrap();
        }
        let follow = *dice.pick(&[Follow::FromHead, Follow::FromBeginning]).unwrap();
        let devices = (1..=3).map(|n| Device::new(Server::user(n), follow)).collect();
        Self { server, devices, dice, now_ms: 0, acts: 0, seed }
    }

    fn client_id(&mut self) -> ClientId {
        self.acts += 1;
        let mut id = [0xff; 16];
        id[..8].copy_from_slice(&self.acts.to_be_bytes());
        ClientId(id)
    }

    /// Somebody who is no device of ours does something.
    fn other_acts(&mut self) {
        let conversation = group(1 + self.dice.below(4) as u8);
        let somebody = Server::user(1 + self.dice.below(3) as u8);
        let owner = Server::user(9);
        let client_id = self.client_id();
        let head = self.server.chats.get(&conversation).map_or(0, Chat::head);
        let target = 1 + self.dice.below(head.max(1));
        let text = Text { text: "other".to_owned(), mentions: Vec::new(), mention_all: self.dice.one_in(3) };
        let thread = self.dice.one_in(3).then_some(target);
        let action = match self.dice.below(12) {
            0..=4 => send(text, None, thread, self.dice.one_in(2)),
            5 => Action::Edit { target, text },
            6 => Action::Delete { target },
            7 => Action::React { target, emoji: "+".to_owned(), add: self.dice.one_in(2) },
            8 => Action::SetTitle { title: format!("title {}", self.acts) },
            9 => Action::Add { users: vec![somebody] },
            10 => Action::Remove { user: somebody },
            _ if conversation == group(4) && head == 0 => {
                let members = vec![Server::user(1), somebody];
                Action::CreateGroup { title: "late".to_owned(), history: History::Full, leaver: Leaver::Keeps, members }
            }
            _ => Action::SetRole { user: somebody, role: Role::Member },
        };
        let by = if self.dice.one_in(2) { owner } else { somebody };
        // What is not allowed is refused, and that is as good.
        let _ = self.server.act(conversation, by, client_id, action);
    }

    fn step(&mut self) {
        let at = self.dice.below(self.devices.len() as u64) as usize;
        let now_ms = self.now_ms;
        match self.dice.below(40) {
            0..=2 => self.other_acts(),
            3..=5 => {
                let conversation = group(1 + self.dice.below(4) as u8);
                self.devices[at].say(now_ms, conversation);
            }
            6..=14 => drop(self.devices[at].carry_up(&mut self.server, &mut self.dice)),
            15..=24 => drop(self.devices[at].carry_down(now_ms, &mut self.server, Some(&mut self.dice))),
            25..=28 => drop(self.devices[at].finish_save(now_ms)),
            29..=31 => drop(self.devices[at].consume(now_ms)),
            32 => self.devices[at].store(),
            33 => self.read(at),
            34 => self.devices[at].break_connection(now_ms, &mut self.server),
            35 if self.dice.one_in(3) => self.devices[at].crash(&mut self.server),
            36 => self.devices[at].session().into_iter().for_each(|session| self.server.forget_last_push(session)),
            37 => self.devices[at].session().into_iter().for_each(|session| self.server.heartbeat(session)),
            _ => {
                self.now_ms += self.dice.below(2_000);
                self.devices[at].tick(self.now_ms);
            }
        }
        let reachable = !self.dice.one_in(4);
        self.devices[at].act(self.now_ms, &mut self.server, reachable);
    }

    fn read(&mut self, at: usize) {
        let conversation = group(1 + self.dice.below(3) as u8);
        let device = &mut self.devices[at];
        let head = device.machine.view().conversation(conversation).map_or(0, ConversationView::head);
        if head > 0 {
            device.machine.read(self.now_ms, conversation, 1 + self.dice.below(head));
        }
    }

    /// Everything heals, and time goes on until nothing is left to do.
    fn heal(&mut self) {
        self.server.busy_one_in = 0;
        self.server.reset_one_in = 0;
        let mut quiet = 0;
        for _ in 0..200 {
            let mut news = false;
            for device in &mut self.devices {
                device.tick(self.now_ms);
                device.act(self.now_ms, &mut self.server, true);
                loop {
                    let consumed = device.consume(self.now_ms);
                    let saved = device.finish_save(self.now_ms);
                    let up = device.carry_up(&mut self.server, &mut self.dice);
                    let down = device.carry_down(self.now_ms, &mut self.server, None);
                    device.act(self.now_ms, &mut self.server, true);
                    news |= consumed || saved;
                    if !(consumed || saved || up || down) {
                        break;
                    }
                }
                if let Some(session) = device.session() {
                    self.server.heartbeat(session);
                }
            }
            self.now_ms += 1_000;
            let settled = self.devices.iter().all(|device| device.connected() && device.machine.outbox().next().is_none());
            quiet = if settled && !news { quiet + 1 } else { 0 };
            if quiet > 3 {
                return;
            }
        }
        panic!("seed {}: the world does not come to rest", self.seed);
    }

    fn judge(&self) {
        for device in &self.devices {
            let seed = self.seed;
            let left: Vec<_> = device.machine.outbox().map(|entry| entry.client_id).collect();
            assert!(left.is_empty(), "seed {seed}: {} still has {left:?} to send", device.user);
            self.judge_messages(device);
            self.judge_events(device);
            self.judge_view(device);
        }
    }

    /// Every message that was durable once is in the log once, in the order in which it was said.
    fn judge_messages(&self, device: &Device) {
        for (conversation, chat) in &self.server.chats {
            let said: Vec<ClientId> =
                device.promised.iter().filter(|(there, _)| there == conversation).map(|(_, client_id)| *client_id).collect();
            let sent = |message: &chirrup_protocol::event::Message| {
                message.client_id.filter(|id| message.author == Some(device.user) && id.0[8] == device.user.0[0])
            };
            let found: Vec<ClientId> = (1..=chat.head()).filter_map(|seq| chat.message(seq)).filter_map(|m| sent(&m)).collect();
            let once: BTreeSet<_> = found.iter().collect();
            assert_eq!(once.len(), found.len(), "seed {}: a message of {} is there twice", self.seed, device.user);
            let in_order: Vec<ClientId> = said.iter().copied().filter(|id| once.contains(id)).collect();
            assert_eq!(found, in_order, "seed {}: messages of {} changed their order in {conversation}", self.seed, device.user);
            for client_id in said.iter().filter(|id| !once.contains(id)) {
                let refused = device.settled.get(client_id).is_some_and(Result::is_err);
                assert!(refused, "seed {}: {client_id} of {} is lost", self.seed, device.user);
            }
        }
    }

    /// The application has every event from where its log began, once and in order.
    fn judge_events(&self, device: &Device) {
        let keys = self.server.chats.keys().copied().map(Some).chain([None]);
        for key in keys {
            let Ok(all) = self.server.events(device.user, key, 0, u32::MAX) else { continue };
            let seqs = device.seqs(key);
            let expected: Vec<u64> = seqs.first().map(|first| (*first..=all.head).collect()).unwrap_or_default();
            assert_eq!(seqs, expected, "seed {}: {} was not given each event of {key:?} once", self.seed, device.user);
            if device.follow == Follow::FromBeginning {
                assert_eq!(seqs.len() as u64, all.head, "seed {}: {} was not given all of {key:?}", self.seed, device.user);
            }
            for given in device.given.get(&key).into_iter().flatten() {
                let there = &all.events[given.seq as usize - 1];
                // Texts may have gone since, and so may the sight of it.
                let same = given.client_id == there.client_id || there.kind == Kind::Hidden;
                assert!(same, "seed {}: {given:?} is not {there:?}", self.seed);
            }
        }
    }

    /// What the view shows is what a fresh look at the server shows.
    fn judge_view(&self, device: &Device) {
        for view in device.machine.view().conversations() {
            let there = self.server.about(device.user, view.id()).unwrap();
            let here = view.about();
            assert_eq!(plain(here), plain(there), "seed {}: the view of {} is wrong", self.seed, device.user);
            // Who was not there for a while is not told what became of messages meanwhile.
            let events = self.server.events(device.user, Some(view.id()), 0, u32::MAX).unwrap().events;
            if !view.joined() || events.iter().any(|event| event.kind == Kind::Hidden) {
                continue;
            }
            for message in view.messages() {
                let there = self.server.chats[&view.id()].message(message.seq).unwrap();
                assert_eq!(*message, there, "seed {}: a message of {} is wrong", self.seed, device.user);
            }
        }
    }
}

/// Without what only the server tells, and without what a former member is not told of: what became
/// of messages since.
fn plain(about: Conversation) -> Conversation {
    let mut plain = Conversation { delivered: 0, ..about };
    if !plain.joined {
        (plain.title, plain.last_message) = (None, None);
        (plain.unread, plain.mentions) = (Unread { count: 0, at_least: false }, Unread { count: 0, at_least: false });
    }
    plain
}

#[test]
fn p3_p5_every_message_once_in_order_every_event_once_through_random_lives() {
    for seed in seeds(1_500) {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.heal();
        world.judge();
    }
}

#[test]
fn the_judge_sees_an_event_that_is_missing() {
    let mut world = World::new(0);
    world.heal();
    let user: UserId = world.devices[0].user;
    for n in 0..5 {
        let text = Text { text: "other".to_owned(), mentions: Vec::new(), mention_all: false };
        world.server.act(group(1), Server::user(9), ClientId([200 + n; 16]), send(text, None, None, false)).unwrap();
    }
    world.heal();
    world.judge();
    let events = world.devices[0].given.get_mut(&Some(group(1))).unwrap();
    let at = events.len() - 2;
    events.remove(at);
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.judge()));
    assert!(judged.is_err(), "{user} misses an event, and the judge did not see it");
}
