//! What a device is told when it comes back: the conversations that changed since its cursor, in
//! pages that any connection can continue, and the cursor that covers them.
//!
//! Must not know: connections, frames, how heads are gathered.

mod cursor;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::Fact;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_mutants::mutant;
use chirrup_protocol::limits::CONVERSATIONS_PAGE_MAX;
use chirrup_protocol::reply::SyncPage;
use chirrup_store::kv::ReadError;
use chirrup_store::offset::Offset;

use crate::recovery::Marks;
use crate::views::{Listed, ViewError, Views};
use cursor::Page;

/// Entries of a user's list that one page looks at: where few have changed, a page is short.
const EXAMINED_MAX: usize = 1_000;
/// Events of a user's own log that are looked at for what they name; a device that missed more is
/// told every conversation.
const OWN_EVENTS_MAX: u64 = 10_000;
/// Events of a user's own log that are read first; each further read takes twice as many.
const OWN_EVENTS_FIRST: u64 = 8;

/// What is known in memory of how far the shards and conversations are.
pub trait Heads {
    /// Up to where each shard was published. Every event at or below its shard's mark can be read
    /// from the store, and was noted for [`Heads::moved`] before the mark moved.
    fn marks(&self) -> Marks;

    /// For each conversation, whether it has an event beyond this offset of its shard; none if
    /// the offset is from before the time that is remembered.
    fn moved(&self, asked: &[(ConversationId, Offset)]) -> Vec<Option<bool>>;
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// The cursor was of no use: everything is to be loaded anew.
    pub reset: bool,
    /// Head of the user's own log.
    pub user_head: Seq,
    /// The first page.
    pub page: SyncPage,
}

/// The cursor of a device that was told everything up to these marks, of a store of this
/// incarnation.
pub fn cursor(incarnation: u64, marks: &Marks) -> String {
    cursor::encode(incarnation, marks)
}

/// Builds the pages of `ready` and `sync`.
pub struct Sessions<'a> {
    views: &'a Views,
    heads: &'a dyn Heads,
    /// Of the store: a cursor of another store, or of one before a restore, is of no use.
    incarnation: u64,
}

/// Which conversations a device has to be told.
enum Wanted {
    All,
    /// Those with an event beyond these offsets, and those that the user's own log names since.
    Since(Box<Marks>, HashSet<ConversationId>),
}

impl<'a> Sessions<'a> {
    /// Sessions over a store of this incarnation.
    pub fn new(views: &'a Views, heads: &'a dyn Heads, incarnation: u64) -> Self {
        Self { views, heads, incarnation }
    }

    /// The first page for a device with this cursor; without one, or if it is of no use, of all
    /// conversations. To be called after the connection has subscribed: what becomes durable from
    /// now on reaches it live.
    pub fn begin(&self, user: UserId, cursor: Option<&str>) -> Result<Begun, ReadError> {
        // The marks before all rows: what is read may be newer than what the cursor will cover,
        // never older.
        let until = self.heads.marks();
        let since = cursor.and_then(|text| cursor::decode(self.incarnation, text)).filter(|since| not_beyond(since, &until));
        let reset = cursor.is_some() && since.is_none();
        let user_head = self.views.head(&AggregateId::User(user))?;
        let page = self.list(user, Page { since, until, after: None })?;
        Ok(Begun { reset, user_head, page })
    }

    /// The page that `next` of the page before leads to.
    ///
    /// # Errors
    /// [`ViewError::BadPage`] if it does not, or the store was copied or restored in between: the
    /// session is to be begun anew.
    pub fn page(&self, user: UserId, next: &str) -> Result<SyncPage, ViewError> {
        let page = cursor::decode_page(self.incarnation, next).ok_or(ViewError::BadPage)?;
        Ok(self.list(user, page)?)
    }

