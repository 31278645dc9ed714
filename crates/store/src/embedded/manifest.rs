//! The log's manifest: which segments must be there. It is written before a segment is used for
//! the first time and before one is removed, so a segment that is missing is noticed.
//!
//! Two slots in a preallocated file are written in turn, so that a torn write leaves the one
//! before, and a full disk cannot prevent it. Must not know: frames.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::error::OpenError;
use super::file::{FileLayer, LayerFile, Open, is_no_room};

/// The name of the manifest's file.
pub(super) const FILE_NAME: &str = "manifest";

const SLOT_BYTES: usize = 4096;
const CONTENT_BYTES: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"chirrupM");

/// What must be true of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Rises with each write.
    pub(super) generation: u64,
    /// A random number that all segments of this store bear.
    pub(super) store: u64,
    /// The oldest segment that is still needed. Older ones are leftovers.
    pub(super) first_segment: u64,
    /// The number of the first frame in it.
    pub(super) first_number: u64,
    /// The newest segment that may hold frames.
    pub(super) newest_segment: u64,
    /// The number of the last frame, told when the store was closed in good order.
    pub(super) closed_after: Option<u64>,
}

impl Manifest {
    fn encode(&self) -> [u8; CONTENT_BYTES] {
        let mut bytes = [0; CONTENT_BYTES];
        let fields = [
            MAGIC,
            self.generation,
            self.store,
            self.first_segment,
            self.first_number,
            self.newest_segment,
            self.closed_after.map_or(0, |number| number + 1),
        ];
        for (at, field) in fields.into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&field.to_le_bytes());
        }
        let hash = xxh3_64(&bytes[..CONTENT_BYTES - 8]);
        bytes[CONTENT_BYTES - 8..].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CONTENT_BYTES] = bytes.get(..CONTENT_BYTES)?.try_into().ok()?;
        let field = |at: usize| u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("8 bytes"));
        let whole = field(0) == MAGIC && field(7) == xxh3_64(&bytes[..CONTENT_BYTES - 8]);
        whole.then(|| Self {
            generation: field(1),
            store: field(2),
            first_segment: field(3),
            first_number: field(4),
            newest_segment: field(5),
            closed_after: field(6).checked_sub(1),
        })
    }
}

/// The manifest on disk.
pub(super) struct ManifestFile {
    file: Box<dyn LayerFile>,
    path: PathBuf,
    current: Manifest,
    torn: Option<u64>,
}

impl ManifestFile {
    /// Writes the first manifest. The directory is not synced.
    pub(super) fn create(files: &dyn FileLayer, dir: &Path, first: Manifest) -> Result<(), OpenError> {
        let path = dir.join(FILE_NAME);
        let file = files.open(&path, Open::CreateNew).map_err(OpenError::io("create", &path))?;
        file.allocate(2 * SLOT_BYTES as u64).map_err(OpenError::io("allocate", &path))?;
        Self { file, current: first.clone(), path: path.clone(), torn: None }
            .write(|manifest| *manifest = first)
            .map_err(OpenError::io("write", &path))
    }

    /// Reads the newest whole slot.
    pub(super) fn open(files: &dyn FileLayer, dir: &Path, how: Open) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        let file = files.open(&path, how).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::damaged(&path, 0, "the file is missing"),
            _ => OpenError::io("open", &path)(source),
        })?;
        let length = file.length().map_err(OpenError::io("read", &path))?;
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        if length != bytes.len() as u64 {
            return Err(OpenError::damaged(&path, length, format!("{length} bytes long, not {}", bytes.len())));
        }
        file.read_exact_at(&mut bytes, 0).map_err(OpenError::io("read", &path))?;
        let slots = [Manifest::decode(&bytes), Manifest::decode(&bytes[SLOT_BYTES..])];
        let torn = slots.iter().position(Option::is_none).map(|slot| (slot * SLOT_BYTES) as u64);
        let newest = slots.into_iter().flatten().max_by_key(|manifest| manifest.generation);
        let current = newest.ok_or_else(|| OpenError::damaged(&path, 0, "neither of its two slots is whole"))?;
        Ok(Self { file, path, current, torn })
    }

    /// The manifest as last written or read.
    pub(super) fn current(&self) -> &Manifest {
        &self.current
    }

    /// Where a slot begins that was not whole when the file was read: never written, or torn, or
    /// damaged, and then the other may be out of date.
    pub(super) fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the manifest and makes the change durable. After an error the old one counts; after
    /// any but want of room, the new one may be found after a crash.
    pub(super) fn write(&mut self, change: impl FnOnce(&mut Manifest)) -> io::Result<()> {
        let mut next = self.current.clone();
        change(&mut next);
        next.generation += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..CONTENT_BYTES].copy_from_slice(&next.encode());
        let place = (next.generation % 2) * SLOT_BYTES as u64;
        if let Err(error) = self.file.write_all_at(&slot, place) {
            self.file.read_exact_at(&mut slot, place)?;
            if !is_no_room(&error) || Manifest::decode(&slot).as_ref() != Some(&next) {
                return Err(error);
            }
            // All of it that counts was written.
        }
        // Not to be taken for want of room: it is not known what a failed sync has left.
        self.file.sync().map_err(|error| io::Error::other(format!("failed to sync it: {error}")))?;
        self.current = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::file::StdFiles;

    fn first() -> Manifest {
        Manifest { generation: 0, store: 7, first_segment: 1, first_number: 1, newest_segment: 1, closed_after: None }
    }

    #[test]
    fn a_torn_write_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        ManifestFile::create(&StdFiles, dir.path(), first()).unwrap();
        let mut file = ManifestFile::open(&StdFiles, dir.path(), Open::Write).unwrap();
        for newest in 2..5 {
            let before = file.current().clone();
            file.write(|manifest| manifest.newest_segment = newest).unwrap();
            let path = dir.path().join(FILE_NAME);
            let whole = std::fs::read(&path).unwrap();
            assert_eq!(ManifestFile::open(&StdFiles, dir.path(), Open::Read).unwrap().current(), file.current());
            for at in 0..CONTENT_BYTES {
                let mut torn = whole.clone();
                torn[(file.current().generation % 2) as usize * SLOT_BYTES + at] ^= 0x10;
                std::fs::write(&path, torn).unwrap();
                assert_eq!(ManifestFile::open(&StdFiles, dir.path(), Open::Read).unwrap().current(), &before);
            }
            std::fs::write(&path, whole).unwrap();
        }
    }

    #[test]
    fn a_manifest_without_a_whole_slot_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |dir: &Path| ManifestFile::open(&StdFiles, dir, Open::Read).err().unwrap().to_string();
        assert!(refused(dir.path()).contains("manifest at byte 0: the file is missing"));
        ManifestFile::create(&StdFiles, dir.path(), first()).unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, vec![0; 2 * SLOT_BYTES]).unwrap();
        assert!(refused(dir.path()).contains("neither"));
        std::fs::write(&path, vec![0; 100]).unwrap();
        assert!(refused(dir.path()).contains("at byte 100"));
    }
}
