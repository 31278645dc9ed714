//! What an event does to a conversation: its state, and the rows beside it. The state is a
//! function of the events alone; a row that is already beyond an event stays as it is, so that a
//! log can be folded again over rows of any age.

use super::{BUCKET, Conversation};
use crate::event::{Calls, Content, ConversationKind, Event, Fact, Role, Text, ThreadPlace};
use crate::ids::{Ordinal, Seq, UserId};
use crate::limits::REACTION_USERS_MAX;
use crate::rows::{Member, MessageFold, Reaction, Record, RowKey, RowValue, Rows};
use crate::unread::DeletedBlock;
use crate::visibility::Intervals;

/// The rows that [`fold`] changes.
pub(crate) fn touches(event: &Event) -> Vec<RowKey> {
    let author = event.envelope.author;
    match &event.envelope.fact {
        Fact::ConversationCreated { members, .. } => members.iter().map(|u| RowKey::Member(*u)).collect(),
        Fact::MessageCreated { thread, .. } => thread.iter().map(|t| RowKey::Event(t.root)).collect(),
        Fact::MessageEdited { target, .. } => vec![RowKey::Event(*target)],
        Fact::MessageDeleted { target, edits, ordinal, thread_root, .. } => {
            let mut keys = vec![RowKey::Event(*target)];
            keys.extend(edits.iter().chain(thread_root).map(|seq| RowKey::Event(*seq)));
            keys.extend(ordinal.map(|o| RowKey::Deleted(DeletedBlock::of(o))));
            keys
        }
        Fact::ReactionAdded { target, emoji } | Fact::ReactionRemoved { target, emoji } => {
            let mut keys = vec![RowKey::Event(*target)];
            keys.extend(author.map(|u| RowKey::Reaction(*target, emoji.clone(), u)));
            keys
        }
        Fact::MemberAdded { user, .. } | Fact::MemberRemoved { user, .. } | Fact::RoleChanged { user, .. } => vec![RowKey::Member(*user)],
        _ => Vec::new(),
    }
}

/// Brings state and rows forward. The state is a function of the events alone; each row that is
/// already beyond the event stays as it is.
pub(crate) fn fold(state: &mut Conversation, rows: &mut Rows, event: &Event) {
    let seq = event.seq();
    match &event.envelope.fact {
        Fact::ConversationCreated { kind, history, leaver, members } => {
            let owner_count = u32::from(*kind == ConversationKind::Group);
            *state = Conversation {
                kind: *kind,
                title: title_of(event),
                history: *history,
                leaver: *leaver,
                members: members.len() as u32,
                owners: owner_count,
                pair: if *kind == ConversationKind::Direct { members.clone() } else { Vec::new() },
                created: event.envelope.time,
                titled: seq,
                ..Conversation::default()
            };
            for (i, user) in members.iter().enumerate() {
                let role = if i == 0 && *kind == ConversationKind::Group { Role::Owner } else { Role::Member };
                put_member(rows, *user, Some(role), &Intervals::everything(), seq);
            }
        }
        Fact::MessageCreated { ordinal, thread, .. } => created(state, rows, event, *ordinal, *thread),
        Fact::MessageEdited { target, uncalled } => edited(rows, event, *target, uncalled),
        Fact::MessageDeleted { target, edits, ordinal, thread_root, uncalled } => {
            take_mentions(rows, *target, uncalled);
            deleted(rows, seq, *target, edits, *ordinal, *thread_root);
        }
        Fact::ReactionAdded { target, emoji } => reacted(rows, event, *target, emoji, true),
        Fact::ReactionRemoved { target, emoji } => reacted(rows, event, *target, emoji, false),
        Fact::MemberAdded { user, role, visible } => {
            state.members += 1;
            state.owners += u32::from(*role == Role::Owner);
            put_member(rows, *user, Some(*role), visible, seq);
        }
        Fact::MemberRemoved { user, role, visible } => {
            state.members -= 1;
            state.owners -= u32::from(*role == Role::Owner);
            put_member(rows, *user, None, visible, seq);
        }
        Fact::RoleChanged { user, role, before } => {
            state.owners += u32::from(*role == Role::Owner);
            state.owners -= u32::from(*before == Role::Owner);
            if let Some(member) = rows.member(*user) {
                let visible = member.visible.clone();
                put_member(rows, *user, Some(*role), &visible, seq);
            }
        }
        Fact::ConversationUpdated => {
            state.title = title_of(event);
            state.titled = seq;
        }
        _ => {}
    }
}

fn title_of(event: &Event) -> String {
    match event.content() {
        Some(Content::Title(title)) => title.clone(),
        _ => String::new(),
    }
}

fn put_member(rows: &mut Rows, user: UserId, role: Option<Role>, visible: &Intervals, mark: Seq) {
    if rows.member(user).is_none_or(|m| m.mark < mark) {
        rows.put(RowKey::Member(user), Some(RowValue::Member(Member { role, visible: visible.clone(), mark })));
    }
}

/// Changes a message's fold, unless it is already beyond `seq`.
fn change(rows: &mut Rows, target: Seq, seq: Seq, change: impl FnOnce(&mut Record)) {
    if rows.event(target).is_some_and(|r| r.fold.as_ref().is_none_or(|f| f.mark < seq)) {
        rows.update_event(target, |record| {
            record.fold.get_or_insert_with(MessageFold::default).mark = seq;
            change(record);
        });
    }
}

