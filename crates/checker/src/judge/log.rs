//! The log of one conversation, put together of everything that anybody saw of it, and who may see
//! what of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::run::{Outcome, Run, Try, broken};
use super::sights::{Sight, sights};
use super::verdict::{Rule, Verdict};
use crate::history::{Act, At, Event, Kind, Leaver, Name, Past, Seq};

/// An event of the log.
pub(super) struct Entry<'a> {
    /// As it was seen first, with its body, if anybody saw that.
    pub(super) event: &'a Event,
    /// Where it was seen so.
    pub(super) record: usize,
    /// When somebody knew first that it was there: was acked, or saw it.
    pub(super) known: At,
}

/// A log.
pub(super) struct Log<'a> {
    pub(super) conversation: &'a Name,
    pub(super) entries: BTreeMap<Seq, Entry<'a>>,
    /// By whom, and under which key, what is there was sent; its body, where the server tells no key.
    ids: HashMap<&'a str, HashSet<&'a str>>,
    /// By message: the event that deleted it, and when somebody knew first.
    deletions: HashMap<Seq, (Seq, At)>,
    /// By message: its edits, ascending.
    edits: HashMap<Seq, Vec<Version<'a>>>,
    /// By message: its reactions, ascending.
    reactions: HashMap<Seq, Vec<&'a Event>>,
    /// By message: when its deletion was asked for first, if that was not refused.
    asked_to_delete: HashMap<Seq, At>,
    /// Up to here every event was seen by somebody who may see it.
    pub(super) dense: Seq,
    /// Times at which a higher head became known, with it; both grow.
    heads: Vec<(At, Seq)>,
    /// What concerns each user's membership.
    steps: BTreeMap<&'a str, Vec<Step>>,
    /// What later and former members see, where it is known.
    rules: Option<(Past, Leaver)>,
}

/// A change of a membership.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) seq: Seq,
    /// Became a member, or was one no longer.
    pub(super) joined: bool,
    /// It cannot have happened before.
    pub(super) invoked: At,
    /// It certainly had happened.
    pub(super) known: At,
}

/// A text of a message.
#[derive(Clone, Copy)]
pub(super) struct Version<'a> {
    /// The event that made it.
    pub(super) seq: Seq,
    /// When somebody knew first that it was there.
    pub(super) known: At,
    /// The text, if anybody saw it.
    pub(super) body: Option<&'a Name>,
}

/// Seqs from and to, both included.
pub(super) type Interval = (Seq, Seq);

impl<'a> Log<'a> {
    pub(super) fn of(run: &Run<'a>, conversation: &'a Name, verdict: &mut Verdict) -> Self {
        let mut log = Self {
            conversation,
            entries: BTreeMap::new(),
            ids: HashMap::new(),
            deletions: HashMap::new(),
            edits: HashMap::new(),
            reactions: HashMap::new(),
            asked_to_delete: HashMap::new(),
            dense: 0,
            heads: Vec::new(),
            steps: BTreeMap::new(),
            rules: None,
        };
        for sight in sights(run, conversation) {
            log.enter(run, &sight, verdict);
        }
        for event in log.entries.values().map(|entry| entry.event) {
            if let (Some(author), Some(id)) = (&event.author, event.key.as_ref().or(body(event))) {
                log.ids.entry(author).or_default().insert(id);
            }
        }
        log.learn_of_acks(run);
        while log.entries.contains_key(&(log.dense + 1)) {
            log.dense += 1;
        }
        log.find_changes(run);
        log.find_heads(run);
        log.find_members(run);
        log
    }

    fn enter(&mut self, run: &Run<'a>, sight: &Sight<'a>, verdict: &mut Verdict) {
        let event = sight.event;
        if event.kind == Kind::Hidden {
            return;
        }
        let Some(entry) = self.entries.get_mut(&event.seq) else {
            self.entries.insert(event.seq, Entry { event, record: sight.record, known: sight.at });
            return;
        };
        if std::ptr::eq(entry.event, event) || *entry.event == *event {
            return;
        }
        match compare(entry.event, event) {
            Same::ButRedacted => {
                if body(entry.event).is_none() {
                    entry.event = event;
                    entry.record = sight.record;
                }
            }
            // Which of the two is wrong is said of each body by itself.
            Same::ButBody if unsent(run, entry.event) || unsent(run, event) => {}
            Same::ButBody | Same::Not => {
                let first = format!("another event stood there first, in record {}: {:?}", entry.record + 1, entry.event.kind);
                let mut violation = broken(Rule::SameForAll, sight.record, first).on(self.conversation).seq(event.seq).body(body(event));
                if let Some(link) = run.link(sight.on) {
                    violation = violation.by(link, sight.path);
                }
                verdict.add(violation);
            }
        }
    }

