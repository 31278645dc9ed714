//! The people of a schedule: what each of them asks, one thing after the other, each under an id
//! of its own until it is settled.
//!
//! Must not know: the server; what comes of an answer is judged elsewhere.

use std::collections::VecDeque;

use chirrup_core::aggregate::{Action, AggregateId, Command, Digest, Origin, Outcome, Stamp};
use chirrup_core::conversation;
use chirrup_core::event::{Form, History, Leaver, Role, Text};
use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};

use crate::plan::USERS;
use crate::random::Random;

/// The `n`th user.
pub(crate) fn user(n: u8) -> UserId {
    UserId([n + 1; 16])
}

/// The `n`th conversation.
pub(crate) fn conversation(n: u8) -> ConversationId {
    ConversationId([0x40 + n; 16])
}

/// Something that a user wants done.
pub(crate) struct Wish {
    pub(crate) user: u8,
    pub(crate) conversation: u8,
    pub(crate) action: conversation::Action,
    /// Number of it, and so its client id.
    pub(crate) number: usize,
    /// What became of it, and in which life of the server it was told.
    pub(crate) settled: Option<(Outcome, u64)>,
    /// Whether an answer said that it was decided just then.
    pub(crate) decided: bool,
    /// Whether it was under way when the server died or was in doubt.
    pub(crate) doubted: bool,
    /// Tries so far.
    pub(crate) tries: u32,
}

impl Wish {
    pub(crate) fn aggregate(&self) -> AggregateId {
        AggregateId::Conversation(conversation(self.conversation))
    }

    pub(crate) fn client_id(&self) -> ClientId {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(self.number as u64).to_be_bytes());
        ClientId(id)
    }

    /// The command of one try; `other`: with another body under the same client id.
    pub(crate) fn command(&self, stamp: Stamp, other: bool) -> Command {
        let origin = Origin::Client { user: user(self.user), client_id: self.client_id(), digest: Digest([u8::from(other); 16]) };
        Command { aggregate: self.aggregate(), origin, stamp, action: Action::Conversation(self.action.clone()) }
    }
}

/// The beginning of a user: the effect of a name that was claimed.
pub(crate) fn sign_up(n: u8, stamp: Stamp) -> Command {
    let name = format!("user{n}");
    let origin = Origin::Effect { source: AggregateId::Name(name.clone()), seq: 1, n: 0 };
    let action = Action::User(chirrup_core::user::Action::Create { display_name: name.clone(), name });
    Command { aggregate: AggregateId::User(user(n)), origin, stamp, action }
}

/// One user's device.
#[derive(Default)]
pub(crate) struct Device {
    /// Wishes that are not settled, in order, by their numbers.
    pub(crate) waiting: VecDeque<usize>,
    /// Whether the first of them is under way.
    pub(crate) under_way: bool,
}

/// The group that a conversation begins with, made by user 0.
pub(crate) fn creation(random: &mut Random) -> conversation::Action {
    conversation::Action::CreateGroup {
        title: "t".to_owned(),
        history: if random.one_in(2) { History::Full } else { History::FromJoin },
        leaver: if random.one_in(2) { Leaver::Keeps } else { Leaver::Loses },
        members: (1..USERS).filter(|_| random.below(4) > 0).map(user).collect(),
    }
}

/// Something to do in a conversation with about so many events.
pub(crate) fn action(random: &mut Random, number: usize, head: Seq) -> conversation::Action {
    use conversation::Action as Asked;
    let text = Text { text: format!("{number}"), mentions: Vec::new(), mention_all: random.one_in(9) };
    let recent = head.saturating_sub(random.below(5)).max(1);
    match random.below(24) {
        0..=1 => Asked::Edit { target: recent, text },
        2 => Asked::Delete { target: recent },
        3..=4 => Asked::React { target: recent, emoji: "x".to_owned(), add: random.below(3) > 0 },
        5..=6 => Asked::Add { users: (0..USERS).filter(|_| random.one_in(2)).map(user).collect() },
        7 => Asked::Remove { user: user(random.below(u64::from(USERS)) as u8) },
        8 if random.one_in(2) => Asked::Leave,
        9 => Asked::SetRole { user: user(random.below(u64::from(USERS)) as u8), role: Role::Owner },
        10 => Asked::SetTitle { title: format!("{number}") },
        n => {
            let thread_root = (n == 11).then_some(recent);
            let also_in_conversation = thread_root.is_some() && random.one_in(2);
            Asked::Send { form: Form::Text, text, reply_to: None, thread_root, also_in_conversation, original_time: None }
        }
    }
}
