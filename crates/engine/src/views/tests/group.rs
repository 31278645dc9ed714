//! One group, and what is done in it.

use std::collections::HashMap;

use chirrup_core::aggregate::{Action as AnyAction, AggregateId, Outcome};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, History, Leaver, Role, Text};
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_store::record::PositionRow;

use super::oracle::Oracle;
use crate::testing::{World, conversation, user};

pub(super) const USERS: u8 = 5;

/// A message is named by its place among all messages there were, modulo their number.
#[derive(Clone, Debug)]
pub(super) enum Op {
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

pub(super) struct Group {
    pub(super) world: World,
    pub(super) id: ConversationId,
    /// Seqs of all messages there were.
    pub(super) messages: Vec<Seq>,
    pub(super) read: HashMap<UserId, Seq>,
}

fn text(calls: Option<u8>, all: bool) -> Text {
    Text { text: "words".to_owned(), mentions: calls.into_iter().map(user).collect(), mention_all: all }
}

fn say(words: Text) -> Action {
    Action::Send { form: Form::Text, text: words, reply_to: None, thread_root: None, also_in_conversation: false, original_time: None }
}

/// A plain message.
pub(super) fn send(by: u8) -> Op {
    Op::Send { by, calls: None, all: false, thread: None, also: false, reply: None }
}

impl Group {
    pub(super) fn new(history: History, leaver: Leaver, fillers: [usize; 3]) -> Self {
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
                group.sent(user(0), outcome, true);
            }
        }
        group
    }

    /// A message of the timeline moves its author's positions to itself, one of a thread does not.
    pub(super) fn sent(&mut self, by: UserId, outcome: &Outcome, in_timeline: bool) {
        if let Outcome::Done { last, .. } = outcome {
            self.messages.push(*last);
            if in_timeline {
                self.move_to(by, *last, true);
            }
        }
    }

    pub(super) fn message(&self, at: usize) -> Seq {
        self.messages.get(at % self.messages.len().max(1)).copied().unwrap_or(1)
    }

    pub(super) fn oracle(&self) -> Oracle {
        Oracle::new(self.world.events(&AggregateId::Conversation(self.id)))
    }

    /// A position rises, in the store or only in memory.
    pub(super) fn move_to(&mut self, by: UserId, seq: Seq, stored: bool) {
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

    pub(super) fn apply(&mut self, op: &Op) {
        let (by, action) = match *op {
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
                return self.sent(user(by), &outcome, thread.is_none() || also);
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
}
