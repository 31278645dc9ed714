//! Why a store cannot be opened.

use std::io;
use std::path::{Path, PathBuf};

/// Why [`EmbeddedKv::open`](super::EmbeddedKv::open) failed. Nothing of the store's contents was
/// changed, except that a first start may have left an unfinished store, which the next start
/// makes anew.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused something.
    #[error("failed to {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "failed to … PATH".
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Another process, or another part of this one, has the directory open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory has files, but they are not a store of ours, or the file that says so is gone.
    #[error("{} is not empty and not a Chirrup store: {what}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found or missed.
        what: String,
    },
    /// The store was written in a format that this version does not know.
    #[error("{} has store format {found}; this version reads format {supported}", path.display())]
    Format {
        /// The file that tells the format.
        path: PathBuf,
        /// The format found there.
        found: String,
        /// The only format this version reads.
        supported: u32,
    },
    /// A file does not hold what was written to it.
    #[error("damaged file {} at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

impl OpenError {
    /// For `map_err`: says what was tried and on which path.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }
}
