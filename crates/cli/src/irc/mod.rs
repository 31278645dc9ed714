//! Reads IRC logs as people kept them: bytes in, one [`Line`] out for every line of the file,
//! understood or not. Import and replay are built on this.
//!
//! It is pure and must stay so: no file is opened here, no server is known, no clock is read.
//! The text of a log is data; nothing in it is ever acted on.
//!
//! The shapes known are told apart line by line, by what the line looks like and never by the
//! name of a folder, because one file can hold several (a bot that failed for a day was patched
//! by hand):
//!
//! | shape | example |
//! |---|---|
//! | plain | `[09:14] <nick> text`, `[09:14]  * nick waves`, `[09:14] -nick- notice` |
//! | plain, system lines | `=== nick [user@host] has joined #c`, `=== a is now known as b` |
//! | old Ubuntu logger | plain, but every `]` has a space put behind it, `/me` is `=== nick waves`, and the dial has twelve hours |
//! | web client | `[09:02] == nick [user@host] has quit [reason]` |
//! | channel file | `channel 2013-01-26 [15:04:04] <nick> text`, also with `===` lines and no time |
//! | span pages | `<span class="irc-date">[4:02]</span> <span class="irc-black">&lt;nick&gt; text</span><br />` |
//! | Pidgin pages | `<font size="2">(2:52:27 PM)</font> <b>nick:</b></font> text<br/>` |
//!
//! Bytes that are not UTF-8 are read as Windows-1252, one line at a time, and counted.
//! Times are taken as UTC unless the file itself names another zone; see [`Stamp`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod clock;
mod html;
mod line;
mod nick;
mod plain;
mod replay;
mod roll;
mod tally;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use clock::{Dial, Stamp};
pub(crate) use line::{Line, LineKind, Said, Speech};
pub(crate) use nick::fold;
pub(crate) use replay::{Stage, Step};
pub(crate) use roll::{Person, Roll};
pub(crate) use tally::Tally;

/// One log file, read to the end.
#[derive(Debug)]
pub(crate) struct Log {
    /// Every line of the file in order, the first with number 1.
    pub(crate) lines: Vec<Line>,
    /// Whether the hours run to 12 or to 24.
    pub(crate) dial: Dial,
    /// True if nothing in the file tells morning from afternoon, so the first line was taken to
    /// be in the morning: times may be twelve hours early, their order is right.
    pub(crate) half_day_guessed: bool,
    /// Lines that were not UTF-8 and were read as Windows-1252.
    pub(crate) recoded: u32,
}

impl Log {
    /// Reads a whole file. `name` is its name with or without folders; a date in the last part
    /// (`2011-11-13`, or `2011-11-13_02` for "02 h of that day is in here") dates its lines.
    /// Never fails: what is not understood becomes [`LineKind::Unparsed`]. Takes a few times the
    /// size of the file in memory, so the caller bounds that size.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Self {
        let texts: Vec<_> = text::lines(bytes).collect();
        let recoded = count(texts.iter().filter(|text| text.recoded));
        let mut reader = plain::Reader::new(texts.iter().map(|text| &*text.text));
        let read: Vec<_> = texts.iter().map(|text| reader.read(&text.text)).collect();

        let dial = reader.dial();
        let label = clock::Label::of(name);
        let readings: Vec<_> = read.iter().map(|line| line.reading).collect();
        let stamps = clock::resolve(&readings, label, dial);
        let half_day_guessed = dial == Dial::Twelve && label.is_none_or(|label| label.hour.is_none());

        let lines = (1..)
            .zip(read.into_iter().zip(stamps))
            .map(|(number, (read, at))| Line { number, channel: read.channel, at, kind: read.kind })
            .collect();
        Self { lines, dial, half_day_guessed, recoded }
    }

    /// Whether this is a log at all: at least half of the lines that are not blank were
    /// understood. A page that merely quotes a few log lines is not one.
    pub(crate) fn is_log(&self) -> bool {
        let known = count(self.lines.iter().filter(|line| line.is_understood()));
        let unknown = count(self.unparsed());
        known > 0 && known >= unknown
    }

    /// The lines that were not understood, to be shown as `file:number` and text.
    pub(crate) fn unparsed(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| matches!(line.kind, LineKind::Unparsed { .. }))
    }

    /// What the lines add up to.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally { recoded: self.recoded, ..Tally::default() };
        self.lines.iter().for_each(|line| tally.add(line));
        tally
    }
}

/// A count that fits: a file of 2^32 lines does not fit in memory.
fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
