//! What was played, and what each in it should see: worked out of the log and the rule of
//! visibility alone, to be held against what the server gives.
//!
//! Must not know: the server, how it decides who sees what.

use std::fmt::{self, Write as _};

use chirrup_core::ids::Seq;
use chirrup_protocol::choice::{Form, History};

/// A person of the play, by number in the roll.
pub(crate) type PersonId = usize;

/// One event of the group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The group began.
    Begin,
    /// Somebody became a member.
    Enter(PersonId),
    /// Somebody said or did something.
    Say(PersonId, Form, String),
    /// Somebody left.
    Leave(PersonId),
}

/// The events of the group's log, the first with seq 1.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    entries: Vec<Entry>,
    history: History,
}

/// Who sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Who owns the group: there from the first event to the last.
    Operator,
    /// Somebody in the play.
    Person(PersonId),
}

/// What one reader sees, line by line. Two are compared by their digests and, where those differ,
/// shown side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sheet {
    lines: Vec<(Seq, String)>,
}

impl Script {
    /// A group that has just begun, with its rule for what members see of the time before them.
    pub(crate) fn new(history: History) -> Self {
        Self { entries: vec![Entry::Begin], history }
    }

    /// The next event of the log. Its seq is then [`Script::head`].
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The last event.
    pub(crate) fn head(&self) -> Seq {
        self.entries.len() as Seq
    }

    /// How often somebody entered, spoke and left.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let count = |of: fn(&Entry) -> bool| self.entries.iter().filter(|entry| of(entry)).count();
        [
            count(|entry| matches!(entry, Entry::Enter(_))),
            count(|entry| matches!(entry, Entry::Say(..))),
            count(|entry| matches!(entry, Entry::Leave(_))),
        ]
    }

    /// The event by which a reader first came in; none if they never did.
    pub(crate) fn first(&self, reader: Reader) -> Option<Seq> {
        self.events().find(|(_, entry)| comes(entry, reader)).map(|(seq, _)| seq)
    }

    /// The last event that a reader may see; 0 if there is none.
    pub(crate) fn last(&self, reader: Reader) -> Seq {
        let goes = |entry: &Entry| matches!((entry, reader), (Entry::Leave(person), Reader::Person(own)) if *person == own);
        let turn = self.events().filter(|(_, entry)| comes(entry, reader) || goes(entry)).last();
        match turn {
            None => 0,
            Some((seq, entry)) if goes(entry) => seq,
            Some(_) => self.head(),
        }
    }

    /// The whole log as a reader gets it: up to the last event that they may see, each whole or
    /// hidden.
    pub(crate) fn log(&self, reader: Reader) -> Sheet {
        let mut sheet = Sheet::default();
        let mut present = false;
        let all = self.history == History::Full;
        for (seq, entry) in self.events().take(self.last(reader) as usize) {
            present |= comes(entry, reader);
            if present || all {
                sheet.push(seq, entry);
            } else {
                sheet.hidden(seq);
            }
            if let (Entry::Leave(person), Reader::Person(own)) = (entry, reader) {
                // The leave itself is the last that is seen.
                present &= *person != own;
            }
        }
        sheet
    }

    fn events(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        (1..).zip(&self.entries)
    }
}

fn comes(entry: &Entry, reader: Reader) -> bool {
    match reader {
        Reader::Operator => *entry == Entry::Begin,
        Reader::Person(own) => *entry == Entry::Enter(own),
    }
}

impl Sheet {
    /// An event that is seen.
    pub(crate) fn push(&mut self, seq: Seq, entry: &Entry) {
        self.lines.push((seq, entry.to_string()));
    }

    /// An event that is hidden.
    pub(crate) fn hidden(&mut self, seq: Seq) {
        self.lines.push((seq, "hidden".to_owned()));
    }

    /// Something that has no place in this play.
    pub(crate) fn stranger(&mut self, seq: Seq, what: String) {
        self.lines.push((seq, what));
    }

    /// Only what was said.
    pub(crate) fn messages(&self) -> Self {
        let said = self.lines.iter().filter(|(_, line)| line.starts_with("said\t"));
        Self { lines: said.cloned().collect() }
    }

    /// Only what comes from this event on.
    pub(crate) fn since(&self, first: Seq) -> Self {
        Self { lines: self.lines.iter().filter(|(seq, _)| *seq >= first).cloned().collect() }
    }

