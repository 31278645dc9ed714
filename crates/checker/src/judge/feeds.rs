//! Whether what is pushed on a connection is in order, once each and without a gap that nobody told
//! of, and whether a device that comes back with a cursor is told of all that it missed.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::log::{Log, Step, body, highest};
use super::run::{Link, Run, broken};
use super::verdict::{Rule, Verdict};
use crate::history::{At, ConnectionId, Event, Known, Name, Seq, What};

/// Cursors of a device that are remembered: it goes on from its last.
const CURSORS_MAX: usize = 8;

/// After this time whoever became a member has been told that they are.
const TOLD_WITHIN: u64 = 5_000_000_000;

/// How far each conversation was got without a gap.
type Got<'a> = BTreeMap<&'a Name, Seq>;

/// A device, as far as it was told over all its connections.
#[derive(Default)]
struct Device<'a> {
    got: Got<'a>,
    cursors: Vec<(&'a Name, Rc<Got<'a>>)>,
}

/// A connection.
#[derive(Default)]
struct Feed<'a> {
    /// What the cursor covers from which it goes on; none if all is listed.
    start: Option<Rc<Got<'a>>>,
    listed: BTreeMap<&'a Name, Seq>,
    /// Beyond these no event is pushed without the next before it.
    base: BTreeMap<&'a Name, Seq>,
    last: BTreeMap<&'a Name, Seq>,
    /// Conversations that were not listed since it is news of its own that the user came to them:
    /// the step by which they did, and when that was known.
    owed: BTreeMap<&'a Name, (Seq, At)>,
}

struct Feeds<'r, 'a> {
    run: &'r Run<'a>,
    logs: &'r BTreeMap<&'a Name, Log<'a>>,
    devices: BTreeMap<(&'a Name, &'a Name), Device<'a>>,
    feeds: BTreeMap<ConnectionId, Feed<'a>>,
}

pub(super) fn check<'a>(run: &Run<'a>, logs: &BTreeMap<&'a Name, Log<'a>>, verdict: &mut Verdict) {
    let mut feeds = Feeds { run, logs, devices: BTreeMap::new(), feeds: BTreeMap::new() };
    for (record, what) in run.records.iter().map(|record| &record.what).enumerate() {
        feeds.take(record, what, verdict);
    }
}

