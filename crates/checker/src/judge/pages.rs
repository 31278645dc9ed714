//! Whether pages are what they must be: dense, in order, once each, whole from end to end, and of
//! the same digests for all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::log::{Log, body, target, within};
use super::run::{Link, Run, broken};
use super::verdict::{Rule, Verdict, Violation};
use crate::history::{At, Event, Kind, Message, Name, Path, Seq, Turn, What};

/// Pages of a connection, by when they were asked for: what is on them, and how far the log went.
type Pages<'a> = BTreeMap<At, (Vec<&'a Message>, Vec<Seq>, Seq)>;

struct Pager<'r, 'a> {
    run: &'r Run<'a>,
    log: &'r Log<'a>,
    digests: HashMap<Seq, (&'a Name, usize)>,
    pages: BTreeMap<u64, Pages<'a>>,
}

pub(super) fn check<'a>(run: &Run<'a>, log: &Log<'a>, verdict: &mut Verdict) {
    let mut pager = Pager { run, log, digests: HashMap::new(), pages: BTreeMap::new() };
    for record in run.conversations.get(log.conversation).into_iter().flatten() {
        pager.record(*record, verdict);
    }
}

impl<'a> Pager<'_, 'a> {
    fn record(&mut self, record: usize, verdict: &mut Verdict) {
        match &self.run.records[record].what {
            What::Events { on, asked, after, events, head, digest, .. } => {
                let Some(link) = self.run.link(*on) else { return };
                self.dense(record, link, *after, *head, events.iter().map(|event| &**event), verdict);
                if let (Some(digest), Some(last)) = (digest, events.last()) {
                    self.digest(record, link, last.seq, digest, verdict);
                }
                let seqs = events.iter().map(|event| event.seq).collect();
                self.pages.entry(*on).or_default().insert(*asked, (Vec::new(), seqs, *head));
            }
            What::Messages { on, asked, turn, thread, messages, head, .. } => {
                let Some(link) = self.run.link(*on) else { return };
                self.ascending(record, link, messages, verdict);
                if thread.is_none() {
                    self.nothing_left_out(record, link, *turn, messages, verdict);
                    self.pages.entry(*on).or_default().insert(*asked, (messages.iter().collect(), Vec::new(), *head));
                }
            }
            What::Walked { on, asked, path, .. } => {
                let Some(link) = self.run.link(*on) else { return };
                self.whole(record, link, *asked, *path, verdict);
            }
            _ => {}
        }
    }

    fn violation(&self, rule: Rule, record: usize, link: &Link<'_>, path: &'static str, why: String) -> Violation {
        broken(rule, record, why).on(self.log.conversation).by(link, path)
    }

    fn dense<'e>(
        &self,
        record: usize,
        link: &Link<'_>,
        after: Seq,
        head: Seq,
        events: impl Iterator<Item = &'e Event>,
        verdict: &mut Verdict,
    ) {
        let visible = self.log.visible(link.user, Seq::MAX);
        let mut last = after;
        for event in events {
            if event.seq != last + 1 {
                let rule = match event.seq.cmp(&last) {
                    std::cmp::Ordering::Equal => Rule::NoDuplicate,
                    std::cmp::Ordering::Less => Rule::SameForAll,
                    std::cmp::Ordering::Greater => Rule::NoGap,
                };
                let why = format!("it comes after seq {last}");
                verdict.add(self.violation(rule, record, link, "events", why).seq(event.seq).body(body(event)));
            }
            last = event.seq;
            self.hidden(record, link, event, &visible, verdict);
        }
        if last == after && after < head {
            let why = format!("the page beyond {after} is empty, while the log goes to {head}");
            verdict.add(self.violation(Rule::NoGap, record, link, "events", why).seq(after + 1));
        }
    }

    /// What a reader may see is not hidden from them.
    fn hidden(&self, record: usize, link: &Link<'_>, event: &Event, visible: &[(Seq, Seq)], verdict: &mut Verdict) {
        if event.kind != Kind::Hidden || !within(visible, event.seq) || !self.log.rules_are_known() {
            return;
        }
        let Some(entry) = self.log.entries.get(&event.seq) else { return };
        let whole = target(entry.event).is_none_or(|target| within(visible, target));
        // Somebody who came back sees again what they had seen; until they did, it was hidden.
        let joins = self.log.steps(link.user).iter().filter(|step| step.joined).count();
        if whole && joins == 1 {
            let why = "it is hidden from a reader who may see it".to_owned();
            verdict.add(self.violation(Rule::SameForAll, record, link, "events", why).seq(event.seq).body(body(entry.event)));
        }
    }

    fn digest(&mut self, record: usize, link: &Link<'_>, seq: Seq, digest: &'a Name, verdict: &mut Verdict) {
        let (first, of) = *self.digests.entry(seq).or_insert((digest, record));
        if first != digest {
            let why = format!("the digest up to here is another than in record {}", of + 1);
            verdict.add(self.violation(Rule::SameForAll, record, link, "events", why).seq(seq));
        }
    }

    fn ascending(&self, record: usize, link: &Link<'_>, messages: &[Message], verdict: &mut Verdict) {
        for pair in messages.windows(2).filter(|pair| pair[0].seq >= pair[1].seq) {
            let rule = if pair[0].seq == pair[1].seq { Rule::NoDuplicate } else { Rule::SameForAll };
            let why = format!("it comes after seq {}", pair[0].seq);
            verdict.add(self.violation(rule, record, link, "history", why).seq(pair[1].seq).body(pair[1].body.as_ref()));
        }
    }

    /// Between the first and the last of a page, and beside the seq from which it was asked for,
    /// nothing is left out.
    fn nothing_left_out(&self, record: usize, link: &Link<'_>, turn: Turn, messages: &[Message], verdict: &mut Verdict) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
        let (from, to) = match turn {
            Turn::After(after) => (after + 1, last.seq),
            Turn::Before(before) => (first.seq, before.saturating_sub(1)),
            Turn::Newest => (first.seq, last.seq),
        };
        let told = messages.iter().map(|message| message.seq).collect();
        if let Some(seq) = self.left_out(link, from, to, self.asked(record), &told) {
            let why = format!("it is left out of a page from {from} to {to}");
            verdict.add(self.violation(Rule::NoGap, record, link, "history", why).seq(seq).body(self.said(seq)));
        }
    }

    fn asked(&self, record: usize) -> At {
        match &self.run.records[record].what {
            What::Messages { asked, .. } => *asked,
            _ => self.run.records[record].at,
        }
    }

    fn said(&self, seq: Seq) -> Option<&'a Name> {
        self.log.entries.get(&seq).and_then(|entry| body(entry.event))
    }

    /// The first message of the timeline, from a seq to one, that was there when a reader asked,
    /// that they may see, and that they were not told.
    fn left_out(&self, link: &Link<'_>, from: Seq, to: Seq, asked: At, told: &BTreeSet<Seq>) -> Option<Seq> {
        let known = self.log.head_before(asked);
        if from > to.min(known) {
            return None;
        }
        let visible = self.log.visible(link.user, known);
        let stands = |seq: &Seq| matches!(self.log.entries[seq].event.kind, Kind::Message { timeline: true, .. });
        let mut range = self.log.entries.range(from..=to.min(known)).map(|(seq, _)| *seq);
        range.find(|seq| stands(seq) && within(&visible, *seq) && !told.contains(seq))
    }

    /// A reader who went all the way was told all that was there when they began.
    fn whole(&self, record: usize, link: &Link<'_>, asked: At, path: Path, verdict: &mut Verdict) {
        let Some(pages) = self.pages.get(&link.on) else { return };
        let pages = || pages.range(asked..).map(|(_, page)| page);
        if path == Path::Events {
            let reached = pages().filter_map(|(_, seqs, _)| seqs.last()).max().copied().unwrap_or(0);
            let head = pages().filter(|(messages, _, _)| messages.is_empty()).map(|(_, _, head)| *head).max().unwrap_or(0);
            if reached < head {
                let why = format!("the events end at {reached}, while the log goes to {head}");
                verdict.add(self.violation(Rule::NoGap, record, link, "events", why).seq(reached + 1));
            }
            return;
        }
        let told: BTreeSet<Seq> = pages().flat_map(|(messages, _, _)| messages.iter().map(|message| message.seq)).collect();
        // A head that is told too low is judged as an answer, and what is left out between as a page.
        let head = pages().map(|(_, _, head)| *head).max().unwrap_or(0);
        let before = told.first().filter(|_| path == Path::Backward).and_then(|first| self.left_out(link, 1, first - 1, asked, &told));
        let after = || self.left_out(link, told.last().map_or(1, |last| last + 1), head, asked, &told);
        if let Some(seq) = before.or_else(after) {
            let why = "it was there, and is not among all messages of the timeline".to_owned();
            verdict.add(self.violation(Rule::AckedInFinal, record, link, "history", why).seq(seq).body(self.said(seq)));
        }
    }
}