    /// How many lines.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// BLAKE3 of all lines.
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (seq, line) in &self.lines {
            hasher.update(format!("{seq}\t{}\t{line}\n", line.len()).as_bytes());
        }
        hasher.finalize()
    }

    /// The first place where two differ, for a person; none if they are equal.
    pub(crate) fn difference(&self, expected: &Self) -> Option<String> {
        if self.digest() == expected.digest() {
            return None;
        }
        let at = self.lines.iter().zip(&expected.lines).take_while(|(here, there)| here == there).count();
        let mut told = format!("line {} of {} (expected {}):", at + 1, self.len(), expected.len());
        for (what, sheet) in [("is", self), ("should be", expected)] {
            let line = sheet.lines.get(at).map_or_else(|| "nothing".to_owned(), |(seq, line)| format!("{seq} {line:?}"));
            write!(told, " {what} {line}").expect("writing to a string cannot fail");
        }
        Some(told)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("began"),
            Self::Enter(person) => write!(f, "entered\t{person}"),
            Self::Say(person, Form::Text, text) => write!(f, "said\t{person}\ttext\t{text}"),
            Self::Say(person, Form::Action, text) => write!(f, "said\t{person}\taction\t{text}"),
            Self::Leave(person) => write!(f, "left\t{person}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ann comes, speaks, bob comes and speaks, ann goes, bob speaks, ann comes again, bob speaks.
    fn script(history: History) -> Script {
        let mut script = Script::new(history);
        let say = |person, text: &str| Entry::Say(person, Form::Text, text.to_owned());
        let entries = [
            Entry::Enter(0),
            say(0, "a"),
            Entry::Enter(1),
            say(1, "b"),
            Entry::Leave(0),
            say(1, "c"),
            Entry::Enter(0),
            Entry::Say(1, Form::Action, "d".to_owned()),
            Entry::Leave(1),
        ];
        for entry in entries {
            script.push(entry);
        }
        script
    }

    fn seen(sheet: &Sheet) -> String {
        let sign = |line: &str| line.rsplit('\t').next().filter(|_| line.starts_with("said")).and_then(|text| text.chars().next());
        sheet.lines.iter().map(|(_, line)| if line == "hidden" { '.' } else { sign(line).unwrap_or('*') }).collect()
    }

    #[test]
    fn who_came_later_sees_from_there_and_not_what_was_while_they_were_away() {
        let script = script(History::FromJoin);
        assert_eq!(script.head(), 10);
        let ways = [Reader::Operator, Reader::Person(0), Reader::Person(1), Reader::Person(2)];
        assert_eq!(ways.map(|reader| seen(&script.log(reader))), ["**a*b*c*d*", ".*a*b*.*d*", "...*b*c*d*", ""]);
        assert_eq!(
            ways.map(|reader| (script.first(reader), script.last(reader))),
            [(Some(1), 10), (Some(2), 10), (Some(4), 10), (None, 0)]
        );
        let said = script.log(Reader::Person(0)).messages();
        assert_eq!((seen(&said), said.since(6).len()), ("abd".to_owned(), 1));
    }

    #[test]
    fn with_full_history_everything_up_to_the_last_leave_is_seen() {
        let mut script = script(History::Full);
        assert_eq!(seen(&script.log(Reader::Person(1))), "**a*b*c*d*");
        script.push(Entry::Say(0, Form::Text, "e".to_owned()));
        assert_eq!(seen(&script.log(Reader::Person(1))), "**a*b*c*d*", "bob has left");
        assert_eq!(seen(&script.log(Reader::Person(0))), "**a*b*c*d*e");
    }

    #[test]
    fn a_difference_is_told_by_its_place() {
        let script = script(History::Full);
        let sheet = script.log(Reader::Operator);
        assert_eq!(sheet.difference(&sheet.clone()), None);
        let mut other = sheet.since(2);
        assert!(other.difference(&sheet).unwrap().contains("line 1 of 9 (expected 10): is 2 \"entered\\t0\" should be 1 \"began\""));
        other = sheet.clone();
        other.stranger(11, "left\t1".to_owned());
        assert!(other.difference(&sheet).unwrap().ends_with("is 11 \"left\\t1\" should be nothing"));
    }
}
