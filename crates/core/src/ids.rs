//! Identities: fixed-size, opaque outside, with one text form each.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};

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

fn encode32(bytes: [u8; 16], out: &mut String) {
    let value = u128::from_be_bytes(bytes);
    for i in (0..26).rev() {
        out.push(char::from(ALPHABET[((value >> (i * 5)) & 31) as usize]));
    }
}

fn decode32(text: &str) -> Option<[u8; 16]> {
    if text.len() != 26 {
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
                let mut text = String::with_capacity(28);
                text.push_str($prefix);
                encode32(self.0, &mut text);
                f.write_str(&text)
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

/// The id that a client gives a command once and keeps across retries: a UUID, version 7 by
/// convention (its time makes the rows of dedupe grow). Any 128 bits are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
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

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
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
            let client = ClientId(bytes);
            assert_eq!(client.to_string().parse(), Ok(client));
        }
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
