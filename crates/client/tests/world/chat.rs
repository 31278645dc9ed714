//! A conversation of the tests' server: the real aggregate, with all its rows at hand.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::aggregate::{self, AggregateId, Command, State};
use chirrup_core::event::{self as core, Envelope, Sealed};
use chirrup_core::hash::{Hash, Salt};
use chirrup_core::ids::{Seq, UserId};
use chirrup_core::rows::{Record, RowKey, RowValue, Rows};
use chirrup_core::visibility::Intervals;
use chirrup_protocol::event::Message;

pub(crate) struct Chat {
    pub(crate) state: State,
    pub(crate) rows: Rows,
    pub(crate) positions: BTreeMap<UserId, (Seq, Seq)>,
}

impl Chat {
    pub(crate) fn new(aggregate: &AggregateId) -> Self {
        Self { state: State::new(aggregate), rows: Rows::default(), positions: BTreeMap::new() }
    }

    pub(crate) fn fold(&mut self, command: &Command, draft: core::Draft) -> core::Event {
        let sealed = draft.content.map(|content| Sealed { salt: Salt::default(), content });
        let envelope = Envelope {
            seq: self.state.head + 1,
            time: command.stamp.time,
            author: command.origin.user(),
            client_id: command.origin.client_id(),
            fact: draft.fact,
            content_hash: sealed.as_ref().map(|_| Hash::default()),
            prev: self.state.hash,
        };
        let event = core::Event { envelope, sealed };
        self.rows.put(RowKey::Event(event.seq()), Some(RowValue::Event(Box::new(Record::new(event.clone())))));
        for row in aggregate::touches(&event) {
            self.rows.load(row, None);
        }
        aggregate::fold(&mut self.state, &mut self.rows, &event);
        event
    }

    pub(crate) fn head(&self) -> Seq {
        self.state.head
    }

    pub(crate) fn record(&self, seq: Seq) -> &Record {
        self.rows.event(seq).expect("every seq up to the head has its event")
    }

    pub(crate) fn message(&self, seq: Seq) -> Option<Message> {
        Message::of(self.record(seq))
    }

    pub(crate) fn visible(&self, user: UserId) -> Option<Intervals> {
        if !self.rows.knows(&RowKey::Member(user)) {
            return None;
        }
        self.rows.member(user).map(|member| member.visible.clone()).filter(|visible| !visible.is_empty())
    }

    pub(crate) fn members(&self) -> BTreeSet<UserId> {
        let all = (1..=9).map(super::server::Server::user);
        all.filter(|user| self.rows.knows(&RowKey::Member(*user)) && self.rows.member(*user).is_some_and(|m| m.role.is_some())).collect()
    }
}
