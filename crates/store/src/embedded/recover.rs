//! Recovery of the log: finds what is whole, cuts a torn tail, refuses anything else.
//!
//! Every frame is numbered, so a frame is missing if the next whole one bears another number
//! than expected. Only one write is ever in flight, so after a crash at most the last frame is
//! torn; anything else is damage, and is told by file and offset. Must not know: what is in the
//! frames.

use std::path::Path;

use super::error::OpenError;
use super::file::{FileLayer, Open};
use super::manifest::{Manifest, ManifestFile};
use super::segment::{self, Extent, Sealed, Segment, Visit};

/// The log, found sound.
pub(super) struct Recovered {
    /// Full segments, oldest first.
    pub(super) sealed: Vec<Sealed>,
    /// The segment to write on.
    pub(super) last: Segment,
    /// Where in it the last frame begins, if there is one.
    pub(super) last_frame: Option<u64>,
    /// Where in it the next frame goes.
    pub(super) end: u64,
    /// The number of the next frame.
    pub(super) next_number: u64,
}

/// Reads and checks the whole log. Nothing is changed on disk.
pub(super) fn check(files: &dyn FileLayer, dir: &Path, manifest: &ManifestFile) -> Result<Recovered, OpenError> {
    let current = manifest.current();
    check_begun(files, dir, manifest)?;
    let mut next_number = current.first_number;
    let mut sealed = Vec::new();
    let mut before: Option<(Segment, Extent)> = None;
    for sequence in current.first_segment..=current.newest_segment {
        let segment = Segment::open(files, dir, sequence, current.store).map_err(|error| blame(files, manifest, error))?;
        if segment.header.first_number != next_number {
            return Err(gap(&segment, before.as_ref(), next_number));
        }
        let extent = segment.scan(&mut |_, _| Ok(()))?;
        next_number = extent.next_number;
        if let Some((segment, extent)) = before.replace((segment, extent)) {
            let (sequence, length) = (segment.header.sequence, segment.length);
            sealed.push(Sealed { sequence, last_number: extent.next_number - 1, length });
        }
    }
    let Some((last, extent)) = before else {
        return Err(OpenError::damaged(manifest.path(), 0, "it names no segment"));
    };
    check_tail(&last, extent, current)?;
    Ok(Recovered { sealed, last, last_frame: extent.last_frame, end: extent.end, next_number })
}

/// A segment beyond the newest that the manifest names may have been begun before a crash, or when
/// there was no room for more. It holds no frames then, and is not part of the log.
fn check_begun(files: &dyn FileLayer, dir: &Path, manifest: &ManifestFile) -> Result<(), OpenError> {
    let named = manifest.current().newest_segment;
    let names = files.list(dir).map_err(OpenError::io("list", dir))?;
    let found = names.iter().filter_map(|name| segment::sequence_of(name)).max().unwrap_or(0);
    if found <= named {
        return Ok(());
    }
    let begun = Segment::open(files, dir, found, manifest.current().store)?;
    if found > named + 1 || begun.find_frame(segment::FIRST_FRAME, 0)?.is_some() {
        let what = format!("it names segment {named} as the newest, but segment {found} is in use");
        return Err(OpenError::damaged(manifest.path(), 0, what));
    }
    Ok(())
}

/// Why a segment cannot be opened: where none bears the name that the manifest tells, it may be the
/// manifest that is at fault.
fn blame(files: &dyn FileLayer, manifest: &ManifestFile, error: OpenError) -> OpenError {
    match (manifest.torn(), error) {
        (Some(offset), OpenError::Damaged { path, what, .. }) if files.open(&path, Open::Read).is_err() => {
            let what = format!("a slot of it is not whole, and what the other tells is out of date, or {} is lost: {what}", path.display());
            OpenError::damaged(manifest.path(), offset, what)
        }
        (_, error) => error,
    }
}

/// Why a segment does not begin with the number that should come next.
fn gap(segment: &Segment, before: Option<&(Segment, Extent)>, expected: u64) -> OpenError {
    let begins = segment.header.first_number;
    match before {
        Some((before, extent)) if begins > expected => {
            OpenError::damaged(&before.path, extent.end, format!("frame {expected} is not what was written"))
        }
        _ => {
            let what = format!("the segment begins with frame {begins} where frame {expected} should follow");
            OpenError::damaged(&segment.path, 0, what)
        }
    }
}

/// Whether what follows the last whole frame may be a torn write.
fn check_tail(last: &Segment, extent: Extent, manifest: &Manifest) -> Result<(), OpenError> {
    if let Some(whole) = last.find_frame(extent.end, extent.next_number)? {
        let what = format!("frame {} is not what was written (a later frame is whole at byte {whole})", extent.next_number);
        return Err(OpenError::damaged(&last.path, extent.end, what));
    }
    match manifest.closed_after {
        Some(number) if number >= extent.next_number => {
            let what = format!("frame {} is not what was written (the store was closed after frame {number})", extent.next_number);
            Err(OpenError::damaged(&last.path, extent.end, what))
        }
        // Where the last frame is not told, what is cut off may have held others.
        closed if last.is_short() && closed != Some(extent.next_number - 1) => {
            Err(OpenError::damaged(&last.path, last.length, format!("{} bytes long, not {}", last.length, last.header.length)))
        }
        _ => Ok(()),
    }
}

/// Makes what was found durable before anything is built on it. The last frame may be in the
/// system's cache only, even marked clean there after a sync that failed; written again, it
/// reaches the disk or an error is told.
pub(super) fn settle(recovered: &Recovered) -> Result<(), OpenError> {
    let Recovered { last, last_frame, end, .. } = recovered;
    let path = &last.path;
    if let Some(start) = last_frame {
        let mut bytes = vec![0; usize::try_from(end - start).expect("a frame fits in memory")];
        last.file.read_exact_at(&mut bytes, *start).map_err(OpenError::io("read", path))?;
        last.file.write_all_at(&bytes, *start).map_err(OpenError::io("write", path))?;
    }
    last.file.sync().map_err(OpenError::io("sync", path))
}

/// Shows every frame of the log from number `from` on to `visit`, in order.
pub(super) fn replay(
    files: &dyn FileLayer,
    dir: &Path,
    recovered: &Recovered,
    from: u64,
    store: u64,
    visit: &mut Visit<'_>,
) -> Result<(), OpenError> {
    let mut visit_from = |number: u64, payload: &[u8]| if number >= from { visit(number, payload) } else { Ok(()) };
    for Sealed { sequence, last_number, .. } in recovered.sealed.iter().copied() {
        if last_number >= from {
            Segment::open(files, dir, sequence, store)?.scan(&mut visit_from)?;
        }
    }
    recovered.last.scan(&mut visit_from)?;
    Ok(())
}

/// Removes files that the log left behind: segments no longer needed, an unfinished or a spare
/// one. Called when everything else was found sound.
pub(super) fn remove_leftovers(files: &dyn FileLayer, dir: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    let names = files.list(dir).map_err(OpenError::io("list", dir))?;
    for name in names {
        let in_log = manifest.first_segment..=manifest.newest_segment;
        let needed = name == super::manifest::FILE_NAME || segment::sequence_of(&name).is_some_and(|sequence| in_log.contains(&sequence));
        if !needed {
            let path = dir.join(&name);
            files.remove(&path).map_err(OpenError::io("remove", &path))?;
        }
    }
    Ok(())
}
