//! The texts of cursors and page tokens: compact, opaque to clients, of no use to another store.
//!
//! Bytes: a kind, the store's incarnation, then for each shard its offset as LEB128 numbers:
//! epochs below the highest epoch doubled, plus one if `k` follows; `n`; `k` if it is not 0. A
//! page token holds two such lists and a conversation. All in base64url without padding.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chirrup_core::aggregate::SHARDS;
use chirrup_core::ids::ConversationId;
use chirrup_store::offset::Offset;

use crate::recovery::Marks;

/// First byte of a cursor in the form that is given out now.
const CURSOR: u8 = 1;
/// First byte of a page token.
const PAGE: u8 = 2;
/// Characters of the longest text that is looked at.
const CHARS_MAX: usize = 8_192;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// What the device had been told when the session began; none for everything.
    pub(super) since: Option<Marks>,
    /// The marks when the session began: the cursor after the last page.
    pub(super) until: Marks,
    /// The conversation after which the page begins.
    pub(super) after: Option<ConversationId>,
}

/// The text of a cursor.
pub(super) fn encode(incarnation: u64, marks: &Marks) -> String {
    let mut bytes = begin(CURSOR, incarnation);
    put_marks(&mut bytes, marks);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The marks of a cursor; none if it was not given out by this store.
pub(super) fn decode(incarnation: u64, text: &str) -> Option<Marks> {
    let bytes = open(CURSOR, incarnation, text)?;
    let mut input = bytes.as_slice();
    let marks = take_marks(&mut input)?;
    input.is_empty().then_some(marks)
}

/// The text of a page token.
pub(super) fn encode_page(incarnation: u64, page: &Page) -> String {
    let mut bytes = begin(PAGE, incarnation);
    bytes.push(u8::from(page.since.is_some()) | u8::from(page.after.is_some()) << 1);
    if let Some(since) = &page.since {
        put_marks(&mut bytes, since);
    }
    put_marks(&mut bytes, &page.until);
    if let Some(after) = page.after {
        bytes.extend_from_slice(&after.0);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A page token of its text; none if it was not given out by this store.
pub(super) fn decode_page(incarnation: u64, text: &str) -> Option<Page> {
    let bytes = open(PAGE, incarnation, text)?;
    let (flags, mut input) = bytes.split_first()?;
    if *flags > 3 {
        return None;
    }
    let since = if flags & 1 == 0 { None } else { Some(take_marks(&mut input)?) };
    let until = take_marks(&mut input)?;
    let after = match (flags & 2, input) {
        (0, []) => None,
        (2, id) => Some(ConversationId(id.try_into().ok()?)),
        _ => return None,
    };
    Some(Page { since, until, after })
}

fn begin(kind: u8, incarnation: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.push(kind);
    bytes.extend_from_slice(&incarnation.to_be_bytes());
    bytes
}

fn open(kind: u8, incarnation: u64, text: &str) -> Option<Vec<u8>> {
    if text.len() > CHARS_MAX {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let body = bytes.strip_prefix(&[kind])?.strip_prefix(&incarnation.to_be_bytes())?.len();
    Some(bytes.split_off(bytes.len() - body))
}

fn put_marks(out: &mut Vec<u8>, marks: &Marks) {
    let highest = marks.iter().map(|mark| mark.epoch).max().unwrap_or_default();
    put(out, u64::from(highest));
    for mark in marks {
        put(out, u64::from(highest - mark.epoch) << 1 | u64::from(mark.k != 0));
        put(out, mark.n);
        if mark.k != 0 {
            put(out, u64::from(mark.k));
        }
    }
}

fn take_marks(input: &mut &[u8]) -> Option<Marks> {
    let highest = u32::try_from(take(input)?).ok()?;
    let mut marks = [Offset::default(); SHARDS as usize];
    for mark in &mut marks {
        let head = take(input)?;
        mark.epoch = highest.checked_sub(u32::try_from(head >> 1).ok()?)?;
        mark.n = take(input)?;
        if head & 1 == 1 {
            mark.k = u16::try_from(take(input)?).ok()?;
        }
    }
    Some(marks)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
