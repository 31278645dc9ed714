//! The messages of one conversation, folded: pages of history, and events that change them. A
//! message carries the last event that changed it, so that whatever comes late or twice is left out.

use std::collections::BTreeMap;

use chirrup_core::ids::{Seq, UserId};
use chirrup_core::limits::REACTION_USERS_MAX;
use chirrup_protocol::event::{Event, Kind, Message, Reaction};

use crate::limits::MESSAGES_KEPT_MAX;

/// Messages by the seq of their creation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Messages {
    kept: BTreeMap<Seq, Message>,
}

impl Messages {
    pub(super) fn get(&self, seq: Seq) -> Option<&Message> {
        self.kept.get(&seq)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.kept.values()
    }

    pub(super) fn after(&self, seq: Seq) -> impl DoubleEndedIterator<Item = &Message> {
        self.kept.range(seq + 1..).map(|(_, message)| message)
    }

    /// A message as the server has it; an older form of it is replaced.
    pub(super) fn put(&mut self, message: Message) {
        let older = self.kept.get(&message.seq).is_none_or(|known| known.changed <= message.changed);
        if older {
            self.kept.insert(message.seq, message);
        }
    }

    /// Drops all but one.
    pub(super) fn keep_only(&mut self, seq: Option<Seq>) {
        self.kept.retain(|kept, _| Some(*kept) == seq);
    }

    /// Drops the oldest beyond the limit, but not `last`; answers the highest seq that was dropped.
    pub(super) fn trim(&mut self, last: Option<Seq>) -> Option<Seq> {
        let mut dropped = None;
        while self.kept.len() > MESSAGES_KEPT_MAX {
            let oldest = *self.kept.first_key_value()?.0;
            if last == Some(oldest) {
                break;
            }
            self.kept.remove(&oldest);
            dropped = Some(oldest);
        }
        dropped
    }

    /// Brings the messages forward by one event.
    pub(super) fn fold(&mut self, event: &Event) {
        match &event.kind {
            Kind::MessageCreated { .. } => self.created(event),
            Kind::MessageEdited { target, text, mentions, mention_all } => self.change(*target, event.seq, |message| {
                message.edits += 1;
                if let Some(text) = text {
                    message.text = Some(text.clone());
                    message.mentions.clone_from(mentions);
                    message.mention_all = *mention_all;
                }
            }),
            Kind::MessageDeleted { target, thread_root, .. } => {
                self.change(*target, event.seq, |message| {
                    message.deleted = true;
                    message.text = None;
                    message.mentions.clear();
                    message.mention_all = false;
                    message.reactions.clear();
                });
                if let Some(root) = thread_root {
                    self.change(*root, event.seq, |message| message.replies = message.replies.saturating_sub(1));
                }
            }
            Kind::ReactionAdded { target, emoji } => {
                self.change(*target, event.seq, |message| react(message, emoji, event.author, true));
            }
            Kind::ReactionRemoved { target, emoji } => {
                self.change(*target, event.seq, |message| react(message, emoji, event.author, false));
            }
            _ => {}
        }
    }

    fn change(&mut self, target: Seq, seq: Seq, change: impl FnOnce(&mut Message)) {
        if let Some(message) = self.kept.get_mut(&target)
            && message.changed < seq
        {
            message.changed = seq;
            change(message);
        }
    }

    fn created(&mut self, event: &Event) {
        let Kind::MessageCreated { ordinal, form, text, mentions, mention_all, reply_to, thread_root, original_time } = &event.kind else {
            return;
        };
        self.put(Message {
            seq: event.seq,
            ordinal: *ordinal,
            time: event.time.unwrap_or(0),
            author: event.author,
            client_id: event.client_id,
            form: *form,
            text: text.clone(),
            mentions: mentions.clone(),
            mention_all: *mention_all,
            reply_to: *reply_to,
            thread_root: *thread_root,
            original_time: *original_time,
            edits: 0,
            // Even if the text is missing already: the event that deleted it comes later, and counts.
            deleted: false,
            reactions: Vec::new(),
            replies: 0,
            last_reply: None,
            changed: 0,
        });
        if let Some(root) = thread_root {
            self.change(*root, event.seq, |message| {
                message.replies += 1;
                message.last_reply = Some(event.seq);
            });
        }
    }
}

fn react(message: &mut Message, emoji: &str, author: Option<UserId>, add: bool) {
    let at = message.reactions.iter().position(|reaction| reaction.emoji == emoji);
    match (at, add) {
        (None, true) => message.reactions.push(Reaction { emoji: emoji.to_owned(), count: 1, users: author.into_iter().collect() }),
        (Some(at), true) => {
            let reaction = &mut message.reactions[at];
            reaction.count += 1;
            if reaction.users.len() < REACTION_USERS_MAX {
                reaction.users.extend(author);
            }
        }
        (Some(at), false) => {
            let reaction = &mut message.reactions[at];
            reaction.count = reaction.count.saturating_sub(1);
            reaction.users.retain(|user| Some(*user) != author);
            if reaction.count == 0 {
                message.reactions.remove(at);
            }
        }
        (None, false) => {}
    }
}
