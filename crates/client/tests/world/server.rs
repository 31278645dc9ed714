//! The server of the tests: the real aggregates behind a plain reading of the protocol. It counts
//! and orders by definition, not by index, so that it can judge who is clever about it.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::aggregate::{self, Action, AggregateId, Command, Digest, Origin, Stamp};
use chirrup_core::conversation;
use chirrup_core::event::{self as core, Fact};
use chirrup_core::hash::Salt;
use chirrup_core::ids::{ClientId, ConversationId, DeviceId, Seq, UserId};
use chirrup_core::visibility::Intervals;
use chirrup_protocol::error::{Code, Error as Refusal};
use chirrup_protocol::event::{Event, Kind, Message, Moved};
use chirrup_protocol::limits::Limits;
use chirrup_protocol::push::{Head, PositionUpdated};
use chirrup_protocol::push::{Heartbeat, LogEvent, Push};
use chirrup_protocol::reply::{Conversation, Done, Events, History, Position, Presences, Ready, SyncPage, Unread, User};
use chirrup_protocol::request::{Frame, Request};
use serde_json::json;

use super::Dice;
use super::chat::Chat;

pub(crate) type LogKey = Option<ConversationId>;

/// Conversations in one page of the listing: small, so that there are several.
const PAGE: usize = 2;

/// What was asked under a client id, and what became of it.
type Verdict = (String, Result<Done, Refusal>);

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) chats: BTreeMap<ConversationId, Chat>,
    user_logs: BTreeMap<UserId, Vec<Event>>,
    verdicts: BTreeMap<(ConversationId, UserId, ClientId), Verdict>,
    sessions: BTreeMap<usize, Session>,
    time: u64,
    next_session: usize,
    /// Sends are refused for now so often (one in so many).
    pub(crate) busy_one_in: u64,
    /// A cursor is of no use so often.
    pub(crate) reset_one_in: u64,
}

/// One connection.
#[derive(Default)]
struct Session {
    user: Option<UserId>,
    /// Highest seq of each log that was sent, or needs no sending.
    sent: BTreeMap<LogKey, Seq>,
    /// The listing under way: what is left of it.
    listing: Vec<ConversationId>,
    unsettled: BTreeMap<ConversationId, ClientId>,
    out: Vec<String>,
}

impl Server {
    pub(crate) fn user(n: u8) -> UserId {
        UserId([n; 16])
    }

    pub(crate) fn connect(&mut self) -> usize {
        self.next_session += 1;
        self.sessions.insert(self.next_session, Session::default());
        self.next_session
    }

    pub(crate) fn disconnect(&mut self, session: usize) {
        self.sessions.remove(&session);
    }

    /// Frames for a connection, in order; what is taken is on its way.
    pub(crate) fn take(&mut self, session: usize) -> Vec<String> {
        self.sessions.get_mut(&session).map(|s| std::mem::take(&mut s.out)).unwrap_or_default()
    }

    /// A change of a conversation, as if by another device. A group is made by its first.
    pub(crate) fn act(
        &mut self,
        id: ConversationId,
        user: UserId,
        client_id: ClientId,
        action: conversation::Action,
    ) -> Result<Done, Refusal> {
        let key = (id, user, client_id);
        let said = format!("{action:?}");
        if let Some((before, outcome)) = self.verdicts.get(&key) {
            if *before != said {
                return Err(Refusal::new(Code::ClientIdConflict, "another request"));
            }
            return outcome.clone().map(|done| Done { duplicate: true, ..done });
        }
        self.time += 1;
        let aggregate = AggregateId::Conversation(id);
        let chat = self.chats.entry(id).or_insert_with(|| Chat::new(&aggregate));
        let command = Command {
            aggregate,
            origin: Origin::Client { user, client_id, digest: Digest::of(said.as_bytes()) },
            stamp: Stamp { time: self.time, salt: Salt::default() },
            action: Action::Conversation(action),
        };
        for row in aggregate::needs(&chat.state, &command) {
            chat.rows.load(row, None);
        }
        let step = aggregate::step(&chat.state, &chat.rows, &command).map_err(Refusal::from);
        let outcome = match step {
            Ok(step) => {
                let events: Vec<_> = step.events.into_iter().map(|draft| chat.fold(&command, draft)).collect();
                let done = Done { seq: chat.state.head, time: self.time, duplicate: false };
                for event in events {
                    self.publish(id, &event);
                }
                Ok(done)
            }
            Err(refusal) => Err(refusal),
        };
        self.verdicts.insert(key, (said, outcome.clone()));
        outcome
    }

