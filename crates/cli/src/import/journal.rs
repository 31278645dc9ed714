//! What an import has behind it, kept in a file so that the next run begins there: one JSON record
//! a line, appended when all lines of a log up to some line are settled. It only saves time:
//! where it is lost, cut short or of another server, lines are sent again and the server knows
//! them by their client ids.
//!
//! Must not know: what the lines say, how they are sent.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chirrup_client::files;
use chirrup_core::ids::{ConversationId, Seq};
use chirrup_protocol::text;
use serde::{Deserialize, Serialize};

/// Records more than twice what they add up to are put together when the file is opened, if there
/// are at least so many.
const COMPACT_FROM: usize = 1_000;

/// A line that the server did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// Its number in the file, from 1.
    pub(crate) line: u32,
    /// The stable code of the refusal.
    pub(crate) code: String,
    /// A sentence for people.
    pub(crate) why: String,
}

/// All lines of a log file up to `line` that belong into this conversation are settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// Where they went to.
    #[serde(with = "text")]
    pub(crate) conversation: ConversationId,
    /// The file's name as client ids are made of it.
    pub(crate) file: String,
    /// The last of them.
    pub(crate) line: u32,
    /// The highest event that the server has answered with in this conversation.
    pub(crate) seq: Seq,
    /// Those that the server did not take, since the record before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<Refused>,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    settled: HashMap<ConversationId, HashMap<String, Settled>>,
}

impl Journal {
    /// Reads the file, or begins one. Records that cannot be read are passed over: a crash may
    /// have cut the last one short.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let used = || format!("failed to use {}", path.display());
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.with_context(used)?,
        };
        let mut settled = HashMap::new();
        let mut records = 0;
        for record in bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            records += 1;
            note(&mut settled, record);
        }
        let sum: usize = settled.values().map(HashMap::len).sum();
        let whole = bytes.ends_with(b"\n") && (records < COMPACT_FROM || records <= 2 * sum);
        let file = if whole { append(path)? } else { rewrite(path, &settled)? };
        Ok(Self { path: path.to_owned(), file, settled })
    }

    /// The last record of a file's lines in this conversation, with all that were not taken.
    pub(crate) fn settled(&self, conversation: ConversationId, file: &str) -> Option<&Settled> {
        self.settled.get(&conversation)?.get(file)
    }

    /// Holds what is known of a conversation against its head: a log that ends before was put back
    /// to an earlier time, so what was settled may be gone, and is forgotten for good.
    pub(crate) fn check(&mut self, conversation: ConversationId, head: Seq) -> Result<()> {
        let beyond = |files: &HashMap<String, Settled>| files.values().any(|settled| settled.seq > head);
        if self.settled.get(&conversation).is_some_and(beyond) {
            self.settled.remove(&conversation);
            self.file = rewrite(&self.path, &self.settled)?;
        }
        Ok(())
    }

    /// Keeps these records; they are durable when it returns.
    pub(crate) fn keep(&mut self, records: Vec<Settled>) -> Result<()> {
        let written = self.file.write_all(&lines(&records)).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("failed to write {}", self.path.display()))?;
        for record in records {
            note(&mut self.settled, record);
        }
        Ok(())
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).open(path).with_context(|| format!("failed to use {}", path.display()))
}

fn rewrite(path: &Path, settled: &HashMap<ConversationId, HashMap<String, Settled>>) -> Result<File> {
    files::replace(path, &lines(settled.values().flat_map(HashMap::values)))?;
    append(path)
}

fn note(settled: &mut HashMap<ConversationId, HashMap<String, Settled>>, record: Settled) {
    let files = settled.entry(record.conversation).or_default();
    match files.get_mut(&record.file) {
        Some(known) => {
            // A log may be sent again from its beginning.
            known.refused.extend(record.refused.into_iter().filter(|refused| refused.line > known.line));
            known.line = known.line.max(record.line);
            known.seq = known.seq.max(record.seq);
        }
        None => drop(files.insert(record.file.clone(), record)),
    }
}

fn lines<'a>(records: impl IntoIterator<Item = &'a Settled>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record).expect("records are plain structs with text keys");
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ConversationId = ConversationId([1; 16]);

    fn record(file: &str, line: u32, seq: Seq) -> Settled {
        Settled { conversation: HERE, file: file.to_owned(), line, seq, refused: Vec::new() }
    }

    fn refused(line: u32) -> Refused {
        Refused { line, code: "text_refused".to_owned(), why: "the text is empty".to_owned() }
    }

    #[test]
    fn what_was_kept_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.settled(HERE, "a"), None);
        journal.keep(vec![Settled { refused: vec![refused(2)], ..record("a", 10, 9) }, record("b", 5, 14)]).unwrap();
        journal.keep(vec![Settled { refused: vec![refused(12)], ..record("a", 20, 18) }]).unwrap();
        journal.keep(vec![Settled { refused: vec![refused(2)], ..record("a", 10, 9) }]).unwrap();
        let expected = Settled { refused: vec![refused(2), refused(12)], ..record("a", 20, 18) };
        assert_eq!(journal.settled(HERE, "a"), Some(&expected));
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.settled(HERE, "a"), Some(&expected));
        assert_eq!(journal.settled(HERE, "b"), Some(&record("b", 5, 14)));
        assert_eq!(journal.settled(ConversationId([2; 16]), "a"), None);
    }

    #[test]
    fn a_record_cut_short_is_passed_over_and_what_follows_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::open(&path).unwrap().keep(vec![record("a", 10, 9), record("a", 20, 19)]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.settled(HERE, "a").unwrap().line, 10);
        journal.keep(vec![record("a", 15, 14)]).unwrap();
        assert_eq!(Journal::open(&path).unwrap().settled(HERE, "a").unwrap().line, 15);
    }

    #[test]
    fn a_conversation_that_ends_before_what_is_known_of_it_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("journal")).unwrap();
        journal.keep(vec![record("a", 10, 9)]).unwrap();
        journal.check(HERE, 9).unwrap();
        assert!(journal.settled(HERE, "a").is_some());
        journal.check(HERE, 8).unwrap();
        assert!(journal.settled(HERE, "a").is_none());
        journal.keep(vec![record("b", 1, 2)]).unwrap();
        let journal = Journal::open(&folder.path().join("journal")).unwrap();
        assert!(journal.settled(HERE, "a").is_none() && journal.settled(HERE, "b").is_some());
    }

    #[test]
    fn many_records_are_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let many: u32 = 1_500;
        Journal::open(&path).unwrap().keep((1..=many).map(|line| record("a", line, 1)).collect()).unwrap();
        assert_eq!(Journal::open(&path).unwrap().settled(HERE, "a").unwrap().line, many);
        assert_eq!(fs::read(&path).unwrap().split_inclusive(|byte| *byte == b'\n').count(), 1);
    }
}
