//! Whether each answer shows what its reader must see by then, and nothing that they must not:
//! own writes, what was seen before, what anybody was acked; no event to a former member.

use std::collections::BTreeMap;

use super::log::{Log, body, highest, target, within};
use super::run::{Run, broken};
use super::sights::{Answer, answers, sights};
use super::verdict::{Rule, Verdict};
use crate::history::{At, Kind, Name, Seq, Way, What};

/// By user, times at which a higher seq was reached, with it; both grow.
type Reached<'a> = BTreeMap<&'a Name, Vec<(At, Seq)>>;

pub(super) fn check(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    let (own, seen) = (own(run, log), seen(run, log));
    for answer in answers(run, log.conversation) {
        // What a session begins with is judged as a whole: see `feeds`.
        let begins = answer.path == Way::Sync.name();
        if !late(log, &answer, verdict) && !begins {
            early(run, log, &answer, before(&own, &answer), before(&seen, &answer), verdict);
        }
    }
    leaks(run, log, verdict);
    deleted_back(run, log, verdict);
}

/// What each user was acked, by when.
fn own<'a>(run: &Run<'a>, log: &Log<'a>) -> Reached<'a> {
    let mut acked: Vec<_> = run.tries.iter().filter(|t| t.conversation == Some(log.conversation)).collect();
    acked.sort_by_key(|t| t.settled);
    let mut own = Reached::new();
    for (t, seq) in acked.into_iter().filter_map(|t| Some((t, t.acked()?))) {
        reach(&mut own, t.user, t.settled, seq);
    }
    own
}

/// What each user saw, by when.
fn seen<'a>(run: &Run<'a>, log: &Log<'a>) -> Reached<'a> {
    let mut seen = Reached::new();
    for record in run.conversations.get(log.conversation).into_iter().flatten() {
        let (on, seq) = match &run.records[*record].what {
            What::Live { on, event, .. } => (on, event.seq),
            What::Events { on, head, .. } | What::Messages { on, head, .. } => (on, *head),
            What::Conversation { on, listed, .. } => (on, listed.head),
            _ => continue,
        };
        if let Some(link) = run.link(*on) {
            reach(&mut seen, link.user, run.records[*record].at, seq);
        }
    }
    seen
}

fn reach<'a>(reached: &mut Reached<'a>, user: &'a Name, at: At, seq: Seq) {
    let of_user = reached.entry(user).or_default();
    if of_user.last().is_none_or(|(_, last)| *last < seq) {
        of_user.push((at, seq));
    }
}

fn before(reached: &Reached<'_>, answer: &Answer<'_, '_>) -> Seq {
    let Some(of_user) = reached.get(answer.link.user) else { return 0 };
    let later = of_user.partition_point(|(at, _)| *at < answer.asked);
    later.checked_sub(1).map_or(0, |last| of_user[last].1)
}

/// Whether an answer shows less than it must.
fn early(run: &Run<'_>, log: &Log<'_>, answer: &Answer<'_, '_>, own: Seq, seen: Seq, verdict: &mut Verdict) {
    let user = answer.link.user;
    let known = log.head_before(answer.asked);
    let Some(head) = answer.head else {
        if log.was_member(user, answer.asked, answer.at) {
            let why = "a member is told that there is no such conversation";
            verdict.add(broken(Rule::AckedInFinal, answer.record, why).on(log.conversation).by(answer.link, answer.path));
        }
        return;
    };
    let needed = highest(&log.visible(user, known));
    if head >= needed {
        return;
    }
    let (rule, why) = if head < own && log.entries.contains_key(&own) {
        (Rule::OwnWritesRead, format!("{user} was acked seq {own} before, and is told a log that ends at {head}"))
    } else if head < seen {
        (Rule::ReadsMonotonic, format!("{user} saw seq {seen} before, and is told a log that ends at {head}"))
    } else {
        (Rule::AckedInFinal, format!("seq {needed} was there before, and {user} is told a log that ends at {head}"))
    };
    // What nobody ever saw is known by who was acked it.
    let acked = || run.tries.iter().find(|t| t.conversation == Some(log.conversation) && t.acked() == Some(needed));
    let said = log.entries.get(&needed).map_or_else(|| acked().and_then(|t| t.act.body()), |entry| body(entry.event));
    verdict.add(broken(rule, answer.record, why).on(log.conversation).seq(needed).body(said).by(answer.link, answer.path));
}

/// Whether an answer shows more than it may.
fn late(log: &Log<'_>, answer: &Answer<'_, '_>, verdict: &mut Verdict) -> bool {
    let Some(head) = answer.head else { return false };
    let user = answer.link.user;
    let limit = highest(&log.visible_at_most(user, answer.at));
    let why = if log.had_lost_all(user, answer.asked, answer.at) {
        format!("{user} had lost all of it before")
    } else if head > limit && !log.steps(user).is_empty() {
        format!("{user} may see up to seq {limit}, and is told a head of {head}")
    } else {
        return false;
    };
    verdict.add(broken(Rule::NoEventToFormerMember, answer.record, why).on(log.conversation).seq(head).by(answer.link, answer.path));
    true
}

/// No event reaches who may not see it, not even as hidden beyond the end of a membership.
fn leaks(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    for sight in sights(run, log.conversation) {
        let Some(link) = run.link(sight.on) else { continue };
        if log.steps(link.user).is_empty() {
            // Nobody saw how this user came in: what they may see is not known.
            continue;
        }
        let event = sight.event;
        let visible = log.visible_at_most(link.user, sight.at);
        let why = if event.kind == Kind::Hidden {
            if sight.asked.is_some() || event.seq <= highest(&visible) {
                continue;
            }
            "that it happened is not for them to know"
        } else if !within(&visible, event.seq) {
            "they are not a member then"
        } else if target(event).is_some_and(|target| !within(&visible, target)) {
            "it changes a message that they may not see"
        } else {
            continue;
        };
        let violation = broken(Rule::NoEventToFormerMember, sight.record, why).on(log.conversation).seq(event.seq).body(body(event));
        verdict.add(violation.by(link, sight.path));
    }
}

/// Nothing that was deleted when it was asked for comes with its body.
fn deleted_back(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    for sight in sights(run, log.conversation) {
        let event = sight.event;
        let (Some(link), Some(asked), Some(said)) = (run.link(sight.on), sight.asked, body(event)) else { continue };
        let message = target(event).unwrap_or(event.seq);
        if log.deleted(message).is_some_and(|(_, known)| known < asked) {
            let why = "it had been deleted before";
            let violation = broken(Rule::NothingDeletedBack, sight.record, why).on(log.conversation).seq(event.seq).body(Some(said));
            verdict.add(violation.by(link, sight.path));
        }
    }
}
