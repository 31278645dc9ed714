//! P8 for the log: a torn tail is cut, damage elsewhere is refused by file and offset.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chirrup_store::kv::Kv;
use common::{change, copy_dir, count, damage, fill, open, row, segments};
use tempfile::TempDir;

const FRAME_HEADER: usize = 32;
const FIRST_FRAME: usize = 4096;
const VALUE: usize = 100;
/// A block as a disk moves it.
const BLOCK: usize = 4096;

/// A store of `rows` rows that was not closed, as after a kill: copied while it is open.
fn killed_after(rows: u64, bytes: usize) -> TempDir {
    let (live, copy) = (common::temp_dir(), common::temp_dir());
    let kv = open(live.path()).unwrap();
    fill(&kv, 0..rows, bytes);
    copy_dir(live.path(), copy.path());
    copy
}

/// The frames of a segment: where each begins, and where what is hashed of it ends.
fn frames(path: &Path) -> Vec<Range<usize>> {
    let bytes = fs::read(path).unwrap();
    let mut frames = Vec::new();
    let mut at = FIRST_FRAME;
    while bytes.get(at..at + FRAME_HEADER).is_some_and(|header| header.starts_with(b"chfr")) {
        let payload = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        frames.push(at..at + FRAME_HEADER + payload);
        at += (FRAME_HEADER + payload).next_multiple_of(BLOCK);
    }
    frames
}

/// A copy of the store in which one file was changed, and that file.
fn changed(dir: &TempDir, path: &Path, how: impl FnOnce(&mut Vec<u8>)) -> (TempDir, PathBuf) {
    let copy = common::temp_dir();
    copy_dir(dir.path(), copy.path());
    let path = copy.path().join(path.strip_prefix(dir.path()).unwrap());
    change(&path, how);
    (copy, path)
}

#[test]
fn p8_a_torn_last_frame_is_cut_wherever_it_tore() {
    let dir = killed_after(5, VALUE);
    let segment = segments(dir.path()).pop().unwrap();
    let last = frames(&segment).pop().unwrap();
    for torn in 0..last.len() {
        // Nothing from this byte on reached the disk.
        let (copy, _) = changed(&dir, &segment, |bytes| bytes[last.start + torn..].fill(0));
        let kv = open(copy.path()).unwrap();
        let rows = count(&kv, 6, VALUE);
        let nothing_lost = fs::read(&segment).unwrap()[last.start + torn..last.end].iter().all(|byte| *byte == 0);
        assert_eq!(rows, if nothing_lost { 5 } else { 4 }, "torn at {torn}");
        // The store goes on where it was cut, and what comes after is found again.
        fill(&kv, rows..rows + 1, VALUE);
        drop(kv);
        assert_eq!(count(&open(copy.path()).unwrap(), 7, VALUE), rows + 1, "torn at {torn}");
    }
}

#[test]
fn p8_a_torn_frame_of_many_blocks_is_cut_whichever_block_is_missing() {
    let dir = killed_after(3, 5 * BLOCK);
    let segment = segments(dir.path()).pop().unwrap();
    let last = frames(&segment).pop().unwrap();
    for block in (last.start / BLOCK)..=((last.end - 1) / BLOCK) {
        let lost = (block * BLOCK).max(last.start)..((block + 1) * BLOCK).min(last.end);
        let (copy, _) = changed(&dir, &segment, |bytes| bytes[lost].fill(0));
        assert_eq!(count(&open(copy.path()).unwrap(), 4, 5 * BLOCK), 2);
    }
}

#[test]
fn p8_a_flipped_bit_before_the_last_frame_is_refused_by_file_and_offset() {
    const COMMITS: usize = 12;
    let dir = killed_after(COMMITS as u64, VALUE);
    let all = segments(dir.path());
    let frames: Vec<_> = all.iter().flat_map(|segment| frames(segment).into_iter().map(move |frame| (segment, frame))).collect();
    assert_eq!(frames.len(), COMMITS);
    for (number, (segment, frame)) in frames[..COMMITS - 1].iter().enumerate() {
        let at = frame.start + (number * 37) % frame.len();
        let (copy, path) = changed(&dir, segment, |bytes| bytes[at] ^= 1 << (number % 8));
        let (place, offset, what) = damage(open(copy.path()));
        assert_eq!((place, offset), (path, frame.start as u64), "byte {at}: {what}");
        assert!(what.contains(&format!("frame {}", number + 1)), "{what}");
    }
}

/// Opens copies of a store of several segments, each with one block of one segment changed by
/// `how`, which gets the segment and the block's place. It must be refused, naming the file,
/// unless the block held nothing, or only the very last frame is hurt: that looks like a torn
/// tail.
fn each_block(how: impl Fn(&mut Vec<u8>, usize)) {
    const ROWS: u64 = 40;
    let dir = killed_after(ROWS, VALUE);
    let all = segments(dir.path());
    assert!(all.len() > 2, "the log has several segments");
    for segment in &all {
        let before = fs::read(segment).unwrap();
        let frames = frames(segment);
        for block in 0..before.len() / BLOCK {
            let (copy, path) = changed(&dir, segment, |bytes| how(bytes, block));
            let after = fs::read(&path).unwrap();
            let hurt = frames.iter().position(|frame| before[frame.clone()] != after[frame.clone()]);
            let torn = Some(segment) == all.last() && hurt.is_some_and(|hurt| hurt + 1 == frames.len());
            match open(copy.path()) {
                Ok(kv) if torn => assert_eq!(count(&kv, ROWS + 1, VALUE), ROWS - 1),
                Ok(kv) => {
                    assert_eq!(hurt, None, "block {block} of {}", path.display());
                    assert_eq!(count(&kv, ROWS + 1, VALUE), ROWS);
                }
                refused => {
                    let (place, offset, what) = damage(refused);
                    assert_eq!(place, path, "block {block}: {what}");
                    assert!(hurt.is_none_or(|hurt| offset <= frames[hurt].start as u64), "block {block}: {what}");
                }
            }
        }
    }
}