fn fold_of(record: &mut Record) -> &mut MessageFold {
    record.fold.get_or_insert_with(MessageFold::default)
}

fn created(state: &mut Conversation, rows: &mut Rows, event: &Event, ordinal: Option<Ordinal>, thread: Option<ThreadPlace>) {
    let seq = event.seq();
    if let Some(ordinal) = ordinal {
        if state.last_message.is_none_or(|last| last / BUCKET != seq / BUCKET) {
            rows.put(RowKey::Bucket(seq / BUCKET), Some(RowValue::Bucket(ordinal)));
        }
        state.ordinals = ordinal;
        state.last_message = Some(seq);
    }
    if let Some(place) = thread {
        rows.put(RowKey::Reply(place.root, seq), Some(RowValue::Present));
        change(rows, place.root, seq, |record| {
            let fold = fold_of(record);
            fold.replies += 1;
            fold.replies_ever = place.ordinal;
            fold.last_reply = Some(seq);
        });
    }
    if let Some(Content::Message(text)) = event.content() {
        put_mentions(rows, seq, ordinal, text);
    }
}

fn put_mentions(rows: &mut Rows, target: Seq, ordinal: Option<Ordinal>, text: &Text) {
    for user in &text.mentions {
        rows.put(RowKey::Mention(*user, target), Some(RowValue::Mention(ordinal.unwrap_or(0))));
    }
    if text.mention_all {
        rows.put(RowKey::MentionAll(target), Some(RowValue::Mention(ordinal.unwrap_or(0))));
    }
}

fn take_mentions(rows: &mut Rows, target: Seq, uncalled: &Calls) {
    for user in &uncalled.users {
        rows.put(RowKey::Mention(*user, target), None);
    }
    if uncalled.all {
        rows.put(RowKey::MentionAll(target), None);
    }
}

/// Mentions are put and taken whatever the message's mark: rows of other partitions may have
/// stayed behind it, and what later events put or take is folded again after this one.
fn edited(rows: &mut Rows, event: &Event, target: Seq, uncalled: &Calls) {
    let Some(record) = rows.event(target) else { return };
    let ordinal = match record.event.envelope.fact {
        Fact::MessageCreated { ordinal, .. } => ordinal,
        _ => None,
    };
    take_mentions(rows, target, uncalled);
    // None if a later deletion has removed it.
    let text = match event.content() {
        Some(Content::Message(text)) => Some(text),
        _ => None,
    };
    if let Some(text) = text {
        put_mentions(rows, target, ordinal, text);
    }
    change(rows, target, event.seq(), |record| {
        let fold = fold_of(record);
        fold.edited = text.cloned();
        fold.edits.push(event.seq());
    });
}

fn deleted(rows: &mut Rows, seq: Seq, target: Seq, edits: &[Seq], ordinal: Option<Ordinal>, thread_root: Option<Seq>) {
    for edit in edits {
        if rows.event(*edit).is_some_and(|r| r.event.sealed.is_some()) {
            rows.update_event(*edit, |record| record.event.sealed = None);
        }
    }
    if let Some(ordinal) = ordinal {
        let key = RowKey::Deleted(DeletedBlock::of(ordinal));
        let mut block = match rows.get(&key) {
            Some(RowValue::Deleted(block)) => block.clone(),
            _ => DeletedBlock::default(),
        };
        if !block.contains(ordinal) {
            block.insert(ordinal);
            rows.put(key, Some(RowValue::Deleted(block)));
        }
    }
    if let Some(root) = thread_root {
        change(rows, root, seq, |record| {
            let fold = fold_of(record);
            fold.replies = fold.replies.saturating_sub(1);
        });
    }
    change(rows, target, seq, |record| {
        record.event.sealed = None;
        let fold = fold_of(record);
        fold.deleted = Some(seq);
        fold.edited = None;
        fold.reactions.clear();
    });
}

fn reacted(rows: &mut Rows, event: &Event, target: Seq, emoji: &str, add: bool) {
    let (seq, Some(user)) = (event.seq(), event.envelope.author) else { return };
    let key = RowKey::Reaction(target, emoji.to_owned(), user);
    let newer = matches!(rows.get(&key), Some(RowValue::Reaction(mark, _)) if *mark >= seq);
    if !newer {
        rows.put(key, Some(RowValue::Reaction(seq, add)));
    }
    change(rows, target, seq, |record| {
        let reactions = &mut fold_of(record).reactions;
        let at = reactions.iter().position(|r| r.emoji == emoji);
        match (at, add) {
            (None, true) => reactions.push(Reaction { emoji: emoji.to_owned(), count: 1, users: vec![user] }),
            (Some(at), true) => {
                let reaction = &mut reactions[at];
                reaction.count += 1;
                if reaction.users.len() < REACTION_USERS_MAX {
                    reaction.users.push(user);
                }
            }
            (Some(at), false) => {
                let reaction = &mut reactions[at];
                reaction.count -= 1;
                reaction.users.retain(|u| *u != user);
                if reaction.count == 0 {
                    reactions.remove(at);
                }
            }
            (None, false) => {}
        }
    });
}
