//! Identities: fixed-size, opaque outside, with one text form each.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::hash::ServerKey;

/// Text that is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}: {text:?}")]
pub struct IdError {
    /// What kind of id was expected, with an article.
    pub expected: &'static str,
    /// What was there instead, cut to 64 characters.
    pub text: String,
}

/// Lower-case Crockford base 32: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of an id behind its prefix.
const DIGITS: usize = 26;

/// Writes an id at once, behind its prefix of two letters: every answer has some.
fn write32(prefix: &str, bytes: [u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 2 + DIGITS];
    text[..2].copy_from_slice(prefix.as_bytes());
    let mut rest = u128::from_be_bytes(bytes);
    for digit in text[2..].iter_mut().rev() {
        *digit = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    f.write_str(std::str::from_utf8(&text).expect("letters and digits"))
}

fn decode32(text: &str) -> Option<[u8; 16]> {
    if text.len() != DIGITS {
        return None;
    }
    let mut value: u128 = 0;
    for (i, c) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|a| *a == c)? as u128;
        if i == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit;
    }
    Some(value.to_be_bytes())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write32($prefix, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(decode32)
                    .map(Self)
                    .ok_or_else(|| IdError { expected: $what, text: text.chars().take(64).collect() })
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                crate::codec::fixed(d).map(Self)
            }
        }
    };
}

id!(
    /// A person or program with an account. Text form `u_` and 26 characters.
    UserId, "u_", "a user id"
);
id!(
    /// A direct conversation or a group. Text form `c_` and 26 characters.
    ConversationId, "c_", "a conversation id"
);
id!(
    /// A login of a user. Text form `d_` and 26 characters.
    DeviceId, "d_", "a device id"
);

impl ConversationId {
    /// Of the direct conversation of two users, whoever begins it.
    pub fn direct(key: &ServerKey, one: UserId, other: UserId) -> Self {
        Self(key.id("direct", &[&one.min(other).0, &one.max(other).0]))
    }
}

/// The id that a client gives a command once and keeps across retries: a UUID, version 7 by
/// convention (its time makes the rows of dedupe grow). Any 128 bits are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Display for ClientId {
    /// Written at once: a page of history has one for each message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; UUID_CHARS];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            at += usize::from(matches!(i, 4 | 6 | 8 | 10));
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).expect("digits and hyphens"))
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClientId {
    type Err = IdError;

    /// Takes the hyphenated form only (RFC 9562, section 4), in either case.
    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_uuid(text).map(Self).ok_or_else(|| IdError { expected: "a UUID", text: text.chars().take(64).collect() })
    }
}

/// Characters of a UUID in its hyphenated form.
const UUID_CHARS: usize = 36;

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != UUID_CHARS {
        return None;
    }
    let mut out = [0_u8; 16];
    let mut nibbles = 0;
    for (i, c) in bytes.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if *c != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(*c).to_digit(16)? as u8;
        out[nibbles / 2] = (out[nibbles / 2] << 4) | digit;
        nibbles += 1;
    }
    Some(out)
}

impl<C> Encode<C> for ClientId {
    fn encode<W: minicbor::encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ClientId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        crate::codec::fixed(d).map(Self)
    }
}

/// A place in a log, from 1; 0 stands before the first. Below 2^53, so that it is exact in JSON.
pub type Seq = u64;

/// A message's place among the messages of its timeline, from 1. Below 2^53.
pub type Ordinal = u64;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Time = u64;

/// Highest `seq`, `ordinal` or position that is valid in a request (2^53 − 1).
pub const SEQ_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text() {
        for bytes in [[0; 16], [255; 16], *b"0123456789abcdef"] {
            let id = UserId(bytes);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), 28);
            let client = ClientId(bytes);
            assert_eq!(client.to_string().parse(), Ok(client));
        }
    }

    #[test]
    fn ids_have_a_prefix_and_base_32() {
        assert_eq!(UserId([0; 16]).to_string(), "u_00000000000000000000000000");
        assert_eq!(ConversationId([255; 16]).to_string(), "c_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(DeviceId(1_u128.to_be_bytes()).to_string(), "d_00000000000000000000000001");
    }

    #[test]
    fn client_ids_have_the_hyphenated_form_of_a_uuid() {
        let bytes = std::array::from_fn(|i| (i * 17) as u8);
        assert_eq!(ClientId(bytes).to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(ClientId([0xa5; 16]).to_string(), "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5");
        assert_eq!("00112233-4455-6677-8899-AABBCCDDEEFF".parse(), Ok(ClientId(bytes)), "either case is read");
    }

    #[test]
    fn wrong_texts_are_refused() {
        let other = ConversationId([7; 16]).to_string();
        for text in ["", "u_", "u_zzzzzzzzzzzzzzzzzzzzzzzzzz", "u_il", &other] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
        assert!("0123".parse::<ClientId>().is_err());
    }
}
