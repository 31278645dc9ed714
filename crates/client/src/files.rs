//! Files of the client: replaced whole, readable by their owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// An error about a file.
pub(crate) fn error(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::File { path: path.to_owned(), reason: reason.to_string() }
}

/// Creates a file that only its owner can read; it must not exist.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)
}

/// Replaces a file by these bytes: after a crash the old one is there, or the new one, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let suffix = u32::from_le_bytes(crate::edge::random());
    let draft = path.with_file_name(format!(".{name}.{suffix:08x}"));
    let written = (|| {
        let mut file = create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        sync_directory(path)
    })();
    written.map_err(|e| {
        // Of no use to anybody; if it cannot be removed, the error that is told says why.
        let _ = std::fs::remove_file(&draft);
        error(path, e)
    })
}

/// Makes the names in a file's directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    File::open(parent)?.sync_all()
}
