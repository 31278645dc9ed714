//! The client as a pure state machine: frames, openings, closings, time and the application's wishes
//! go in; frames, wishes to connect, writes of the outbox, answers and events come out. Time is
//! handed in (milliseconds of any clock that does not go back) and randomness is a seed, so that
//! tests and simulations own both.
//!
//! Must not know: sockets, files, threads, clocks.

mod config;
mod feed;
mod flight;
mod frames;
mod link;
mod logs;
mod outbox;
mod positions;
mod pump;
mod pushes;
mod random;
mod replies;
mod requests;
mod session;

use std::collections::VecDeque;

use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};
use chirrup_protocol::error::{Code, Error as Refusal};
use chirrup_protocol::limits::{FRAME_BYTES_MAX, Limits};
use chirrup_protocol::reply::Done;
use chirrup_protocol::request::{Hello, Request, Withdraw};

pub use config::{Config, Follow};
pub use feed::{ClientEvent, Place, Resume};
pub use frames::Body;
pub use link::{Failure, Status};
pub use logs::LogKey;
pub use outbox::{Entry, Record, Withdrawal};
pub use requests::{Answer, AppRequest, Lesson, Ticket};

use crate::error::Error;
use crate::limits::REPLY_MS;
use crate::view::View;
use feed::Feed;
use flight::{Flights, Purpose};
use frames::Incoming;
use link::Link;
use logs::Logs;
use outbox::Outbox;
use positions::Positions;
use random::Random;
use requests::Requests;
use session::Session;

/// What the shell is to do.
#[derive(Debug)]
pub enum Output {
    /// Make a connection; then call [`Machine::opened`] or [`Machine::closed`].
    Connect,
    /// Drop the connection, or the attempt; nothing more of it is to be told.
    Disconnect,
    /// Send this.
    Frame(String),
    /// Make these durable, then call [`Machine::saved`]. One write at a time.
    Save(Vec<Record>),
    /// An answer for the application.
    Answer(Answer),
    /// An entry could not be made durable, and is given up: it did not go out.
    Dropped(ClientId),
    /// An entry of the outbox is settled.
    Settled(ClientId, Result<Done, Refusal>),
}

/// The client.
pub struct Machine {
    config: Config,
    random: Random,
    link: Link,
    session: Session,
    flights: Flights,
    requests: Requests,
    outbox: Outbox,
    reads: Positions,
    delivered: Positions,
    logs: Logs,
    feed: Feed,
    view: View,
    outputs: VecDeque<Output>,
}

