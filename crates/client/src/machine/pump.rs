//! What goes out now: repairs before everything else, then the outbox, then what the application
//! asked; never more in flight than the server takes.

use chirrup_core::ids::ConversationId;
use chirrup_protocol::event::{Event, Kind};
use chirrup_protocol::limits::EVENTS_PAGE_MAX;
use chirrup_protocol::request::{Conversation, Delivered, Events, Read, Request, Sync};

use super::flight::Purpose;
use super::frames::Body;
use super::link::{Failure, Status};
use super::logs::LogKey;
use super::{ClientEvent, Follow, Machine, Output};
use crate::limits::{IN_FLIGHT_RESERVED, POSITIONS_MAX, PULLS_MAX};

impl Machine {
    pub(super) fn pump(&mut self, now_ms: u64) {
        if let Some(records) = self.outbox.save() {
            self.outputs.push_back(Output::Save(records));
        }
        if let Status::Ended(refusal) = self.link.status() {
            let answers = self.requests.end(refusal);
            self.outputs.extend(answers.into_iter().map(Output::Answer));
        }
        if !self.link.live() {
            return;
        }
        if self.link.leaving() {
            if self.flights.len() == 0 {
                self.drop_connection(now_ms, Failure::ComeBack);
            }
            return;
        }
        if self.config.token.is_some() {
            self.ask_listing(now_ms);
            self.ask_events(now_ms);
            self.ask_conversations(now_ms);
            self.tell_small_things(now_ms);
            self.send_outbox(now_ms);
            self.tell_positions(now_ms);
        }
        while self.room(IN_FLIGHT_RESERVED) > 0
            && let Some(next) = self.requests.take(now_ms)
        {
            let body = next.request.body.clone();
            self.send(now_ms, Purpose::App(next), &body);
        }
    }

    fn room(&self, reserved: usize) -> usize {
        self.session.in_flight_max().saturating_sub(self.flights.len() + reserved)
    }

    fn ask_listing(&mut self, now_ms: u64) {
        if self.config.follow != Follow::Nothing
            && self.session.pause_until_ms <= now_ms
            && let Some(page) = self.session.next_page.take()
        {
            self.send(now_ms, Purpose::Sync, &Body::of(&Request::Sync(Sync { page })));
        }
    }

    fn ask_events(&mut self, now_ms: u64) {
        if !self.feed.has_room() || self.session.pause_until_ms > now_ms {
            return;
        }
        let mut room = PULLS_MAX.saturating_sub(self.flights.count(|purpose| matches!(purpose, Purpose::Pull(_))));
        if room == 0 {
            return;
        }
        // Own user log first: it tells where other logs begin.
        let behind: Vec<LogKey> = self.logs.behind().collect();
        for key in behind {
            if room == 0 {
                break;
            }
            let Some((after, missing)) = self.logs.pull(key) else { continue };
            let limit = missing.min(u64::from(EVENTS_PAGE_MAX)) as u32;
            self.send(now_ms, Purpose::Pull(key), &Body::of(&Request::Events(Events { conversation: key, after, limit })));
            room -= 1;
        }
    }

    fn ask_conversations(&mut self, now_ms: u64) {
        let under_way = self.flights.count(|purpose| matches!(purpose, Purpose::Refresh(_)));
        for conversation in self.session.take_refreshes(now_ms, under_way) {
            self.send(now_ms, Purpose::Refresh(conversation), &Body::of(&Request::Conversation(Conversation { conversation })));
        }
    }

    fn tell_small_things(&mut self, now_ms: u64) {
        if let Some(body) = self.session.take_watch() {
            self.send(now_ms, Purpose::Watch, &body);
        }
        while let Some(body) = self.session.take_quiet() {
            self.send(now_ms, Purpose::Quiet, &body);
        }
    }

    fn send_outbox(&mut self, now_ms: u64) {
        for entry in self.outbox.take(now_ms, self.room(IN_FLIGHT_RESERVED)) {
            self.send(now_ms, Purpose::Send(entry.conversation, entry.client_id), &entry.body);
        }
    }

    fn tell_positions(&mut self, now_ms: u64) {
        for (conversation, seq) in self.reads.take(now_ms, self.room(IN_FLIGHT_RESERVED).min(POSITIONS_MAX)) {
            self.send(now_ms, Purpose::Read(conversation), &Body::of(&Request::Read(Read { conversation, seq })));
        }
        for (conversation, seq) in self.delivered.take(now_ms, self.room(IN_FLIGHT_RESERVED).min(POSITIONS_MAX)) {
            self.send(now_ms, Purpose::Delivered(conversation), &Body::of(&Request::Delivered(Delivered { conversation, seq })));
        }
    }

    /// Hands on what is dense, as far as the application has room.
    pub(super) fn deliver(&mut self, now_ms: u64) {
        for key in self.logs.here() {
            while self.feed.has_room() && self.can_show(key) {
                let Some(event) = self.logs.next(key) else { break };
                self.show(now_ms, key, event);
            }
        }
        self.begin_awaited();
    }

    /// Whether the view knows whose event it is.
    fn can_show(&self, key: LogKey) -> bool {
        key.is_none_or(|conversation| self.view.conversation(conversation).is_some())
    }

    fn show(&mut self, now_ms: u64, key: LogKey, event: Event) {
        self.view.event(key, &event);
        match key {
            Some(conversation) => self.shown(now_ms, conversation, &event),
            None => self.own_event(&event),
        }
        self.feed.event(key, event);
    }

    fn shown(&mut self, now_ms: u64, conversation: ConversationId, event: &Event) {
        if let (Kind::MessageCreated { .. }, Some(author)) = (&event.kind, event.author)
            && self.view.me() != Some(author)
        {
            if self.view.set_typing(conversation, author, None) {
                self.feed.hint(ClientEvent::Typing { conversation, user: author, typing: false });
            }
            if self.config.receipts {
                self.delivered.want(conversation, event.seq);
            }
        }
        self.check_counts(now_ms, conversation);
    }

    /// An event of one's own log: it tells which conversations one has, and from where on.
    fn own_event(&mut self, event: &Event) {
        match event.kind {
            Kind::ConversationAdded { conversation, since } => {
                self.begin(Some(conversation), since.saturating_sub(1));
                self.session.refresh(conversation);
            }
            Kind::ConversationRemoved { conversation, readable: false } => self.forget(conversation),
            _ => {}
        }
    }
}
