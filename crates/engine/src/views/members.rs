//! Members of a conversation, their positions, and where a position stands in the timeline.

use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::event::Fact;
use chirrup_core::ids::{ConversationId, Ordinal, Seq, UserId};
use chirrup_core::rows::{Member, RowKey, RowValue};
use chirrup_protocol::limits::{MEMBERS_PAGE_MAX, RECEIPTS_MEMBERS_MAX};
use chirrup_protocol::reply;
use chirrup_store::keys::{self, Class};
use chirrup_store::kv::{Key, ReadError};
use chirrup_store::log;
use chirrup_store::record::{self, PositionRow};

use super::log::lost;
use super::{ViewError, Views};

/// Rows of members read at once; former members have rows too.
const ROWS_PAGE: usize = 1_000;
/// Rows of members that one page of members looks at: where most have left, a page is short.
const ROWS_MAX: usize = 10_000;

/// Present members, ascending by id.
#[derive(Default)]
pub(super) struct Present {
    pub(super) members: Vec<(UserId, Member)>,
    /// The last user looked at, if there may be more.
    pub(super) next: Option<UserId>,
}

/// Where a seq stands in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelinePlace {
    /// Whether the log has this seq.
    pub exists: bool,
    /// Messages of the timeline at or below it.
    pub ordinal: Ordinal,
}

impl Views {
    /// Somebody who is or was a member.
    pub fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, ReadError> {
        let row = RowKey::Member(user);
        let key = keys::row(&AggregateId::Conversation(conversation), &row);
        self.get(&key)?.map(|bytes| decode(&row, &key, &bytes)).transpose()
    }

    /// Only present members may ask who else is there, and how far.
    fn present(&self, conversation: ConversationId, asker: UserId) -> Result<(), ViewError> {
        let role = self.member(conversation, asker)?.and_then(|member| member.role);
        role.map(|_| ()).ok_or(ViewError::NotFound)
    }

