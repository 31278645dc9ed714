//! The first of two readings: what is in the logs, in which order each channel's files go, and
//! who speaks in them. The second reading sends, one file at a time, so that memory is bounded by
//! the largest file.
//!
//! Must not know: the server.

use std::collections::BTreeMap;

use anyhow::Result;

use super::source::Source;
use crate::irc::{Dial, LineKind, Log, Roll, Said, Stamp, Tally};

/// Unparsed lines that are shown; the others are only counted.
const UNPARSED_SHOWN_MAX: usize = 1_000;

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The logs, by path.
    pub(crate) logs: Vec<Surveyed>,
    /// Files that are no logs.
    pub(crate) not_logs: Vec<String>,
    /// The channels, by name.
    pub(crate) channels: BTreeMap<String, Vec<Part>>,
    /// Everybody who speaks.
    pub(crate) roll: Roll,
    /// Unparsed lines: the number of the log, and what is there.
    pub(crate) unparsed: Vec<(usize, Unparsed)>,
}

/// A log that was looked through.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// Which.
    pub(crate) source: Source,
    /// What its lines add up to.
    pub(crate) tally: Tally,
    /// How far its clock goes.
    pub(crate) dial: Dial,
    /// Nothing tells whether its times are of the morning or the afternoon.
    pub(crate) half_day_guessed: bool,
}

/// A line that was not understood.
#[derive(Debug)]
pub(crate) struct Unparsed {
    /// From 1.
    pub(crate) line: u32,
    /// Why.
    pub(crate) why: &'static str,
    /// What is there, cut.
    pub(crate) text: String,
}

/// What one log adds to one channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The number of the log.
    pub(crate) log: usize,
    /// When the first of its messages was sent, if that is known.
    pub(crate) begins: Option<Stamp>,
    /// The lines of its messages, ascending: how many there are up to a line is a search.
    pub(crate) lines: Vec<u32>,
    /// Who speaks, by number in the roll, and the last line in which they do.
    pub(crate) speakers: BTreeMap<usize, u32>,
}

impl Part {
    /// Messages that lie beyond this line.
    pub(crate) fn beyond(&self, line: u32) -> usize {
        self.lines.len() - self.lines.partition_point(|n| *n <= line)
    }
}

impl Survey {
    /// Looks through all files.
    pub(crate) fn of(sources: Vec<Source>) -> Result<Self> {
        let mut survey = Self::default();
        for source in sources {
            match source.read()? {
                Some(log) => survey.add(source, &log),
                None => survey.not_logs.push(source.path.display().to_string()),
            }
        }
        for parts in survey.channels.values_mut() {
            // Names that sort as their times do keep their order; names that do not are put right.
            parts.sort_by_key(|part| part.begins);
        }
        Ok(survey)
    }

    fn add(&mut self, source: Source, log: &Log) {
        let number = self.logs.len();
        for Spoken { line, said, channel, at } in spoken(log, &source) {
            let speaker = self.roll.meet(said.nick);
            if !self.channels.contains_key(channel) {
                self.channels.insert(channel.to_owned(), Vec::new());
            }
            let parts = self.channels.get_mut(channel).expect("it was just put in");
            if parts.last().is_none_or(|part| part.log != number) {
                parts.push(Part { log: number, begins: at, lines: Vec::new(), speakers: BTreeMap::new() });
            }
            if let Some(part) = parts.last_mut() {
                part.lines.push(line);
                part.speakers.insert(speaker, line);
            }
        }
        for line in log.unparsed() {
            if self.unparsed.len() < UNPARSED_SHOWN_MAX
                && let LineKind::Unparsed { reason, text } = &line.kind
            {
                let text = text.chars().take(200).collect();
                self.unparsed.push((number, Unparsed { line: line.number, why: reason.words(), text }));
            }
        }
        self.logs.push(Surveyed { source, tally: log.tally(), dial: log.dial, half_day_guessed: log.half_day_guessed });
    }

    /// All messages.
    pub(crate) fn messages(&self) -> usize {
        self.channels.values().flatten().map(|part| part.lines.len()).sum()
    }
}

