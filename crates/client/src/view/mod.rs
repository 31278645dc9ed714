//! The reducer: what a user's client shows, made of snapshots (`ready`, pages), replayed events and
//! live pushes, in whatever order they come. The same events give the same view.
//!
//! Must not know: connections, requests, files.

mod conversation;
mod messages;
mod people;

use std::collections::BTreeMap;

use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_protocol::event::{Event, Kind};
use chirrup_protocol::push::PositionUpdated;
use chirrup_protocol::reply::{Conversation, History, MemberPosition, Position, Presence, User};

pub use conversation::ConversationView;
use people::People;

/// Everything that one user's client knows.
#[derive(Debug, Default)]
pub struct View {
    me: Option<UserId>,
    administrator: bool,
    conversations: BTreeMap<ConversationId, ConversationView>,
    people: People,
}

impl View {
    /// Who one is, once a session began.
    pub fn me(&self) -> Option<UserId> {
        self.me
    }

    /// Whether one is an administrator of the server.
    pub fn administrator(&self) -> bool {
        self.administrator
    }

    /// A conversation, if one has it.
    pub fn conversation(&self, conversation: ConversationId) -> Option<&ConversationView> {
        self.conversations.get(&conversation)
    }

    /// All conversations, the latest event first.
    pub fn conversations(&self) -> Vec<&ConversationView> {
        let mut list: Vec<_> = self.conversations.values().collect();
        list.sort_by_key(|view| {
            let last = view.about().last_message.map_or(0, |message| message.time);
            (std::cmp::Reverse(last), view.id())
        });
        list
    }

    /// A profile, if it was learnt.
    pub fn profile(&self, user: UserId) -> Option<&User> {
        self.people.profile(user)
    }

    /// The presence of a watched user, if it was told.
    pub fn presence(&self, user: UserId) -> Option<&Presence> {
        self.people.presence(user)
    }

    /// Who writes in a conversation now.
    pub fn typing(&self, conversation: ConversationId) -> Vec<UserId> {
        self.people.typing(conversation).collect()
    }

    /// Learns a profile.
    pub fn learn_user(&mut self, user: User) {
        self.people.learn(user);
    }

    /// Learns a conversation as the server has it.
    pub fn learn_conversation(&mut self, about: Conversation) {
        match self.conversations.get_mut(&about.conversation) {
            Some(view) => view.snapshot(about),
            None => drop(self.conversations.insert(about.conversation, ConversationView::new(self.me, about))),
        }
    }

    /// Learns a page of messages.
    pub fn learn_page(&mut self, conversation: ConversationId, page: History) {
        if let Some(view) = self.conversations.get_mut(&conversation) {
            view.page(page);
        }
    }

    /// Whose view it is.
    pub fn learn_me(&mut self, user: User, administrator: bool) {
        self.me = Some(user.user);
        self.administrator = administrator;
        self.people.learn(user);
    }

    /// The events of a conversation come from behind this seq on.
    pub fn begin(&mut self, conversation: ConversationId, seq: Seq) {
        if let Some(view) = self.conversations.get_mut(&conversation) {
            view.begin(seq);
        }
    }

    /// Forgets a conversation.
    pub fn remove(&mut self, conversation: ConversationId) {
        self.conversations.remove(&conversation);
    }

    /// Brings the view forward by an event of a conversation, or (none) of one's own user log. The
    /// events of a log come in order.
    pub fn event(&mut self, conversation: Option<ConversationId>, event: &Event) {
        match conversation {
            Some(conversation) => {
                if let Some(view) = self.conversations.get_mut(&conversation) {
                    view.event(event);
                }
            }
            None => self.user_event(event),
        }
    }

    fn user_event(&mut self, event: &Event) {
        let mut change = |conversation: &ConversationId, change: &dyn Fn(&mut ConversationView)| {
            if let Some(view) = self.conversations.get_mut(conversation) {
                change(view);
            }
        };
        match &event.kind {
            Kind::MuteChanged { conversation, muted } => change(conversation, &|view| view.set_muted(*muted)),
            Kind::UnreadMarked { conversation, marked } => change(conversation, &|view| view.set_marked(*marked)),
            Kind::PositionsMoved { positions } => {
                for moved in positions {
                    self.own_position(moved.conversation, &Position { read: moved.read, delivered: moved.delivered });
                }
            }
            Kind::UserUpdated { display_name: Some(display_name) } => {
                if let Some(mut user) = self.me.and_then(|me| self.people.profile(me).cloned()) {
                    user.display_name.clone_from(display_name);
                    self.people.learn(user);
                }
            }
            _ => {}
        }
    }

    /// One's own positions, as they were told or are about to be.
    pub fn own_position(&mut self, conversation: ConversationId, position: &Position) {
        if let Some(view) = self.conversations.get_mut(&conversation) {
            view.read_up_to(position.read);
            view.delivered_up_to(position.delivered);
        }
    }

    /// A member's positions; answers whether they moved.
    pub fn position(&mut self, update: &PositionUpdated) -> bool {
        if self.me == Some(update.user) {
            self.own_position(update.conversation, &Position { read: update.read, delivered: update.delivered });
        }
        let position = MemberPosition { user: update.user, read: update.read, delivered: update.delivered };
        self.conversations.get_mut(&update.conversation).is_some_and(|view| view.position(&position))
    }

    /// Somebody writes until then, unless they are heard again; or (none) has stopped. Answers
    /// whether it is news.
    pub fn set_typing(&mut self, conversation: ConversationId, user: UserId, until_ms: Option<u64>) -> bool {
        self.me != Some(user) && self.people.set_typing(conversation, user, until_ms)
    }

    /// Who is not writing any more, for they were not heard again.
    pub fn expire(&mut self, now_ms: u64) -> Vec<(ConversationId, UserId)> {
        self.people.expire(now_ms)
    }

    /// When [`View::expire`] has something to do.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.people.deadline_ms()
    }

    /// The presence of a watched user; answers whether it is news.
    pub fn set_presence(&mut self, presence: Presence) -> bool {
        self.people.set_presence(presence)
    }

    /// Only these are watched now.
    pub fn watch(&mut self, users: &[UserId]) {
        self.people.watch(users);
    }
}