    /// A page of the present members beyond a user, ascending by id. `limit` is cut to 1 to
    /// 1,000; a page may be short, or empty, and not be the last.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] unless the asker is a present member.
    pub fn members(
        &self,
        conversation: ConversationId,
        asker: UserId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<reply::Members, ViewError> {
        self.present(conversation, asker)?;
        let limit = limit.clamp(1, MEMBERS_PAGE_MAX) as usize;
        let present = self.members_after(conversation, after, limit)?;
        let mut members = Vec::with_capacity(present.members.len());
        for (user, member) in present.members {
            if let (Some(role), Some(user)) = (member.role, self.user(user)?) {
                members.push(reply::Member { user, role: role.into() });
            }
        }
        Ok(reply::Members { members, next: present.next })
    }

    /// Present members beyond a user, at most `limit`.
    pub(super) fn members_after(
        &self,
        conversation: ConversationId,
        mut after: Option<UserId>,
        limit: usize,
    ) -> Result<Present, ReadError> {
        let mut found = Present::default();
        for _ in 0..ROWS_MAX / ROWS_PAGE {
            let range = keys::members_after(conversation, after, ROWS_PAGE);
            let rows = self.kv.range(&range)?;
            let whole = rows.len() < ROWS_PAGE;
            for (at, (sort, bytes)) in rows.iter().enumerate() {
                let key = Key::new(range.table, range.partition.clone(), sort.clone());
                let user = keys::member_user(sort).ok_or_else(|| damaged(&key, "not a member's key"))?;
                let member = decode(&RowKey::Member(user), &key, bytes)?;
                after = Some(user);
                if member.role.is_some() {
                    found.members.push((user, member));
                }
                let last = whole && at + 1 == rows.len();
                if found.members.len() == limit && !last {
                    return Ok(Present { next: after, ..found });
                }
            }
            if whole {
                return Ok(found);
            }
        }
        Ok(Present { next: after, ..found })
    }

    /// How far the present members have read and got, those who have done either.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] unless the asker is a present member;
    /// [`ViewError::TooManyMembers`] in conversations of more than 100 members.
    pub fn positions(&self, conversation: ConversationId, asker: UserId) -> Result<reply::Positions, ViewError> {
        self.present(conversation, asker)?;
        let mut members = Vec::new();
        let mut after = None;
        loop {
            let page = self.members_after(conversation, after, RECEIPTS_MEMBERS_MAX as usize + 1)?;
            members.extend(page.members.into_iter().map(|(user, _)| user));
            if members.len() > RECEIPTS_MEMBERS_MAX as usize {
                return Err(ViewError::TooManyMembers(RECEIPTS_MEMBERS_MAX));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let pending: Vec<Option<PositionRow>> = members.iter().map(|user| self.positions.pending(conversation, *user)).collect();
        let places: Vec<Key> = members.iter().map(|user| keys::position(conversation, *user)).collect();
        let mut positions = Vec::new();
        let stored = self.kv.get(&places)?;
        for (((user, place), pending), bytes) in members.iter().zip(&places).zip(pending).zip(stored) {
            let PositionRow { read, delivered, .. } = with_pending(pending, place, bytes)?;
            if delivered > 0 {
                positions.push(reply::MemberPosition { user: *user, read, delivered });
            }
        }
        Ok(reply::Positions { positions })
    }

    /// A user's own positions in a conversation; zeros if they have none.
    pub fn position(&self, conversation: ConversationId, user: UserId) -> Result<PositionRow, ReadError> {
        let key = keys::inbox_position(user, conversation);
        let pending = self.positions.pending(conversation, user);
        with_pending(pending, &key, self.get(&key)?)
    }

    /// Where a seq stands: what turns a read position into a count of messages.
    pub fn timeline_at(&self, conversation: ConversationId, seq: Seq) -> Result<TimelinePlace, ReadError> {
        let aggregate = AggregateId::Conversation(conversation);
        let head = self.head(&aggregate)?;
        let place = |ordinal| TimelinePlace { exists: (1..=head).contains(&seq), ordinal };
        let seq = seq.min(head);
        if let Some(ordinal) = self.last_ordinal(&aggregate, seq / BUCKET, seq)? {
            return Ok(place(ordinal));
        }
        let Some(before) = (seq / BUCKET).checked_sub(1) else { return Ok(place(0)) };
        let rows = self.kv.range(&keys::seq_buckets(conversation, 0, before, true, 1))?;
        match rows.first().and_then(|(sort, _)| keys::number(sort)) {
            Some(bucket) => match self.last_ordinal(&aggregate, bucket, seq)? {
                Some(ordinal) => Ok(place(ordinal)),
                None => Err(lost(&aggregate, bucket * BUCKET)),
            },
            None => Ok(place(0)),
        }
    }

    /// The ordinal of the last message of the timeline at or below a seq, within one bucket.
    fn last_ordinal(&self, aggregate: &AggregateId, bucket: u64, seq: Seq) -> Result<Option<Ordinal>, ReadError> {
        let range = keys::events(aggregate, Class::Timeline, bucket * BUCKET, seq, true, 1);
        let row = self.kv.range(&range)?.first().map(|entry| log::decode(&range, entry)).transpose()?;
        Ok(row.and_then(|row| match row.record.event.envelope.fact {
            Fact::MessageCreated { ordinal, .. } => ordinal,
            _ => None,
        }))
    }
}

/// Positions as they are: those that were not written, asked for first, and then those that the store
/// has. The other way round a position that is written in between would be missed.
fn with_pending(pending: Option<PositionRow>, key: &Key, stored: Option<Vec<u8>>) -> Result<PositionRow, ReadError> {
    let mut position = pending.unwrap_or_default();
    if let Some(bytes) = stored {
        position.merge(record::decode_position(key, &bytes)?);
    }
    Ok(position)
}

fn decode(row: &RowKey, key: &Key, bytes: &[u8]) -> Result<Member, ReadError> {
    match record::decode_row(row, key, bytes)? {
        RowValue::Member(member) => Ok(member),
        _ => Err(damaged(key, "not a member")),
    }
}

fn damaged(key: &Key, what: &str) -> ReadError {
    ReadError::Damaged { place: format!("{key:?}"), what: what.to_owned() }
}