    fn learn_of_acks(&mut self, run: &Run<'a>) {
        for t in run.tries.iter().filter(|t| t.conversation == Some(self.conversation)) {
            let Outcome::Ok { seq, .. } = t.outcome else { continue };
            if let Some(entry) = self.entries.get_mut(&seq).filter(|entry| is_by(entry.event, t)) {
                entry.known = entry.known.min(t.settled);
            }
        }
    }

    fn find_heads(&mut self, run: &Run<'a>) {
        let acked = run.tries.iter().filter(|t| t.conversation == Some(self.conversation) && t.act.key().is_some());
        let seen = self.entries.iter().map(|(seq, entry)| (entry.known, *seq));
        let mut known: Vec<_> = acked.filter_map(|t| Some((t.settled, t.acked()?))).chain(seen).collect();
        known.sort_unstable();
        for (at, seq) in known {
            if self.heads.last().is_none_or(|(_, head)| *head < seq) {
                self.heads.push((at, seq));
            }
        }
    }

    fn find_members(&mut self, run: &Run<'a>) {
        // Who began it knows what nobody has read yet.
        let begun =
            run.tries.iter().find(|t| t.conversation == Some(self.conversation) && t.acked().is_some() && t.act.conversation().is_none());
        if let Some(t) = begun.filter(|_| !self.entries.contains_key(&1)) {
            let step = Step { seq: 1, joined: true, invoked: t.invoked, known: t.settled };
            let others = match t.act {
                Act::CreateGroup { members, past, leaver, .. } => {
                    self.rules = Some((*past, *leaver));
                    members.as_slice()
                }
                Act::CreateDirect { with, .. } => {
                    self.rules = Some((Past::Full, Leaver::Keeps));
                    std::slice::from_ref(with)
                }
                _ => &[],
            };
            for user in std::iter::once(t.user).chain(others) {
                self.steps.entry(user).or_default().push(step);
            }
        }
        for (seq, entry) in &self.entries {
            let tries = entry.event.author.as_ref().zip(entry.event.key.as_ref());
            let invoked = tries.and_then(|(user, key)| run.of_key(user, key).map(|t| t.invoked).min()).unwrap_or(0);
            let step = |joined| Step { seq: *seq, joined, invoked, known: entry.known };
            match &entry.event.kind {
                Kind::Created { members, past, leaver } => {
                    self.rules = Some((*past, *leaver));
                    for user in members {
                        self.steps.entry(user).or_default().push(step(true));
                    }
                }
                Kind::Joined { user } => self.steps.entry(user).or_default().push(step(true)),
                Kind::Left { user } => self.steps.entry(user).or_default().push(step(false)),
                _ => {}
            }
        }
    }

    /// The highest seq that somebody knew of before this time.
    pub(super) fn head_before(&self, at: At) -> Seq {
        let later = self.heads.partition_point(|(known, _)| *known < at);
        later.checked_sub(1).map_or(0, |last| self.heads[last].1)
    }

    /// Whether what a user sent is there: under its key or, where the server tells none, by its body.
    pub(super) fn has(&self, t: &Try<'_>) -> bool {
        let ids = [t.act.key(), t.act.body()].into_iter().flatten();
        self.ids.get(&**t.user).is_some_and(|known| ids.into_iter().any(|id| known.contains(&**id)))
    }

    /// What concerns this user's membership.
    pub(super) fn steps(&self, user: &str) -> &[Step] {
        self.steps.get(user).map_or(&[], Vec::as_slice)
    }

    /// What a user may see once everything up to a head has happened.
    pub(super) fn visible(&self, user: &str, head: Seq) -> Vec<Interval> {
        let mut seen = Vec::new();
        let mut since = None;
        for step in self.steps(user).iter().take_while(|step| step.seq <= head) {
            match (step.joined, since) {
                (true, None) => since = Some(self.begins(*step)),
                (false, Some(from)) => {
                    since = None;
                    if self.loses() { seen.clear() } else { seen.push((from, step.seq)) }
                }
                _ => {}
            }
        }
        seen.extend(since.map(|from| (from, head)));
        seen
    }

    /// The most that a user may have been able to see at this time, whatever the order in which
    /// things took effect.
    pub(super) fn visible_at_most(&self, user: &str, at: At) -> Vec<Interval> {
        let mut seen = Vec::new();
        let mut since = None;
        for step in self.steps(user) {
            match (step.joined, since) {
                (true, None) if step.invoked <= at => since = Some(self.begins(*step)),
                (false, Some(from)) => {
                    since = None;
                    seen.push((from, step.seq));
                }
                _ => {}
            }
        }
        seen.extend(since.map(|from| (from, Seq::MAX)));
        seen
    }

    /// Whether a user had lost all by the time at which they asked, and had not come back when
    /// they were answered.
    pub(super) fn had_lost_all(&self, user: &str, asked: At, answered: At) -> bool {
        if !self.loses() {
            return false;
        }
        let gone = self.steps(user).iter().rposition(|step| !step.joined && step.known < asked);
        gone.is_some_and(|gone| self.steps(user)[gone..].iter().all(|step| !step.joined || step.invoked > answered))
    }