    fn publish(&mut self, id: ConversationId, event: &core::Event) {
        let seq = event.seq();
        match &event.envelope.fact {
            Fact::ConversationCreated { members, .. } => {
                for user in members {
                    self.own_event(*user, Kind::ConversationAdded { conversation: id, since: seq });
                }
            }
            Fact::MemberAdded { user, .. } => self.own_event(*user, Kind::ConversationAdded { conversation: id, since: seq }),
            Fact::MemberRemoved { user, visible, .. } => {
                self.own_event(*user, Kind::ConversationRemoved { conversation: id, readable: !visible.is_empty() });
            }
            _ => {}
        }
        let sends = matches!(event.envelope.fact, Fact::MessageCreated { .. });
        if let (true, Some(author)) = (sends, event.envelope.author) {
            self.chats.get_mut(&id).expect("it is there").positions.entry(author).or_default().0 = seq;
        }
        let chat = &self.chats[&id];
        for session in self.sessions.values_mut() {
            let Some(visible) = session.user.and_then(|user| chat.visible(user)) else { continue };
            if visible.last(chat.state.head) >= seq {
                session.push(&Push::Event(LogEvent { conversation: Some(id), event: Event::for_reader(event, &visible) }));
                session.sent.insert(Some(id), seq);
            }
        }
    }

    fn own_event(&mut self, user: UserId, kind: Kind) {
        let log = self.user_logs.entry(user).or_default();
        let event = Event { seq: log.len() as u64 + 1, time: Some(self.time), author: None, client_id: None, kind };
        log.push(event.clone());
        for session in self.sessions.values_mut().filter(|s| s.user == Some(user)) {
            session.sent.insert(None, event.seq);
            session.push(&Push::Event(LogEvent { conversation: None, event: event.clone() }));
        }
    }

    /// Answers one frame of a connection.
    pub(crate) fn frame(&mut self, session: usize, text: &str, dice: &mut Dice) {
        let frame: Frame = serde_json::from_str(text).expect("a frame");
        let params = frame.params.map_or("{}", |raw| raw.get());
        let request = Request::parse(&frame.method, params).expect("a known method").expect("its parameters");
        let reply = match self.answer(session, request, dice) {
            Ok(ok) => json!({"id": frame.id, "ok": ok}),
            Err(error) => json!({"id": frame.id, "error": error}),
        };
        if let Some(session) = self.sessions.get_mut(&session) {
            session.out.push(reply.to_string());
        }
    }

    fn answer(&mut self, session: usize, request: Request, dice: &mut Dice) -> Result<serde_json::Value, Refusal> {
        let user = self.sessions.get(&session).and_then(|s| s.user);
        let Some(user) = user else {
            let Request::Hello(hello) = request else { return Err(Refusal::new(Code::NotLoggedIn, "hello first")) };
            let user = hello.token.parse().map_err(|_| Refusal::new(Code::TokenInvalid, "log in again"))?;
            let reset = hello.cursor.is_some() && self.reset_one_in > 0 && dice.one_in(self.reset_one_in);
            return Ok(wire(&self.hello(session, user, hello.cursor.filter(|_| !reset), reset)));
        };
        match request {
            Request::Sync(_) => Ok(wire(&self.page(session, user))),
            Request::Events(r) => self.events(user, r.conversation, r.after, r.limit).map(|page| wire(&page)),
            Request::Conversation(r) => self.about(user, r.conversation).map(|about| wire(&about)),
            Request::History(r) => self.history(user, r.conversation, r.limit).map(|page| wire(&page)),
            Request::Read(r) => self.moved(user, r.conversation, r.seq, 0).map(|position| wire(&position)),
            Request::Delivered(r) => self.moved(user, r.conversation, 0, r.seq).map(|position| wire(&position)),
            Request::Watch(_) => Ok(wire(&Presences { presences: Vec::new() })),
            Request::Send(r) => {
                let said = Said { session, user, conversation: r.conversation, client_id: r.client_id };
                let text = core::Text { text: r.text, mentions: r.mentions, mention_all: r.mention_all };
                let action = send(text, r.reply_to, r.thread_root, r.also_in_conversation);
                self.said(said, action, dice).map(|done| wire(&done))
            }
            Request::Edit(r) => {
                let said = Said { session, user, conversation: r.conversation, client_id: r.client_id };
                let text = core::Text { text: r.text, mentions: r.mentions, mention_all: r.mention_all };
                self.said(said, conversation::Action::Edit { target: r.target, text }, dice).map(|done| wire(&done))
            }
            Request::Withdraw(r) => {
                let session = self.sessions.get_mut(&session).expect("it is there");
                session.unsettled.retain(|conversation, id| (*conversation, *id) != (r.conversation, r.client_id));
                Ok(json!({}))
            }
            _ => Ok(json!({})),
        }
    }

