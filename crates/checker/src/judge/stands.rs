//! Whether messages as they stand, in pages and in lists, are what the events of the log make of
//! them, and whether counts of what is not read equal their definition.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Log, within};
use super::run::{Link, Run, broken};
use super::verdict::{Rule, Verdict};
use crate::history::{Act, At, Kind, Listed, Message, Name, What};

/// A message as it was told.
struct Told<'a> {
    message: &'a Message,
    asked: At,
    at: At,
}

pub(super) fn check(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    for record in run.conversations.get(log.conversation).into_iter().flatten() {
        let at = run.records[*record].at;
        let (on, asked, path, messages) = match &run.records[*record].what {
            What::Messages { on, asked, messages, .. } => (on, *asked, "history", messages.iter().collect::<Vec<_>>()),
            What::Conversation { on, asked, way, listed } => (on, *asked, way.name(), listed.last_message.iter().collect()),
            _ => continue,
        };
        let Some(link) = run.link(*on) else { continue };
        for message in messages {
            let told = Told { message, asked, at };
            if let Some((rule, why)) = wrong(run, log, &told) {
                verdict.add(broken(rule, *record, why).on(log.conversation).seq(message.seq).body(message.body.as_ref()).by(link, path));
            }
        }
        if let What::Conversation { listed, .. } = &run.records[*record].what {
            if run.is_quiet(asked, at) {
                unread(log, link, *record, asked, listed, verdict);
            }
            last_message(log, link, *record, asked, listed, path, verdict);
        }
    }
}

fn wrong(run: &Run<'_>, log: &Log<'_>, told: &Told<'_>) -> Option<(Rule, String)> {
    let message = told.message;
    if let Some(entry) = log.entries.get(&message.seq) {
        if !matches!(entry.event.kind, Kind::Message { .. }) {
            return Some((Rule::SameForAll, format!("as an event it is {:?}", entry.event.kind)));
        }
        if message.author != entry.event.author || message.key != entry.event.key {
            return Some((Rule::SameForAll, format!("it is told as of {:?}, as an event as of {:?}", message.author, entry.event.author)));
        }
    }
    let deleted = log.deleted(message.seq);
    let Some(body) = message.body.as_ref().filter(|_| !message.deleted) else {
        if message.body.is_some() {
            return Some((Rule::NothingDeletedBack, "it is told as deleted, and with its body".to_owned()));
        }
        let may = log.may_be_deleted(message.seq, told.at);
        return (!may).then(|| (Rule::BytesUnchanged, "it is told as deleted, and nobody deleted it".to_owned()));
    };
    if deleted.is_some_and(|(_, known)| known < told.asked) {
        return Some((Rule::NothingDeletedBack, "it had been deleted before".to_owned()));
    }
    wrong_body(run, log, told, body).or_else(|| wrong_reactions(log, message))
}

fn wrong_body(run: &Run<'_>, log: &Log<'_>, told: &Told<'_>, body: &Name) -> Option<(Rule, String)> {
    let seq = told.message.seq;
    let fits = |act: &Act| match act {
        Act::Send { conversation, key, .. } => conversation == log.conversation && told.message.key.as_ref().is_none_or(|k| k == key),
        Act::Edit { conversation, target, .. } => conversation == log.conversation && *target == seq,
        _ => false,
    };
    let tries: Vec<_> = run.of_body(body).filter(|t| fits(t.act)).collect();
    if tries.is_empty() {
        return Some((Rule::BytesUnchanged, "nobody sent this as this message".to_owned()));
    }
    if tries.iter().all(|t| t.failed()) {
        return Some((Rule::FailedInvisible, "it was refused".to_owned()));
    }
    let versions = log.versions(seq);
    // An edit that only this reader has seen so far stands nowhere else yet.
    let version = versions.iter().find(|version| version.body == Some(body))?.seq;
    if let Some(later) = versions.iter().rev().find(|later| later.known < told.asked).filter(|later| later.seq > version) {
        return Some((Rule::ReadsMonotonic, format!("it had been edited by seq {} before, and is told as of seq {version}", later.seq)));
    }
    let changed = told.message.changed.max(seq);
    let stands = versions.iter().rev().find(|stands| stands.seq <= changed)?.seq;
    (stands != version && log.dense >= changed)
        .then(|| (Rule::SameForAll, format!("it is told up to seq {changed}, where the events have its text of seq {stands}")))
}

fn wrong_reactions(log: &Log<'_>, message: &Message) -> Option<(Rule, String)> {
    let changed = message.changed.max(message.seq);
    if log.dense < changed {
        return None;
    }
    let mut put: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for event in log.reactions(message.seq, changed) {
        if let (Kind::Reacted { emoji, add, .. }, Some(author)) = (&event.kind, &event.author) {
            let users = put.entry(emoji).or_default();
            if *add {
                users.insert(author)
            } else {
                users.remove(author)
            };
        }
    }
    let standing = put.iter().filter(|(_, users)| !users.is_empty());
    let expected: BTreeMap<&Name, u64> = standing.map(|(emoji, users)| (*emoji, users.len() as u64)).collect();
    let told: BTreeMap<&Name, u64> = message.reactions.iter().map(|(emoji, count)| (emoji, *count)).collect();
    (told != expected)
        .then(|| (Rule::SameForAll, format!("its reactions are told as {told:?}; up to seq {changed} the events come to {expected:?}")))
}

/// The last message of a list is not older than what its reader could have read before.
fn last_message(log: &Log<'_>, link: &Link<'_>, record: usize, asked: At, listed: &Listed, path: &'static str, verdict: &mut Verdict) {
    let known = log.head_before(asked).min(listed.head);
    let visible = log.visible(link.user, known);
    let stands = |kind: &Kind| matches!(kind, Kind::Message { timeline: true, .. });
    let mut before = log.entries.range(..=known).rev();
    let Some((seq, _)) = before.find(|(seq, entry)| stands(&entry.event.kind) && within(&visible, **seq)) else { return };
    if listed.last_message.as_ref().is_none_or(|last| last.seq < *seq) {
        let why = format!("the last message was seq {seq} before");
        verdict.add(broken(Rule::ReadsMonotonic, record, why).on(log.conversation).seq(*seq).by(link, path));
    }
}

/// Messages of the timeline beyond what is read that one may see, that are not one's own and not
/// deleted: also not after one's time. A deletion that came to light later may be counted or not.
fn unread(log: &Log<'_>, link: &Link<'_>, record: usize, asked: At, listed: &Listed, verdict: &mut Verdict) {
    if log.dense < listed.head {
        return;
    }
    let visible = log.visible(link.user, listed.head);
    let (mut least, mut most) = (0, 0);
    for (seq, entry) in
        log.entries.range(listed.read..).skip_while(|(seq, _)| **seq == listed.read).take_while(|(seq, _)| **seq <= listed.head)
    {
        let message = matches!(entry.event.kind, Kind::Message { timeline: true, .. });
        if message && entry.event.author.as_ref() != Some(link.user) && within(&visible, *seq) {
            let deletion = log.deleted(*seq);
            least += u64::from(deletion.is_none());
            most += u64::from(deletion.is_none_or(|(_, known)| known >= asked));
        }
    }
    if listed.unread < least || listed.unread > most {
        let why = format!("{} messages are told as not read, of {most} beyond seq {}", listed.unread, listed.read);
        verdict.add(broken(Rule::UnreadExact, record, why).on(log.conversation).seq(listed.read).by(link, "the list"));
    }
}
