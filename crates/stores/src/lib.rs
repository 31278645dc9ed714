//! Which stores there are: what an operator calls them, and how each is opened.
//!
//! The only crate that knows all drivers. Must not know: what is in a store, who serves it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use chirrup_store::embedded::{self, EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::Kv;

/// The directory of the embedded store in a server's data directory.
pub const STORE_DIR: &str = "store";

const EMBEDDED: &str = "embedded";

/// A store, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreName {
    /// `embedded:DIR`: the one in a server's data directory.
    Embedded(PathBuf),
}

/// What is no store's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no store: it is embedded:DIR, where DIR is a server's data directory")]
pub struct NameError(String);

impl FromStr for StoreName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            Some((EMBEDDED, dir)) if !dir.is_empty() => Ok(Self::Embedded(dir.into())),
            _ => Err(NameError(text.to_owned())),
        }
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "{EMBEDDED}:{}", dir.display()),
        }
    }
}

/// How stores are opened, whichever it is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Of an embedded one.
    pub embedded: EmbeddedOptions,
}

/// Why a store is not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error("there is no store in {}", .0.display())]
    Absent(PathBuf),
    /// Its directory cannot be made.
    #[error("failed to make {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An embedded one.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
}

/// Opens a store that is there. No other process has it open meanwhile.
pub fn open(name: &StoreName, options: &Options) -> Result<Arc<dyn Kv>, OpenError> {
    match name {
        StoreName::Embedded(data) => {
            // Opening would make one.
            if !data.join(STORE_DIR).is_dir() {
                return Err(OpenError::Absent(data.clone()));
            }
            Ok(Arc::new(open_embedded(data, &options.embedded)?))
        }
    }
}

/// Opens a store, or makes one where there is none.
pub fn open_or_make(name: &StoreName, options: &Options) -> Result<Arc<dyn Kv>, OpenError> {
    match name {
        StoreName::Embedded(data) => Ok(Arc::new(open_embedded(data, &options.embedded)?)),
    }
}

/// Opens the embedded store of a server's data directory, or makes it.
pub fn open_embedded(data: &Path, options: &EmbeddedOptions) -> Result<EmbeddedKv, OpenError> {
    std::fs::create_dir_all(data).map_err(|source| OpenError::Directory { path: data.to_owned(), source })?;
    Ok(EmbeddedKv::open(&data.join(STORE_DIR), options.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown_and_others_refused() {
        for text in ["embedded:chirrup-data", "embedded:/var/lib/chirrup", "embedded:a:b"] {
            assert_eq!(text.parse::<StoreName>().unwrap().to_string(), text);
        }
        for text in ["", "embedded", "embedded:", "chirrup-data", "other:x", "Embedded:x"] {
            assert!(text.parse::<StoreName>().unwrap_err().to_string().contains("embedded:DIR"), "{text}");
        }
    }

    #[test]
    fn a_store_is_made_only_where_it_may_be_and_is_open_once() {
        let dir = tempfile::tempdir().unwrap();
        let name = StoreName::Embedded(dir.path().join("data"));
        let options = Options { embedded: EmbeddedOptions { reserve_bytes: 0, ..EmbeddedOptions::small() } };
        assert!(matches!(open(&name, &options), Err(OpenError::Absent(_))));
        let made = open_or_make(&name, &options).unwrap();
        assert!(matches!(open(&name, &options), Err(OpenError::Embedded(embedded::OpenError::Locked { .. }))));
        drop(made);
        open(&name, &options).unwrap();
    }
}
