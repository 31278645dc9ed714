//! Whether who was there was told to be, and who was not was not, once the time had passed within
//! which presence becomes true.

use std::collections::BTreeMap;

use super::log::Log;
use super::run::{Link, Run, broken};
use super::verdict::{Rule, Verdict};
use crate::history::{At, ConnectionId, Name, Status, What};

struct Watch<'r, 'a> {
    run: &'r Run<'a>,
    logs: &'r BTreeMap<&'a Name, Log<'a>>,
}

pub(super) fn check(run: &Run<'_>, logs: &BTreeMap<&Name, Log<'_>>, verdict: &mut Verdict) {
    let watch = Watch { run, logs };
    // What each connection was told last of each user, and when.
    let mut told: BTreeMap<(ConnectionId, &Name), (At, Status, usize)> = BTreeMap::new();
    for (record, at, what) in run.records.iter().enumerate().map(|(n, record)| (n, record.at, &record.what)) {
        let What::Presence { on, asked, presence } = what else { continue };
        let Some(observer) = run.link(*on) else { continue };
        let since = asked.unwrap_or(at);
        if let Some((before, status, of)) = told.insert((*on, &presence.user), (at, presence.status, record)) {
            watch.lasting(observer, &presence.user, (before, since), status, of, verdict);
        }
        watch.told(observer, &presence.user, (since, at), presence.status, record, verdict);
    }
    for ((on, user), (at, status, record)) in told {
        if let Some(observer) = run.link(on) {
            watch.lasting(observer, user, (at, observer.ended), status, record, verdict);
        }
    }
}

impl Watch<'_, '_> {
    /// What is told at a time must have been so within the limit before.
    fn told(&self, observer: &Link<'_>, user: &Name, (from, to): (At, At), status: Status, record: usize, verdict: &mut Verdict) {
        let why = if status == Status::Offline && self.was_there(observer, user, from, to) {
            "they had been there for long, and are told not to be"
        } else if status != Status::Offline && self.was_gone(user, from, to) {
            "they had been gone for long, and are told to be there"
        } else {
            return;
        };
        verdict.add(broken(Rule::PresenceInTime, record, format!("{user}: {why}")).by(observer, "presence"));
    }

    /// What was told last must be taken back within the limit once it is so no longer.
    fn lasting(&self, observer: &Link<'_>, user: &Name, (from, to): (At, At), status: Status, record: usize, verdict: &mut Verdict) {
        let limit = self.run.presence_within;
        let of_user = || self.run.links.values().filter(|link| link.user == user);
        let changes = of_user().flat_map(|link| [link.begun, link.ended]).map(|at| at.saturating_add(limit + 1));
        let wrong = changes.filter(|at| *at > from && *at < to).any(|at| match status {
            Status::Offline => self.was_there(observer, user, at, at),
            Status::Online | Status::Away => self.was_gone(user, at, at),
        });
        if wrong {
            let why = format!("{user} is told as {status:?}, and for longer than allowed it was so no more, and nothing told of it");
            verdict.add(broken(Rule::PresenceInTime, record, why).by(observer, "presence"));
        }
    }

    /// Whether a user had been connected, without a fault of the server, for the whole limit, and
    /// the observer may know.
    fn was_there(&self, observer: &Link<'_>, user: &Name, from: At, to: At) -> bool {
        let since = from.saturating_sub(self.run.presence_within);
        let undisturbed = !self.run.faults.iter().any(|(at, _)| (since..=to).contains(at));
        let connected = |link: &Link<'_>| link.user == user && link.begun <= since && link.ended >= to;
        undisturbed && since > 0 && self.run.links.values().any(connected) && self.share(observer.user, user, since, to)
    }

    fn was_gone(&self, user: &Name, from: At, to: At) -> bool {
        let since = from.saturating_sub(self.run.presence_within);
        let connected = |link: &Link<'_>| link.user == user && link.asked <= to && link.ended >= since;
        since > 0 && !self.run.links.values().any(connected)
    }

    fn share(&self, one: &Name, other: &Name, from: At, to: At) -> bool {
        one == other || self.logs.values().any(|log| log.was_member(one, from, to) && log.was_member(other, from, to))
    }
}
