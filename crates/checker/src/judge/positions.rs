//! Whether read and delivered positions only grow, for everybody who sees them, and stay within the
//! log.

use std::collections::BTreeMap;

use super::log::Log;
use super::run::{Run, broken};
use super::verdict::{Rule, Verdict};
use crate::history::{Act, At, Name, Seq, What};

/// A position as it was seen.
struct Seen<'a> {
    record: usize,
    on: u64,
    asked: Option<At>,
    at: At,
    user: &'a Name,
    read: Seq,
    delivered: Seq,
    /// The head that was told with it.
    head: Option<Seq>,
    path: &'static str,
}

/// The most that was reached, by time; times and both positions grow.
type Reached = Vec<(At, Seq, Seq)>;

pub(super) fn check(run: &Run<'_>, log: &Log<'_>, verdict: &mut Verdict) {
    let mut reached: BTreeMap<&Name, Reached> = acked(run, log);
    let mut pushed: BTreeMap<(u64, &Name), (Seq, Seq)> = BTreeMap::new();
    for seen in run.conversations.get(log.conversation).into_iter().flatten().filter_map(|record| seen(run, *record)) {
        let of_user = reached.entry(seen.user).or_default();
        let least = match seen.asked {
            Some(asked) => before(of_user, asked),
            None => pushed.get(&(seen.on, seen.user)).copied().unwrap_or((0, 0)),
        };
        if let Some(why) = wrong(&seen, least) {
            let violation = broken(Rule::PositionsMonotonic, seen.record, why).on(log.conversation).seq(seen.read);
            verdict.add(match run.link(seen.on) {
                Some(link) => violation.by(link, seen.path),
                None => violation,
            });
        }
        if seen.asked.is_none() {
            pushed.insert((seen.on, seen.user), (seen.read.max(least.0), seen.delivered.max(least.1)));
        }
        reach(of_user, seen.at, seen.read, seen.delivered);
    }
}

fn wrong(seen: &Seen<'_>, least: (Seq, Seq)) -> Option<String> {
    let (user, read, delivered) = (seen.user, seen.read, seen.delivered);
    if read < least.0 || delivered < least.1 {
        return Some(format!(
            "{user} had read {} and got {} before, and is told to have read {read} and got {delivered}",
            least.0, least.1
        ));
    }
    if read > delivered {
        return Some(format!("{user} is told to have read {read}, and got {delivered}"));
    }
    let head = seen.head.filter(|head| delivered > *head)?;
    Some(format!("{user} is told to have got {delivered} of a log that ends at {head}"))
}

fn seen<'a>(run: &Run<'a>, record: usize) -> Option<Seen<'a>> {
    let at = run.records[record].at;
    match &run.records[record].what {
        What::Position { on, asked, position } => {
            let path = if asked.is_some() { "positions" } else { "live" };
            let (read, delivered) = (position.read, position.delivered);
            Some(Seen { record, on: *on, asked: *asked, at, user: &position.user, read, delivered, head: None, path })
        }
        What::Conversation { on, asked, way, listed } => {
            let user = run.link(*on)?.user;
            let (read, delivered) = (listed.read, listed.delivered);
            Some(Seen { record, on: *on, asked: Some(*asked), at, user, read, delivered, head: Some(listed.head), path: way.name() })
        }
        _ => None,
    }
}

/// What was acked moves positions: telling so, and sending, which moves one's own.
fn acked<'a>(run: &Run<'a>, log: &Log<'a>) -> BTreeMap<&'a Name, Reached> {
    let mut moved: Vec<_> = run.tries.iter().filter(|t| t.conversation == Some(log.conversation) && t.acked().is_some()).collect();
    moved.sort_by_key(|t| t.settled);
    let mut reached = BTreeMap::<&Name, Reached>::new();
    for t in moved {
        let (read, delivered) = match t.act {
            Act::Read { seq, .. } => (*seq, *seq),
            Act::Delivered { seq, .. } => (0, *seq),
            // A message of the timeline moves its author's positions to itself.
            Act::Send { thread, also_in_conversation, .. } if thread.is_none() || *also_in_conversation => {
                t.acked().map_or((0, 0), |seq| (seq, seq))
            }
            _ => continue,
        };
        reach(reached.entry(t.user).or_default(), t.settled, read, delivered);
    }
    reached
}

fn before(reached: &Reached, asked: At) -> (Seq, Seq) {
    let later = reached.partition_point(|(at, _, _)| *at < asked);
    later.checked_sub(1).map_or((0, 0), |last| (reached[last].1, reached[last].2))
}

/// Enters what was reached at a time that may lie between those that are known.
fn reach(reached: &mut Reached, at: At, read: Seq, delivered: Seq) {
    let place = reached.partition_point(|(known, _, _)| *known <= at);
    let (r, d) = place.checked_sub(1).map_or((0, 0), |last| (reached[last].1, reached[last].2));
    if r >= read && d >= delivered {
        return;
    }
    reached.insert(place, (at, r.max(read), d.max(delivered)));
    for (_, r, d) in &mut reached[place + 1..] {
        (*r, *d) = ((*r).max(read), (*d).max(delivered));
    }
}
