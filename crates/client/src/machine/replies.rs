//! What the server answers.

use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::error::{Code, Error as Refusal, Retry};
use chirrup_protocol::reply::{
    Conversation, Conversations, Done, Events, History, Members, Position, Presences, Ready, SyncPage, User, Users,
};
use serde_json::value::RawValue;

use super::flight::Purpose;
use super::link::Failure;
use super::logs::LogKey;
use super::outbox::Verdict;
use super::requests::{Lesson, Try};
use super::{ClientEvent, Follow, Machine, Output};
use crate::limits::RETRY_MS_MIN;
use crate::view::ConversationView;

/// An answer that is not of the protocol counts as a fault of the server, to be asked again.
fn read<'a, T: serde::Deserialize<'a>>(outcome: Result<&'a RawValue, Refusal>) -> Result<T, Refusal> {
    let malformed = |e| Refusal::new(Code::Internal, format!("failed to read the server's answer: {e}"));
    outcome.and_then(|raw| serde_json::from_str(raw.get()).map_err(malformed))
}

/// When to ask again; none if never.
fn retry_at_ms(now_ms: u64, refusal: &Refusal) -> Option<u64> {
    (refusal.retry != Retry::Never).then(|| now_ms + refusal.after_ms.unwrap_or(0).max(RETRY_MS_MIN))
}

impl Machine {
    pub(super) fn reply(&mut self, now_ms: u64, id: u64, outcome: Result<&RawValue, Refusal>) {
        match self.flights.arrive(id) {
            Some(Purpose::Hello) => self.hello_answered(now_ms, read(outcome)),
            Some(Purpose::Sync) => match read(outcome) {
                Ok(page) => self.page(page, false),
                // Begins the listing anew.
                Err(refusal) => self.session_failed(now_ms, refusal),
            },
            Some(Purpose::Pull(key)) => self.pulled(now_ms, key, read(outcome)),
            Some(Purpose::Refresh(conversation)) => self.refreshed(now_ms, conversation, read(outcome)),
            Some(Purpose::Send(conversation, client_id)) => self.said(now_ms, conversation, client_id, read(outcome)),
            Some(Purpose::Read(conversation)) => match read::<Position>(outcome) {
                Ok(position) => {
                    self.reads.taken(conversation);
                    self.view.own_position(conversation, &position);
                    self.check_counts(now_ms, conversation);
                }
                Err(refusal) => self.reads.refused(conversation, retry_at_ms(now_ms, &refusal)),
            },
            Some(Purpose::Delivered(conversation)) => match read::<Position>(outcome) {
                Ok(position) => {
                    self.delivered.taken(conversation);
                    self.view.own_position(conversation, &position);
                    self.check_counts(now_ms, conversation);
                }
                Err(refusal) => self.delivered.refused(conversation, retry_at_ms(now_ms, &refusal)),
            },
            Some(Purpose::Watch) => {
                for presence in read::<Presences>(outcome).map(|reply| reply.presences).unwrap_or_default() {
                    if self.view.set_presence(presence.clone()) {
                        self.feed.hint(ClientEvent::Presence(presence));
                    }
                }
            }
            Some(Purpose::App(t)) => self.app_answered(now_ms, t, outcome),
            Some(Purpose::Quiet) | None => {}
        }
    }

    fn hello_answered(&mut self, now_ms: u64, outcome: Result<Ready, Refusal>) {
        let ready = match outcome {
            Ok(ready) => ready,
            Err(refusal) => return self.session_failed(now_ms, refusal),
        };
        self.link.ready(now_ms, Some(ready.limits.heartbeat_ms));
        self.session.begin(ready.limits);
        self.view.learn_me(ready.user, ready.administrator);
        self.session.listing = ready.reset.then(Default::default);
        self.feed.hint(ClientEvent::Ready { reset: ready.reset });
        self.head_of(None, ready.user_head, ready.reset);
        self.page(ready.page, ready.reset);
    }