/// Something that was said, and where it belongs.
pub(crate) struct Spoken<'a> {
    /// The number of its line.
    pub(crate) line: u32,
    /// By whom, how and what.
    pub(crate) said: Said<'a>,
    /// In which channel.
    pub(crate) channel: &'a str,
    /// When: the time of its line, of the line before that has one, or (before the first) of the
    /// first that has one.
    pub(crate) at: Option<Stamp>,
}

/// All that was said in a log.
pub(crate) fn spoken<'a>(log: &'a Log, source: &'a Source) -> impl Iterator<Item = Spoken<'a>> {
    let mut last = log.lines.iter().find_map(|line| line.at);
    log.lines.iter().filter_map(move |line| {
        last = line.at.or(last);
        let named = line.channel.as_deref().filter(|_| !source.gathered);
        line.said().map(|said| Spoken { line: line.number, said, channel: named.unwrap_or(&source.channel), at: last })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::source::find;
    use super::*;

    #[test]
    fn files_of_a_channel_go_by_time_and_speakers_are_met_once() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("c/z/2001-01-01.log", "[09:00] <Ann> a\n[09:01] <bob> b\n=== x [a@b] has joined #c\n[09:02] <ANN> c\n"),
            ("c/a/2001-01-02.log", "=== zed [z@h] has joined #c\n[10:00] <cid> d\nwhat is this\n"),
            ("c/notes.txt", "nothing that is a log\n"),
            ("d/2001-01-03.log", "d 2001-01-03 [10:00:00] <ann> e\ne 2001-01-03 [10:00:01] <ann> f\nd 2001-01-03 [10:00:02] <bob> g\n"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let survey = Survey::of(find(&[folder.path().to_owned()], None).unwrap()).unwrap();
        let files: Vec<&str> = survey.channels["c"].iter().map(|part| survey.logs[part.log].source.name.as_str()).collect();
        assert_eq!(files, ["z/2001-01-01.log", "a/2001-01-02.log"]);
        assert_eq!(survey.channels.keys().collect::<Vec<_>>(), ["c", "d", "e"]);
        let first = &survey.channels["c"][0];
        assert_eq!((&first.lines, first.beyond(0), first.beyond(1), first.beyond(4)), (&vec![1, 2, 4], 3, 2, 0));
        let nicks: Vec<_> = first.speakers.iter().map(|(id, line)| (survey.roll.people()[*id].nick.as_str(), *line)).collect();
        assert_eq!(nicks, [("Ann", 4), ("bob", 2)]);
        assert_eq!(survey.channels["d"][0].lines, [1, 3]);
        assert_eq!((survey.messages(), survey.roll.people().len(), survey.not_logs.len()), (7, 3, 1));
        let unparsed: Vec<_> = survey.unparsed.iter().map(|(log, line)| (*log, line.line, line.text.as_str())).collect();
        assert_eq!(unparsed, [(0, 3, "what is this")]);
    }

    #[test]
    fn a_line_without_a_time_has_that_of_the_line_before() {
        let mut source = Source { path: "/c/l".into(), channel: "u".to_owned(), gathered: false, name: "l".to_owned() };
        let log = Log::parse("l.txt", b"[01:05] <a> hi\n");
        assert!(spoken(&log, &source).all(|spoken| spoken.at.is_none()));
        let text =
            "=== Starting logfile irclogs/x\n=== a [b@c]  has joined #u\n=== a waves\n[01:05] <a> hi\n=== a smiles\n[01:07] <a> bye\n";
        let log = Log::parse("2005-01-01.txt", text.as_bytes());
        let times: Vec<_> = spoken(&log, &source).map(|s| (s.line, s.at.unwrap().unix_seconds() % 3_600)).collect();
        assert_eq!(times, [(3, 300), (4, 300), (5, 300), (6, 420)]);
        let log = Log::parse("l.txt", b"rust 2011-01-01 [01:05:00] <a> hi\n");
        assert_eq!(spoken(&log, &source).next().unwrap().channel, "rust");
        source.gathered = true;
        assert_eq!(spoken(&log, &source).next().unwrap().channel, "u");
    }
}
