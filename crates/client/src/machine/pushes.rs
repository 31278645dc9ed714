//! What the server tells unasked.

use chirrup_protocol::push::{Head, LogEvent, Push, Typing};

use super::{ClientEvent, Follow, Machine};

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
                self.covered(heartbeat.cursor);
                self.session.alive();
            }
            Push::Behind(behind) => self.behind(&behind.logs),
            Push::Reconnect(reconnect) => self.link.come_back(reconnect.after_ms),
            Push::Closing(refusal) => self.link.closing(refusal),
            Push::Unknown => {}
        }
    }

    fn pushed(&mut self, key: super::LogKey, event: chirrup_protocol::event::Event) {
        if self.config.follow == Follow::Nothing {
            return;
        }
        let begun = self.logs.handled(key).is_some();
        self.logs.pushed(key, event, self.view.me(), self.feed.has_room());
        if !begun && let Some(seq) = self.logs.handled(key) {
            self.began(key, seq);
        }
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
        let behind = self.logs.places_behind().map(|(key, _, head)| (key, head)).collect();
        self.feed.mark(cursor.clone(), behind);
        self.session.cursor = Some(cursor);
    }
}
