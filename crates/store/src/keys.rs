//! Where each kind of row lives: the one map from what the core calls a row to table, partition
//! and sort key. Part of the on-disk format.

use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::hash::Hash;
use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};
use chirrup_core::rows::RowKey;
use chirrup_mutants::mutant;

use crate::kv::{Key, Range, Table};
use crate::offset::Offset;

/// Offsets `n` in one partition of a feed.
pub const FEED_BUCKET: u64 = 1 << 16;

/// Timeline messages of a conversation: sorted before, and apart from, the other events of their
/// bucket, so that a page of them is one range.
const CLASS_TIMELINE: u8 = 0;
const CLASS_OTHER: u8 = 1;

const MEMBER: u8 = 1;
const DELETED: u8 = 2;
const REACTION: u8 = 3;
const REPLY: u8 = 4;
const SEQ_BUCKET: u8 = 5;
const MENTION_ALL: u8 = 6;

/// Row of the server itself, a shard: the epoch of its last start.
pub const EPOCH: &str = "epoch";
/// Row of the server itself: its key and its incarnation.
pub const SERVER: &str = "server";
/// Of the row of the incarnation.
pub const INCARNATION: &[u8] = b"incarnation";
/// Row of the server itself: how far a copy into this store is.
const COPY: &str = "copy";

const INBOX_ENTRY: u8 = 0;
const INBOX_POSITION: u8 = 1;

fn events_partition(aggregate: &AggregateId, bucket: u64) -> Vec<u8> {
    let mut partition = aggregate.bytes();
    // The length keeps names apart from the bucket that follows.
    partition.push(partition.len() as u8);
    partition.extend_from_slice(&bucket.to_be_bytes()[3..]);
    partition
}

/// Which log the events in a partition are of, and the first seq that the partition can hold.
pub fn log_of(partition: &[u8]) -> Option<(AggregateId, Seq)> {
    let (rest, bucket) = partition.split_last_chunk::<5>()?;
    let (length, aggregate) = rest.split_last()?;
    let mut bytes = [0; 8];
    bytes[3..].copy_from_slice(bucket);
    let aggregate = AggregateId::from_bytes(aggregate).filter(|_| usize::from(*length) == aggregate.len())?;
    Some((aggregate, u64::from_be_bytes(bytes) * BUCKET))
}

fn classed(class: u8, seq: Seq) -> Vec<u8> {
    let mut sort = vec![class];
    sort.extend_from_slice(&seq.to_be_bytes());
    sort
}

/// An event's row. `timeline`: whether it is a message of its conversation's timeline.
pub fn event(aggregate: &AggregateId, seq: Seq, timeline: bool) -> Key {
    let class = if timeline { CLASS_TIMELINE } else { CLASS_OTHER };
    Key::new(Table::Event, events_partition(aggregate, seq / BUCKET), classed(class, seq))
}

/// Which events of a bucket to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Messages of the timeline.
    Timeline,
    /// Everything else.
    Other,
}

/// The events of one class with `from <= seq <= until`, both in the bucket of `from`.
pub fn events(aggregate: &AggregateId, class: Class, from: Seq, until: Seq, descending: bool, limit: usize) -> Range {
    let class = match class {
        Class::Timeline => CLASS_TIMELINE,
        Class::Other => CLASS_OTHER,
    };
    let last = (from / BUCKET + 1) * BUCKET;
    Range {
        table: Table::Event,
        partition: events_partition(aggregate, from / BUCKET),
        from: classed(class, from),
        until: Some(classed(class, last.min(until.saturating_add(1)))),
        descending,
        limit,
    }
}

/// The seq in an event's sort key.
pub fn event_seq(sort: &[u8]) -> Option<Seq> {
    sort.get(1..).and_then(|b| b.try_into().ok()).map(Seq::from_be_bytes)
}

/// The verdict of a command.
pub fn dedupe(aggregate: &AggregateId, sender: UserId, client_id: ClientId) -> Key {
    let mut partition = aggregate.bytes();
    partition.extend_from_slice(if mutant!(DedupeIgnoresSender) { &[0; 16] } else { &sender.0 });
    Key::new(Table::Dedupe, partition, client_id.0)
}

/// The folded state of an aggregate.
pub fn state(aggregate: &AggregateId) -> Key {
    Key::new(Table::State, aggregate.bytes(), [])
}

fn feed_partition(shard: u8, epoch: u32, bucket: u64) -> Vec<u8> {
    let mut partition = vec![shard];
    partition.extend_from_slice(&epoch.to_be_bytes());
    partition.extend_from_slice(&bucket.to_be_bytes());
    partition
}

/// That a shard's feed has rows in a partition: written with the first of them, so that the feed
/// can be walked from partition to partition.
pub fn feed_bucket(shard: u8, first: Offset) -> Key {
    let mut sort = first.epoch.to_be_bytes().to_vec();
    sort.extend_from_slice(&(first.n / FEED_BUCKET).to_be_bytes());
    Key::new(Table::Meta, [b"feed/".as_slice(), &[shard]].concat(), sort)
}