    /// Whether a user may have lost all by the time at which they were answered.
    pub(super) fn may_have_lost_all(&self, user: &str, asked: At, answered: At) -> bool {
        self.loses() && !self.was_member(user, asked, answered)
    }

    /// Whether a user was a member from before they asked until they were answered.
    pub(super) fn was_member(&self, user: &str, asked: At, answered: At) -> bool {
        let steps = self.steps(user);
        let joined = steps.iter().rposition(|step| step.joined && step.known < asked);
        joined.is_some_and(|joined| steps[joined..].iter().all(|step| step.joined || step.invoked > answered))
    }

    fn begins(&self, step: Step) -> Seq {
        if self.rules.is_some_and(|(past, _)| past == Past::FromJoin) { step.seq } else { 1 }
    }

    fn loses(&self) -> bool {
        self.rules.is_some_and(|(_, leaver)| leaver == Leaver::Loses)
    }

    /// Whether it is known what later and former members see.
    pub(super) fn rules_are_known(&self) -> bool {
        self.rules.is_some()
    }

    /// What later events made of messages.
    fn find_changes(&mut self, run: &Run<'a>) {
        for (seq, entry) in &self.entries {
            match &entry.event.kind {
                Kind::Deleted { target } => {
                    self.deletions.entry(*target).or_insert((*seq, entry.known));
                }
                Kind::Edited { target, body } => {
                    self.edits.entry(*target).or_default().push(Version { seq: *seq, known: entry.known, body: body.as_ref() });
                }
                Kind::Reacted { target, .. } => self.reactions.entry(*target).or_default().push(entry.event),
                _ => {}
            }
        }
        for t in run.tries.iter().filter(|t| t.conversation == Some(self.conversation) && !t.failed()) {
            if let Act::Delete { target, .. } = t.act {
                self.asked_to_delete.entry(*target).or_insert(t.invoked);
            }
        }
    }

    /// The event that deleted a message, and when somebody knew of it first.
    pub(super) fn deleted(&self, message: Seq) -> Option<(Seq, At)> {
        self.deletions.get(&message).copied()
    }

    /// Whether a message may be deleted at this time: somebody had asked for it by then.
    pub(super) fn may_be_deleted(&self, message: Seq, at: At) -> bool {
        self.asked_to_delete.get(&message).is_some_and(|asked| *asked <= at)
    }

    /// The texts of a message, ascending; none if nobody saw it as an event.
    pub(super) fn versions(&self, message: Seq) -> Vec<Version<'a>> {
        let first = self.entries.get(&message).map(|entry| Version { seq: message, known: entry.known, body: body(entry.event) });
        first.into_iter().chain(self.edits.get(&message).into_iter().flatten().copied()).collect()
    }

    /// The reactions to a message up to an event, ascending.
    pub(super) fn reactions(&self, message: Seq, up_to: Seq) -> impl Iterator<Item = &'a Event> {
        self.reactions.get(&message).into_iter().flatten().copied().filter(move |event| event.seq <= up_to)
    }
}

/// How two sights of one seq differ.
enum Same {
    ButRedacted,
    ButBody,
    Not,
}

fn compare(one: &Event, other: &Event) -> Same {
    let mut bare = [one.clone(), other.clone()];
    for event in &mut bare {
        if let Kind::Message { body, .. } | Kind::Edited { body, .. } = &mut event.kind {
            *body = None;
        }
    }
    if bare[0] != bare[1] {
        return Same::Not;
    }
    if body(one).is_none() || body(other).is_none() { Same::ButRedacted } else { Same::ButBody }
}

fn unsent(run: &Run<'_>, event: &Event) -> bool {
    body(event).is_some_and(|body| run.of_body(body).next().is_none())
}

/// What an event says.
pub(super) fn body(event: &Event) -> Option<&Name> {
    match &event.kind {
        Kind::Message { body, .. } | Kind::Edited { body, .. } => body.as_ref(),
        _ => None,
    }
}

/// The message that an event changes.
pub(super) fn target(event: &Event) -> Option<Seq> {
    match &event.kind {
        Kind::Edited { target, .. } | Kind::Deleted { target } | Kind::Reacted { target, .. } => Some(*target),
        _ => None,
    }
}

/// Whether an event may be the effect of a try.
pub(super) fn is_by(event: &Event, t: &Try<'_>) -> bool {
    event.author.as_ref().is_none_or(|author| author == t.user) && (event.key.is_none() || event.key.as_ref() == t.act.key())
}

/// Whether a seq is in one of these.
pub(super) fn within(intervals: &[Interval], seq: Seq) -> bool {
    intervals.iter().any(|(from, to)| (*from..=*to).contains(&seq))
}

/// The highest seq in these.
pub(super) fn highest(intervals: &[Interval]) -> Seq {
    intervals.iter().map(|(_, to)| *to).max().unwrap_or(0)
}
