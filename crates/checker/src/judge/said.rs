//! Whether what is seen in events is what was sent: nothing invented, nothing changed, nothing that
//! was refused.

use std::collections::HashSet;

use super::log::{Log, body, is_by, target};
use super::run::{Run, Try, broken};
use super::sights::{Sight, sights};
use super::verdict::{Rule, Verdict, Violation};
use crate::history::{Act, Event, Kind, Name};

pub(super) fn check(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    // What is seen again was wrong the first time, or is not at all.
    let mut seen = HashSet::new();
    for sight in sights(run, log.conversation) {
        let event = sight.event;
        if event.kind == Kind::Hidden || !seen.insert((event.seq, event.key.as_ref(), body(event))) {
            continue;
        }
        if let Some((rule, why)) = wrong(run, log, &sight) {
            let violation = broken(rule, sight.record, why).on(log.conversation).seq(event.seq).body(body(event));
            verdict.add(by(run, violation, &sight));
        }
    }
}

fn by(run: &Run<'_>, violation: Violation, sight: &Sight<'_>) -> Violation {
    match run.link(sight.on) {
        Some(link) => violation.by(link, sight.path),
        None => violation,
    }
}

fn wrong(run: &Run<'_>, log: &Log<'_>, sight: &Sight<'_>) -> Option<(Rule, String)> {
    let event = sight.event;
    if let (Kind::Message { .. } | Kind::Edited { .. }, None) = (&event.kind, body(event)) {
        let of = target(event).unwrap_or(event.seq);
        return (!log.may_be_deleted(of, sight.at)).then(|| (Rule::BytesUnchanged, format!("seq {of} has no body, and nobody deleted it")));
    }
    if let Some(body) = body(event) {
        return wrong_body(run, log, sight, body);
    }
    let (author, key) = (event.author.as_ref()?, event.key.as_ref()?);
    let tries: Vec<_> = run.of_key(author, key).collect();
    if !tries.iter().any(|t| t.invoked <= sight.at) {
        return Some((Rule::NothingInvented, format!("{author} asked for no {:?} under the key {key} before", event.kind)));
    }
    tries.iter().all(|t| t.failed()).then(|| (Rule::FailedInvisible, format!("{author}'s {:?} was refused", event.kind)))
}

fn wrong_body(run: &Run<'_>, log: &Log<'_>, sight: &Sight<'_>, body: &Name) -> Option<(Rule, String)> {
    let event = sight.event;
    let tries: Vec<_> = run.of_body(body).collect();
    if tries.is_empty() {
        let known = event.author.as_ref().zip(event.key.as_ref()).and_then(|(author, key)| run.of_key(author, key).next());
        return Some(match known {
            Some(t) => (Rule::BytesUnchanged, format!("{} sent something else under this key: {:?}", t.user, t.act.body())),
            None => (Rule::NothingInvented, "nobody ever sent it".to_owned()),
        });
    }
    let fitting: Vec<_> = tries.iter().filter(|t| fits(t, event) && t.conversation == Some(log.conversation)).collect();
    if fitting.is_empty() {
        return Some((Rule::BytesUnchanged, format!("it was sent otherwise: by {} as {:?}", tries[0].user, tries[0].act)));
    }
    if fitting.iter().all(|t| t.failed()) {
        return Some((Rule::FailedInvisible, "it was refused".to_owned()));
    }
    let before = fitting.iter().any(|t| t.invoked <= sight.at && !t.failed());
    (!before).then(|| (Rule::NothingInvented, "it was seen before it was sent".to_owned()))
}

/// Whether an event is what a try would make.
fn fits(t: &Try<'_>, event: &Event) -> bool {
    let same = match (t.act, &event.kind) {
        (Act::Send { reply_to, thread, also_in_conversation, .. }, Kind::Message { timeline, reply_to: to, thread: of, .. }) => {
            reply_to == to && thread == of && *timeline == (thread.is_none() || *also_in_conversation)
        }
        (Act::Edit { target, .. }, Kind::Edited { target: of, .. }) => target == of,
        _ => false,
    };
    same && is_by(event, t)
}
