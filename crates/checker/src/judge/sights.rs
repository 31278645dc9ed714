//! What was seen of one conversation, and what was answered about it, in the order of the history.
//!
//! Must not know: what of it is right.

use super::run::{Link, Run};
use crate::history::{At, Event, Name, Seq, What};

/// An event as it was seen once.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) record: usize,
    pub(super) at: At,
    /// When it was asked for; none if it was pushed.
    pub(super) asked: Option<At>,
    pub(super) on: u64,
    pub(super) path: &'static str,
    pub(super) event: &'a Event,
}

/// All events of a conversation that were seen, in the order of the history.
pub(super) fn sights<'a>(run: &Run<'a>, conversation: &Name) -> impl Iterator<Item = Sight<'a>> {
    let records = run.conversations.get(conversation).cloned().unwrap_or_default();
    let all = run.records;
    records.into_iter().flat_map(move |record| {
        let at = all[record].at;
        let sight = |asked, on, path, event| Sight { record, at, asked, on, path, event };
        let seen: Vec<Sight<'a>> = match &all[record].what {
            What::Live { on, event, .. } => vec![sight(None, *on, "live", &**event)],
            What::Events { on, asked, events, .. } => events.iter().map(|event| sight(Some(*asked), *on, "events", &**event)).collect(),
            _ => Vec::new(),
        };
        seen
    })
}

/// All answers about a conversation: who asked, when, when they were answered, the head that they
/// were told (none if it was not there), and by which path.
pub(super) struct Answer<'r, 'a> {
    pub(super) record: usize,
    pub(super) link: &'r Link<'a>,
    pub(super) asked: At,
    pub(super) at: At,
    pub(super) head: Option<Seq>,
    pub(super) path: &'static str,
}

/// See [`Answer`].
pub(super) fn answers<'r, 'a>(run: &'r Run<'a>, conversation: &Name) -> impl Iterator<Item = Answer<'r, 'a>> {
    let records = run.conversations.get(conversation).map_or(&[][..], Vec::as_slice);
    records.iter().filter_map(|record| {
        let (on, asked, head, path) = match &run.records[*record].what {
            What::Events { on, asked, head, .. } => (on, asked, Some(*head), "events"),
            What::Messages { on, asked, head, .. } => (on, asked, Some(*head), "history"),
            What::Conversation { on, asked, listed, way } => (on, asked, Some(listed.head), way.name()),
            What::Absent { on, asked, .. } => (on, asked, None, "asking for it"),
            _ => return None,
        };
        Some(Answer { record: *record, link: run.link(*on)?, asked: *asked, at: run.records[*record].at, head, path })
    })
}
