//! One conversation as its reader has it: what the server told of it at some seq, brought forward
//! by the events beyond; its messages; the positions of its members.
//!
//! The count of unread messages is the server's, brought forward. When the read position moves, it
//! is counted anew if every event beyond the position was seen here; if not, the server is asked.

use std::collections::BTreeMap;

use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::unread::EXACT_MAX;
use chirrup_protocol::event::{Event, Kind, Message};
use chirrup_protocol::reply::{Conversation, History, MemberPosition, Unread};

use super::messages::Messages;

/// A conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationView {
    me: Option<UserId>,
    /// As of the event `about.head`; its `last_message` is kept among the messages.
    about: Conversation,
    last: Option<Seq>,
    messages: Messages,
    /// Every event in `seen_after < seq <= seen` was folded in here.
    seen_after: Seq,
    seen: Seq,
    positions: BTreeMap<UserId, MemberPosition>,
    /// The counts are not certain: the server is to be asked.
    stale: bool,
}

impl ConversationView {
    pub(super) fn new(me: Option<UserId>, about: Conversation) -> Self {
        let mut view = Self {
            me,
            about: about.clone(),
            last: None,
            messages: Messages::default(),
            seen_after: 0,
            seen: 0,
            positions: BTreeMap::new(),
            stale: false,
        };
        view.take_last(about.last_message);
        view
    }

    /// Which.
    pub fn id(&self) -> ConversationId {
        self.about.conversation
    }

    /// Everything but the messages, as of the highest seq that is known of.
    pub fn about(&self) -> Conversation {
        let mut about = self.about.clone();
        about.last_message = self.last.and_then(|seq| self.messages.get(seq)).cloned();
        about
    }

    /// The other of a direct conversation.
    pub fn with(&self) -> Option<UserId> {
        self.about.with
    }

    /// The title of a group.
    pub fn title(&self) -> Option<&str> {
        self.about.title.as_deref()
    }

    /// Whether one is a member.
    pub fn joined(&self) -> bool {
        self.about.joined
    }

    /// Highest seq that is known of.
    pub fn head(&self) -> Seq {
        self.about.head
    }

    /// How far one has read.
    pub fn read(&self) -> Seq {
        self.about.read
    }

    /// Messages beyond the read position.
    pub fn unread(&self) -> Unread {
        self.about.unread.clone()
    }

    /// The message that this event created, if it is at hand.
    pub fn message(&self, seq: Seq) -> Option<&Message> {
        self.messages.get(seq)
    }

