//! The outbox on disk: one file a process, of checked lines that are only ever appended, and written
//! anew when most of it is settled. What a process left that ended early is taken over by the next.
//!
//! A line is the CRC-32 of its text in hexadecimal, a space, and JSON: `{"version":1}` first, then
//! `{"add":{…}}` and `{"settled":"…"}`. A line that was torn at the end of a file was never acted
//! on, and is left out; a broken line elsewhere is damage, and is told.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::text;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::files::{self, error};
use crate::limits::OUTBOX_SETTLED_MAX;
use crate::machine::{Body, Entry, Record};

const VERSION: u32 = 1;
const SUFFIX: &str = "outbox";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Version(u32),
    #[serde(borrow)]
    Add(Added<'a>),
    Settled(#[serde(with = "text")] ClientId),
}

#[derive(Serialize, Deserialize)]
struct Added<'a> {
    #[serde(with = "text")]
    client_id: ClientId,
    #[serde(with = "text")]
    conversation: ConversationId,
    #[serde(borrow)]
    request: &'a RawValue,
}

/// The outbox's file of this process.
#[derive(Debug)]
pub struct OutboxFile {
    path: PathBuf,
    file: File,
    /// What the file holds that is not settled, in order.
    live: Vec<Entry>,
    settled: usize,
    /// A write failed: what stands at the end of the file is not known.
    broken: bool,
}

impl OutboxFile {
    /// Opens a file of this process's own in a directory, which is made if need be, and moves into
    /// it what ended processes left there. `name` must be new, and grow from process to process.
    pub fn open(directory: &Path, name: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(|e| error(directory, e))?;
        let left = leftovers(directory)?;
        let mut seen = HashSet::new();
        let live: Vec<Entry> =
            left.iter().flat_map(|(_, _, entries)| entries.iter()).filter(|entry| seen.insert(entry.client_id)).cloned().collect();
        let path = directory.join(format!("{name}.{SUFFIX}"));
        let file = write_whole(&path, &path, &live).map_err(|e| error(&path, e))?;
        for (old, _lock, _) in left {
            std::fs::remove_file(&old).map_err(|e| error(&old, e))?;
        }
        Ok(Self { path, file, live, settled: 0, broken: false })
    }

    /// Entries that are not settled, in the order in which they came.
    pub fn entries(&self) -> &[Entry] {
        &self.live
    }

    /// Makes these durable. After an error none of the entries among them stands in the file.
    pub fn append(&mut self, records: &[Record]) -> Result<(), Error> {
        let (before, settled) = (self.live.clone(), self.settled);
        for record in records {
            match record {
                Record::Added(entry) => self.live.push(entry.clone()),
                Record::Settled(client_id) => {
                    self.live.retain(|entry| entry.client_id != *client_id);
                    self.settled += 1;
                }
            }
        }
        let written = if self.broken || self.settled > OUTBOX_SETTLED_MAX { self.rewrite() } else { self.write(records) };
        if written.is_err() {
            (self.live, self.settled, self.broken) = (before, settled, true);
        }
        written.map_err(|e| error(&self.path, e))
    }

    fn write(&mut self, records: &[Record]) -> std::io::Result<()> {
        let text: String = records.iter().map(line_of).collect();
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()
    }

    fn rewrite(&mut self) -> std::io::Result<()> {
        let draft = self.path.with_extension("draft");
        match std::fs::remove_file(&draft) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        self.file = write_whole(&draft, &self.path, &self.live)?;
        (self.settled, self.broken) = (0, false);
        Ok(())
    }
}

impl Drop for OutboxFile {
    /// A file in which nothing is left goes.
    fn drop(&mut self) {
        if self.live.is_empty() {
            // The next process removes it if this fails.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes a whole file under one name, locked, and moves it to the other.
fn write_whole(draft: &Path, path: &Path, live: &[Entry]) -> std::io::Result<File> {
    let mut file = files::create(draft)?;
    file.try_lock()?;
    let mut text = checked(&Line::Version(VERSION));
    text.extend(live.iter().map(|entry| line_of(&Record::Added(entry.clone()))));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if draft != path {
        std::fs::rename(draft, path)?;
    }
    files::sync_directory(path)?;
    Ok(file)
}

fn checked(line: &Line) -> String {
    let json = serde_json::to_string(line).expect("lines are plain values with text keys");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn line_of(record: &Record) -> String {
    match record {
        Record::Settled(client_id) => checked(&Line::Settled(*client_id)),
        Record::Added(entry) => {
            let request: &RawValue = serde_json::from_str(entry.body.json()).expect("a body is JSON");
            checked(&Line::Add(Added { client_id: entry.client_id, conversation: entry.conversation, request }))
        }
    }
}

/// Files of ended processes, oldest first, locked, with what is not settled in each.
fn leftovers(directory: &Path) -> Result<Vec<(PathBuf, File, Vec<Entry>)>, Error> {
    let listing = std::fs::read_dir(directory).map_err(|e| error(directory, e))?;
    let mut paths: Vec<PathBuf> = listing.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == SUFFIX));
    paths.sort();
    let mut left = Vec::new();
    for path in paths {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // Another process was faster.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(error(&path, e)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(e)) => return Err(error(&path, e)),
        }
        // Locked only after another process took it over and removed it: not there any more.
        if file.metadata().map_err(|e| error(&path, e))?.nlink() == 0 {
            continue;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|e| error(&path, e))?;
        let entries = read(&text).map_err(|reason| error(&path, reason))?;
        left.push((path, file, entries));
    }
    Ok(left)
}

/// What is not settled in a file, in order; or where it is damaged.
fn read(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (n, line) in lines.iter().enumerate() {
        let parsed = parse(line);
        match parsed {
            None if n + 1 == lines.len() => break,
            None => return Err(format!("line {} is damaged; move the file away to go on without it", n + 1)),
            Some(Line::Version(version)) if version != VERSION => {
                return Err(format!("it is of format {version}, and this program knows only format {VERSION}"));
            }
            Some(Line::Version(_)) => {}
            Some(Line::Settled(client_id)) => entries.retain(|entry| entry.client_id != client_id),
            Some(Line::Add(added)) => {
                let Ok(body) = Body::stored(added.request) else {
                    return Err(format!("line {} holds a request that this program does not know", n + 1));
                };
                entries.push(Entry { client_id: added.client_id, conversation: added.conversation, body });
            }
        }
    }
    Ok(entries)
}

/// A line, if it is whole and as it was written.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, json) = line.split_once(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json.as_bytes())).then_some(())?;
    serde_json::from_str(json).ok()
}
