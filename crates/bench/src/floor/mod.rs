//! Floors: what this machine gives at best for the same work, without a line of the server's
//! code. Each is measured in the same run as the figure that stands beside it.

pub(crate) mod network;
pub(crate) mod shapes;
pub(crate) mod store;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

/// Length of a plain file; written round and round.
const FILE_BYTES: usize = 64 << 20;

/// A file that has its full length from the beginning, so that a sync has nothing to write but
/// the data.
struct PlainFile {
    file: File,
    at: u64,
}

impl PlainFile {
    fn create(path: &Path) -> Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&vec![0; FILE_BYTES])?;
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// Writes and syncs.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.at + bytes.len() as u64 > FILE_BYTES as u64 {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.file.sync_data()?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
