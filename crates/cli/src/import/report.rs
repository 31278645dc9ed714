//! What an import came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Work;
use super::send::Outcome;
use super::survey::Survey;
use crate::irc::{Person, Tally};

/// Refused lines that are shown to people; the others are counted, and in the JSON.
const REFUSED_SHOWN_MAX: usize = 100;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Messages that nothing was done with, for the import was stopped.
    pub(crate) left: usize,
    /// What became of the messages, and how many lines there are of what.
    pub(crate) total: Row,
    /// Groups, by title.
    pub(crate) groups: Vec<Group>,
    /// Logs, by path.
    pub(crate) files: Vec<File>,
    /// Files that are no logs.
    pub(crate) not_logs: Vec<String>,
    /// Lines that were not understood, the first thousand.
    pub(crate) unparsed: Vec<Line>,
    /// Lines that the server did not take.
    pub(crate) refused: Vec<Line>,
    /// People who could not have the name that they had.
    pub(crate) marked: Vec<Marked>,
    /// Anything else that somebody should know.
    pub(crate) notes: Vec<String>,
}

/// A group that holds a channel.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// Its title.
    pub(crate) title: String,
    /// Its id.
    pub(crate) conversation: String,
    /// Messages in the logs.
    pub(crate) messages: usize,
}

/// One log.
#[derive(Debug, Serialize)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: String,
    /// The channel of its lines that name none.
    pub(crate) channel: String,
    /// Its name as client ids are made of it.
    pub(crate) name: String,
    /// How many hours its clock shows: 12 or 24.
    pub(crate) dial: i64,
    /// Its times may be twelve hours early.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) half_day_guessed: bool,
    /// What is in it, and what became of it.
    #[serde(flatten)]
    pub(crate) row: Row,
}

/// Counts: of lines by what they are, of messages and actions by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) lines: u32,
    pub(crate) messages: u32,
    pub(crate) actions: u32,
    pub(crate) silent: u32,
    pub(crate) joins: u32,
    pub(crate) parts: u32,
    pub(crate) quits: u32,
    pub(crate) kicks: u32,
    pub(crate) renames: u32,
    pub(crate) other: u32,
    pub(crate) blank: u32,
    pub(crate) unparsed: u32,
    pub(crate) recoded: u32,
    pub(crate) speakers: usize,
    pub(crate) imported: usize,
    pub(crate) already: usize,
    pub(crate) refused: usize,
}

/// A line of a log that needs a look.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// `path:line`.
    pub(crate) place: String,
    /// A code, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// A sentence.
    pub(crate) why: String,
    /// What is there, cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

/// Somebody with another name than their nick.
#[derive(Debug, Serialize)]
pub(crate) struct Marked {
    /// As in the log.
    pub(crate) nick: String,
    /// As here.
    pub(crate) name: String,
}

impl Row {
    fn of(tally: &Tally, outcome: &Outcome) -> Self {
        Self {
            lines: tally.lines,
            messages: tally.messages,
            actions: tally.actions,
            silent: tally.silent,
            joins: tally.joins,
            parts: tally.parts,
            quits: tally.quits,
            kicks: tally.kicks,
            renames: tally.renames,
            other: tally.other,
            blank: tally.blank,
            unparsed: tally.unparsed,
            recoded: tally.recoded,
            speakers: tally.speakers.len(),
            imported: outcome.imported,
            already: outcome.already,
            refused: outcome.refused.len(),
        }
    }

    /// The columns of the table for people.
    fn cells(&self) -> [String; COLUMNS] {
        let [leaves, other] = [self.parts + self.quits + self.kicks, self.other + self.blank];
        let lines = [self.lines, self.messages, self.actions, self.joins, leaves, self.renames, other, self.unparsed];
        let became = [self.imported, self.already, self.refused];
        let mut cells = lines.iter().map(u32::to_string).chain(became.iter().map(usize::to_string));
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    }
}

/// Columns of the table beside the file.
const COLUMNS: usize = HEADINGS.len();
const HEADINGS: [&str; 11] =
    ["lines", "messages", "actions", "joins", "leaves", "renames", "other", "unparsed", "imported", "already", "refused"];