impl Machine {
    /// A client that goes on from where an earlier run came to, with what that left in the outbox.
    pub fn new(config: Config, resume: Option<Resume>, outbox: Vec<Entry>) -> Self {
        let resumed = resume.is_some();
        let resume = resume.unwrap_or_default();
        let follow = config.follow != Follow::Nothing;
        let mut logs = Logs::default();
        let mut session = Session::new(resumed, resume.cursor.clone().filter(|_| follow));
        if follow {
            if let Some(place) = resume.user {
                logs.restore(None, place.handled, place.head);
            }
            for (conversation, place) in &resume.conversations {
                if let Ok(conversation) = conversation.parse::<ConversationId>() {
                    logs.restore(Some(conversation), place.handled, place.head);
                    session.awaiting.extend(place.handled.is_none().then_some(conversation));
                }
            }
        }
        Self {
            random: Random::new(config.seed),
            link: Link::new(),
            session,
            flights: Flights::default(),
            requests: Requests::default(),
            outbox: Outbox::new(outbox),
            reads: Positions::default(),
            delivered: Positions::default(),
            logs,
            feed: Feed::new(resume, follow),
            view: View::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// What the shell is to do next; in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether [`Machine::poll`] has something.
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Where the connection is in its life.
    pub fn status(&self) -> &Status {
        self.link.status()
    }

    /// Everything that the user's client shows.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Limits and intervals of the server, once a session began.
    pub fn limits(&self) -> Option<&Limits> {
        self.session.limits.as_ref()
    }

    /// How far the application has come, with the event that it was given last.
    pub fn resume(&self) -> &Resume {
        self.feed.resume()
    }

    /// Entries of the outbox that are not settled, in order within each conversation.
    pub fn outbox(&self) -> impl Iterator<Item = &Entry> {
        self.outbox.entries()
    }

    /// The next event for the application.
    pub fn next_event(&mut self, now_ms: u64) -> Option<ClientEvent> {
        let event = self.feed.pop();
        self.deliver(now_ms);
        self.pump(now_ms);
        event
    }

    /// Whether [`Machine::next_event`] may have something.
    pub fn has_event(&self) -> bool {
        !self.feed.is_empty()
    }

    /// Wants a connection from now on.
    pub fn connect(&mut self, now_ms: u64) {
        if *self.link.status() == Status::Idle {
            self.link.connecting(now_ms);
            self.outputs.push_back(Output::Connect);
        }
    }

    /// The connection stands.
    pub fn opened(&mut self, now_ms: u64) {
        let Some(token) = self.config.token.clone() else {
            self.link.ready(now_ms, None);
            self.pump(now_ms);
            return;
        };
        let hello = Hello {
            token,
            versions: (chirrup_protocol::VERSION, chirrup_protocol::VERSION),
            cursor: self.session.cursor.clone(),
            background: self.config.background,
        };
        self.link.opening(now_ms);
        self.send(now_ms, Purpose::Hello, &Body::of(&Request::Hello(hello)));
    }

    /// The connection could not be made (`Failure::Connect`), broke, or was closed; `close` is the
    /// close frame's code and reason, if there was one.
    pub fn closed(&mut self, now_ms: u64, failure: Failure, close: Option<(u16, &str)>) {
        if let Some(refusal) = close.and_then(|(code, reason)| link::verdict(code, reason)) {
            self.link.closing(refusal);
        }
        self.lost(now_ms, failure);
    }

    /// A text frame came.
    pub fn frame(&mut self, now_ms: u64, text: &str) {
        self.link.heard(now_ms);
        match Incoming::read(text) {
            Incoming::Reply(id, outcome) => self.reply(now_ms, id, outcome),
            Incoming::Push(push) => self.push(now_ms, *push),
            Incoming::Nothing => {}
        }
        self.deliver(now_ms);
        self.pump(now_ms);
    }

    /// Something else came over the connection (a ping): it lives.
    pub fn heard(&mut self, now_ms: u64) {
        self.link.heard(now_ms);
    }

    /// The records of the last [`Output::Save`] are durable.
    pub fn saved(&mut self, now_ms: u64, records: &[Record]) {
        self.outbox.saved(records);
        self.pump(now_ms);
    }

    /// The records of the last [`Output::Save`] could not be made durable.
    pub fn save_failed(&mut self, now_ms: u64, records: &[Record]) {
        let dropped = self.outbox.save_failed(records);
        self.outputs.extend(dropped.into_iter().map(Output::Dropped));
        self.pump(now_ms);
    }

    /// When [`Machine::tick`] has something to do.
    pub fn deadline_ms(&self) -> Option<u64> {
        let (oldest, app) = self.flights.times_ms();
        let live = [
            oldest.map(|since_ms| since_ms + REPLY_MS),
            self.outbox.deadline_ms(),
            self.reads.deadline_ms(),
            self.delivered.deadline_ms(),
            self.session.deadline_ms(),
        ];
        let always = [self.link.deadline_ms(), app, self.requests.deadline_ms(), self.view.deadline_ms()];
        let live = live.into_iter().filter(|_| self.link.live());
        live.chain(always).flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) {
        if self.link.deadline_ms().is_some_and(|due| due <= now_ms) {
            if let Status::Waiting { .. } = self.link.status() {
                self.link.connecting(now_ms);
                self.outputs.push_back(Output::Connect);
            } else {
                self.drop_connection(now_ms, Failure::Silent);
            }
        }
        if self.link.live() && self.flights.times_ms().0.is_some_and(|since_ms| since_ms + REPLY_MS <= now_ms) {
            self.drop_connection(now_ms, Failure::Silent);
        }
        let why = self.why_not();
        let mut answers = self.requests.expire(now_ms, &why);
        answers.extend(self.flights.expire(now_ms).iter().map(|t| (t.request.ticket, Err(t.end("there was no answer in time")))));
        self.outputs.extend(answers.into_iter().map(Output::Answer));
        for (conversation, user) in self.view.expire(now_ms) {
            self.feed.hint(ClientEvent::Typing { conversation, user, typing: false });
        }
        self.deliver(now_ms);
        self.pump(now_ms);
    }

    /// Asks something; the answer comes as [`Output::Answer`].
    pub fn request(&mut self, now_ms: u64, request: AppRequest) {
        match too_large(&request.body) {
            Some(refusal) => self.outputs.push_back(Output::Answer((request.ticket, Err(Error::Refused(refusal))))),
            None => self.requests.add(request),
        }
        self.pump(now_ms);
    }

    /// Puts something into the outbox: durable first, then sent, in order. The outcome comes as
    /// [`Output::Settled`]. Nothing if an entry has this client id already.
    pub fn say(&mut self, now_ms: u64, entry: Entry) -> Result<(), Error> {
        if let Some(refusal) = too_large(&entry.body) {
            return Err(Error::Refused(refusal));
        }
        self.outbox.add(entry).map_err(Error::Full)?;
        self.pump(now_ms);
        Ok(())
    }

    /// Takes an entry of the outbox back, if it surely has not taken effect.
    pub fn withdraw(&mut self, now_ms: u64, client_id: ClientId) -> Withdrawal {
        let withdrawal = self.outbox.withdraw(client_id);
        if let Withdrawal::Withdrawn(conversation) = withdrawal
            && self.link.live()
        {
            // The server may hold later entries back for this one.
            self.send(now_ms, Purpose::Quiet, &Body::of(&Request::Withdraw(Withdraw { conversation, client_id })));
        }
        self.pump(now_ms);
        withdrawal
    }

    /// Tells that one has read up to here; positions only grow.
    pub fn read(&mut self, now_ms: u64, conversation: ConversationId, seq: Seq) {
        if self.view.conversation(conversation).is_none_or(|view| view.read() < seq) {
            self.reads.want(conversation, seq);
            self.pump(now_ms);
        }
    }

    /// Tells that one writes, or has stopped; may be called at every key.
    pub fn typing(&mut self, now_ms: u64, conversation: ConversationId, typing: bool) {
        if self.link.live() && self.session.typing(now_ms, conversation, typing) {
            self.pump(now_ms);
        }
    }

    /// Watches the presence of these users, and of no others.
    pub fn watch(&mut self, now_ms: u64, users: Vec<UserId>) {
        self.view.watch(&users);
        self.session.watch(users);
        self.pump(now_ms);
    }

    /// Tells whether the user sits idle.
    pub fn idle(&mut self, now_ms: u64, idle: bool) {
        self.session.idle(idle);
        self.pump(now_ms);
    }

    fn send(&mut self, now_ms: u64, purpose: Purpose, body: &Body) {
        let id = self.flights.depart(now_ms, purpose);
        self.outputs.push_back(Output::Frame(body.frame(id)));
    }

    fn drop_connection(&mut self, now_ms: u64, failure: Failure) {
        self.outputs.push_back(Output::Disconnect);
        self.lost(now_ms, failure);
    }

    /// The connection is gone: what was in flight goes back to where it came from.
    fn lost(&mut self, now_ms: u64, failure: Failure) {
        self.link.lost(now_ms, failure, &mut self.random);
        let mut tries = Vec::new();
        for purpose in self.flights.lost() {
            match purpose {
                Purpose::App(again) => tries.push(again),
                Purpose::Refresh(conversation) => self.session.refresh(conversation),
                // The others are kept where they come from.
                _ => {}
            }
        }
        self.requests.again(tries);
        self.outbox.lost();
        self.logs.lost();
        self.reads.lost();
        self.delivered.lost();
        self.session.lost();
        match self.link.status().clone() {
            Status::Waiting { until_ms, failure } => {
                self.feed.hint(ClientEvent::Disconnected { failure, retry_ms: until_ms.saturating_sub(now_ms) });
            }
            Status::Ended(refusal) => self.feed.ended(refusal),
            _ => {}
        }
        self.pump(now_ms);
    }

    /// Why there is no connection, for those who waited for one.
    fn why_not(&self) -> String {
        match self.link.status() {
            Status::Waiting { failure, .. } => failure.to_string(),
            Status::Ended(refusal) => refusal.to_string(),
            _ => "there was no answer in time".to_owned(),
        }
    }
}

/// A frame that the server would not take, and close the connection for.
fn too_large(body: &Body) -> Option<Refusal> {
    // With the id and its name around it.
    let bytes = body.json().len() + 32;
    (bytes > FRAME_BYTES_MAX).then(|| {
        Refusal::new(Code::BadFrame, format!("the request is too large: {bytes} bytes of JSON, where {FRAME_BYTES_MAX} are the limit"))
    })
}
