//! What a conversation is, by the plainest way to tell it: all events, one after the other. Shares
//! no code with the views, nor with the core's folding and visibility.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chirrup_core::event::{Content, Event, Fact, History, Leaver, Text};
use chirrup_core::ids::{Seq, UserId};
use chirrup_protocol::event::{Event as WireEvent, Message, Reaction};

use crate::views::Which;

/// What one user is to a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) member: bool,
    /// For each event, whether they may see it.
    pub(super) visible: Vec<bool>,
}

impl Seen {
    pub(super) fn sees(&self, seq: Seq) -> bool {
        seq > 0 && self.visible.get(seq as usize - 1).copied().unwrap_or(false)
    }

    /// Highest seq that is for them; none if nothing is.
    pub(super) fn last(&self) -> Option<Seq> {
        let last = self.visible.iter().rposition(|seen| *seen)? as Seq + 1;
        Some(if self.member { self.visible.len() as Seq } else { last })
    }
}

pub(super) struct Oracle {
    events: Vec<Arc<Event>>,
    pub(super) messages: BTreeMap<Seq, Message>,
    users: HashMap<UserId, Seen>,
    titles: Vec<(Seq, String)>,
}

impl Oracle {
    pub(super) fn new(events: Vec<Arc<Event>>) -> Self {
        let mut oracle = Self { messages: fold(&events), users: HashMap::new(), titles: Vec::new(), events };
        oracle.walk();
        oracle
    }

    pub(super) fn head(&self) -> Seq {
        self.events.len() as Seq
    }

    pub(super) fn seen(&self, user: UserId) -> Seen {
        self.users.get(&user).cloned().unwrap_or_default()
    }

    pub(super) fn members(&self) -> BTreeSet<UserId> {
        self.users.iter().filter(|(_, seen)| seen.member).map(|(user, _)| *user).collect()
    }

    /// The title that a user is told.
    pub(super) fn title(&self, user: UserId) -> Option<String> {
        let (since, title) = self.titles.last()?;
        let seen = self.seen(user);
        (seen.member || seen.last().is_some_and(|last| *since <= last)).then(|| title.clone())
    }

    fn walk(&mut self) {
        let (mut history, mut leaver) = (History::Full, Leaver::Keeps);
        for (n, event) in self.events.iter().enumerate() {
            for seen in self.users.values_mut() {
                seen.visible.push(seen.member);
            }
            match &event.envelope.fact {
                Fact::ConversationCreated { history: h, leaver: l, members, .. } => {
                    (history, leaver) = (*h, *l);
                    for user in members {
                        self.users.insert(*user, Seen { member: true, visible: vec![true] });
                    }
                }
                Fact::MemberAdded { user, .. } => {
                    let seen = self.users.entry(*user).or_default();
                    seen.member = true;
                    seen.visible.resize(n + 1, false);
                    if history == History::Full {
                        seen.visible.fill(true);
                    }
                    seen.visible[n] = true;
                }
                Fact::MemberRemoved { user, .. } => {
                    let seen = self.users.get_mut(user).expect("was a member");
                    seen.member = false;
                    if leaver == Leaver::Loses {
                        seen.visible.fill(false);
                    }
                }
                _ => {}
            }
            if let Some(Content::Title(title)) = event.content() {
                self.titles.push((event.seq(), title.clone()));
            }
        }
    }

    /// All events for a user, as they are sent: hidden or whole, without what was deleted.
    pub(super) fn events_for(&self, user: UserId) -> Option<Vec<WireEvent>> {
        let seen = self.seen(user);
        let last = seen.last()?;
        let deleted = |seq: Seq| self.messages.get(&seq).is_some_and(|m| m.deleted);
        let wire = |event: &Arc<Event>| {
            let target = target(&event.envelope.fact);
            if !seen.sees(event.seq()) || target.is_some_and(|target| !seen.sees(target)) {
                return WireEvent::hidden(event.seq());
            }
            let mut event = Event::clone(event);
            if deleted(event.seq()) || target.is_some_and(deleted) {
                event.sealed = None;
            }
            WireEvent::whole(&event)
        };
        Some(self.events[..last as usize].iter().map(wire).collect())
    }

    pub(super) fn digest(&self, seq: Seq) -> String {
        self.events[seq as usize - 1].envelope.hash().to_string()
    }

    /// The messages that a user may see, of the timeline or of a thread.
    pub(super) fn history(&self, user: UserId, thread: Option<Seq>) -> Vec<Message> {
        let seen = self.seen(user);
        let here = |m: &&Message| match thread {
            Some(root) => m.thread_root == Some(root),
            None => m.ordinal.is_some(),
        };
        self.messages.values().filter(here).filter(|m| seen.sees(m.seq)).cloned().collect()
    }

    /// Unread messages of a user who has read up to `read`, by the definition.
    pub(super) fn unread(&self, user: UserId, read: Seq) -> u64 {
        let unread = |m: &&Message| m.seq > read && m.author != Some(user) && !m.deleted;
        self.history(user, None).iter().filter(unread).count() as u64
    }