#[test]
fn p8_a_zeroed_block_is_refused() {
    each_block(|bytes, block| bytes[block * BLOCK..(block + 1) * BLOCK].fill(0));
}

#[test]
fn p8_swapped_blocks_are_refused() {
    each_block(|bytes, block| {
        let other = (block + 1) % (bytes.len() / BLOCK);
        let (low, high) = (block.min(other) * BLOCK, block.max(other) * BLOCK);
        let (head, tail) = bytes.split_at_mut(high);
        head[low..low + BLOCK].swap_with_slice(&mut tail[..BLOCK]);
    });
}

#[test]
fn p8_a_repeated_block_is_refused() {
    each_block(|bytes, block| {
        let from = (block / 2) * BLOCK;
        bytes.copy_within(from..from + BLOCK, block * BLOCK);
    });
}

#[test]
fn p8_a_segment_that_is_missing_short_or_swapped_is_refused() {
    let dir = killed_after(40, VALUE);
    let all = segments(dir.path());
    for (place, segment) in all.iter().enumerate() {
        let (copy, path) = changed(&dir, segment, |_| {});
        fs::remove_file(&path).unwrap();
        let (found, _, what) = damage(open(copy.path()));
        assert_eq!(found, path);
        assert!(what.contains("missing"), "{what}");

        let end = frames(segment).pop().unwrap().end;
        for keep in [0, 100, FIRST_FRAME, end / 2] {
            let (copy, path) = changed(&dir, segment, |bytes| bytes.truncate(keep));
            assert_eq!(damage(open(copy.path())).0, path, "cut at {keep}");
        }

        let other = &all[(place + 1) % all.len()];
        let (copy, path) = changed(&dir, segment, |bytes| *bytes = fs::read(other).unwrap());
        assert_eq!(damage(open(copy.path())).0, path);
    }
}

#[test]
fn p8_the_end_of_the_log_may_not_be_lost_after_a_close() {
    let dir = common::temp_dir();
    fill(&open(dir.path()).unwrap(), 0..5, VALUE);
    let segment = segments(dir.path()).pop().unwrap();
    let last = frames(&segment).pop().unwrap();
    let (copy, path) = changed(&dir, &segment, |bytes| bytes[last.start + 40] ^= 1);
    let (place, offset, what) = damage(open(copy.path()));
    assert_eq!((place, offset), (path, last.start as u64));
    assert!(what.contains("closed after frame 5"), "{what}");
}

#[test]
fn p8_the_end_of_the_log_may_not_be_lost_when_tables_have_its_rows() {
    let (live, dir) = (common::temp_dir(), common::temp_dir());
    let kv = open(live.path()).unwrap();
    fill(&kv, 0..5, VALUE);
    kv.checkpoint().unwrap();
    copy_dir(live.path(), dir.path());
    let segment = segments(dir.path()).pop().unwrap();
    let last = frames(&segment).pop().unwrap();
    let (copy, path) = changed(&dir, &segment, |bytes| bytes[last.start..last.end].fill(0));
    let (place, offset, what) = damage(open(copy.path()));
    assert_eq!((place, offset), (path, last.start as u64));
    assert!(what.contains("rows of frame 5"), "{what}");
}

#[test]
fn p8_the_manifest_and_the_format_are_not_guessed() {
    let dir = killed_after(5, VALUE);
    for name in ["log/manifest", "FORMAT"] {
        let path = dir.path().join(name);
        let (copy, path) = changed(&dir, &path, |bytes| bytes.fill(0));
        assert_eq!(damage(open(copy.path())).0, path);
    }
    let (copy, path) = changed(&dir, &dir.path().join("FORMAT"), |_| {});
    fs::remove_file(path).unwrap();
    assert!(open(copy.path()).unwrap_err().to_string().contains("there is no file FORMAT"));
}

#[test]
fn a_value_that_looks_like_a_frame_is_not_taken_for_one() {
    let (live, dir) = (common::temp_dir(), common::temp_dir());
    let kv = open(live.path()).unwrap();
    fill(&kv, 0..1, VALUE);
    // Somebody sends the bytes of a frame, at every alignment.
    let segment = segments(live.path()).pop().unwrap();
    let frame = frames(&segment).pop().unwrap();
    let stolen = fs::read(&segment).unwrap()[frame].to_vec();
    let mut hiding = row(1, 0);
    hiding.value = Some((0..8).flat_map(|shift| [vec![0; shift], stolen.clone()].concat()).collect());
    kv.commit(&[hiding]).unwrap();
    copy_dir(live.path(), dir.path());
    // The frame that hides it is torn: its number is not above the one that is missing.
    let segment = segments(dir.path()).pop().unwrap();
    let last = frames(&segment).pop().unwrap();
    change(&segment, |bytes| bytes[last.start] ^= 1);
    assert_eq!(count(&open(dir.path()).unwrap(), 1, VALUE), 1);
}
