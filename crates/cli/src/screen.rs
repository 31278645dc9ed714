//! Putting others' words on a terminal: without letting them control it.

use std::io::IsTerminal as _;

use chirrup_core::ids::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A text of somebody else, in which nothing moves the cursor, changes colours or turns the
/// direction of what stands beside it. Line breaks stay.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() || turns_direction(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// The same on one line.
pub(crate) fn harmless_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// Overrides and isolates of the bidirectional algorithm, and separators that break lines
/// (Unicode Standard Annex 9; U+2028, U+2029).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
}

/// Whether colours are wanted: on a terminal, unless `NO_COLOR` says no (no-color.org).
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Paint for a terminal, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// As standard output is.
    pub(crate) fn detect() -> Self {
        Self(colours())
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// What matters less.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What matters more.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// A name, always in the same of six colours.
    pub(crate) fn name(self, text: &str) -> String {
        let sum = text.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        self.with(&format!("1;{}", 31 + sum % 6), text)
    }
}

/// `15:04`, where the terminal is.
pub(crate) fn clock(at: Time) -> String {
    local(at, "%H:%M")
}

/// `2026-11-24`, where the terminal is.
pub(crate) fn day(at: Time) -> String {
    local(at, "%Y-%m-%d")
}

/// `2026-11-24 15:04`, where the terminal is.
pub(crate) fn date(at: Time) -> String {
    local(at, "%Y-%m-%d %H:%M")
}

fn local(at: Time, form: &str) -> String {
    let instant = i64::try_from(at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX);
    instant.to_zoned_datetime(TimeZone::system()).strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_controls_it() {
        let shown = harmless("a\u{1b}[2Jb\u{202e}c\u{7}\u{9b}1m\r\nd");
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{202e}c\\u{7}\\u{9b}1m\\u{d}\nd");
        assert_eq!(harmless("naïve 👩‍👩‍👧 שלום"), "naïve 👩‍👩‍👧 שלום");
    }

    #[test]
    fn a_name_keeps_its_colour() {
        assert_eq!(Paint(true).name("ana"), Paint(true).name("ana"));
        assert_eq!(Paint(false).name("ana"), "ana");
    }
}
