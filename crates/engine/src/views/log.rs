//! Logs: their states, heads and events.

use chirrup_core::aggregate::{self, AggregateId, State};
use chirrup_core::conversation::BUCKET;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::rows::Rows;
use chirrup_core::visibility::Intervals;
use chirrup_protocol::event::Event;
use chirrup_protocol::limits::EVENTS_PAGE_MAX;
use chirrup_protocol::reply::Events;
use chirrup_store::keys::{self, Class};
use chirrup_store::kv::{Key, ReadError};
use chirrup_store::record::{self, EventRow};
use chirrup_store::{log, record::StateRow};

use super::budget::{Budget, ROWS_AT_ONCE, of_event};
use super::{ViewError, Views};

/// Events read at once while a state is brought forward: a stored state lags by up to 128.
const FOLD_PAGE: usize = 256;

/// What somebody may see of a conversation.
pub(super) struct Reader {
    pub(super) visible: Intervals,
    /// Highest seq that is for them.
    pub(super) last: Seq,
}

impl Views {
    /// The value of one row.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.kv.get(std::slice::from_ref(key))?.pop().flatten())
    }

    /// The state of an aggregate as of its last event: the stored state, and the events beyond it
    /// folded in. Of an aggregate that does not exist, the state before the first event.
    pub fn state(&self, aggregate: &AggregateId) -> Result<State, ReadError> {
        let mut state = self.stored(aggregate)?.unwrap_or_else(|| State::new(aggregate));
        let mut rows = Rows::blind();
        loop {
            let page = log::events(&*self.kv, aggregate, state.head, FOLD_PAGE)?;
            for row in &page {
                aggregate::fold(&mut state, &mut rows, &row.record.event);
            }
            if page.len() < FOLD_PAGE {
                return Ok(state);
            }
        }
    }

    fn stored(&self, aggregate: &AggregateId) -> Result<Option<State>, ReadError> {
        let key = keys::state(aggregate);
        let stored = self.get(&key)?.map(|bytes| record::decode_state(&key, &bytes)).transpose()?;
        Ok(stored.map(|StateRow { state }| state))
    }

    /// Highest seq of a log; 0 of one that does not exist.
    pub fn head(&self, aggregate: &AggregateId) -> Result<Seq, ReadError> {
        let AggregateId::Conversation(conversation) = aggregate else { return self.stored_head(aggregate) };
        match self.heads.get(*conversation) {
            Ok(head) => Ok(head),
            Err(ticket) => {
                let head = self.stored_head(aggregate)?;
                // Who asks for what does not exist shall not drive out what does.
                if head > 0 {
                    self.heads.keep(ticket, *conversation, head);
                }
                Ok(head)
            }
        }
    }

    fn stored_head(&self, aggregate: &AggregateId) -> Result<Seq, ReadError> {
        let mark = self.stored(aggregate)?.map_or(0, |state| state.head);
        Ok(self.beyond(aggregate, mark)?.map_or(mark, |row| row.record.event.seq()))
    }

    /// The last event of a log with its place in the feed; none of a log that does not exist.
    pub fn last_event(&self, aggregate: &AggregateId) -> Result<Option<EventRow>, ReadError> {
        let mark = self.stored(aggregate)?.map_or(0, |state| state.head);
        match self.beyond(aggregate, mark)? {
            Some(row) => Ok(Some(row)),
            None if mark == 0 => Ok(None),
            None => log::event(&*self.kv, aggregate, mark),
        }
    }

    /// The last event beyond `mark`, which is an event of the log or 0. The events of a bucket are
    /// one partition, written whole and in order: the next bucket is asked only if one is full.
    fn beyond(&self, aggregate: &AggregateId, mark: Seq) -> Result<Option<EventRow>, ReadError> {
        let mut last: Option<EventRow> = None;
        let mut from = mark + 1;
        loop {
            let mut found: Option<EventRow> = None;
            for class in [Class::Timeline, Class::Other] {
                let range = keys::events(aggregate, class, from, Seq::MAX, true, 1);
                if let Some(entry) = self.kv.range(&range)?.first() {
                    let row = log::decode(&range, entry)?;
                    if found.as_ref().is_none_or(|other| other.record.event.seq() < row.record.event.seq()) {
                        found = Some(row);
                    }
                }
            }
            let Some(row) = found else { return Ok(last) };
            from = row.record.event.seq() + 1;
            last = Some(row);
            if !from.is_multiple_of(BUCKET) {
                return Ok(last);
            }
        }
    }

    /// Events of any log with `seq > after`, dense and ascending, at most `limit` (1 to 10,000).
    pub fn events(&self, aggregate: &AggregateId, after: Seq, limit: usize) -> Result<Vec<EventRow>, ReadError> {
        log::events(&*self.kv, aggregate, after, limit)
    }

    /// What a user may see of a conversation.
    ///
    /// The head is read before the member: nobody removed in between gets what came after.
    pub(super) fn reader(&self, conversation: ConversationId, user: UserId) -> Result<Reader, ViewError> {
        let head = self.head(&AggregateId::Conversation(conversation))?;
        let member = self.member(conversation, user)?.ok_or(ViewError::NotFound)?;
        if member.visible.is_empty() {
            return Err(ViewError::NotFound);
        }
        let last = member.visible.last(head);
        Ok(Reader { visible: member.visible, last })
    }

    /// A page of a conversation's events with `seq > after`, for a user: dense up to the highest
    /// that they may see, each either whole or hidden. `limit` is cut to 1 to 500; a page of long
    /// texts is shorter ([`super::PAGE_TEXT_BYTES_MAX`]).
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for who may see nothing of it.
    pub fn events_for(&self, conversation: ConversationId, user: UserId, after: Seq, limit: u32) -> Result<Events, ViewError> {
        let reader = self.reader(conversation, user)?;
        let wire = |row: &EventRow| Event::for_reader(&row.record.event, &reader.visible);
        self.event_page(&AggregateId::Conversation(conversation), reader.last, after, limit, wire)
    }

    /// A page of a user's own log. `limit` is cut to 1 to 500.
    pub fn user_events(&self, user: UserId, after: Seq, limit: u32) -> Result<Events, ViewError> {
        let aggregate = AggregateId::User(user);
        let head = self.head(&aggregate)?;
        self.event_page(&aggregate, head, after, limit, |row| Event::whole(&row.record.event))
    }

    fn event_page(
        &self,
        aggregate: &AggregateId,
        last: Seq,
        after: Seq,
        limit: u32,
        wire: impl Fn(&EventRow) -> Event,
    ) -> Result<Events, ViewError> {
        let wanted = u64::from(limit.clamp(1, EVENTS_PAGE_MAX)).min(last.saturating_sub(after)) as usize;
        if wanted == 0 {
            return Ok(Events { events: Vec::new(), head: last, digest: None });
        }
        let (mut events, mut digest, mut budget) = (Vec::with_capacity(wanted), None, Budget::default());
        while events.len() < wanted {
            let from = after + events.len() as u64;
            let asked = ROWS_AT_ONCE.min(wanted - events.len());
            let rows = self.events(aggregate, from, asked)?;
            if rows.len() < asked {
                return Err(lost(aggregate, from + rows.len() as u64 + 1).into());
            }
            let before = events.len();
            events.extend(rows.iter().map(&wire).take_while(|event| budget.take(of_event(event))));
            let fitted = events.len() - before;
            if let Some(row) = rows[..fitted].last() {
                digest = Some(row.record.event.envelope.hash().to_string());
            }
            if fitted < asked {
                break;
            }
        }
        Ok(Events { events, head: last, digest })
    }
}

/// An event that must be there is not.
pub(super) fn lost(aggregate: &AggregateId, seq: Seq) -> ReadError {
    ReadError::Damaged { place: format!("{aggregate:?}, event {seq}"), what: "is not there".to_owned() }
}
