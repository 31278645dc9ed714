//! What the machine keeps of the session beside its logs: limits, cursor, the listing under way, and
//! small wishes that outlive a connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chirrup_core::ids::{ConversationId, UserId};
use chirrup_protocol::limits::{self, Limits};
use chirrup_protocol::request::{Idle, Request, Typing, Watch};

use super::frames::Body;
use crate::limits::{IN_FLIGHT_FIRST, REFRESHES_MAX};

/// Requests whose answers nobody waits for.
const QUIET_MAX: usize = 16;
/// A conversation is asked anew at most so often.
const REFRESH_MS: u64 = 1_000;

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Session {
    pub(super) limits: Option<Limits>,
    /// For the next `hello` of this run.
    pub(super) cursor: Option<String>,
    /// The next page of the listing.
    pub(super) next_page: Option<String>,
    /// The listing under way began with `reset`: what it has named so far.
    pub(super) listing: Option<BTreeSet<ConversationId>>,
    /// A listing was complete, in this run or an earlier one: what appears now is new.
    pub(super) listed: bool,
    /// Conversations that the listing named, whose beginning the user's own log will tell.
    pub(super) awaiting: BTreeSet<ConversationId>,
    /// Pulls and listings rest until then.
    pub(super) pause_until_ms: u64,
    /// Conversations to be asked anew, and not before when.
    refreshes: BTreeMap<ConversationId, u64>,
    watched: Option<Vec<UserId>>,
    watch_due: bool,
    idle: bool,
    idle_due: bool,
    quiet: VecDeque<Body>,
    /// When one was last said to write, by conversation.
    typing: BTreeMap<ConversationId, u64>,
}

impl Session {
    pub(super) fn new(listed: bool, cursor: Option<String>) -> Self {
        Self {
            limits: None,
            cursor,
            next_page: None,
            listing: None,
            listed,
            awaiting: BTreeSet::new(),
            pause_until_ms: 0,
            refreshes: BTreeMap::new(),
            watched: None,
            watch_due: false,
            idle: false,
            idle_due: false,
            quiet: VecDeque::new(),
            typing: BTreeMap::new(),
        }
    }

    pub(super) fn in_flight_max(&self) -> usize {
        self.limits.as_ref().map_or(IN_FLIGHT_FIRST, |limits| limits.in_flight_max)
    }

    pub(super) fn typing_ms(&self) -> u64 {
        self.limits.as_ref().map_or(0, |limits| limits.typing_ms)
    }

    /// A session began: what it does not know yet is to be told.
    pub(super) fn begin(&mut self, limits: Limits) {
        self.limits = Some(limits);
        self.watch_due = self.watched.is_some();
        self.idle_due = self.idle;
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        (self.next_page, self.listing) = (None, None);
        self.quiet.clear();
        self.typing.clear();
        self.pause_until_ms = 0;
    }

    pub(super) fn refresh(&mut self, conversation: ConversationId) {
        self.refreshes.entry(conversation).or_insert(0);
    }

    /// The same, but not at once again.
    pub(super) fn refresh_later(&mut self, now_ms: u64, conversation: ConversationId) {
        self.refreshes.entry(conversation).or_insert(now_ms + REFRESH_MS);
    }

    /// Whether a conversation is to be asked anew.
    pub(super) fn wants_refresh(&self, conversation: ConversationId) -> bool {
        self.refreshes.contains_key(&conversation)
    }

    /// Conversations to be asked anew now.
    pub(super) fn take_refreshes(&mut self, now_ms: u64, under_way: usize) -> Vec<ConversationId> {
        let room = REFRESHES_MAX.saturating_sub(under_way);
        let due: Vec<_> = self.refreshes.iter().filter(|(_, at_ms)| **at_ms <= now_ms).map(|(id, _)| *id).take(room).collect();
        for conversation in &due {
            self.refreshes.remove(conversation);
        }
        due
    }

    pub(super) fn watch(&mut self, users: Vec<UserId>) {
        self.watched = Some(users.into_iter().take(limits::WATCH_MAX).collect());
        self.watch_due = true;
    }

    pub(super) fn take_watch(&mut self) -> Option<Body> {
        let users = self.watched.clone().filter(|_| self.watch_due)?;
        self.watch_due = false;
        Some(Body::of(&Request::Watch(Watch { users })))
    }

    pub(super) fn idle(&mut self, idle: bool) {
        self.idle_due |= self.idle != idle;
        self.idle = idle;
    }

    /// The server asks whether anybody is there.
    pub(super) fn alive(&mut self) {
        self.idle_due = true;
    }

    pub(super) fn take_quiet(&mut self) -> Option<Body> {
        if std::mem::take(&mut self.idle_due) {
            return Some(Body::of(&Request::Idle(Idle { idle: self.idle })));
        }
        self.quiet.pop_front()
    }

    /// Answers whether there is something to tell: that one writes is repeated, but not at every key.
    pub(super) fn typing(&mut self, now_ms: u64, conversation: ConversationId, typing: bool) -> bool {
        let told = self.typing.get(&conversation).copied();
        let due = if typing { told.is_none_or(|at_ms| at_ms + self.typing_ms() <= now_ms) } else { told.is_some() };
        if !due || self.quiet.len() >= QUIET_MAX {
            return false;
        }
        if typing {
            self.typing.insert(conversation, now_ms);
        } else {
            self.typing.remove(&conversation);
        }
        self.quiet.push_back(Body::of(&Request::Typing(Typing { conversation, typing })));
        true
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let pause = Some(self.pause_until_ms).filter(|ms| *ms > 0);
        self.refreshes.values().copied().chain(pause).min()
    }
}
