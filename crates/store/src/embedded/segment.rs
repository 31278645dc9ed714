//! Segments: the files of the log. A header, then frames one behind the other, then whatever
//! the preallocation left.
//!
//! Must not know: which segments there should be, and what the rows mean.

use std::io;
use std::path::{Path, PathBuf};

use chirrup_mutants::mutant;
use xxhash_rust::xxh3::xxh3_64;

use super::error::OpenError;
use super::file::{FileLayer, LayerFile, Open};
use super::frame;

/// Where the first frame begins, bytes.
pub(super) const FIRST_FRAME: u64 = 4096;

const HEADER_BYTES: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"chirrupL");
const EXTENSION: &str = ".log";

/// What is shown each frame of a segment: its number and its payload.
pub(super) type Visit<'a> = VisitOr<'a, OpenError>;

/// The same, ended by another error.
pub(super) type VisitOr<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

/// How much of a segment is read at once, bytes.
const WINDOW_BYTES: usize = 1 << 20;

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The store's own random number.
    pub(super) store: u64,
    /// 1, 2, 3 …, as in the file's name.
    pub(super) sequence: u64,
    /// The number of the first frame.
    pub(super) first_number: u64,
    /// A random number that all frames of this segment bear.
    pub(super) salt: u64,
    /// The file's length, bytes; 0 in segments of versions that did not tell it.
    pub(super) length: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        for (at, field) in [MAGIC, self.store, self.sequence, self.first_number, self.salt, self.length].into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&field.to_le_bytes());
        }
        let hash = xxh3_64(&bytes[..HEADER_BYTES - 8]);
        bytes[HEADER_BYTES - 8..].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    /// The header of a segment of these bytes, if it is whole.
    pub(super) fn of(segment: &[u8]) -> Option<Self> {
        segment.first_chunk().and_then(Self::decode)
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let field = |at: usize| u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("8 bytes"));
        let whole = field(0) == MAGIC && field(7) == xxh3_64(&bytes[..HEADER_BYTES - 8]);
        whole.then(|| Self { store: field(1), sequence: field(2), first_number: field(3), salt: field(4), length: field(5) })
    }
}

/// The path of a segment.
pub(super) fn path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:016}{EXTENSION}"))
}

/// The sequence of a segment's file name; `None` if it is another file.
pub(super) fn sequence_of(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.parse().ok()
}

/// An open segment with a sound header.
pub(super) struct Segment {
    pub(super) file: Box<dyn LayerFile>,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    /// The file's length, bytes.
    pub(super) length: u64,
}

/// A segment that is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    pub(super) sequence: u64,
    /// The number of its last frame.
    pub(super) last_number: u64,
    /// The file's length, bytes.
    pub(super) length: u64,
}

/// What the frames of a segment look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The byte after the last whole frame.
    pub(super) end: u64,
    /// The number that the next frame should bear.
    pub(super) next_number: u64,
    /// Where the last whole frame begins.
    pub(super) last_frame: Option<u64>,
}