    /// R-8, with refusals now and then.
    fn said(&mut self, said: Said, action: conversation::Action, dice: &mut Dice) -> Result<Done, Refusal> {
        let session = self.sessions.get_mut(&said.session).expect("it is there");
        if session.unsettled.get(&said.conversation).is_some_and(|first| *first != said.client_id) {
            return Err(Refusal::new(Code::EarlierUnsettled, "another first"));
        }
        if self.busy_one_in > 0 && dice.one_in(self.busy_one_in) {
            session.unsettled.insert(said.conversation, said.client_id);
            return Err(Refusal::after(Code::Busy, "later", dice.below(500)));
        }
        session.unsettled.remove(&said.conversation);
        self.act(said.conversation, said.user, said.client_id, action)
    }

    fn hello(&mut self, session: usize, user: UserId, cursor: Option<String>, reset: bool) -> Ready {
        let known: BTreeMap<String, Seq> = cursor.map(|c| serde_json::from_str(&c).expect("a cursor")).unwrap_or_default();
        let listed = self.chats.iter().filter(|(id, chat)| {
            let head = chat.visible(user).map_or(0, |visible| visible.last(chat.state.head));
            head > known.get(&id.to_string()).copied().unwrap_or(0)
        });
        let listing: Vec<ConversationId> = listed.map(|(id, _)| *id).collect();
        let heads: Vec<(LogKey, Seq)> = self.heads(user).collect();
        let state = self.sessions.get_mut(&session).expect("it is there");
        (state.user, state.listing) = (Some(user), listing);
        // Named in the listing, or covered by the cursor.
        state.sent.extend(heads);
        let user_head = self.user_logs.get(&user).map_or(0, |log| log.len() as u64);
        Ready {
            user: User { user, name: user.to_string(), display_name: user.to_string(), disabled: false },
            device: DeviceId([0; 16]),
            administrator: false,
            version: 1,
            feature_level: 1,
            reset,
            limits: Limits::new(25_000, 5_000, 1_000),
            user_head,
            page: self.page(session, user),
        }
    }

    fn heads(&self, user: UserId) -> impl Iterator<Item = (LogKey, Seq)> {
        let own = self.user_logs.get(&user).map_or(0, |log| log.len() as u64);
        let chats = self.chats.iter().filter_map(move |(id, chat)| Some((Some(*id), chat.visible(user)?.last(chat.state.head))));
        chats.chain([(None, own)])
    }

    fn page(&mut self, session: usize, user: UserId) -> SyncPage {
        let state = self.sessions.get_mut(&session).expect("it is there");
        let rest = state.listing.split_off(state.listing.len().min(PAGE));
        let page = std::mem::replace(&mut state.listing, rest);
        let more = !state.listing.is_empty();
        let conversations = page.into_iter().filter_map(|id| self.about(user, id).ok()).collect();
        let cursor = (!more).then(|| self.cursor(session));
        SyncPage { conversations, next: more.then(|| "more".to_owned()), cursor }
    }

    /// Covers what was sent on this connection.
    fn cursor(&self, session: usize) -> String {
        let sent = self.sessions[&session].sent.iter().filter_map(|(key, seq)| Some((key.as_ref()?.to_string(), *seq)));
        serde_json::to_string(&sent.collect::<BTreeMap<_, _>>()).expect("plain")
    }

    pub(crate) fn heartbeat(&mut self, session: usize) {
        let Some(state) = self.sessions.get(&session) else { return };
        let (Some(user), listed) = (state.user, state.listing.is_empty()) else { return };
        let behind = self.heads(user).filter(|(key, head)| state.sent.get(key).copied().unwrap_or(0) < *head);
        let behind: Vec<Head> = behind.map(|(conversation, head)| Head { conversation, head }).collect();
        let state = self.sessions.get_mut(&session).expect("it is there");
        state.sent.extend(behind.iter().map(|head| (head.conversation, head.head)));
        let cursor = listed.then(|| self.cursor(session));
        let push = Push::Heartbeat(Heartbeat { time: self.time, cursor, behind });
        self.sessions.get_mut(&session).expect("it is there").push(&push);
    }

