//! A device: the machine, its outbox on a disk that forgets what was not synced, an application
//! that keeps what it is given together with where it came to, and a connection that may break.

use std::collections::{BTreeMap, VecDeque};

use chirrup_client::machine::{ClientEvent, Config, Entry, Failure, Follow, Machine, Output, Record, Resume};
use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};
use chirrup_protocol::choice::Form;
use chirrup_protocol::error::Error as Refusal;
use chirrup_protocol::event::Event;
use chirrup_protocol::reply::Done;
use chirrup_protocol::request::{Request, Send};

use super::Dice;
use super::server::{LogKey, Server};

/// What the application was given of each log.
pub(crate) type Given = BTreeMap<LogKey, Vec<Event>>;

pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) follow: Follow,
    pub(crate) machine: Machine,
    session: Option<usize>,
    up: VecDeque<String>,
    down: VecDeque<String>,
    saving: Option<Vec<Record>>,
    disk: Vec<Entry>,
    /// What the application holds, and what it held when it last saved.
    pub(crate) given: Given,
    saved: (Option<Resume>, Given),
    /// Entries that were durable once: these the server must have in the end, or have refused.
    pub(crate) promised: Vec<(ConversationId, ClientId)>,
    pub(crate) settled: BTreeMap<ClientId, Result<Done, Refusal>>,
    lives: u64,
    said: u64,
}

impl Device {
    pub(crate) fn new(user: UserId, follow: Follow) -> Self {
        Self {
            user,
            follow,
            machine: machine(user, follow, None, Vec::new(), 0),
            session: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            saving: None,
            disk: Vec::new(),
            given: Given::new(),
            saved: (None, Given::new()),
            promised: Vec::new(),
            settled: BTreeMap::new(),
            lives: 0,
            said: 0,
        }
    }

    /// Does what the machine wants done, as far as nothing has to arrive for it.
    pub(crate) fn act(&mut self, now_ms: u64, server: &mut Server, reachable: bool) {
        self.machine.connect(now_ms);
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Connect if reachable => {
                    self.session = Some(server.connect());
                    self.machine.opened(now_ms);
                }
                Output::Connect => self.machine.closed(now_ms, Failure::Connect("refused".to_owned()), None),
                Output::Disconnect => self.hang_up(server),
                Output::Frame(text) => self.up.push_back(text),
                Output::Save(records) => self.saving = Some(records),
                Output::Answer(_) | Output::Dropped(_) => {}
                Output::Settled(client_id, outcome) => drop(self.settled.insert(client_id, outcome)),
            }
        }
    }

    fn hang_up(&mut self, server: &mut Server) {
        if let Some(session) = self.session.take() {
            server.disconnect(session);
        }
        self.up.clear();
        self.down.clear();
    }

    pub(crate) fn connected(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) fn session(&self) -> Option<usize> {
        self.session
    }

    /// The connection breaks: what is under way is lost.
    pub(crate) fn break_connection(&mut self, now_ms: u64, server: &mut Server) {
        if self.session.is_some() {
            self.hang_up(server);
            self.machine.closed(now_ms, Failure::Lost("reset".to_owned()), None);
        }
    }

    /// One frame reaches the server.
    pub(crate) fn carry_up(&mut self, server: &mut Server, dice: &mut Dice) -> bool {
        let Some(session) = self.session else { return false };
        let Some(text) = self.up.pop_front() else { return false };
        server.frame(session, &text, dice);
        true
    }

    /// One frame reaches the device; pushes may come twice, late, or not at all.
    pub(crate) fn carry_down(&mut self, now_ms: u64, server: &mut Server, faults: Option<&mut Dice>) -> bool {
        let Some(session) = self.session else { return false };
        self.down.extend(server.take(session));
        let Some(text) = self.down.pop_front() else { return false };
        if let Some(dice) = faults
            && text.starts_with(r#"{"push":"event""#)
        {
            match dice.below(8) {
                0 => self.down.push_back(text.clone()),
                1 => {
                    // A connection keeps its order where a cursor counts on it (S-3).
                    let room = self.down.iter().position(|frame| frame.contains(r#""cursor""#)).unwrap_or(self.down.len());
                    let at = dice.below(room as u64 + 1) as usize;
                    self.down.insert(at, text);
                    return true;
                }
                _ => {}
            }
        }
        self.machine.frame(now_ms, &text);
        true
    }

    /// The write that is under way is durable.
    pub(crate) fn finish_save(&mut self, now_ms: u64) -> bool {
        let Some(records) = self.saving.take() else { return false };
        for record in &records {
            match record {
                Record::Added(entry) => {
                    self.disk.push(entry.clone());
                    self.promised.push((entry.conversation, entry.client_id));
                }
                Record::Settled(client_id) => self.disk.retain(|entry| entry.client_id != *client_id),
            }
        }
        self.machine.saved(now_ms, &records);
        true
    }

    /// Says something new; texts count up, so that their order can be judged.
    pub(crate) fn say(&mut self, now_ms: u64, conversation: ConversationId) {
        self.said += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.said.to_be_bytes());
        id[8] = self.user.0[0];
        let send = Send {
            client_id: ClientId(id),
            conversation,
            text: format!("{:05} of {}", self.said, self.user),
            form: Form::default(),
            mentions: Vec::new(),
            mention_all: false,
            reply_to: None,
            thread_root: None,
            also_in_conversation: false,
        };
        let body = chirrup_client::machine::Body::of(&Request::Send(send));
        self.machine.say(now_ms, Entry { client_id: ClientId(id), conversation, body }).expect("there is room");
    }

    /// The application takes one event.
    pub(crate) fn consume(&mut self, now_ms: u64) -> bool {
        let Some(event) = self.machine.next_event(now_ms) else { return false };
        match event {
            ClientEvent::Event { conversation, event } => self.given.entry(conversation).or_default().push(event),
            ClientEvent::Removed(conversation) => drop(self.given.remove(&Some(conversation))),
            _ => {}
        }
        true
    }

    /// The application stores what it has, together with where it came to.
    pub(crate) fn store(&mut self) {
        self.saved = (Some(self.machine.resume().clone()), self.given.clone());
    }

    /// The process dies and starts again, with what its disk has.
    pub(crate) fn crash(&mut self, server: &mut Server) {
        self.hang_up(server);
        self.saving = None;
        self.lives += 1;
        let (resume, given) = self.saved.clone();
        self.given = given;
        self.machine = machine(self.user, self.follow, resume, self.disk.clone(), self.lives);
    }

    pub(crate) fn tick(&mut self, now_ms: u64) {
        self.machine.tick(now_ms);
    }

    /// Seqs that the application was given of a log.
    pub(crate) fn seqs(&self, key: LogKey) -> Vec<Seq> {
        self.given.get(&key).map(|events| events.iter().map(|event| event.seq).collect()).unwrap_or_default()
    }
}

fn machine(user: UserId, follow: Follow, resume: Option<Resume>, outbox: Vec<Entry>, seed: u64) -> Machine {
    let config = Config { token: Some(user.to_string()), follow, receipts: true, background: false, seed };
    Machine::new(config, resume, outbox)
}