impl Segment {
    /// Opens a segment that must be there, and checks its header.
    pub(super) fn open(files: &dyn FileLayer, dir: &Path, sequence: u64, store: u64) -> Result<Self, OpenError> {
        let path = path(dir, sequence);
        let file = files.open(&path, Open::Write).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::damaged(&path, 0, "the file is missing"),
            _ => OpenError::io("open", &path)(source),
        })?;
        let length = file.length().map_err(OpenError::io("read", &path))?;
        let mut bytes = [0; HEADER_BYTES];
        if length < FIRST_FRAME {
            return Err(OpenError::damaged(&path, length, "the file ends within its header"));
        }
        file.read_exact_at(&mut bytes, 0).map_err(OpenError::io("read", &path))?;
        let Some(header) = Header::decode(&bytes) else {
            return Err(OpenError::damaged(&path, 0, "the header is not what was written"));
        };
        if header.store != store || header.sequence != sequence {
            return Err(OpenError::damaged(&path, 0, "the file is a segment of another store or another place"));
        }
        Ok(Self { file, path, header, length })
    }

    /// Whether the file is shorter than it was made. No crash does that: its length is durable before
    /// its first frame is written. A backup does, which ends with its last frame.
    pub(super) fn is_short(&self) -> bool {
        self.length < self.header.length
    }

    /// Reads frames from the first on, showing each to `visit`, up to the first that is not whole.
    pub(super) fn scan(&self, visit: &mut Visit<'_>) -> Result<Extent, OpenError> {
        self.scan_until(u64::MAX, visit)
    }

    /// As [`Segment::scan`], and no further than the frame of this number.
    pub(super) fn scan_until(&self, last: u64, visit: &mut Visit<'_>) -> Result<Extent, OpenError> {
        let mut window = Window::new(self);
        let mut extent = Extent { end: FIRST_FRAME, next_number: self.header.first_number, last_frame: None };
        while extent.next_number <= last
            && let Some((header, bytes)) = self.frame_at(&mut window, extent.end)?
        {
            if header.number != extent.next_number {
                break;
            }
            visit(header.number, &bytes[frame::HEADER_BYTES..frame::HEADER_BYTES + header.payload_bytes])?;
            extent.last_frame = Some(extent.end);
            extent.end += header.frame_bytes();
            extent.next_number += 1;
        }
        Ok(extent)
    }

    /// Shows every whole frame wherever it is, and tells where some are missing before one: the
    /// place, and the first and the last number.
    pub(super) fn scan_all<E: From<OpenError>>(
        &self,
        visit: &mut VisitOr<'_, E>,
        missing: &mut dyn FnMut(u64, u64, u64),
    ) -> Result<Extent, E> {
        let mut window = Window::new(self);
        let mut extent = Extent { end: FIRST_FRAME, next_number: self.header.first_number, last_frame: None };
        while let Some(begin) = self.find_frame_in(&mut window, extent.end, extent.next_number)? {
            let Some((header, bytes)) = self.frame_at(&mut window, begin)? else { break };
            if header.number > extent.next_number {
                missing(extent.end, extent.next_number, header.number - 1);
            }
            visit(header.number, &bytes[frame::HEADER_BYTES..frame::HEADER_BYTES + header.payload_bytes])?;
            extent = Extent { end: begin + header.frame_bytes(), next_number: header.number + 1, last_frame: Some(begin) };
        }
        Ok(extent)
    }

    /// Where a whole frame of this segment, with the number `least` or a higher one, begins at
    /// or after `offset`. Its being there shows that a frame before it was whole once.
    pub(super) fn find_frame(&self, offset: u64, least: u64) -> Result<Option<u64>, OpenError> {
        self.find_frame_in(&mut Window::new(self), offset, least)
    }

    fn find_frame_in(&self, window: &mut Window<'_>, offset: u64, least: u64) -> Result<Option<u64>, OpenError> {
        let mut at = offset;
        while let Some(begin) = window.next_magic(at)? {
            if let Some((header, _)) = self.frame_at(window, begin)?
                && header.number >= least
            {
                return Ok(Some(begin));
            }
            at = begin + frame::ALIGN;
        }
        Ok(None)
    }

    /// The whole frame of this segment that begins at `offset`, if one does.
    fn frame_at<'w>(&self, window: &'w mut Window<'_>, offset: u64) -> Result<Option<(frame::Header, &'w [u8])>, OpenError> {
        let Some(bytes) = window.bytes(offset, frame::HEADER_BYTES)? else { return Ok(None) };
        let Some(header) = frame::Header::parse(bytes) else { return Ok(None) };
        if header.salt != self.header.salt {
            return Ok(None);
        }
        let Some(bytes) = window.bytes(offset, frame::HEADER_BYTES + header.payload_bytes)? else { return Ok(None) };
        Ok((header.matches(bytes) || mutant!(TailRepairOff)).then_some((header, bytes)))
    }
}

/// A piece of a segment in memory.
struct Window<'a> {
    segment: &'a Segment,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self { segment, start: 0, bytes: Vec::new() }
    }

    /// `length` bytes from `offset`; `None` if the file ends before.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>, OpenError> {
        if offset + length as u64 > self.segment.length {
            return Ok(None);
        }
        self.load(offset, length)?;
        let at = usize::try_from(offset - self.start).expect("within the window");
        Ok(Some(&self.bytes[at..at + length]))
    }

    /// The first place at or after `offset` where the bytes are those that begin a frame.
    fn next_magic(&mut self, mut offset: u64) -> Result<Option<u64>, OpenError> {
        while offset + frame::HEADER_BYTES as u64 <= self.segment.length {
            self.load(offset, frame::HEADER_BYTES)?;
            let at = usize::try_from(offset - self.start).expect("within the window");
            let mut places = self.bytes[at..].chunks_exact(frame::ALIGN as usize);
            if let Some(place) = places.position(|bytes| bytes.starts_with(&frame::MAGIC)) {
                return Ok(Some(offset + place as u64 * frame::ALIGN));
            }
            // A file that was cut may end within a block.
            offset += (self.bytes[at..].len() as u64 / frame::ALIGN).max(1) * frame::ALIGN;
        }
        Ok(None)
    }

    /// Makes `length` bytes from `offset`, which the file has, part of the window.
    fn load(&mut self, offset: u64, length: usize) -> Result<(), OpenError> {
        let within = offset >= self.start && offset + length as u64 <= self.start + self.bytes.len() as u64;
        if !within {
            let left = usize::try_from(self.segment.length - offset).unwrap_or(usize::MAX);
            self.bytes.resize(WINDOW_BYTES.max(length).min(left), 0);
            self.start = offset;
            let read = self.segment.file.read_exact_at(&mut self.bytes, offset);
            read.map_err(OpenError::io("read", &self.segment.path))?;
        }
        Ok(())
    }
}
