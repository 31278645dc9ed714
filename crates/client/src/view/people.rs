//! What is known of users: profiles, presence, and who writes where.

use std::collections::HashMap;

use chirrup_core::ids::{ConversationId, UserId};
use chirrup_protocol::reply::{Presence, User};

use crate::limits::USERS_KEPT_MAX;

/// Users.
#[derive(Debug, Default)]
pub(super) struct People {
    profiles: HashMap<UserId, User>,
    presence: HashMap<UserId, Presence>,
    /// Who writes where, and when that is forgotten.
    typing: HashMap<(ConversationId, UserId), u64>,
}

impl People {
    pub(super) fn profile(&self, user: UserId) -> Option<&User> {
        self.profiles.get(&user)
    }

    /// Keeps a profile; all are forgotten when there are too many, and asked for again.
    pub(super) fn learn(&mut self, user: User) {
        if self.profiles.len() >= USERS_KEPT_MAX {
            self.profiles.clear();
        }
        self.profiles.insert(user.user, user);
    }

    pub(super) fn presence(&self, user: UserId) -> Option<&Presence> {
        self.presence.get(&user)
    }

    /// Answers whether it is news.
    pub(super) fn set_presence(&mut self, presence: Presence) -> bool {
        let news = self.presence.get(&presence.user) != Some(&presence);
        self.presence.insert(presence.user, presence);
        news
    }

    /// Forgets the presence of all who are not watched any more.
    pub(super) fn watch(&mut self, users: &[UserId]) {
        self.presence.retain(|user, _| users.contains(user));
    }

    pub(super) fn typing(&self, conversation: ConversationId) -> impl Iterator<Item = UserId> {
        self.typing.keys().filter(move |(there, _)| *there == conversation).map(|(_, user)| *user)
    }

    /// Answers whether it is news.
    pub(super) fn set_typing(&mut self, conversation: ConversationId, user: UserId, until_ms: Option<u64>) -> bool {
        match until_ms {
            Some(until_ms) => self.typing.insert((conversation, user), until_ms).is_none(),
            None => self.typing.remove(&(conversation, user)).is_some(),
        }
    }

    /// Who has not been heard to write for too long: forgotten, and answered.
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<(ConversationId, UserId)> {
        let over: Vec<_> = self.typing.iter().filter(|(_, until_ms)| **until_ms <= now_ms).map(|(key, _)| *key).collect();
        for key in &over {
            self.typing.remove(key);
        }
        over
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.typing.values().min().copied()
    }
}