    /// Without a session, or its listing, there is nothing to do here: again later, or never.
    fn session_failed(&mut self, now_ms: u64, refusal: Refusal) {
        self.link.closing(refusal);
        self.drop_connection(now_ms, Failure::Silent);
    }

    /// The server named a log's head in a listing: it begins there if it is new, or goes on.
    fn head_of(&mut self, key: LogKey, head: u64, reset: bool) {
        if self.config.follow == Follow::Nothing {
            return;
        }
        match self.logs.handled(key) {
            Some(handled) if reset && handled > head => {
                self.logs.rewind(key, head);
                self.feed.rewound(key, head);
                if let Some(conversation) = key {
                    self.view.begin(conversation, head);
                }
            }
            Some(_) => {}
            None if !self.session.listed || key.is_none() => self.begin(key, head),
            None => self.session.awaiting.extend(key),
        }
        self.logs.told(key, head);
    }

    fn page(&mut self, page: SyncPage, reset: bool) {
        let reset = reset || self.session.listing.is_some();
        for about in page.conversations {
            let (conversation, head) = (about.conversation, about.head);
            self.view.learn_conversation(about);
            self.head_of(Some(conversation), head, reset);
            if let Some(listing) = &mut self.session.listing {
                listing.insert(conversation);
            }
            self.feed.hint(ClientEvent::Listed(conversation));
        }
        self.session.next_page = page.next;
        if let Some(cursor) = page.cursor {
            self.listing_complete(cursor);
        }
    }

    fn listing_complete(&mut self, cursor: String) {
        if let Some(listing) = self.session.listing.take() {
            let unlisted: Vec<ConversationId> = self.logs.conversations().filter(|id| !listing.contains(id)).collect();
            for conversation in unlisted {
                self.session.refresh(conversation);
            }
        }
        self.session.listed = true;
        // What an earlier run knew, and this listing did not name, is asked for before it is shown.
        let unseen: Vec<ConversationId> =
            self.logs.behind().flatten().filter(|conversation| self.view.conversation(*conversation).is_none()).collect();
        for conversation in unseen {
            self.session.refresh(conversation);
        }
        self.covered(cursor);
        self.feed.hint(ClientEvent::Synced);
    }

    /// Begins a log behind this seq, unless it has begun; behind 0 if all of it is wanted.
    pub(super) fn begin(&mut self, key: LogKey, seq: u64) {
        let seq = if self.config.follow == Follow::FromBeginning { 0 } else { seq };
        if !self.logs.begin(key, seq) {
            return;
        }
        if let Some(conversation) = key {
            self.session.awaiting.remove(&conversation);
            self.view.begin(conversation, seq);
        }
        self.feed.begin(key, seq);
    }

    /// Conversations of a listing whose beginning one's own log did not tell begin at their head.
    pub(super) fn begin_awaited(&mut self) {
        let own_log_is_behind = self.logs.behind().next().is_some_and(|key| key.is_none());
        if own_log_is_behind || self.session.awaiting.is_empty() {
            return;
        }
        let shown = |conversation: &ConversationId| Some((*conversation, self.view.conversation(*conversation)?.head()));
        let known: Vec<(ConversationId, u64)> = self.session.awaiting.iter().filter_map(shown).collect();
        for (conversation, head) in known {
            self.begin(Some(conversation), head);
        }
    }

    /// A conversation is not one's own to see any more.
    pub(super) fn forget(&mut self, conversation: ConversationId) {
        self.view.remove(conversation);
        if self.logs.remove(Some(conversation)) {
            self.feed.end(Some(conversation));
            self.feed.hint(ClientEvent::Removed(conversation));
        }
    }