    /// The messages at hand, oldest first; there may be gaps between pages.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.iter()
    }

    /// How far the members are, as far as it was told.
    pub fn positions(&self) -> impl Iterator<Item = &MemberPosition> {
        self.positions.values()
    }

    pub(crate) fn stale(&self) -> bool {
        self.stale
    }

    /// What the server says now. Older than what is here already: only to be left out.
    pub(super) fn snapshot(&mut self, about: Conversation) {
        if about.head < self.about.head {
            return;
        }
        let (read, delivered) = (self.about.read.max(about.read), self.about.delivered.max(about.delivered));
        let moved = read > about.read;
        self.take_last(about.last_message.clone());
        self.about = Conversation { read, delivered, ..about };
        self.stale = false;
        if moved {
            self.recount();
        }
    }

    fn take_last(&mut self, message: Option<Message>) {
        if let Some(message) = message {
            self.last = self.last.max(Some(message.seq));
            self.messages.put(message);
        }
    }

    pub(super) fn page(&mut self, page: History) {
        for message in page.messages {
            self.messages.put(message);
        }
        self.trim();
    }

    /// The log is read from behind this seq on. Messages that were learnt before, but for the last,
    /// may lack changes that will not be seen here.
    pub(super) fn begin(&mut self, seq: Seq) {
        (self.seen_after, self.seen) = (seq, seq);
        self.messages.keep_only(self.last);
    }

    /// Brings everything forward by one event; events come in order, and what came before is left out.
    pub(super) fn event(&mut self, event: &Event) {
        if event.seq <= self.seen {
            return;
        }
        if event.seq > self.seen + 1 {
            self.seen_after = event.seq - 1;
        }
        self.seen = event.seq;
        let beyond = event.seq > self.about.head;
        let before = target(event).and_then(|seq| self.messages.get(seq)).cloned();
        self.messages.fold(event);
        if beyond {
            self.about.head = event.seq;
            self.bring_forward(event, before.as_ref());
        }
        self.trim();
    }

    fn bring_forward(&mut self, event: &Event, before: Option<&Message>) {
        match &event.kind {
            Kind::MessageCreated { ordinal, .. } => self.created(event, ordinal.is_some()),
            Kind::MessageEdited { target, .. } | Kind::MessageDeleted { target, .. } if *target > self.about.read => match before {
                Some(before) => {
                    let after = self.messages.get(*target);
                    recounted(&mut self.about.unread, counts(before), after.is_some_and(counts));
                    recounted(&mut self.about.mentions, calls(self.me, before), after.is_some_and(|m| calls(self.me, m)));
                    // Texts go before the event that removes them is read here, and mentions with them.
                    let deleted = matches!(event.kind, Kind::MessageDeleted { .. });
                    self.stale |= deleted && !calls(self.me, before) && self.about.mentions != NONE;
                }
                None => self.stale = true,
            },
            Kind::MemberAdded { user, .. } => {
                self.about.members += 1;
                self.about.joined |= self.me == Some(*user);
            }
            Kind::MemberRemoved { user } => {
                self.about.members = self.about.members.saturating_sub(1);
                if self.me == Some(*user) {
                    // Who is gone is not told how many are left.
                    (self.about.joined, self.about.members) = (false, 0);
                }
                self.positions.remove(user);
            }
            Kind::ConversationUpdated { title } => self.about.title.clone_from(title),
            _ => {}
        }
    }

    fn created(&mut self, event: &Event, in_timeline: bool) {
        if in_timeline {
            self.last = Some(event.seq);
        }
        // Who sends has read.
        if event.author.is_some() && event.author == self.me {
            self.read_up_to(event.seq);
        } else if let Some(message) = self.messages.get(event.seq).filter(|_| event.seq > self.about.read) {
            let (counted, called) = (counts(message), calls(self.me, message));
            recounted(&mut self.about.unread, false, counted);
            recounted(&mut self.about.mentions, false, called);
        }
    }

    /// One's own read position moved.
    pub(super) fn read_up_to(&mut self, seq: Seq) {
        if seq > self.about.read {
            self.about.read = seq;
            self.about.delivered = self.about.delivered.max(seq);
            self.recount();
        }
    }

    /// One's own delivered position moved.
    pub(super) fn delivered_up_to(&mut self, seq: Seq) {
        self.about.delivered = self.about.delivered.max(seq);
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.about.muted = muted;
    }

    pub(super) fn set_marked(&mut self, marked: bool) {
        self.about.marked_unread = marked;
    }

    /// A member's positions; answers whether they moved.
    pub(super) fn position(&mut self, position: &MemberPosition) -> bool {
        let known = self.positions.entry(position.user).or_insert(MemberPosition { read: 0, delivered: 0, ..position.clone() });
        let before = (known.read, known.delivered);
        known.read = known.read.max(position.read);
        known.delivered = known.delivered.max(position.delivered);
        before != (known.read, known.delivered)
    }

    fn recount(&mut self) {
        let read = self.about.read;
        if read >= self.about.head {
            (self.about.unread, self.about.mentions) = (NONE, NONE);
        } else if self.seen_after <= read && self.seen >= self.about.head {
            let (mut unread, mut mentions) = (0, 0);
            for message in self.messages.after(read) {
                unread += u64::from(counts(message));
                mentions += u64::from(calls(self.me, message));
            }
            (self.about.unread, self.about.mentions) = (exactly(unread), exactly(mentions));
        } else {
            self.stale = true;
        }
    }

    fn trim(&mut self) {
        if let Some(dropped) = self.messages.trim(self.last) {
            self.seen_after = self.seen_after.max(dropped);
        }
    }
}

const NONE: Unread = Unread { count: 0, at_least: false };

fn exactly(count: u64) -> Unread {
    if count > EXACT_MAX { Unread { count: EXACT_MAX, at_least: true } } else { Unread { count, at_least: false } }
}

/// One message more or less; a count that is only a lower bound stays one.
fn recounted(unread: &mut Unread, before: bool, after: bool) {
    if unread.at_least || before == after {
        return;
    }
    *unread = exactly(if after { unread.count + 1 } else { unread.count.saturating_sub(1) });
}

/// Whether a message counts as unread to somebody who has not read so far.
fn counts(message: &Message) -> bool {
    message.ordinal.is_some() && !message.deleted
}

/// Whether it calls this reader.
fn calls(me: Option<UserId>, message: &Message) -> bool {
    counts(message) && (message.mention_all || me.is_some_and(|me| message.mentions.contains(&me)))
}

fn target(event: &Event) -> Option<Seq> {
    match event.kind {
        Kind::MessageEdited { target, .. } | Kind::MessageDeleted { target, .. } => Some(target),
        _ => None,
    }
}