impl<'a> Feeds<'_, 'a> {
    fn take(&mut self, record: usize, what: &'a What, verdict: &mut Verdict) {
        if let What::Live { on, .. } | What::Told { on, .. } = what {
            self.told_by_now(record, *on, verdict);
        }
        match what {
            What::Connected { on, cursor, reset, .. } => self.connected(record, *on, cursor.as_ref(), *reset, verdict),
            What::Conversation { on, way: crate::history::Way::Sync, listed, .. } => {
                let feed = self.feeds.entry(*on).or_default();
                feed.listed.insert(&listed.conversation, listed.head);
                feed.base.insert(&listed.conversation, listed.head);
            }
            What::ListedAll { on } => self.listed_all(record, *on, verdict),
            What::Live { on, conversation, event } => self.live(record, *on, conversation, event, verdict),
            What::Added { on, conversation } | What::Removed { on, conversation } => {
                let feed = self.feeds.entry(*on).or_default();
                feed.last.remove(conversation);
                feed.base.remove(conversation);
                feed.owed.remove(conversation);
            }
            What::Events { on, conversation, after, events, .. } => {
                if let Some(last) = events.last() {
                    self.got(*on, conversation, *after, last.seq);
                }
            }
            What::Told { on, behind, known: Known::Heartbeat | Known::Behind } => {
                let feed = self.feeds.entry(*on).or_default();
                for log in behind {
                    let base = feed.base.entry(&log.conversation).or_default();
                    *base = log.head.max(*base);
                }
            }
            What::Cursor { on, cursor } => self.keep(*on, cursor),
            What::Ended { on } => {
                self.feeds.remove(on);
            }
            _ => {}
        }
    }

    fn device(&mut self, on: ConnectionId) -> Option<&mut Device<'a>> {
        let link = self.run.link(on)?;
        Some(self.devices.entry((link.user, link.device)).or_default())
    }

    fn got(&mut self, on: ConnectionId, conversation: &'a Name, after: Seq, last: Seq) {
        let Some(device) = self.device(on) else { return };
        let got = device.got.entry(conversation).or_default();
        if after <= *got {
            *got = last.max(*got);
        }
    }

    fn keep(&mut self, on: ConnectionId, cursor: &'a Name) {
        let Some(device) = self.device(on) else { return };
        if device.cursors.len() == CURSORS_MAX {
            device.cursors.remove(0);
        }
        let got = Rc::new(device.got.clone());
        device.cursors.push((cursor, got));
    }

    fn connected(&mut self, record: usize, on: ConnectionId, cursor: Option<&'a Name>, reset: bool, verdict: &mut Verdict) {
        let mut start = None;
        if let Some(cursor) = cursor.filter(|_| !reset) {
            let Some(device) = self.device(on) else { return };
            start = device.cursors.iter().rev().find(|(known, _)| *known == cursor).map(|(_, got)| got.clone());
            if let (None, Some(link)) = (&start, self.run.link(on)) {
                let why = "the session goes on from a cursor that this device was never given, without a reset";
                verdict.add(broken(Rule::ResumeOnce, record, why).by(link, "resume"));
            }
        }
        self.feeds.insert(on, Feed { start, ..Feed::default() });
    }

    /// All that this device knows of, or that its user saw, is listed up to what was there when the
    /// session was asked for, or was covered by the cursor.
    fn listed_all(&mut self, record: usize, on: ConnectionId, verdict: &mut Verdict) {
        let (Some(link), Some(feed)) = (self.run.link(on), self.feeds.get_mut(&on)) else { return };
        let device = self.devices.entry((link.user, link.device)).or_default();
        for (conversation, log) in self.logs {
            let covered = feed.start.as_ref().and_then(|got| got.get(conversation)).copied();
            let listed = feed.listed.get(conversation).copied();
            let got = device.got.get(conversation).copied();
            let news = listed.is_none() && joining_is_news(self.run, log, link, got);
            if let Some(step) = joined(log, link).filter(|_| news) {
                feed.owed.insert(conversation, (step.seq, step.known));
            } else if let (None, Some(covered)) = (listed, covered) {
                feed.base.insert(conversation, covered);
            }
            let needed = match listed {
                None if news || joined(log, link).is_none() => 0,
                _ => highest(&log.visible(link.user, log.head_before(link.asked))),
            };
            let told = listed.into_iter().chain(covered).max().unwrap_or(0);
            // Who loses all just then has nothing to be told.
            let gone = listed.is_none() && log.may_have_lost_all(link.user, link.asked, self.run.records[record].at);
            if told < needed && !gone {
                let why = match listed {
                    Some(head) => format!("it is listed up to seq {head}, while seq {needed} was there before"),
                    None => format!("it is not listed; the cursor covers it up to {covered:?}, and seq {needed} was there before"),
                };
                let said = log.entries.get(&needed).and_then(|entry| body(entry.event));
                verdict.add(broken(Rule::ResumeOnce, record, why).on(conversation).seq(needed).body(said).by(link, "resume"));
            }
        }
    }

    /// A connection on which the server speaks has been told by now that its user came to the
    /// conversations that were not listed for that reason, unless they left again.
    fn told_by_now(&mut self, record: usize, on: ConnectionId, verdict: &mut Verdict) {
        let (Some(link), Some(feed)) = (self.run.link(on), self.feeds.get_mut(&on)) else { return };
        if feed.owed.is_empty() {
            return;
        }
        let now = self.run.records[record].at;
        let fault = self.run.faults.iter().map(|(at, _)| *at).filter(|at| *at < now).max();
        let healed = self.run.healed.iter().copied().filter(|at| *at < now).max();
        if fault > healed {
            return;
        }
        feed.owed.retain(|conversation, (seq, known)| {
            let owed = healed.max(Some(*known)).is_none_or(|since| now <= since.saturating_add(TOLD_WITHIN));
            let left = self.logs[conversation].steps(link.user).iter().any(|step| !step.joined && step.seq > *seq);
            if !owed && !left {
                let why = "it was not listed, and nobody told this connection that its user had become a member";
                verdict.add(broken(Rule::ResumeOnce, record, why).on(conversation).seq(*seq).by(link, "resume"));
            }
            owed
        });
    }

    fn live(&mut self, record: usize, on: ConnectionId, conversation: &'a Name, event: &'a Event, verdict: &mut Verdict) {
        let Some(link) = self.run.link(on) else { return };
        let feed = self.feeds.entry(on).or_default();
        let last = feed.last.insert(conversation, event.seq);
        let base = feed.base.get(conversation).copied();
        let wrong = match last {
            Some(last) if event.seq == last => {
                Some((Rule::NoDuplicate, format!("it was pushed on this connection before: after seq {last}")))
            }
            Some(last) if event.seq < last => Some((Rule::SameForAll, format!("it is pushed after seq {last}"))),
            _ => {
                let before = last.into_iter().chain(base).max();
                let joined = |before: Seq| self.logs.get(conversation).is_some_and(|log| joins_within(log, link, before, event.seq));
                let gap = before.filter(|before| event.seq > before + 1 && !joined(*before));
                gap.map(|before| (Rule::NoGap, format!("it is pushed after seq {before}, and nobody told that anything was left out")))
            }
        };
        if let Some((rule, why)) = wrong {
            verdict.add(broken(rule, record, why).on(conversation).seq(event.seq).body(body(event)).by(link, "live"));
        }
        self.got(on, conversation, event.seq - 1, event.seq);
    }
}

/// Whether a user became a member between two seqs.
fn joins_within(log: &Log<'_>, link: &Link<'_>, before: Seq, seq: Seq) -> bool {
    log.steps(link.user).iter().any(|step| step.joined && step.seq > before && step.seq <= seq)
}

/// Whether it may still be on its way to a user that they are a member, as a session begins: that is
/// news of its own, told by their own log. Until then a conversation that they came to need not be
/// listed, even if the device heard of it on a connection that was there when they came.
fn joining_is_news(run: &Run<'_>, log: &Log<'_>, link: &Link<'_>, got: Option<Seq>) -> bool {
    let Some(joined) = joined(log, link) else { return false };
    let told = joined.known.saturating_add(TOLD_WITHIN) < link.asked;
    // What is owed is told before the server serves again.
    let caught_up = run.healed.iter().any(|at| (joined.known..link.asked).contains(at));
    let came_later = joined.seq > 1;
    (came_later || got < Some(joined.seq)) && !told && !caught_up
}

/// The step by which a user came to be in a conversation, as a session begins.
fn joined<'l>(log: &'l Log<'_>, link: &Link<'_>) -> Option<&'l Step> {
    let known = log.head_before(link.asked);
    log.steps(link.user).iter().rev().find(|step| step.joined && step.seq <= known)
}
