//! The records in the K-V store: one compact, versioned encoding above all drivers. A value is a
//! version byte and the CBOR of `chirrup_core::codec`; an unknown version is refused.

use chirrup_core::aggregate::{AggregateId, Digest, State, Verdict};
use chirrup_core::codec;
use chirrup_core::event::{Envelope, Event, Sealed};
use chirrup_core::hash::Hash;
use chirrup_core::ids::{ConversationId, DeviceId, Ordinal, Seq, Time, UserId};
use chirrup_core::rows::{InboxEntry, Member, MessageFold, Record, RowKey, RowValue};
use chirrup_core::unread::DeletedBlock;
use minicbor::{Decode, Encode};

use crate::kv::{Key, ReadError};
use crate::offset::Offset;

/// The version of every record that is written now.
const VERSION: u8 = 1;

/// An event's row: where it stands in the feed, the event, and what later events made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its place in the feed of its shard: beside the envelope, not in its hash.
    pub offset: Offset,
    /// The event and its fold.
    pub record: Record,
}

#[derive(Encode, Decode)]
struct EventRowCbor {
    #[n(0)]
    epoch: u32,
    #[n(1)]
    n: u64,
    #[n(2)]
    k: u16,
    #[n(3)]
    envelope: Envelope,
    #[n(4)]
    sealed: Option<Sealed>,
    #[n(5)]
    fold: Option<MessageFold>,
}

/// An aggregate's state row.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StateRow {
    /// The state as of `state.head`; events beyond it are folded in when it is loaded.
    #[n(0)]
    pub state: State,
}

/// One batch in a shard's feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct FeedRow {
    /// In order of offset.
    #[n(0)]
    pub entries: Vec<FeedEntry>,
}

/// One event in a feed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FeedEntry {
    /// Offset: `n` beyond the row's first, and `k`.
    #[n(0)]
    pub n: u64,
    /// The event's place among its command's.
    #[n(1)]
    pub k: u16,
    /// Which log.
    #[n(2)]
    pub aggregate: AggregateId,
    /// Which event.
    #[n(3)]
    pub seq: Seq,
    /// Whether it has effects on other aggregates.
    #[n(4)]
    pub effects: bool,
    /// Whether it is a message of a timeline.
    #[n(5)]
    pub timeline: bool,
    /// Of the request, at the first event of a client's command: so that a verdict that a crash
    /// has lost can be written again.
    #[n(6)]
    pub digest: Option<Digest>,
    /// Earlier events of the log whose rows it changes: so that what a lost batch wrote there, and
    /// what arrives only later, is overwritten when the event itself is not there.
    #[n(7)]
    pub changes: Option<Vec<Seq>>,
}

/// How far a user is in a conversation: registers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PositionRow {
    /// Read up to here.
    #[n(0)]
    pub read: Seq,
    /// Timeline messages up to `read`.
    #[n(1)]
    pub read_ordinal: Ordinal,
    /// Got up to here.
    #[n(2)]
    pub delivered: Seq,
}

impl PositionRow {
    /// The higher of both, each register by itself. Whether anything rose.
    pub fn merge(&mut self, other: Self) -> bool {
        let before = *self;
        if other.read > self.read {
            (self.read, self.read_ordinal) = (other.read, other.read_ordinal);
        }
        self.delivered = self.delivered.max(other.delivered).max(self.read);
        *self != before
    }
}

/// Positions that rose by request and that their users' logs may not tell yet: what a crash must
/// not lose between the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NotesRow {
    /// Rises with each write of the row.
    #[n(0)]
    pub number: u64,
    /// Whose, where, and how far.
    #[n(1)]
    pub notes: Vec<(UserId, ConversationId, PositionRow)>,
}

#[derive(Encode, Decode)]
struct OffsetCbor(#[n(0)] u32, #[n(1)] u64, #[n(2)] u16);

#[derive(Encode, Decode)]
struct TokenCbor(#[n(0)] UserId, #[n(1)] DeviceId);

#[derive(Encode, Decode)]
struct ReactionCbor(#[n(0)] Seq, #[n(1)] bool);

fn seal<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    minicbor::encode(value, &mut bytes).expect("writing to memory does not fail");
    bytes
}

/// A value cannot be what was written.
fn damaged(key: &Key, what: impl Into<String>) -> ReadError {
    ReadError::Damaged { place: format!("{key:?}"), what: what.into() }
}

fn open<'b, T: Decode<'b, ()>>(key: &Key, bytes: &'b [u8]) -> Result<T, ReadError> {
    read(bytes).map_err(|what| damaged(key, what))
}

/// What is in a value, or what is wrong with it.
fn read<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, body)) => codec::decode(body).map_err(|e| e.to_string()),
        Some((version, _)) => Err(format!("record version {version}; this build knows {VERSION}")),
        None => Err("an empty value".to_owned()),
    }
}