/// The partitions of a shard's feed from the one of an offset on.
pub fn feed_buckets(shard: u8, from: Offset, limit: usize) -> Range {
    let first = feed_bucket(shard, from);
    Range { table: Table::Meta, partition: first.partition, from: first.sort, until: None, descending: false, limit }
}

/// The first offset that a partition of a feed can hold, of its sort key.
pub fn feed_bucket_start(sort: &[u8]) -> Option<Offset> {
    let (epoch, bucket) = sort.split_first_chunk::<4>()?;
    let bucket = u64::from_be_bytes(bucket.try_into().ok()?);
    Some(Offset { epoch: u32::from_be_bytes(*epoch), n: bucket * FEED_BUCKET, k: 0 })
}

/// The feed's row of a batch, by the offset of its first event.
pub fn feed(shard: u8, first: Offset) -> Key {
    Key::new(Table::Feed, feed_partition(shard, first.epoch, first.n / FEED_BUCKET), first.bytes())
}

/// Rows of a shard's feed in the partition of `from`, at or after it.
pub fn feed_after(shard: u8, from: Offset, limit: usize) -> Range {
    Range {
        table: Table::Feed,
        partition: feed_partition(shard, from.epoch, from.n / FEED_BUCKET),
        from: from.bytes().to_vec(),
        until: None,
        descending: false,
        limit,
    }
}

/// The last row of a shard's feed at or before an offset, within that offset's partition.
pub fn feed_before(shard: u8, until: Offset) -> Range {
    let mut end = until.bytes().to_vec();
    end.push(0);
    Range {
        table: Table::Feed,
        partition: feed_partition(shard, until.epoch, until.n / FEED_BUCKET),
        from: Vec::new(),
        until: Some(end),
        descending: true,
        limit: 1,
    }
}

fn conversation_sort(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut sort = vec![kind];
    for part in parts {
        sort.extend_from_slice(part);
    }
    sort
}

/// The row of an aggregate. For [`RowKey::Event`] the class must be known: see [`event`].
pub fn row(aggregate: &AggregateId, key: &RowKey) -> Key {
    let owner = || match aggregate {
        AggregateId::Conversation(id) => id.0.to_vec(),
        AggregateId::User(id) => id.0.to_vec(),
        other => other.bytes(),
    };
    let member = |kind: u8, parts: &[&[u8]]| Key::new(Table::Member, owner(), conversation_sort(kind, parts));
    match key {
        RowKey::Member(user) => member(MEMBER, &[&user.0]),
        RowKey::Event(seq) => event(aggregate, *seq, false),
        RowKey::Reaction(seq, emoji, user) => member(REACTION, &[&seq.to_be_bytes(), emoji.as_bytes(), &user.0]),
        RowKey::Deleted(block) => member(DELETED, &[&block.to_be_bytes()]),
        RowKey::Bucket(bucket) => member(SEQ_BUCKET, &[&bucket.to_be_bytes()]),
        RowKey::Reply(root, seq) => member(REPLY, &[&root.to_be_bytes(), &seq.to_be_bytes()]),
        RowKey::MentionAll(seq) => member(MENTION_ALL, &[&seq.to_be_bytes()]),
        RowKey::Mention(user, seq) => {
            let mut sort = owner();
            sort.extend_from_slice(&seq.to_be_bytes());
            Key::new(Table::Mention, user.0, sort)
        }
        RowKey::Inbox(conversation) => inbox(aggregate_user(aggregate), *conversation),
        RowKey::Credential(user) => credential(*user),
        RowKey::DeviceToken(device) => {
            let mut sort = vec![1];
            sort.extend_from_slice(&device.0);
            Key::new(Table::Credential, owner(), sort)
        }
        RowKey::Token(hash) => token(hash),
    }
}

fn aggregate_user(aggregate: &AggregateId) -> UserId {
    match aggregate {
        AggregateId::User(user) => *user,
        _ => UserId([0; 16]),
    }
}

/// An entry of a user's conversation list.
pub fn inbox(user: UserId, conversation: ConversationId) -> Key {
    Key::new(Table::Inbox, user.0, inbox_sort(conversation, INBOX_ENTRY))
}

/// A user's own positions, beside the entry.
pub fn inbox_position(user: UserId, conversation: ConversationId) -> Key {
    Key::new(Table::Inbox, user.0, inbox_sort(conversation, INBOX_POSITION))
}

fn inbox_sort(conversation: ConversationId, kind: u8) -> Vec<u8> {
    let mut sort = conversation.0.to_vec();
    sort.push(kind);
    sort
}

/// A user's whole list with positions, beyond a conversation.
pub fn inbox_after(user: UserId, after: Option<ConversationId>, limit: usize) -> Range {
    let from = after.map_or_else(Vec::new, |id| inbox_sort(id, u8::MAX));
    Range { table: Table::Inbox, partition: user.0.to_vec(), from, until: None, descending: false, limit }
}

