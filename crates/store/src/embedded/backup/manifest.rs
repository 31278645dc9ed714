//! What belongs to a backup: lines of text, so that it can be read without this program.
//!
//! ```text
//! chirrup backup, format 1
//! store format 1
//! frame NUMBER                     the last commit that is in it
//! note NAME TEXT                   as the caller wants it kept
//! file BLAKE3 BYTES PATH           of every file below store/
//! digest BLAKE3                    of all lines before
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Component, Path};

use chirrup_core::hash::Hash;

use super::{BackupError, OpenError, copy, put_in_place};

/// The name of the manifest in a backup.
pub(super) const FILE_NAME: &str = "BACKUP";
const UNFINISHED_NAME: &str = "BACKUP.unfinished";
/// The only format of backups that this version writes and reads.
pub(super) const BACKUP_FORMAT: u32 = 1;

const FORMAT_PREFIX: &str = "chirrup backup, format ";
const STORE_PREFIX: &str = "store format ";
const FRAME_PREFIX: &str = "frame ";
const NOTE_PREFIX: &str = "note ";
const FILE_PREFIX: &str = "file ";
const DIGEST_PREFIX: &str = "digest ";

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    /// Below the directory of the store, with `/` between.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of what is in it.
    pub digest: Hash,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupManifest {
    /// Format of the store in it.
    pub store_format: u32,
    /// Number of the last commit that is in it.
    pub frame: u64,
    /// What its maker noted; names without spaces, texts of one line.
    pub notes: BTreeMap<String, String>,
    /// Every file.
    pub files: Vec<BackupFile>,
}

impl BackupManifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Reads the manifest of the backup in `dir`.
    pub fn read(dir: &Path) -> Result<Self, BackupError> {
        let path = dir.join(FILE_NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BackupError::Incomplete { path: dir.to_owned() }),
            Err(error) => return Err(OpenError::io("read", &path)(error).into()),
        };
        let damaged = |what: &str| BackupError::Damaged { path: path.clone(), what: what.to_owned() };
        let first = text.lines().next().unwrap_or_default();
        let found = first.strip_prefix(FORMAT_PREFIX).ok_or_else(|| damaged("does not tell a format"))?;
        if found != BACKUP_FORMAT.to_string() {
            return Err(BackupError::Format { path, found: found.to_owned() });
        }
        Self::parse(&text).ok_or_else(|| damaged("is not what was written"))
    }

    /// Writes the manifest of the backup in `dir`, all of whose files are durable.
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let (unfinished, path) = (dir.join(UNFINISHED_NAME), dir.join(FILE_NAME));
        fs::write(&unfinished, self.text()).map_err(OpenError::io("write", &unfinished))?;
        put_in_place(&unfinished, &path).map_err(OpenError::io("sync", &path))?;
        if let Some(parent) = dir.parent() {
            super::layout::sync_dir(parent)?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = format!("{FORMAT_PREFIX}{BACKUP_FORMAT}\n{STORE_PREFIX}{}\n{FRAME_PREFIX}{}\n", self.store_format, self.frame);
        for (name, note) in &self.notes {
            writeln!(text, "{NOTE_PREFIX}{name} {note}").expect("writing to memory does not fail");
        }
        for BackupFile { path, bytes, digest } in &self.files {
            writeln!(text, "{FILE_PREFIX}{digest} {bytes} {path}").expect("writing to memory does not fail");
        }
        let digest = copy::digest(text.as_bytes());
        text + DIGEST_PREFIX + &digest.to_string() + "\n"
    }

    fn parse(text: &str) -> Option<Self> {
        let end = text.rfind(DIGEST_PREFIX)?;
        let (body, digest) = text.split_at(end);
        if digest != format!("{DIGEST_PREFIX}{}\n", copy::digest(body.as_bytes())) {
            return None;
        }
        let mut lines = body.lines().skip(1);
        let store_format = lines.next()?.strip_prefix(STORE_PREFIX)?.parse().ok()?;
        let frame = lines.next()?.strip_prefix(FRAME_PREFIX)?.parse().ok()?;
        let mut manifest = Self { store_format, frame, notes: BTreeMap::new(), files: Vec::new() };
        for line in lines {
            if let Some(note) = line.strip_prefix(NOTE_PREFIX) {
                let (name, note) = note.split_once(' ')?;
                manifest.notes.insert(name.to_owned(), note.to_owned());
            } else {
                manifest.files.push(parse_file(line.strip_prefix(FILE_PREFIX)?)?);
            }
        }
        Some(manifest)
    }
}

fn parse_file(line: &str) -> Option<BackupFile> {
    let mut parts = line.splitn(3, ' ');
    let digest = Hash(*blake3::Hash::from_hex(parts.next()?).ok()?.as_bytes());
    let bytes = parts.next()?.parse().ok()?;
    let path = parts.next()?.to_owned();
    // A path that leads elsewhere is none of ours.
    let within = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    (within && !path.is_empty()).then_some(BackupFile { path, bytes, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str) -> BackupManifest {
        let file = BackupFile { path: path.to_owned(), bytes: 7, digest: Hash::of(b"seven b") };
        let notes = [("incarnation".to_owned(), "12".to_owned()), ("version".to_owned(), "chirrup 0.1.0".to_owned())];
        BackupManifest { store_format: 1, frame: 9, notes: notes.into(), files: vec![file.clone(), file] }
    }

    #[test]
    fn a_manifest_comes_back_and_a_changed_one_does_not() {
        let text = manifest("log/manifest").text();
        assert_eq!(BackupManifest::parse(&text), Some(manifest("log/manifest")));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(BackupManifest::parse(&String::from_utf8(bytes).unwrap()), None, "byte {at}");
            assert_eq!(BackupManifest::parse(&text[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["../x", "/etc/x", "a/../../x", "./x", ""] {
            assert_eq!(BackupManifest::parse(&manifest(path).text()), None, "{path}");
        }
    }

    #[test]
    fn a_backup_of_another_format_is_told_from_a_damaged_and_an_incomplete_one() {
        let dir = tempfile::tempdir().unwrap();
        let refused = || BackupManifest::read(dir.path()).unwrap_err();
        assert!(matches!(refused(), BackupError::Incomplete { .. }));
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, manifest("x").text().replace("format 1", "format 2")).unwrap();
        assert!(matches!(refused(), BackupError::Format { found, .. } if found == "2"));
        fs::write(&path, "").unwrap();
        assert!(matches!(refused(), BackupError::Damaged { .. }));
        manifest("x").write(dir.path()).unwrap();
        assert_eq!(BackupManifest::read(dir.path()).unwrap(), manifest("x"));
    }
}
