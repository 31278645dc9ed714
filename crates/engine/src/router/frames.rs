//! Frames as bytes: each encoded once, shared by all who get it.

use bytes::Bytes;
use chirrup_core::access::View;
use chirrup_core::event::Event as CoreEvent;
use chirrup_core::ids::ConversationId;
use chirrup_protocol::event::Event;
use chirrup_protocol::push::{LogEvent, Push};

/// The frame of a push.
pub fn encode(push: &Push) -> Bytes {
    Bytes::from(serde_json::to_vec(push).expect("a push has string keys only and writing to memory does not fail"))
}

/// The frames of one event: what is not asked for is not encoded.
pub(super) struct Frames<'a> {
    conversation: Option<ConversationId>,
    event: &'a CoreEvent,
    whole: Option<Bytes>,
    hidden: Option<Bytes>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(conversation: Option<ConversationId>, event: &'a CoreEvent) -> Self {
        Self { conversation, event, whole: None, hidden: None }
    }

    pub(super) fn of(&mut self, view: View) -> Bytes {
        let (frame, event): (_, fn(&CoreEvent) -> Event) = match view {
            View::Whole => (&mut self.whole, Event::whole),
            View::Hidden => (&mut self.hidden, |event| Event::hidden(event.seq())),
        };
        let (conversation, of) = (self.conversation, self.event);
        frame.get_or_insert_with(|| encode(&Push::Event(LogEvent { conversation, event: event(of) }))).clone()
    }
}
