//! What waits for the application, and how far the application has come: the two move together, so
//! that what is stored for the next run tells exactly what the application was given.

use std::collections::{BTreeMap, VecDeque};

use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};
use chirrup_protocol::error::Error as Refusal;
use chirrup_protocol::event::Event;
use chirrup_protocol::push::PositionUpdated;
use chirrup_protocol::reply::{Done, Presence};
use serde::{Deserialize, Serialize};

use super::link::Failure;
use super::logs::LogKey;
use crate::limits::EVENTS_WAITING_MAX;

/// What the application is told.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// A session began, or began again.
    Ready {
        /// The server knew nothing of the cursor: every conversation was listed anew.
        reset: bool,
    },
    /// All conversations are listed.
    Synced,
    /// The connection is gone; the next attempt is due after this time.
    Disconnected {
        /// Why.
        failure: Failure,
        /// From now.
        retry_ms: u64,
    },
    /// The session ended for good.
    Ended(Refusal),
    /// A conversation was listed, or learnt anew: the view has it.
    Listed(ConversationId),
    /// A conversation is no longer one's own to see.
    Removed(ConversationId),
    /// An event of a log: each once, in the order of its log.
    Event {
        /// Of which conversation; of one's own user log if none.
        conversation: Option<ConversationId>,
        /// The event.
        event: Event,
    },
    /// The server's log ends before events that were given already (it was put back to an earlier
    /// time); they may come again in another form.
    Rewound {
        /// Of which conversation; of one's own user log if none.
        conversation: Option<ConversationId>,
        /// Its head now.
        head: Seq,
    },
    /// A member read or got messages.
    Position(PositionUpdated),
    /// Somebody began to write, or stopped.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Which of both.
        typing: bool,
    },
    /// A watched user came, went, or sits idle.
    Presence(Presence),
    /// An entry of the outbox is settled.
    Settled {
        /// Which.
        client_id: ClientId,
        /// Where.
        conversation: ConversationId,
        /// Accepted, or refused for good.
        outcome: Result<Done, Refusal>,
    },
}

/// How far the application has come: what `hello` needs in the next run. Events that it was given
/// before are not given again, and none is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Of the last heartbeat or page that the application has come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The user's own log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Place>,
    /// Conversations, by the text of their id.
    #[serde(default)]
    pub conversations: BTreeMap<String, Place>,
}

/// How far one log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The application was given every event up to here; left out while it is not known where the
    /// log begins for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<Seq>,
    /// There are events up to here at least.
    pub head: Seq,
}

#[derive(Debug)]
enum Waiting {
    Event(Box<ClientEvent>),
    /// The log begins behind this seq.
    Begin(LogKey, Seq),
    End(LogKey),
    /// A cursor, which covers all logs but for these: (log, head).
    Mark(String, Vec<(LogKey, Seq)>),
}

/// The queue to the application.
#[derive(Debug, Default)]
pub(super) struct Feed {
    queue: VecDeque<Waiting>,
    resume: Resume,
    /// Whether the application wants any of it.
    wanted: bool,
}

impl Feed {
    pub(super) fn new(resume: Resume, wanted: bool) -> Self {
        Self { queue: VecDeque::new(), resume, wanted }
    }

    /// Whether events can be handed on; if not, they wait on the server.
    pub(super) fn has_room(&self) -> bool {
        self.wanted && self.queue.len() < EVENTS_WAITING_MAX
    }

    /// An event of a log. The caller saw that there is room, or hands on a page that was asked for
    /// when there was.
    pub(super) fn event(&mut self, conversation: LogKey, event: Event) {
        self.queue.push_back(Waiting::Event(Box::new(ClientEvent::Event { conversation, event })));
    }

    /// What can be left out when the application is slow: the view shows how things stand.
    pub(super) fn hint(&mut self, event: ClientEvent) {
        if self.has_room() {
            self.queue.push_back(Waiting::Event(Box::new(event)));
        }
    }

    /// The last that the application is told.
    pub(super) fn ended(&mut self, refusal: Refusal) {
        if self.wanted {
            self.queue.push_back(Waiting::Event(Box::new(ClientEvent::Ended(refusal))));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A log goes on from an earlier head.
    pub(super) fn rewound(&mut self, conversation: LogKey, head: Seq) {
        self.queue.push_back(Waiting::Event(Box::new(ClientEvent::Rewound { conversation, head })));
    }

    pub(super) fn begin(&mut self, key: LogKey, seq: Seq) {
        if self.wanted {
            self.queue.push_back(Waiting::Begin(key, seq));
        }
    }

    pub(super) fn end(&mut self, key: LogKey) {
        if self.wanted {
            self.queue.push_back(Waiting::End(key));
        }
    }

    /// A cursor covers what stands in the queue before it and what is `behind`. Left out when there
    /// is no room: a later one covers as much.
    pub(super) fn mark(&mut self, cursor: String, behind: Vec<(LogKey, Seq)>) {
        if let Some(Waiting::Mark(..)) = self.queue.back() {
            self.queue.pop_back();
        }
        if self.has_room() {
            self.queue.push_back(Waiting::Mark(cursor, behind));
        }
    }

    /// The next event; the ones before it count as handled.
    pub(super) fn pop(&mut self) -> Option<ClientEvent> {
        while let Some(waiting) = self.queue.pop_front() {
            match waiting {
                Waiting::Event(event) => {
                    self.passed(&event);
                    return Some(*event);
                }
                Waiting::Begin(key, seq) => self.reached(key, seq),
                Waiting::End(key) => self.forget(key),
                Waiting::Mark(cursor, behind) => {
                    self.resume.cursor = Some(cursor);
                    for (key, head) in behind {
                        let place = self.place(key);
                        place.head = place.head.max(head);
                    }
                }
            }
        }
        None
    }

    /// How far the application has come, with the event that it was given last.
    pub(super) fn resume(&self) -> &Resume {
        &self.resume
    }

    fn passed(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Event { conversation, event } => {
                self.reached(*conversation, event.seq);
            }
            ClientEvent::Rewound { conversation, head } => *self.place(*conversation) = Place { handled: Some(*head), head: *head },
            _ => {}
        }
    }

    fn reached(&mut self, key: LogKey, seq: Seq) {
        let place = self.place(key);
        (place.handled, place.head) = (Some(seq), place.head.max(seq));
    }

    fn place(&mut self, key: LogKey) -> &mut Place {
        match key {
            Some(conversation) => self.resume.conversations.entry(conversation.to_string()).or_default(),
            None => self.resume.user.get_or_insert_default(),
        }
    }

    fn forget(&mut self, key: LogKey) {
        match key {
            Some(conversation) => drop(self.resume.conversations.remove(&conversation.to_string())),
            None => self.resume.user = None,
        }
    }
}
