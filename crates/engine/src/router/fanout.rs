//! What an event means for those who are connected: who hears it, whole or hidden, and who hears
//! of its conversation from then on or no longer. Every rule of who may see what is the core's.

use std::sync::Arc;

use bytes::Bytes;
use chirrup_core::access::{View, view};
use chirrup_core::event::{Event, Fact};
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::visibility::Intervals;
use chirrup_mutants::mutant;
use chirrup_protocol::error::{Code, Error};

use super::Router;
use super::frames::Frames;
use super::moves::Move;
use super::table::Connected;

/// What an event or an effect makes of somebody in a conversation.
enum Membership {
    /// A member who sees this.
    In(Arc<Intervals>),
    /// No member; what they may still read ends here, 0 for nothing.
    Out { readable: Seq },
}

impl Router {
    pub(super) fn publish_conversation(&mut self, conversation: ConversationId, event: &Event) {
        let seq = event.seq();
        match &event.envelope.fact {
            Fact::ConversationCreated { members, .. } => {
                for user in members {
                    let visible = Arc::clone(&self.everything);
                    self.set_membership(conversation, *user, seq, &Membership::In(visible));
                }
                self.fan_out(conversation, event);
            }
            Fact::MemberAdded { user, visible, .. } => {
                let visible = self.shared(visible.clone());
                self.set_membership(conversation, *user, seq, &Membership::In(visible));
                self.fan_out(conversation, event);
            }
            Fact::MemberRemoved { user, visible, .. } => {
                // The one who goes hears of it if they may still see it, and then nothing more.
                let out = Membership::Out { readable: visible.last(seq) };
                if visible.contains(seq) {
                    self.fan_out(conversation, event);
                    self.set_membership(conversation, *user, seq, &out);
                } else {
                    self.set_membership(conversation, *user, seq, &out);
                    self.fan_out(conversation, event);
                }
            }
            _ => self.fan_out(conversation, event),
        }
    }

    fn fan_out(&mut self, conversation: ConversationId, event: &Event) {
        let Some(room) = self.table.room(conversation) else { return };
        let (seq, fact) = (event.seq(), &event.envelope.fact);
        let mut frames = Frames::new(Some(conversation), event);
        for listener in &self.table.rooms[room].listeners {
            let connected = &mut self.table.connections[listener.connection];
            if offer(connected, Some(conversation), seq, || frames.of(view(&listener.visible, seq, fact))) {
                touch(connected, listener.connection, &mut self.touched);
            }
        }
    }

    pub(super) fn publish_user(&mut self, user: UserId, event: &Event) {
        match &event.envelope.fact {
            // The list says what the conversation's own events said before; it matters to those
            // who connected in between.
            Fact::ConversationAdded { conversation, visible, source: (seq, _) } => {
                let visible = self.shared(visible.clone());
                self.set_membership(*conversation, user, *seq, &Membership::In(visible));
            }
            Fact::ConversationRemoved { conversation, visible, source: (seq, _) } => {
                self.set_membership(*conversation, user, *seq, &Membership::Out { readable: visible.last(*seq) });
            }
            Fact::DeviceRevoked { device } => {
                self.close_device(user, *device, &Error::new(Code::TokenInvalid, "this device was logged out"));
            }
            Fact::DisabledChanged { disabled: true } => {
                self.close_some(user, &Error::new(Code::AccountDisabled, "the account was closed"), |_| true);
            }
            _ => {}
        }
        let mut frames = Frames::new(None, event);
        for at in 0..self.table.of_user(user).len() {
            let index = self.table.of_user(user)[at];
            let connected = &mut self.table.connections[index];
            if offer(connected, None, event.seq(), || frames.of(View::Whole)) {
                touch(connected, index, &mut self.touched);
            }
        }
    }

    /// Brings all connections of a user to what the event `seq` of a conversation made of them,
    /// unless a later one is known.
    fn set_membership(&mut self, conversation: ConversationId, user: UserId, seq: Seq, membership: &Membership) {
        let visible = match membership {
            Membership::In(visible) => Some(Arc::clone(visible)),
            Membership::Out { .. } => None,
        };
        if !self.moves.note(conversation, user, Move { seq, visible }) {
            return;
        }
        for at in 0..self.table.of_user(user).len() {
            let index = self.table.of_user(user)[at];
            match membership {
                Membership::In(visible) => self.hear(index, conversation, seq, Arc::clone(visible)),
                Membership::Out { .. } if mutant!(FormerMemberSubscribed) => {}
                Membership::Out { readable } => self.unhear(index, conversation, seq, *readable),
            }
        }
    }

    /// Lets a connection hear a conversation with this view, unless it has a later one.
    pub(super) fn hear(&mut self, index: u32, conversation: ConversationId, since: Seq, visible: Arc<Intervals>) {
        let place = self.table.room(conversation).and_then(|room| Some((room, self.table.place(index, room)?)));
        let Some((room, at)) = place else { return self.table.link(index, conversation, since, visible) };
        let listener = &mut self.table.rooms[room].listeners[at as usize];
        if since > listener.since {
            (listener.since, listener.visible) = (since, visible);
        }
    }

    /// Ends a subscription that is older than the event `seq`. If the connection is behind, it
    /// still learns up to where it may read.
    fn unhear(&mut self, index: u32, conversation: ConversationId, seq: Seq, readable: Seq) {
        let Some(room) = self.table.room(conversation) else { return };
        let Some(at) = self.table.place(index, room) else { return };
        if self.table.rooms[room].listeners[at as usize].since >= seq {
            return;
        }
        self.table.unlink(room, at);
        let behind = &mut self.table.connections[index].behind;
        if readable == 0 {
            behind.remove(&conversation);
        } else if let Some(head) = behind.get_mut(&conversation) {
            *head = readable.min(*head);
        }
    }
}

/// Pushes an event of a log to a connection, or keeps that it is behind in that log. Whether the
/// sink was asked.
fn offer(connected: &mut Connected, log: Option<ConversationId>, seq: Seq, frame: impl FnOnce() -> Bytes) -> bool {
    let behind = match log {
        None => connected.own_behind > 0,
        Some(conversation) => connected.behind.contains_key(&conversation),
    };
    if !behind && connected.sink.push(frame()) {
        return true;
    }
    match log {
        None => connected.own_behind = seq,
        Some(conversation) => {
            connected.behind.insert(conversation, seq);
        }
    }
    !behind
}

fn touch(connected: &mut Connected, index: u32, touched: &mut Vec<u32>) {
    if !connected.touched {
        connected.touched = true;
        touched.push(index);
    }
}
