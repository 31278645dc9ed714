//! The log of a damaged store.

use std::io;
use std::path::{Path, PathBuf};

use super::gather::Found;
use super::{Gather, Loss, Part, Reach, SalvageError, Salvager};
use crate::embedded::error::OpenError;
use crate::embedded::file::{LayerFile, Open, StdFiles};
use crate::embedded::frame;
use crate::embedded::layout;
use crate::embedded::manifest::{Manifest, ManifestFile};
use crate::embedded::segment::{self, FIRST_FRAME, Header, Segment};

impl Salvager<'_, '_> {
    /// Reads what can be read of the log.
    pub(super) fn log(&mut self, dir: &Path) -> Result<(), SalvageError> {
        let manifest = match ManifestFile::open(&StdFiles, dir, Open::Read) {
            Ok(file) => Some(file.current().clone()),
            Err(error) => {
                self.losses.push(Loss::of(&error, Part::LogManifest, Reach::Nothing));
                None
            }
        };
        let mut found: Vec<u64> = layout::names(dir)?.iter().filter_map(|name| segment::sequence_of(name)).collect();
        if let Some(manifest) = &manifest {
            found.retain(|sequence| *sequence >= manifest.first_segment);
            found.extend(manifest.first_segment..=manifest.newest_segment);
        }
        found.sort_unstable();
        found.dedup();
        let mut next = manifest.as_ref().map(|manifest| manifest.first_number);
        let mut end = (dir.to_owned(), 0);
        for sequence in found {
            let path = segment::path(dir, sequence);
            let read = self.segment(&path, sequence, manifest.as_ref(), next, &end)?;
            if let Some((offset, number)) = read {
                (end, next) = ((path, offset), Some(number));
            }
        }
        let closed = manifest.and_then(|manifest| manifest.closed_after).unwrap_or(0);
        let newest = self.sink.as_ref().map_or(0, Gather::newest).max(closed);
        if let Some(next) = next.filter(|next| *next <= newest) {
            self.lose(&end.0, end.1, format!("the commits {next} to {newest} are not there"), Part::Log, Reach::Anything);
        }
        Ok(())
    }

    /// Reads a segment. Where its last frame ends, and the number of the next; none if it could not
    /// be read at all.
    fn segment(
        &mut self,
        path: &Path,
        sequence: u64,
        manifest: Option<&Manifest>,
        next: Option<u64>,
        end: &(PathBuf, u64),
    ) -> Result<Option<(u64, u64)>, SalvageError> {
        let bytes = match self.bytes(path)? {
            Ok(bytes) => bytes,
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let what = if missing { "the file is missing".to_owned() } else { format!("failed to read it: {error}") };
                self.lose(path, 0, what, Part::Log, Reach::Anything);
                return Ok(None);
            }
        };
        let sound = Header::of(&bytes).filter(|header| header.sequence == sequence);
        let sound = sound.filter(|header| manifest.is_none_or(|manifest| header.store == manifest.store));
        let Some(header) = sound.clone().or_else(|| of_first_frame(&bytes, sequence)) else {
            let what = "its header and its first frame are not what was written: nothing tells what follows from what somebody stored";
            self.lose(path, 0, what, Part::Log, Reach::Anything);
            return Ok(None);
        };
        if sound.is_none() {
            let what = "the header is not what was written; the frames are read by the first of them";
            self.lose(path, 0, what, Part::Log, Reach::Nothing);
        }
        if let Some(next) = next.filter(|next| *next < header.first_number) {
            self.lose(
                &end.0,
                end.1,
                format!("the commits {next} to {} are not what was written", header.first_number - 1),
                Part::Log,
                Reach::Anything,
            );
        }
        let length = bytes.len() as u64;
        let segment = Segment { file: Box::new(InMemory(bytes)), path: path.to_owned(), header, length };
        let mut gaps = Vec::new();
        let extent =
            segment.scan_all(&mut |number, payload| self.frame(number, payload).map_err(Stop::Salvage), &mut |offset, from, to| {
                gaps.push((offset, from, to));
            });
        let extent = match extent {
            Ok(extent) => extent,
            Err(Stop::Salvage(error)) => return Err(error),
            Err(Stop::Open(error)) => return Err(error.into()),
        };
        for (offset, from, to) in gaps {
            self.lose(path, offset, format!("the commits {from} to {to} are not what was written"), Part::Log, Reach::Anything);
        }
        Ok(Some((extent.end, extent.next_number)))
    }

    fn frame(&mut self, number: u64, payload: &[u8]) -> Result<(), SalvageError> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        for row in frame::rows(payload).map_while(Result::ok).filter(|row| sink.wants(row.table)).collect::<Vec<_>>() {
            let value = row.value.map(<[u8]>::to_vec);
            sink.take(Found { table: row.table, key: row.key.to_vec(), value, number })?;
        }
        Ok(())
    }
}

/// What ends the reading of a segment.
enum Stop {
    Salvage(SalvageError),
    Open(OpenError),
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// The header of a segment whose own is lost: its first frame begins at a place that nobody who
/// stores something can choose.
fn of_first_frame(bytes: &[u8], sequence: u64) -> Option<Header> {
    let first = bytes.get(usize::try_from(FIRST_FRAME).ok()?..)?;
    let header = frame::Header::parse(first).filter(|header| header.matches(first))?;
    Some(Header { store: 0, sequence, first_number: header.number, salt: header.salt, length: 0 })
}

/// A segment that was read.
struct InMemory(Vec<u8>);

impl LayerFile for InMemory {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = self.0.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