    /// The last push of a log is lost, and the server knows: the next heartbeat names it.
    pub(crate) fn forget_last_push(&mut self, session: usize) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(at) = state.out.iter().rposition(|frame| frame.starts_with(r#"{"push":"event""#)) else { return };
        if state.out[at..].iter().any(|frame| frame.contains(r#""cursor""#)) {
            // A cursor on its way counts on it.
            return;
        }
        let Ok(Push::Event(lost)) = serde_json::from_str(&state.out.remove(at)) else { return };
        let sent = state.sent.entry(lost.conversation).or_default();
        *sent = (*sent).min(lost.event.seq - 1);
    }

    pub(crate) fn events(&self, user: UserId, key: LogKey, after: Seq, limit: u32) -> Result<Events, Refusal> {
        let (events, head) = match key {
            None => {
                let log = self.user_logs.get(&user).cloned().unwrap_or_default();
                let head = log.len() as u64;
                (log, head)
            }
            Some(id) => {
                let (chat, visible) = self.chat(user, id)?;
                let head = visible.last(chat.state.head);
                ((1..=head).map(|seq| Event::for_reader(&chat.record(seq).event, &visible)).collect(), head)
            }
        };
        let events = events.into_iter().filter(|event| event.seq > after).take(limit as usize).collect();
        Ok(Events { events, head, digest: None })
    }

    fn history(&self, user: UserId, id: ConversationId, limit: u32) -> Result<History, Refusal> {
        let (chat, visible) = self.chat(user, id)?;
        let head = visible.last(chat.state.head);
        let mut messages: Vec<Message> = (1..=head).filter(|seq| visible.contains(*seq)).filter_map(|seq| chat.message(seq)).collect();
        messages.retain(|message| message.ordinal.is_some());
        let from = messages.len().saturating_sub(limit as usize);
        Ok(History { messages: messages.split_off(from), more_before: from > 0, more_after: false, head })
    }

    /// A conversation as the user has it now, counted message by message.
    pub(crate) fn about(&self, user: UserId, id: ConversationId) -> Result<Conversation, Refusal> {
        let (chat, visible) = self.chat(user, id)?;
        let state = chat.state.conversation().expect("it has begun");
        let head = visible.last(chat.state.head);
        let joined = chat.rows.member(user).is_some_and(|member| member.role.is_some());
        let (read, delivered) = chat.positions.get(&user).copied().unwrap_or_default();
        let messages: Vec<Message> = (1..=head).filter(|seq| visible.contains(*seq)).filter_map(|seq| chat.message(seq)).collect();
        let unread =
            |message: &&Message| message.seq > read && message.ordinal.is_some() && !message.deleted && message.author != Some(user);
        let calls = |message: &&Message| message.mention_all || message.mentions.contains(&user);
        let count = |count: usize| Unread { count: count as u64, at_least: false };
        Ok(Conversation {
            conversation: id,
            kind: state.kind.into(),
            title: Some(state.title.clone()).filter(|title| !title.is_empty()),
            with: state.pair.iter().copied().find(|other| *other != user),
            history: state.history.into(),
            leaver: state.leaver.into(),
            members: if joined { state.members } else { 0 },
            joined,
            head,
            read,
            delivered: delivered.max(read),
            unread: count(messages.iter().filter(unread).count()),
            mentions: count(messages.iter().filter(unread).filter(calls).count()),
            marked_unread: false,
            muted: false,
            last_message: messages.iter().rfind(|message| message.ordinal.is_some()).cloned(),
        })
    }

    fn chat(&self, user: UserId, id: ConversationId) -> Result<(&Chat, Intervals), Refusal> {
        let chat = self.chats.get(&id);
        let found = chat.and_then(|chat| Some((chat, chat.visible(user)?)));
        found.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such conversation"))
    }

    fn moved(&mut self, user: UserId, id: ConversationId, read: Seq, delivered: Seq) -> Result<Position, Refusal> {
        let head = self.chat(user, id)?.1.last(self.chats[&id].state.head);
        let position = self.chats.get_mut(&id).expect("it is there").positions.entry(user).or_default();
        position.0 = position.0.max(read.min(head));
        position.1 = position.1.max(delivered.min(head)).max(position.0);
        let position = Position { read: position.0, delivered: position.1 };
        let moved = Moved { conversation: id, read: position.read, delivered: position.delivered };
        self.own_event(user, Kind::PositionsMoved { positions: vec![moved] });
        let update = PositionUpdated { conversation: id, user, read: position.read, delivered: position.delivered };
        let members: BTreeSet<UserId> = self.chats[&id].members();
        for session in self.sessions.values_mut().filter(|s| s.user.is_some_and(|u| members.contains(&u))) {
            session.push(&Push::Position(update.clone()));
        }
        Ok(position)
    }
}

#[derive(Clone, Copy)]
struct Said {
    session: usize,
    user: UserId,
    conversation: ConversationId,
    client_id: ClientId,
}

pub(crate) fn send(text: core::Text, reply_to: Option<Seq>, thread_root: Option<Seq>, also_in_conversation: bool) -> conversation::Action {
    conversation::Action::Send { form: core::Form::Text, text, reply_to, thread_root, also_in_conversation, original_time: None }
}

fn wire<T: serde::Serialize>(reply: &T) -> serde_json::Value {
    serde_json::to_value(reply).expect("replies are JSON")
}

impl Session {
    fn push(&mut self, push: &Push) {
        self.out.push(serde_json::to_string(push).expect("pushes are JSON"));
    }
}