/// Bytes of an event's row.
pub fn encode_event(offset: Offset, record: &Record) -> Vec<u8> {
    // Encoded by reference, field by field as `EventRowCbor` is read: an event is written once
    // and must not be copied for it.
    let mut bytes = Vec::with_capacity(256);
    bytes.push(VERSION);
    let fields: u64 = if record.fold.is_some() {
        6
    } else if record.event.sealed.is_some() {
        5
    } else {
        4
    };
    let mut e = minicbor::Encoder::new(&mut bytes);
    let written = (|| {
        e.array(fields)?.u32(offset.epoch)?.u64(offset.n)?.u16(offset.k)?.encode(&record.event.envelope)?;
        if fields > 4 {
            e.encode(&record.event.sealed)?;
        }
        if fields > 5 {
            e.encode(&record.fold)?;
        }
        Ok::<(), minicbor::encode::Error<_>>(())
    })();
    written.expect("writing to memory does not fail");
    bytes
}

/// An event's row of its bytes.
pub fn decode_event(key: &Key, bytes: &[u8]) -> Result<EventRow, ReadError> {
    read_event(bytes).map_err(|what| damaged(key, what))
}

/// The same, where a key is made only if something is wrong: says what that is.
pub(crate) fn read_event(bytes: &[u8]) -> Result<EventRow, String> {
    let row: EventRowCbor = read(bytes)?;
    let event = Event { envelope: row.envelope, sealed: row.sealed };
    Ok(EventRow { offset: Offset { epoch: row.epoch, n: row.n, k: row.k }, record: Record { event, fold: row.fold } })
}

macro_rules! plain {
    ($($(#[$doc:meta])* $encode:ident, $decode:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $encode(value: &$type) -> Vec<u8> { seal(value) }

            /// The inverse.
            pub fn $decode(key: &Key, bytes: &[u8]) -> Result<$type, ReadError> { open(key, bytes) }
        )*
    };
}

plain! {
    /// Bytes of a state row.
    encode_state, decode_state: StateRow;
    /// Bytes of a feed row.
    encode_feed, decode_feed: FeedRow;
    /// Bytes of a verdict.
    encode_verdict, decode_verdict: Verdict;
    /// Bytes of positions.
    encode_position, decode_position: PositionRow;
    /// Bytes of positions to be told.
    encode_notes, decode_notes: NotesRow;
    /// Bytes of a number, such as a time or an epoch.
    encode_number, decode_number: u64;
}

/// Bytes of an offset.
pub fn encode_offset(offset: Offset) -> Vec<u8> {
    seal(&OffsetCbor(offset.epoch, offset.n, offset.k))
}

/// The inverse.
pub fn decode_offset(key: &Key, bytes: &[u8]) -> Result<Offset, ReadError> {
    let OffsetCbor(epoch, n, k) = open(key, bytes)?;
    Ok(Offset { epoch, n, k })
}

/// When somebody was last active.
pub fn encode_time(time: Time) -> Vec<u8> {
    encode_number(&time)
}

/// Bytes of a row of an aggregate, but for events: see [`encode_event`].
pub fn encode_row(value: &RowValue) -> Vec<u8> {
    match value {
        RowValue::Member(member) => seal(member),
        RowValue::Event(record) => encode_event(Offset::default(), record),
        RowValue::Reaction(seq, stands) => seal(&ReactionCbor(*seq, *stands)),
        RowValue::Deleted(block) => seal(&block.words().to_vec()),
        RowValue::Bucket(ordinal) | RowValue::Mention(ordinal) => seal(ordinal),
        RowValue::Present => vec![VERSION],
        RowValue::Inbox(entry) => seal(entry),
        RowValue::Credential(text) => seal(text),
        RowValue::DeviceToken(hash) => seal(hash),
        RowValue::Token(user, device) => seal(&TokenCbor(*user, *device)),
    }
}

/// A row of an aggregate of its bytes; which kind is told by its key.
pub fn decode_row(row: &RowKey, key: &Key, bytes: &[u8]) -> Result<RowValue, ReadError> {
    Ok(match row {
        RowKey::Member(_) => RowValue::Member(open::<Member>(key, bytes)?),
        RowKey::Event(_) => RowValue::Event(Box::new(decode_event(key, bytes)?.record)),
        RowKey::Reaction(..) => {
            let ReactionCbor(seq, stands) = open(key, bytes)?;
            RowValue::Reaction(seq, stands)
        }
        RowKey::Deleted(_) => RowValue::Deleted(DeletedBlock::from_words(open(key, bytes)?)),
        RowKey::Bucket(_) => RowValue::Bucket(open(key, bytes)?),
        RowKey::Reply(..) => RowValue::Present,
        RowKey::MentionAll(_) | RowKey::Mention(..) => RowValue::Mention(open(key, bytes)?),
        RowKey::Inbox(_) => RowValue::Inbox(open::<InboxEntry>(key, bytes)?),
        RowKey::Credential(_) => RowValue::Credential(open(key, bytes)?),
        RowKey::DeviceToken(_) => RowValue::DeviceToken(open::<Hash>(key, bytes)?),
        RowKey::Token(_) => {
            let TokenCbor(user, device) = open(key, bytes)?;
            RowValue::Token(user, device)
        }
    })
}
