//! What happened in a run: everything that was asked and answered, and everything that readers
//! saw, in the order in which it was written down. Kept as JSON, one record a line.
//!
//! Must not know: any protocol. The words are those that every chat server has: user,
//! conversation, seq, body, key (the client's own id of a change).

mod record;
mod recorder;
mod words;

use std::io::{self, BufRead, Write};

pub use record::{At, ConnectionId, Extent, Fault, FaultId, Known, OpId, Path, Record, Way, What};
pub use recorder::Recorder;
pub use words::{Act, Event, Head, Kind, Leaver, Listed, Message, Name, Past, Position, Presence, Seq, Status, Turn};

/// A run, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Its records; `at` never goes back.
    pub records: Vec<Record>,
}

impl History {
    /// Reads a history, one record a line; empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// What the reader fails with, and `InvalidData` for a line that is not a record.
    pub fn read(from: impl BufRead) -> io::Result<Self> {
        let mut records = Vec::new();
        for (number, line) in from.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let record =
                serde_json::from_str(&line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {e}", number + 1)))?;
            records.push(record);
        }
        Ok(Self { records })
    }

    /// Writes a history as [`History::read`] reads it.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        for record in &self.records {
            serde_json::to_writer(&mut to, record)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }
}
