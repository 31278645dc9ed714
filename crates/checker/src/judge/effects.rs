//! Whether changes had the effects that they were answered to have: acked ones are there, each id
//! has one, in the order of real time, answers after what they answer.

use std::collections::{BTreeMap, HashSet};

use super::log::{Entry, Log, body, is_by};
use super::run::{Outcome, Run, Try, broken};
use super::verdict::{Rule, Verdict};
use crate::history::{Act, At, Kind, Name, Seq};

pub(super) fn check(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    let here: Vec<&Try<'_>> = run.tries.iter().filter(|t| t.conversation == Some(log.conversation)).collect();
    acked_are_there(log, &here, verdict);
    let doubled = one_effect(log, &here, verdict);
    real_time_order(run, log, &doubled, verdict);
    order_of_a_connection(run, log, &here, verdict);
    replies(log, verdict);
}

fn acked_are_there(log: &Log<'_>, here: &[&Try<'_>], verdict: &mut Verdict) {
    let keys: HashSet<_> = log.entries.values().filter_map(|entry| entry.event.key.as_ref()).collect();
    let mut first = HashSet::new();
    for t in here {
        let Outcome::Ok { seq, .. } = t.outcome else { continue };
        if !first.insert((t.user, t.act.key())) {
            // Whether later answers agree with the first is said of the id.
            continue;
        }
        let always = matches!(t.act, Act::Send { .. } | Act::Edit { .. });
        let effect = always || t.act.key().is_some_and(|key| keys.contains(key));
        let Some(entry) = log.entries.get(&seq).filter(|_| effect) else { continue };
        if !is_by(entry.event, t)
            || t.act.body().zip(body(entry.event)).is_some_and(|(sent, seen)| entry.event.key.is_none() && sent != seen)
        {
            let why =
                format!("{} was given this seq for it, and there stands {:?} of record {}", t.user, entry.event.kind, entry.record + 1);
            verdict.add(broken(Rule::AckedInFinal, t.record, why).on(log.conversation).seq(seq).body(t.act.body()));
        }
    }
}

/// The seqs of what stands more than once.
fn one_effect(log: &Log<'_>, here: &[&Try<'_>], verdict: &mut Verdict) -> Vec<Seq> {
    let mut places: BTreeMap<(&str, &str, bool), Vec<Seq>> = BTreeMap::new();
    for (seq, entry) in &log.entries {
        let begins = matches!(entry.event.kind, Kind::Created { .. });
        let author = entry.event.author.as_deref().unwrap_or("");
        if let Some(id) = entry.event.key.as_ref().or(body(entry.event)) {
            places.entry((author, id, begins)).or_default().push(*seq);
        }
    }
    let mut doubled = Vec::new();
    for ((author, id, _), seqs) in places.iter().filter(|(_, seqs)| seqs.len() > 1) {
        let entry = &log.entries[&seqs[1]];
        let why = format!("what {author} sent under {id} stands at {seqs:?}");
        verdict.add(broken(Rule::OneEffect, entry.record, why).on(log.conversation).seq(seqs[1]).body(body(entry.event)));
        doubled.extend(seqs);
    }
    let mut answers: BTreeMap<(&str, &str), (Seq, bool)> = BTreeMap::new();
    for t in here {
        let (Some(seq), Some(key)) = (t.acked(), t.act.key()) else { continue };
        let (first, told) = answers.entry((t.user, key)).or_insert((seq, false));
        if *first != seq && !*told && !doubled.contains(&seq) {
            *told = true;
            let why = format!("{} was first answered {first} for the same", t.user);
            verdict.add(broken(Rule::OneEffect, t.record, why).on(log.conversation).seq(seq).body(t.act.body()));
        }
    }
    doubled
}

/// What was begun under one id is one conversation.
pub(super) fn creations(logs: &BTreeMap<&Name, Log<'_>>, verdict: &mut Verdict) {
    let mut begun: BTreeMap<(&Name, &Name), &Name> = BTreeMap::new();
    for (conversation, log) in logs {
        let created = log.entries.values().find(|entry| matches!(entry.event.kind, Kind::Created { .. }));
        let Some((entry, author, key)) = created.and_then(|entry| Some((entry, entry.event.author.as_ref()?, entry.event.key.as_ref()?)))
        else {
            continue;
        };
        if let Some(other) = begun.insert((author, key), conversation) {
            let why = format!("what {author} began under {key} is also {other}");
            verdict.add(broken(Rule::OneEffect, entry.record, why).on(conversation).seq(entry.event.seq));
        }
    }
}

/// When an effect was asked for first, and acked first.
fn times(run: &Run<'_>, entry: &Entry<'_>) -> Option<(At, At)> {
    let tries = run.of_event(entry.event);
    let tries = || tries.iter().filter(|t| !t.failed());
    let acked = tries().filter(|t| t.acked().is_some()).map(|t| t.settled).min().unwrap_or(At::MAX);
    Some((tries().map(|t| t.invoked).min()?, acked))
}

fn real_time_order(run: &Run<'_>, log: &Log<'_>, doubled: &[Seq], verdict: &mut Verdict) {
    let mut earliest: Option<(At, Seq)> = None;
    for (seq, entry) in log.entries.iter().rev().filter(|(seq, _)| !doubled.contains(seq)) {
        let Some((invoked, acked)) = times(run, entry) else { continue };
        if let Some((before, later)) = earliest.filter(|(before, _)| *before < invoked) {
            let why = format!("it was sent after seq {later} had been acked (at {before} ns), and stands before it");
            verdict.add(broken(Rule::RealTimeOrder, entry.record, why).on(log.conversation).seq(*seq).body(body(entry.event)));
        }
        if acked != At::MAX && earliest.is_none_or(|(before, _)| acked < before) {
            earliest = Some((acked, *seq));
        }
    }
}

/// What one connection sends takes effect in the order in which it was sent, also before the answers.
fn order_of_a_connection(run: &Run<'_>, log: &Log<'_>, here: &[&Try<'_>], verdict: &mut Verdict) {
    let mut last: BTreeMap<u64, &Try<'_>> = BTreeMap::new();
    for t in here.iter().filter(|t| matches!(t.act, Act::Send { .. })) {
        let Outcome::Ok { seq, duplicate: false } = t.outcome else { continue };
        let alone = t.act.key().is_some_and(|key| run.of_key(t.user, key).count() == 1);
        if !alone {
            continue;
        }
        if let Some(before) = last.insert(t.on, t)
            && before.acked() > Some(seq)
            && before.settled > t.invoked
        {
            let why = format!("{} sent it after {:?} on the same connection", t.user, before.act.body());
            verdict.add(broken(Rule::RealTimeOrder, t.record, why).on(log.conversation).seq(seq).body(t.act.body()));
        }
    }
}

fn replies(log: &Log<'_>, verdict: &mut Verdict) {
    for (seq, entry) in &log.entries {
        let Kind::Message { reply_to, thread, .. } = &entry.event.kind else { continue };
        for parent in [reply_to, thread].into_iter().flatten() {
            let wrong = *parent >= *seq || log.entries.get(parent).is_some_and(|p| !matches!(p.event.kind, Kind::Message { .. }));
            if wrong {
                let why = format!("it answers seq {parent}, where no message stands before it");
                let said: Option<&Name> = body(entry.event);
                verdict.add(broken(Rule::ReplyAfterParent, entry.record, why).on(log.conversation).seq(*seq).body(said));
            }
        }
    }
}