    /// Messages beyond `read` that call a user, by the definition.
    pub(super) fn mentions(&self, user: UserId, read: Seq) -> u64 {
        let seen = self.seen(user);
        let calls = |m: &&Message| m.mention_all || m.mentions.contains(&user);
        let beyond = self.messages.values().filter(|m| m.seq > read && m.author != Some(user) && !m.deleted);
        beyond.filter(|m| seen.sees(m.seq)).filter(calls).count() as u64
    }

    /// Messages of the timeline at or below a seq.
    pub(super) fn ordinal_at(&self, seq: Seq) -> u64 {
        self.messages.range(..=seq).filter(|(_, m)| m.ordinal.is_some()).count() as u64
    }
}

/// A page of a list: its messages, and whether there are more before and after.
pub(super) fn page(list: &[Message], which: Which, limit: usize) -> (&[Message], bool, bool) {
    let below = |seq: Seq| list.partition_point(|m| m.seq < seq);
    let (from, until) = match which {
        Which::Newest => (list.len().saturating_sub(limit), list.len()),
        Which::Before(seq) => (below(seq).saturating_sub(limit), below(seq)),
        Which::After(seq) => (below(seq + 1), (below(seq + 1) + limit).min(list.len())),
        Which::Around(seq) => {
            // Half of it older; what one side does not have, the other may fill.
            let at = below(seq);
            let until = (at - at.min(limit / 2) + limit).min(list.len());
            (until.saturating_sub(limit).min(at), until)
        }
    };
    (&list[from..until], from > 0, until < list.len())
}

fn target(fact: &Fact) -> Option<Seq> {
    match fact {
        Fact::MessageEdited { target, .. }
        | Fact::MessageDeleted { target, .. }
        | Fact::ReactionAdded { target, .. }
        | Fact::ReactionRemoved { target, .. } => Some(*target),
        _ => None,
    }
}

fn text(event: &Event) -> Text {
    match event.content() {
        Some(Content::Message(text)) => text.clone(),
        other => panic!("not a message's text: {other:?}"),
    }
}

fn fold(events: &[Arc<Event>]) -> BTreeMap<Seq, Message> {
    let mut messages: BTreeMap<Seq, Message> = BTreeMap::new();
    for event in events {
        let (seq, author) = (event.seq(), event.envelope.author);
        match &event.envelope.fact {
            Fact::MessageCreated { .. } => {
                let message = created(event);
                if let Some(root) = message.thread_root {
                    let root = messages.get_mut(&root).expect("a root comes first");
                    (root.replies, root.last_reply, root.changed) = (root.replies + 1, Some(seq), seq);
                }
                messages.insert(seq, message);
            }
            Fact::MessageEdited { target, .. } => {
                let message = messages.get_mut(target).expect("a message comes before its edit");
                let Text { text, mentions, mention_all } = text(event);
                (message.text, message.mentions, message.mention_all) = (Some(text), mentions, mention_all);
                (message.edits, message.changed) = (message.edits + 1, seq);
            }
            Fact::MessageDeleted { target, .. } => {
                let message = messages.get_mut(target).expect("a message comes before its end");
                (message.text, message.mentions, message.mention_all) = (None, Vec::new(), false);
                (message.deleted, message.changed) = (true, seq);
                message.reactions.clear();
                if let Some(root) = message.thread_root {
                    let root = messages.get_mut(&root).expect("a root comes first");
                    (root.replies, root.changed) = (root.replies - 1, seq);
                }
            }
            Fact::ReactionAdded { target, emoji } => {
                let message = messages.get_mut(target).expect("a message comes before its reactions");
                message.changed = seq;
                if !message.reactions.iter().any(|r| r.emoji == *emoji) {
                    message.reactions.push(Reaction { emoji: emoji.clone(), count: 0, users: Vec::new() });
                }
                let reaction = message.reactions.iter_mut().find(|r| r.emoji == *emoji).expect("put above");
                reaction.users.extend(author);
                reaction.count += 1;
            }
            Fact::ReactionRemoved { target, emoji } => {
                let message = messages.get_mut(target).expect("a message comes before its reactions");
                message.changed = seq;
                let reaction = message.reactions.iter_mut().find(|r| r.emoji == *emoji).expect("was put before");
                reaction.users.retain(|user| Some(*user) != author);
                reaction.count -= 1;
                message.reactions.retain(|r| r.count > 0);
            }
            _ => {}
        }
    }
    messages
}

fn created(event: &Event) -> Message {
    let Fact::MessageCreated { form, ordinal, thread, reply_to, original_time } = &event.envelope.fact else { panic!("no message") };
    let Text { text, mentions, mention_all } = text(event);
    Message {
        seq: event.seq(),
        ordinal: *ordinal,
        time: event.envelope.time,
        author: event.envelope.author,
        client_id: event.envelope.client_id,
        form: (*form).into(),
        text: Some(text),
        mentions,
        mention_all,
        reply_to: *reply_to,
        thread_root: thread.map(|t| t.root),
        original_time: *original_time,
        edits: 0,
        deleted: false,
        reactions: Vec::new(),
        replies: 0,
        last_reply: None,
        changed: 0,
    }
}
