//! Rules of names and of other texts that people choose.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::confusable_detection::skeleton;

use crate::limits::{EMOJI_BYTES_MAX, NAME_CHARS_MAX, TEXT_BYTES_MAX, TEXT_CHARS_MAX, TITLE_CHARS_MAX};

/// Why a text cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing to see in it.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// Too many characters or bytes.
    #[error("{0} is too long: at most {1} {2}")]
    TooLong(&'static str, usize, &'static str),
    /// A character that is not allowed there.
    #[error("{0} may not have the character U+{1:04X}")]
    Character(&'static str, u32),
}

/// The signs that a name may have beside letters, digits and marks: those of IRC's nicknames
/// (RFC 2812, section 2.3.1), and the full stop.
const SIGNS: &str = "-_.[]{}\\|^`";

/// A name as it is kept: NFKC, checked. 1 to 32 characters.
pub fn name(text: &str) -> Result<String, TextError> {
    if text.len() > NAME_CHARS_MAX * 16 {
        return Err(TextError::TooLong("the name", NAME_CHARS_MAX, "characters"));
    }
    let name: String = text.nfkc().collect();
    if name.is_empty() {
        return Err(TextError::Empty("the name"));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(TextError::TooLong("the name", NAME_CHARS_MAX, "characters"));
    }
    let mut marks = 3;
    for c in name.chars() {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        let letter = c.is_alphanumeric() || (is_combining_mark(c) && marks <= 2);
        if !letter && !SIGNS.contains(c) {
            return Err(TextError::Character("the name", c as u32));
        }
    }
    Ok(name)
}

/// What two names have in common if one could be taken for the other: lower case, then the
/// skeleton of Unicode Technical Standard 39.
pub fn fold(name: &str) -> String {
    let lower: String = name.nfkc().collect::<String>().to_lowercase();
    skeleton(&skeleton(&lower).collect::<String>().to_lowercase()).collect()
}

/// A title, display name or device label: 1 to 128 characters, no control characters, something
/// to see in it.
pub fn title(what: &'static str, text: &str) -> Result<String, TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty(what));
    }
    if text.len() > TITLE_CHARS_MAX * 16 || text.chars().count() > TITLE_CHARS_MAX {
        return Err(TextError::TooLong(what, TITLE_CHARS_MAX, "characters"));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(TextError::Character(what, c as u32)),
        None => Ok(text.to_owned()),
    }
}

/// A message's text: kept as it is, whatever characters it has, but it must have some that are
/// not white space.
pub fn message(text: &str) -> Result<(), TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong("the text", TEXT_BYTES_MAX, "bytes"));
    }
    if text.trim().is_empty() {
        return Err(TextError::Empty("the text"));
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(TextError::TooLong("the text", TEXT_CHARS_MAX, "characters"));
    }
    Ok(())
}

/// An emoji: 1 to 64 bytes without white space or control characters.
pub fn emoji(text: &str) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty("the emoji"));
    }
    if text.len() > EMOJI_BYTES_MAX {
        return Err(TextError::TooLong("the emoji", EMOJI_BYTES_MAX, "bytes"));
    }
    match text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        Some(c) => Err(TextError::Character("the emoji", c as u32)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_fold_to_one() {
        assert_eq!(fold("Paypal"), fold("pаypаl"));
        assert_eq!(fold("ANA"), fold("ana"));
        assert_eq!(fold("rnodern"), fold("modern"));
        assert_ne!(fold("ana"), fold("anna"));
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(name("ｆｕｌｌ").as_deref(), Ok("full"));
        assert_eq!(name("|capirra"), Ok("|capirra".to_owned()));
        for bad in ["", "a b", "a\u{0}", "a\u{202e}b", "\u{200b}", "x\u{300}\u{300}\u{300}", &"x".repeat(33)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