impl Report {
    /// Of a survey and what became of its logs, by their numbers.
    pub(crate) fn new(survey: &Survey, outcomes: &BTreeMap<usize, Outcome>, groups: Vec<Group>) -> Self {
        let (mut total, mut all) = (Tally::default(), Outcome::default());
        let (mut files, mut refused) = (Vec::new(), Vec::new());
        for (number, log) in survey.logs.iter().enumerate() {
            let none = Outcome::default();
            let outcome = outcomes.get(&number).unwrap_or(&none);
            let path = log.source.path.display().to_string();
            refused.extend(outcome.refused.iter().map(|r| Line {
                place: format!("{path}:{}", r.line),
                code: Some(r.code.clone()),
                why: r.why.clone(),
                text: None,
            }));
            total.merge(log.tally.clone());
            all.imported += outcome.imported;
            all.already += outcome.already;
            all.refused.extend(outcome.refused.iter().cloned());
            let (channel, name) = (log.source.channel.clone(), log.source.name.clone());
            let (dial, half_day_guessed) = (log.dial.hours(), log.half_day_guessed);
            files.push(File { path, channel, name, dial, half_day_guessed, row: Row::of(&log.tally, outcome) });
        }
        let unparsed = survey.unparsed.iter().map(|(log, line)| Line {
            place: format!("{}:{}", survey.logs[*log].source.path.display(), line.line),
            code: None,
            why: line.why.to_owned(),
            text: Some(line.text.clone()),
        });
        Self {
            left: survey.messages() - (all.imported + all.already + all.refused.len()),
            total: Row::of(&total, &all),
            groups,
            files,
            not_logs: survey.not_logs.clone(),
            unparsed: unparsed.collect(),
            refused,
            marked: survey.roll.marked().map(Marked::of).collect(),
            notes: Vec::new(),
        }
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(out)?;
        for group in &self.groups {
            writeln!(out, "group {:?} {}: {} messages", group.title, group.conversation, group.messages)?;
        }
        if !self.not_logs.is_empty() {
            writeln!(out, "{} files are no logs", self.not_logs.len())?;
        }
        let guessed = self.files.iter().filter(|file| file.half_day_guessed).count();
        if guessed > 0 {
            writeln!(out, "{guessed} logs show hours up to 12 only: their times may be twelve hours early")?;
        }
        for marked in &self.marked {
            writeln!(out, "{} has the name {}: its own is taken, or looks like one that is", marked.nick, marked.name)?;
        }
        for line in &self.unparsed {
            writeln!(out, "{}: not understood: {}: {:?}", line.place, line.why, line.text.as_deref().unwrap_or_default())?;
        }
        let unshown = (self.total.unparsed as usize).saturating_sub(self.unparsed.len());
        if unshown > 0 {
            writeln!(out, "… and {unshown} more lines that were not understood")?;
        }
        for line in self.refused.iter().take(REFUSED_SHOWN_MAX) {
            writeln!(out, "{}: refused: {} ({})", line.place, line.why, line.code.as_deref().unwrap_or_default())?;
        }
        if self.refused.len() > REFUSED_SHOWN_MAX {
            writeln!(out, "… and {} more lines that were refused", self.refused.len() - REFUSED_SHOWN_MAX)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))
    }
}

impl Report {
    fn table(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![("file".to_owned(), HEADINGS.map(str::to_owned))];
        rows.extend(self.files.iter().map(|file| (format!("{}/{}", file.channel, file.name), file.row.cells())));
        rows.push(("all".to_owned(), self.total.cells()));
        let first = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(|at| rows.iter().map(|(_, cells)| cells[at].len()).max().unwrap_or(0));
        for (name, cells) in rows {
            write!(out, "{name:<first$}")?;
            for (cell, width) in cells.iter().zip(widths) {
                write!(out, "  {cell:>width$}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Group {
    pub(super) fn of(work: &Work<'_>) -> Self {
        let messages = work.todos.iter().map(|todo| todo.part.lines.len()).sum();
        Self { title: work.title.to_owned(), conversation: work.conversation.to_string(), messages }
    }
}

impl Marked {
    fn of(person: &Person) -> Self {
        Self { nick: person.nick.clone(), name: person.name.clone() }
    }
}
