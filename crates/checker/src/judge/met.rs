//! Counts the rare situations that a run met.

use std::collections::BTreeMap;

use super::log::Log;
use super::run::{Outcome, Run, Try};
use super::sights::sights;
use super::verdict::{Rare, Verdict};
use crate::history::{Act, At, Extent, Kind, Known, Name, Record, What};

pub(super) fn count(run: &Run<'_>, logs: &BTreeMap<&Name, Log<'_>>, verdict: &mut Verdict) {
    verdict.acked = run.tries.iter().filter(|t| t.acked().is_some()).count() as u64;
    let in_full = |record: &Record| matches!(record.what, What::ReadBackBegins { extent: Extent::Full });
    let read_back = run.records.iter().any(in_full);
    for tries in run.by_key() {
        of_key(logs, &tries, read_back, verdict);
    }
    for t in &run.tries {
        of_try(run, logs, t, verdict);
    }
    links(run, verdict);
    records(run, verdict);
    races(run, verdict);
    for log in logs.values() {
        of_log(run, log, verdict);
    }
}

fn of_key(logs: &BTreeMap<&Name, Log<'_>>, tries: &[&Try<'_>], read_back: bool, verdict: &mut Verdict) {
    for pair in tries.windows(2) {
        if pair[0].act == pair[1].act {
            verdict.meet(Rare::Retry);
        } else if pair[1].failed() {
            verdict.meet(Rare::ConflictRefused);
        }
    }
    // Settled is what no retry made sure of.
    if tries.iter().any(|t| t.outcome == Outcome::Unknown) && read_back {
        let effect = tries.iter().any(|t| t.acked().is_some()) || tries.iter().any(|t| is_there(logs, t));
        verdict.meet(if effect { Rare::UnknownTookEffect } else { Rare::UnknownWithoutEffect });
    }
}

/// Whether the effect of a try is there, by whatever try it came.
fn is_there(logs: &BTreeMap<&Name, Log<'_>>, t: &Try<'_>) -> bool {
    let Some(log) = t.conversation.and_then(|conversation| logs.get(conversation)) else { return false };
    log.has(t)
}

fn of_try(run: &Run<'_>, logs: &BTreeMap<&Name, Log<'_>>, t: &Try<'_>, verdict: &mut Verdict) {
    match t.outcome {
        Outcome::Ok { duplicate: true, .. } => verdict.meet(Rare::DuplicateAnswered),
        Outcome::Ok { .. } => {}
        Outcome::Failed { .. } => verdict.meet(Rare::Refused),
        Outcome::Unknown => {
            verdict.meet(Rare::Unknown);
            let settled = if t.settled == At::MAX { t.invoked } else { t.settled };
            if run.faults.iter().any(|(at, _)| t.invoked <= *at && *at <= settled) {
                verdict.meet(Rare::FaultBeforeAnswer);
                let first = t.act.key().is_some_and(|key| !run.of_key(t.user, key).any(|other| other.invoked < t.invoked));
                let elsewhere = || {
                    run.of_key(t.user, t.act.key().map_or("", |key| key))
                        .any(|other| matches!(other.outcome, Outcome::Ok { duplicate: false, .. }))
                };
                if first && is_there(logs, t) && !elsewhere() {
                    verdict.meet(Rare::FaultBetweenWriteAndAck);
                }
            }
        }
    }
}

fn links(run: &Run<'_>, verdict: &mut Verdict) {
    for link in run.links.values() {
        if link.reset {
            verdict.meet(Rare::Reset);
        } else if link.cursor.is_some() {
            verdict.meet(Rare::Resumed);
        }
        let beside = run.links.values().any(|other| {
            other.on < link.on
                && other.user == link.user
                && other.device != link.device
                && other.ended > link.begun
                && other.begun < link.begun
        });
        if beside {
            verdict.meet(Rare::TwoDevicesAtOnce);
        }
    }
}

fn records(run: &Run<'_>, verdict: &mut Verdict) {
    let mut backlog = std::collections::BTreeSet::new();
    for record in run.records {
        match &record.what {
            What::Fault { .. } => verdict.meet(Rare::Fault),
            What::Told { known: Known::Behind, .. } => verdict.meet(Rare::Behind),
            What::ReadBackBegins { extent: Extent::Full } => verdict.meet(Rare::ReadBackInFull),
            What::Conversation { on, way: crate::history::Way::Sync, .. } => {
                let resumed = run.link(*on).is_some_and(|link| link.cursor.is_some() && !link.reset);
                if resumed && backlog.insert(*on) {
                    verdict.meet(Rare::ReconnectDuringBacklog);
                }
            }
            _ => {}
        }
    }
}

fn overlap(one: &Try<'_>, other: &Try<'_>) -> bool {
    one.invoked < other.settled && other.invoked < one.settled
}

fn races(run: &Run<'_>, verdict: &mut Verdict) {
    // By start, so that only those that may overlap are looked at: tries are in that order.
    for (n, t) in run.tries.iter().enumerate() {
        let beside = || {
            let later = run.tries[n + 1..].iter().take_while(|other| other.invoked < t.settled);
            later.filter(|other| other.conversation == t.conversation && overlap(t, other)).take(1000)
        };
        match t.act {
            Act::Edit { target, .. } | Act::Delete { target, .. } => {
                let races = |other: &&Try<'_>| match (t.act, other.act) {
                    (Act::Edit { .. }, Act::Delete { target: of, .. }) | (Act::Delete { .. }, Act::Edit { target: of, .. }) => of == target,
                    _ => false,
                };
                if beside().any(|other| races(&other)) {
                    verdict.meet(Rare::EditRacedDelete);
                }
            }
            Act::RemoveMember { .. } if t.acked().is_some() => {
                let sent = beside().any(|other| matches!(other.act, Act::Send { .. }));
                let before = || run.tries[..n].iter().rev().take(1000);
                let sends =
                    |other: &Try<'_>| matches!(other.act, Act::Send { .. }) && other.conversation == t.conversation && overlap(t, other);
                if sent || before().any(sends) {
                    verdict.meet(Rare::RemovedWhileSending);
                }
            }
            _ => {}
        }
    }
}

fn of_log(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    let mut messages = 0;
    for entry in log.entries.values() {
        match &entry.event.kind {
            Kind::Message { thread, .. } => {
                messages += 1;
                if thread.is_some() {
                    verdict.meet(Rare::ThreadReply);
                }
            }
            Kind::Joined { .. } if messages > 0 => verdict.meet(Rare::JoinedLate),
            _ => {}
        }
    }
    for sight in sights(run, log.conversation) {
        match &sight.event.kind {
            Kind::Hidden => verdict.meet(Rare::HiddenRead),
            Kind::Message { body: None, .. } => verdict.meet(Rare::DeletedRead),
            _ => {}
        }
        let Some(link) = run.link(sight.on) else { continue };
        let left = log.steps(link.user).last().is_some_and(|step| !step.joined && step.known < sight.asked.unwrap_or(0));
        if left {
            verdict.meet(Rare::FormerMemberRead);
        }
    }
}