/// The conversation of an inbox row, and whether it is the entry (not the positions).
pub fn inbox_row(sort: &[u8]) -> Option<(ConversationId, bool)> {
    let (id, kind) = sort.split_at_checked(16)?;
    Some((ConversationId(id.try_into().ok()?), kind == [INBOX_ENTRY]))
}

/// A member's positions, for the other members.
pub fn position(conversation: ConversationId, user: UserId) -> Key {
    Key::new(Table::Position, conversation.0, user.0)
}

/// Positions of all members of a conversation.
pub fn positions(conversation: ConversationId, limit: usize) -> Range {
    Range { table: Table::Position, partition: conversation.0.to_vec(), from: Vec::new(), until: None, descending: false, limit }
}

/// Members of a conversation, former ones too, beyond a user.
pub fn members_after(conversation: ConversationId, after: Option<UserId>, limit: usize) -> Range {
    let mut from = vec![MEMBER];
    if let Some(user) = after {
        from.extend_from_slice(&user.0);
        from.push(0);
    }
    Range { table: Table::Member, partition: conversation.0.to_vec(), from, until: Some(vec![MEMBER + 1]), descending: false, limit }
}

/// The user in a member's sort key.
pub fn member_user(sort: &[u8]) -> Option<UserId> {
    sort.get(1..).and_then(|b| b.try_into().ok()).map(UserId)
}

/// Blocks of deleted ordinals, both ends within.
pub fn deleted_blocks(conversation: ConversationId, first: u64, last: u64, limit: usize) -> Range {
    numbered(conversation, DELETED, first, last, false, limit)
}

/// Buckets of seqs that hold timeline messages, both ends within.
pub fn seq_buckets(conversation: ConversationId, first: u64, last: u64, descending: bool, limit: usize) -> Range {
    numbered(conversation, SEQ_BUCKET, first, last, descending, limit)
}

/// Messages that call all members, both ends within.
pub fn mentions_all(conversation: ConversationId, first: Seq, last: Seq, limit: usize) -> Range {
    numbered(conversation, MENTION_ALL, first, last, false, limit)
}

fn numbered(conversation: ConversationId, kind: u8, first: u64, last: u64, descending: bool, limit: usize) -> Range {
    Range {
        table: Table::Member,
        partition: conversation.0.to_vec(),
        from: conversation_sort(kind, &[&first.to_be_bytes()]),
        until: Some(conversation_sort(kind, &[&last.to_be_bytes(), &[0]])),
        descending,
        limit,
    }
}

/// The number in such a sort key.
pub fn number(sort: &[u8]) -> Option<u64> {
    sort.get(1..).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)
}

/// Replies in a thread with `from <= seq <= until`.
pub fn replies(conversation: ConversationId, root: Seq, from: Seq, until: Seq, descending: bool, limit: usize) -> Range {
    Range {
        table: Table::Member,
        partition: conversation.0.to_vec(),
        from: conversation_sort(REPLY, &[&root.to_be_bytes(), &from.to_be_bytes()]),
        until: Some(conversation_sort(REPLY, &[&root.to_be_bytes(), &until.to_be_bytes(), &[0]])),
        descending,
        limit,
    }
}

/// The reply's seq in such a sort key.
pub fn reply_seq(sort: &[u8]) -> Option<Seq> {
    sort.get(9..).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)
}

/// Messages of a conversation that call a user, beyond a seq.
pub fn mentions(user: UserId, conversation: ConversationId, after: Seq, limit: usize) -> Range {
    let mut from = conversation.0.to_vec();
    from.extend_from_slice(&(after + 1).to_be_bytes());
    let mut until = conversation.0.to_vec();
    until.extend_from_slice(&[u8::MAX; 9]);
    Range { table: Table::Mention, partition: user.0.to_vec(), from, until: Some(until), descending: false, limit }
}

/// The seq in such a sort key.
pub fn mention_seq(sort: &[u8]) -> Option<Seq> {
    sort.get(16..).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)
}

/// When a user was last active.
pub fn activity(user: UserId) -> Key {
    Key::new(Table::Activity, user.0, [])
}

/// A user's password hash.
pub fn credential(user: UserId) -> Key {
    Key::new(Table::Credential, user.0, [0])
}

/// Whose a token is.
pub fn token(hash: &Hash) -> Key {
    Key::new(Table::Token, hash.0, [])
}

/// A row of the server itself.
pub fn meta(name: &str, sort: &[u8]) -> Key {
    Key::new(Table::Meta, name.as_bytes(), sort)
}

/// The row that says how far a copy into this store is; no row in a store that is whole.
pub fn copy_mark() -> Key {
    meta(COPY, &[])
}

/// Whether a row is of this one store, and has no place in a copy of it: its epochs, its
/// incarnation, and how far a copy into it is.
pub fn is_of_one_store(key: &Key) -> bool {
    let name = key.partition.as_slice();
    let incarnation = || name == SERVER.as_bytes() && key.sort == INCARNATION;
    key.table == Table::Meta && (name == EPOCH.as_bytes() || name == COPY.as_bytes() || incarnation())
}
