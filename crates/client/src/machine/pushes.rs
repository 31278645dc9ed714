//! What the server tells unasked.

use chirrup_core::ids::UserId;
use chirrup_protocol::event::{Event, Kind};
use chirrup_protocol::push::{Head, LogEvent, Push, Typing};

use super::{ClientEvent, Follow, LogKey, Machine};

impl Machine {
    pub(super) fn push(&mut self, now_ms: u64, push: Push) {
        match push {
            Push::Event(LogEvent { conversation, event }) => self.pushed(conversation, event),
            Push::Position(update) => {
                if self.view.position(&update) {
                    self.check_counts(now_ms, update.conversation);
                    self.feed.hint(ClientEvent::Position(update));
                }
            }
            Push::Typing(Typing { conversation, user, typing }) => {
                let until_ms = typing.then(|| now_ms + 2 * self.session.typing_ms());
                if self.view.set_typing(conversation, user, until_ms) {
                    self.feed.hint(ClientEvent::Typing { conversation, user, typing });
                }
            }
            Push::Presence(presence) => {
                if self.view.set_presence(presence.clone()) {
                    self.feed.hint(ClientEvent::Presence(presence));
                }
            }
            Push::Heartbeat(heartbeat) => {
                self.behind(&heartbeat.behind);
                if let Some(cursor) = heartbeat.cursor {
                    self.covered(cursor);
                }
                self.session.alive();
            }
            Push::Behind(behind) => self.behind(&behind.logs),
            Push::Reconnect(reconnect) => self.link.come_back(reconnect.after_ms),
            Push::Closing(refusal) => self.link.closing(refusal),
            Push::Unknown => {}
        }
    }

    fn pushed(&mut self, key: LogKey, event: Event) {
        if self.config.follow == Follow::Nothing {
            return;
        }
        if makes_member(&event, self.view.me()) {
            self.begin(key, event.seq.saturating_sub(1));
        }
        self.logs.pushed(key, event, self.feed.has_room());
        if let Some(conversation) = key.filter(|conversation| self.view.conversation(*conversation).is_none()) {
            self.session.refresh(conversation);
        }
    }

    fn behind(&mut self, logs: &[Head]) {
        if self.config.follow != Follow::Nothing {
            for log in logs {
                self.logs.told(log.conversation, log.head);
            }
        }
    }

    /// A cursor that covers all that was handed on, but for what is behind.
    pub(super) fn covered(&mut self, cursor: String) {
        let behind = self.logs.heads_behind().collect();
        self.feed.mark(cursor.clone(), behind);
        self.session.cursor = Some(cursor);
    }
}

/// Whether this event made the user a member.
fn makes_member(event: &Event, me: Option<UserId>) -> bool {
    match &event.kind {
        Kind::ConversationCreated { members, .. } => me.is_some_and(|me| members.contains(&me)),
        Kind::MemberAdded { user, .. } => me == Some(*user),
        _ => false,
    }
}
