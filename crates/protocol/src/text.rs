//! Serde helpers for values that are text on the wire: ids by `Display` and `FromStr`, times as
//! RFC 3339.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes an id as its text.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads an id from its text.
pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// Ids that may be absent.
pub mod option {
    use super::*;

    /// Writes the id's text, or null.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    /// Reads an id's text, or null.
    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|t| t.parse().map_err(D::Error::custom)).transpose()
    }
}

/// Lists of ids.
pub mod list {
    use super::*;

    /// Writes the ids' texts.
    pub fn serialize<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    /// Reads ids from their texts.
    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|t| t.parse().map_err(D::Error::custom)).collect()
    }
}

/// Times: RFC 3339, UTC, milliseconds.
pub mod time {
    use super::*;
    use chirrup_core::ids::Time;

    /// Writes a time.
    pub fn serialize<S: Serializer>(value: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*value))
    }

    /// Reads a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("not a time of RFC 3339 after 1970: {text:?}")))
    }

    /// `2026-11-24T15:04:05.678Z`.
    pub fn format(value: Time) -> String {
        let time = i64::try_from(value).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        time.map_or_else(|| "9999-12-30T00:00:00.000Z".to_owned(), |t| format!("{t:.3}"))
    }

    /// The inverse of [`format`]; any RFC 3339 time from 1970 on is taken.
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok())
    }

    /// Times that may be absent.
    pub mod option {
        use super::*;

        /// Writes a time, or null.
        pub fn serialize<S: Serializer>(value: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
            value.map(format).serialize(serializer)
        }

        /// Reads a time, or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|t| parse(&t).ok_or_else(|| D::Error::custom(format!("not a time of RFC 3339 after 1970: {t:?}")))).transpose()
        }
    }
}