    fn pulled(&mut self, now_ms: u64, key: LogKey, outcome: Result<Events, Refusal>) {
        match (outcome, key) {
            (Ok(page), _) => self.logs.pulled(key, page.events, page.head),
            // The log rests until it is known what became of the conversation.
            (Err(refusal), Some(conversation)) if refusal.retry == Retry::Never => self.session.refresh(conversation),
            (Err(refusal), _) => {
                self.logs.pull_over(key);
                self.session.pause_until_ms = retry_at_ms(now_ms, &refusal).unwrap_or(now_ms + chirrup_protocol::error::RETRY_AFTER_MS);
            }
        }
    }

    fn refreshed(&mut self, now_ms: u64, conversation: ConversationId, outcome: Result<Conversation, Refusal>) {
        match outcome {
            Ok(about) => {
                let head = about.head;
                let known = self.view.conversation(conversation).is_some();
                self.view.learn_conversation(about);
                if !known && let Some(handled) = self.logs.handled(Some(conversation)) {
                    self.view.begin(conversation, handled);
                }
                self.logs.pull_over(Some(conversation));
                self.logs.told(Some(conversation), head);
                self.check_counts(now_ms, conversation);
                self.feed.hint(ClientEvent::Listed(conversation));
            }
            Err(refusal) if refusal.retry == Retry::Never => {
                // Who was made a member again since has asked again.
                let asked = self.flights.count(|purpose| matches!(purpose, Purpose::Refresh(other) if *other == conversation));
                if asked == 0 && !self.session.wants_refresh(conversation) {
                    self.forget(conversation);
                }
            }
            Err(_) => self.session.refresh_later(now_ms, conversation),
        }
    }

    /// Asks for a conversation anew if its counts are not certain.
    pub(super) fn check_counts(&mut self, now_ms: u64, conversation: ConversationId) {
        if self.view.conversation(conversation).is_some_and(ConversationView::stale) {
            self.session.refresh_later(now_ms, conversation);
        }
    }

    fn said(&mut self, now_ms: u64, conversation: ConversationId, client_id: ClientId, outcome: Result<Done, Refusal>) {
        let verdict = self.outbox.answered(now_ms, client_id, outcome.as_ref().map(|_| ()));
        if verdict == Verdict::Settled {
            self.feed.hint(ClientEvent::Settled { client_id, conversation, outcome: outcome.clone() });
            self.outputs.push_back(Output::Settled(client_id, outcome));
        }
    }

    fn app_answered(&mut self, now_ms: u64, t: Try, outcome: Result<&RawValue, Refusal>) {
        match outcome {
            Ok(raw) => {
                self.learn(t.request.lesson, raw);
                self.outputs.push_back(Output::Answer((t.request.ticket, Ok(raw.to_owned()))));
            }
            Err(refusal) => {
                let answer = self.requests.refused(now_ms, t, refusal);
                self.outputs.extend(answer.map(Output::Answer));
            }
        }
    }

    fn learn(&mut self, lesson: Lesson, raw: &RawValue) {
        let raw = raw.get();
        match lesson {
            Lesson::None => {}
            Lesson::Conversation => serde_json::from_str(raw).into_iter().for_each(|about| self.view.learn_conversation(about)),
            Lesson::Conversations => {
                let page = serde_json::from_str::<Conversations>(raw);
                page.into_iter().flat_map(|page| page.conversations).for_each(|about| self.view.learn_conversation(about));
            }
            Lesson::History(conversation) => {
                if let Ok(page) = serde_json::from_str::<History>(raw) {
                    self.view.learn_page(conversation, page);
                }
            }
            Lesson::User => serde_json::from_str::<User>(raw).into_iter().for_each(|user| self.view.learn_user(user)),
            Lesson::Users => {
                let users = serde_json::from_str::<Users>(raw);
                users.into_iter().flat_map(|reply| reply.users).for_each(|user| self.view.learn_user(user));
            }
            Lesson::Members => {
                let page = serde_json::from_str::<Members>(raw);
                page.into_iter().flat_map(|page| page.members).for_each(|member| self.view.learn_user(member.user));
            }
        }
    }
}