    fn list(&self, user: UserId, mut page: Page) -> Result<SyncPage, ReadError> {
        let wanted = match &page.since {
            Some(since) => self.wanted(user, since)?,
            None => Wanted::All,
        };
        let page_max = CONVERSATIONS_PAGE_MAX as usize;
        let examined = if matches!(wanted, Wanted::All) { page_max } else { EXAMINED_MAX };
        let (list, mut more) = self.views.inbox(user, page.after, examined)?;
        let moved = self.moved(&wanted, &list);
        let mut conversations = Vec::new();
        for listed in list {
            if conversations.len() == page_max {
                more = page.after;
                break;
            }
            page.after = Some(listed.conversation);
            if self.is_wanted(&wanted, &listed, &moved)? {
                let described = self.views.describe(user, listed.conversation, Some(&listed.entry))?;
                conversations.extend(described);
            }
        }
        if more.is_some() {
            page.after = more;
            return Ok(SyncPage { conversations, next: Some(cursor::encode_page(self.incarnation, &page)), cursor: None });
        }
        Ok(SyncPage { conversations, next: None, cursor: Some(cursor(self.incarnation, &page.until)) })
    }

    /// What is known in memory of the conversations listed, asked at once.
    fn moved(&self, wanted: &Wanted, list: &[Listed]) -> HashMap<ConversationId, bool> {
        let Wanted::Since(since, named) = wanted else { return HashMap::new() };
        let unnamed = list.iter().filter(|listed| listed.entry.joined && !named.contains(&listed.conversation));
        let asked: Vec<(ConversationId, Offset)> =
            unnamed.map(|listed| (listed.conversation, offset(since, &AggregateId::Conversation(listed.conversation)))).collect();
        let told = asked.iter().zip(self.heads.moved(&asked));
        told.filter_map(|((conversation, _), moved)| Some((*conversation, moved?))).collect()
    }

    fn is_wanted(&self, wanted: &Wanted, listed: &Listed, moved: &HashMap<ConversationId, bool>) -> Result<bool, ReadError> {
        if listed.entry.visible.is_empty() {
            return Ok(false);
        }
        let Wanted::Since(since, named) = wanted else { return Ok(true) };
        if named.contains(&listed.conversation) {
            return Ok(true);
        }
        // What a conversation did after the user left it is not told.
        if !listed.entry.joined {
            return Ok(false);
        }
        if let Some(moved) = moved.get(&listed.conversation) {
            return Ok(*moved);
        }
        let aggregate = AggregateId::Conversation(listed.conversation);
        Ok(self.views.last_event(&aggregate)?.is_some_and(|last| last.offset > offset(since, &aggregate)))
    }

    /// Which conversations are to be told since a cursor: the user's own log is read backwards
    /// for those that it names.
    fn wanted(&self, user: UserId, since: &Marks) -> Result<Wanted, ReadError> {
        let aggregate = AggregateId::User(user);
        let cursor = offset(since, &aggregate);
        let head = self.views.head(&aggregate)?;
        let mut named = HashSet::new();
        let (mut until, mut size) = (head, OWN_EVENTS_FIRST);
        while until > 0 {
            if head - until >= OWN_EVENTS_MAX {
                return Ok(Wanted::All);
            }
            let after = until.saturating_sub(size);
            let rows = self.views.events(&aggregate, after, (until - after) as usize)?;
            let beyond = rows.partition_point(|row| row.offset <= cursor);
            for row in &rows[beyond..] {
                name(&row.record.event.envelope.fact, &mut named);
            }
            if beyond > 0 {
                break;
            }
            (until, size) = (after, (size * 2).min(512));
        }
        Ok(Wanted::Since(Box::new(*since), named))
    }
}

/// The offset of an aggregate's shard.
fn offset(marks: &Marks, aggregate: &AggregateId) -> Offset {
    let mark = marks[usize::from(aggregate.shard())];
    if mutant!(ResumeOffByOne) { Offset { n: mark.n + 1, ..mark } } else { mark }
}

/// Puts down the conversations that an event of a user's log names.
fn name(fact: &Fact, named: &mut HashSet<ConversationId>) {
    match fact {
        Fact::ConversationAdded { conversation, .. }
        | Fact::ConversationRemoved { conversation, .. }
        | Fact::MuteChanged { conversation, .. }
        | Fact::UnreadMarked { conversation, .. } => {
            named.insert(*conversation);
        }
        Fact::PositionsMoved { positions } => named.extend(positions.iter().map(|moved| moved.conversation)),
        _ => {}
    }
}

/// Whether no offset lies beyond its mark: a cursor from the future is not of this store.
fn not_beyond(since: &Marks, marks: &Marks) -> bool {
    since.iter().zip(marks).all(|(since, mark)| since <= mark)
}
