//! From the paths that were given to log files: which there are, into which channel each belongs,
//! and by which name its lines are known for ever.
//!
//! Must not know: the server, what the lines say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::irc::Log;

/// The largest file that is read: reading takes a few times its size in memory.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// The most files that one import looks at.
const FILES_MAX: usize = 200_000;

/// A file that may be a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its channel: the one that was given for all, or the name of its folder. A folder that holds
    /// files is one channel with all that is below it; in one that holds only folders, each of
    /// them is one.
    pub(crate) channel: String,
    /// Whether lines that name a channel themselves belong there all the same.
    pub(crate) gathered: bool,
    /// Its name below that channel's folder, with `/` between: client ids are made of it, so it is
    /// the same whether the file, its channel's folder or the folder above is given.
    pub(crate) name: String,
}

impl Source {
    /// Reads the whole file; none if it is no log.
    pub(crate) fn read(&self) -> Result<Option<Log>> {
        let failed = || format!("failed to read {}", self.path.display());
        let size = fs::metadata(&self.path).with_context(failed)?.len();
        if size > FILE_BYTES_MAX {
            bail!("{} is too large: {size} bytes, where {FILE_BYTES_MAX} are the limit; split it", self.path.display());
        }
        let log = Log::parse(&self.name, &fs::read(&self.path).with_context(failed)?);
        Ok(log.is_log().then_some(log))
    }
}

/// Every file below these paths, by the bytes of its path; hidden ones and links to folders are
/// left out. `into` is the channel of all, if it was given.
pub(crate) fn find(paths: &[PathBuf], into: Option<&str>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for given in paths {
        let absolute = fs::canonicalize(given).with_context(|| format!("failed to read {}", given.display()))?;
        let (folder, found) = if absolute.is_dir() {
            (absolute.as_path(), walk(&absolute)?)
        } else {
            (absolute.parent().unwrap_or(&absolute), vec![absolute.clone()])
        };
        let collection = into.is_none() && found.iter().all(|path| path.parent() != Some(folder));
        sources.extend(found.into_iter().map(|path| place(folder, collection, path, into)));
        if sources.len() > FILES_MAX {
            bail!("more than {FILES_MAX} files: import them a folder at a time");
        }
    }
    sources.sort_unstable_by(|a, b| a.path.as_os_str().as_encoded_bytes().cmp(b.path.as_os_str().as_encoded_bytes()));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}

fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let failed = || format!("failed to read {}", next.display());
        for entry in fs::read_dir(&next).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let kind = entry.file_type().with_context(failed)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.path().is_file() {
                found.push(entry.path());
            }
            if found.len() + folders.len() > FILES_MAX {
                bail!("more than {FILES_MAX} files below {}: import them a folder at a time", folder.display());
            }
        }
    }
    Ok(found)
}

fn place(folder: &Path, collection: bool, path: PathBuf, into: Option<&str>) -> Source {
    let below = path.strip_prefix(folder).unwrap_or(&path);
    let mut parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let own = if collection { Some(parts.remove(0)) } else { folder.file_name().map(|name| name.to_string_lossy().into_owned()) };
    let channel = into.map_or_else(|| own.unwrap_or_else(|| "irc".to_owned()), str::to_owned);
    Source { path, channel, gathered: into.is_some(), name: parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[Source]) -> Vec<(&str, &str)> {
        sources.iter().map(|source| (source.channel.as_str(), source.name.as_str())).collect()
    }

    #[test]
    fn a_file_has_one_channel_and_one_name_from_wherever_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("logs");
        for name in ["rust/2011/01.log", "rust/a.log", "go/a.log", ".hidden/a.log", "rust/.b.log", ".c.log"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(&root, root.join("rust/round")).unwrap();

        let expected = [("go", "a.log"), ("rust", "2011/01.log"), ("rust", "a.log")];
        let all = find(std::slice::from_ref(&root), None).unwrap();
        assert_eq!(names(&all), expected);
        let parts = [root.join("rust/a.log"), root.join("rust"), root.join("go"), root.join("go/a.log")];
        assert_eq!(names(&find(&parts, None).unwrap()), expected, "twice given is once");
        assert_eq!(names(&find(&[root.join("rust")], Some("x")).unwrap()), [("x", "2011/01.log"), ("x", "a.log")]);
        assert!(find(&[root.join("absent")], None).is_err());
    }
}
