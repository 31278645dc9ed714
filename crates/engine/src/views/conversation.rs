//! Conversations as one user has them: the entries of their list, with positions, counts and the
//! last message.

use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::ConversationKind;
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_core::rows::{InboxEntry, RowKey, RowValue};
use chirrup_protocol::event::Message;
use chirrup_protocol::limits::CONVERSATIONS_PAGE_MAX;
use chirrup_protocol::reply;
use chirrup_store::keys;
use chirrup_store::kv::{Key, ReadError};
use chirrup_store::record::{self, PositionRow};

use super::history::{Place, Towards};
use super::{ViewError, Views, page};
use crate::router::Subscription;

/// Entries of a list read at once where the whole list is wanted.
const LIST_PAGE: usize = 1_000;

/// One conversation of a user's list, as it is kept with the user.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) conversation: ConversationId,
    pub(crate) entry: InboxEntry,
}

impl Views {
    /// One conversation as a user has it; none for who may see nothing of it.
    pub fn conversation(&self, user: UserId, conversation: ConversationId) -> Result<Option<reply::Conversation>, ReadError> {
        let key = keys::inbox(user, conversation);
        let entry = self.get(&key)?.map(|bytes| entry(conversation, &key, &bytes)).transpose()?;
        self.describe(user, conversation, entry.as_ref())
    }

    /// A page of a user's conversation list, in the order of ids. `limit` is cut to 1 to 100.
    ///
    /// # Errors
    /// [`ViewError::BadPage`] if `after` is not the `next` of a page.
    pub fn conversations(&self, user: UserId, after: Option<&str>, limit: u32) -> Result<reply::Conversations, ViewError> {
        let after = after.map(|text| page::decode(text).and_then(|id| id.try_into().ok()).ok_or(ViewError::BadPage)).transpose()?;
        let limit = limit.clamp(1, CONVERSATIONS_PAGE_MAX) as usize;
        let (list, next) = self.inbox(user, after.map(ConversationId), limit)?;
        let mut conversations = Vec::with_capacity(list.len());
        for listed in list {
            conversations.extend(self.describe(user, listed.conversation, Some(&listed.entry))?);
        }
        Ok(reply::Conversations { conversations, next: next.map(|id| page::encode(&id.0)) })
    }

    /// The conversations that a user is a member of, as their list says: what a connection of
    /// theirs is to hear.
    pub fn subscriptions(&self, user: UserId) -> Result<Vec<Subscription>, ReadError> {
        let mut subscriptions = Vec::new();
        let mut after = None;
        loop {
            let (list, next) = self.inbox(user, after, LIST_PAGE)?;
            for Listed { conversation, entry, .. } in list {
                if entry.joined {
                    subscriptions.push(Subscription { conversation, visible: entry.visible, since: entry.source.0 });
                }
            }
            match next {
                Some(_) => after = next,
                None => return Ok(subscriptions),
            }
        }
    }

    /// A user's list beyond a conversation, in the order of ids: at most `limit` entries, and where
    /// to go on if there may be more. Entries of conversations that have left the list are among
    /// them.
    pub(crate) fn inbox(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<ConversationId>), ReadError> {
        // An entry and its positions are two rows, of which either may be missing: so many rows are
        // of `limit` conversations, whole, and one more if there are more.
        let range = keys::inbox_after(user, after, limit * 2 + 1);
        let rows = self.kv.range(&range)?;
        let mut list: Vec<(ConversationId, Option<InboxEntry>)> = Vec::new();
        for (sort, bytes) in rows {
            let Some((conversation, is_entry)) = keys::inbox_row(&sort) else { continue };
            let key = Key::new(range.table, range.partition.clone(), sort);
            if list.last().is_none_or(|(last, ..)| *last != conversation) {
                list.push((conversation, None));
            }
            if let Some((_, last)) = list.last_mut().filter(|_| is_entry) {
                *last = Some(entry(conversation, &key, &bytes)?);
            }
        }
        let more = list.len() > limit;
        list.truncate(limit);
        let next = list.last().filter(|_| more).map(|(last, ..)| *last);
        let whole = |(conversation, entry): (_, Option<_>)| Some(Listed { conversation, entry: entry? });
        Ok((list.into_iter().filter_map(whole).collect(), next))
    }

    /// What a user is told of a conversation. `entry` is what their list says of it, if it is
    /// there already; what they may see is asked of the conversation itself.
    pub(crate) fn describe(
        &self,
        user: UserId,
        conversation: ConversationId,
        entry: Option<&InboxEntry>,
    ) -> Result<Option<reply::Conversation>, ReadError> {
        // Positions before the state: none is told that is beyond the head. The state before the
        // member: nobody removed in between is told what came after.
        let mut position = self.position(conversation, user)?;
        let state = self.state(&AggregateId::Conversation(conversation))?;
        let Some(described) = state.conversation() else { return Ok(None) };
        let Some(member) = self.member(conversation, user)?.filter(|member| !member.visible.is_empty()) else { return Ok(None) };
        let visible = &member.visible;
        let joined = member.role.is_some();
        let last = visible.last(state.head);
        let last_message = self.messages(conversation, Place::Timeline, visible, 1..=last, Towards::Older, 1)?;
        let last_message = last_message.first().and_then(Message::of);
        if let Some(Message { seq, ordinal: Some(ordinal), author, .. }) = &last_message
            && *author == Some(user)
        {
            // It moves its author's positions, who may not have been told of it yet.
            position.merge(PositionRow { read: *seq, read_ordinal: *ordinal, delivered: *seq });
        }
        let group = described.kind == ConversationKind::Group;
        Ok(Some(reply::Conversation {
            conversation,
            kind: described.kind.into(),
            title: (group && (joined || described.titled <= last)).then(|| described.title.clone()),
            with: described.pair.iter().find(|other| !group && **other != user).copied(),
            history: described.history.into(),
            leaver: described.leaver.into(),
            members: if joined { described.members } else { 0 },
            joined,
            head: last,
            read: position.read,
            delivered: position.delivered,
            unread: self.unread(conversation, visible, position.read_ordinal, described.ordinals)?.into(),
            mentions: self.mentions(conversation, user, visible, position.read, last)?,
            marked_unread: entry.is_some_and(|entry| entry.marked_unread),
            muted: entry.is_some_and(|entry| entry.muted),
            last_message,
        }))
    }
}

fn entry(conversation: ConversationId, key: &Key, bytes: &[u8]) -> Result<InboxEntry, ReadError> {
    match record::decode_row(&RowKey::Inbox(conversation), key, bytes)? {
        RowValue::Inbox(entry) => Ok(entry),
        _ => Err(ReadError::Damaged { place: format!("{key:?}"), what: "not an entry of a conversation list".to_owned() }),
    }
}
