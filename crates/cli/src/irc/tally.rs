//! What a log adds up to. Only counts.

use std::collections::BTreeSet;

use super::line::{Line, LineKind};
use super::nick::fold;

/// Lines of one or more logs, counted by what they are; every line is counted once in one of the
/// fields from `messages` to `unparsed`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All lines.
    pub(crate) lines: u32,
    /// Messages, those without text included.
    pub(crate) messages: u32,
    /// Actions, those without text included.
    pub(crate) actions: u32,
    /// Joins.
    pub(crate) joins: u32,
    /// Parts.
    pub(crate) parts: u32,
    /// Quits.
    pub(crate) quits: u32,
    /// Kicks.
    pub(crate) kicks: u32,
    /// Renames.
    pub(crate) renames: u32,
    /// Topics, modes, notices, and what the network or the log says of itself.
    pub(crate) other: u32,
    /// Blank lines.
    pub(crate) blank: u32,
    /// Lines not understood.
    pub(crate) unparsed: u32,

    /// Messages and actions that are not in the conversation because they have no text.
    pub(crate) silent: u32,
    /// Lines read as Windows-1252.
    pub(crate) recoded: u32,
    /// Folded nicks of those who said or did something.
    pub(crate) speakers: BTreeSet<String>,
    /// Folded nicks of all who are named: speakers, and who came, went or took another nick.
    pub(crate) persons: BTreeSet<String>,
}

impl Tally {
    /// Counts one line.
    pub(crate) fn add(&mut self, line: &Line) {
        self.lines += 1;
        *match &line.kind {
            LineKind::Message { .. } => &mut self.messages,
            LineKind::Action { .. } => &mut self.actions,
            LineKind::Join { .. } => &mut self.joins,
            LineKind::Part { .. } => &mut self.parts,
            LineKind::Quit { .. } => &mut self.quits,
            LineKind::Kick { .. } => &mut self.kicks,
            LineKind::Rename { .. } => &mut self.renames,
            LineKind::Topic | LineKind::Mode | LineKind::Notice | LineKind::System => &mut self.other,
            LineKind::Blank => &mut self.blank,
            LineKind::Unparsed { .. } => &mut self.unparsed,
        } += 1;
        if let Some(said) = line.said() {
            self.speakers.insert(fold(said.nick));
        } else if matches!(line.kind, LineKind::Message { .. } | LineKind::Action { .. }) {
            self.silent += 1;
        }
        self.persons.extend(line.kind.nicks().map(fold));
    }

    /// Adds the counts of another log.
    pub(crate) fn merge(&mut self, other: Self) {
        self.lines += other.lines;
        self.messages += other.messages;
        self.actions += other.actions;
        self.joins += other.joins;
        self.parts += other.parts;
        self.quits += other.quits;
        self.kicks += other.kicks;
        self.renames += other.renames;
        self.other += other.other;
        self.blank += other.blank;
        self.unparsed += other.unparsed;
        self.silent += other.silent;
        self.recoded += other.recoded;
        self.speakers.extend(other.speakers);
        self.persons.extend(other.persons);
    }
}
