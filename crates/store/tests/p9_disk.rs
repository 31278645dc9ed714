//! P9 for the store: the first sync that fails stops commits; a full disk refuses ordinary ones
//! while reads and deletions go on, and the store recovers by itself when there is room.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "waits for what the store does by itself, with a limit")]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use chirrup_store::embedded::file::{FileLayer, LayerFile, Open, StdFiles};
use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::{CommitError, Kv, Row, Status};
use common::{count, fill, options, row};

const VALUE: usize = 1_000;
/// How long to wait for what the store does by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file layer with faults that a test switches on.
#[derive(Clone, Default)]
struct Faulty(Arc<Faults>);

#[derive(Default)]
struct Faults {
    sync_fails: AtomicBool,
    write_fails: AtomicBool,
    write_finds_no_room: AtomicBool,
    allocate_finds_no_room: AtomicBool,
    little_room: AtomicBool,
}

fn no_room() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl FileLayer for Faulty {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn LayerFile>> {
        Ok(Box::new(FaultyFile(StdFiles.open(path, how)?, self.clone())))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        StdFiles.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        StdFiles.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        StdFiles.sync_dir(dir)
    }
    fn random(&self) -> io::Result<u64> {
        StdFiles.random()
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        if self.0.little_room.load(SeqCst) { Ok(1_000) } else { StdFiles.free_bytes(dir) }
    }
}

struct FaultyFile(Box<dyn LayerFile>, Faulty);

impl LayerFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let faults = &self.1.0;
        let error = match () {
            () if faults.write_fails.load(SeqCst) => io::Error::other("a broken disk"),
            () if faults.write_finds_no_room.load(SeqCst) && bytes.len() > 4096 => no_room(),
            () => return self.0.write_all_at(bytes, offset),
        };
        // As much as a third may have been written.
        self.0.write_all_at(&bytes[..bytes.len() / 3], offset)?;
        Err(error)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        if self.1.0.allocate_finds_no_room.load(SeqCst) { Err(no_room()) } else { self.0.allocate(length) }
    }
    fn sync(&self) -> io::Result<()> {
        if self.1.0.sync_fails.load(SeqCst) { Err(io::Error::other("a failing sync")) } else { self.0.sync() }
    }
}

fn open_faulty(dir: &Path) -> (EmbeddedKv, Faulty) {
    let faulty = Faulty::default();
    let options = EmbeddedOptions { files: Arc::new(faulty.clone()), ..options() };
    (EmbeddedKv::open(dir, options).unwrap(), faulty)
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn p9_the_first_sync_error_stops_commits_until_the_store_is_opened_anew() {
    let dir = common::temp_dir();
    let (kv, faulty) = open_faulty(dir.path());
    fill(&kv, 0..3, VALUE);
    faulty.0.sync_fails.store(true, SeqCst);
    let stopped = kv.commit(&[row(3, VALUE)]).unwrap_err();
    assert!(matches!(&stopped, CommitError::Stopped(why) if why.contains("a failing sync")), "{stopped}");
    // The disk may be sound again; what it said before counts.
    faulty.0.sync_fails.store(false, SeqCst);
    for _ in 0..2 {
        assert!(matches!(kv.commit(&[row(4, VALUE)]), Err(CommitError::Stopped(_))));
        assert!(matches!(kv.commit_reserved(&[row(4, VALUE)]), Err(CommitError::Stopped(_))));
    }
    assert!(matches!(kv.status(), Status::Stopped(why) if why.contains("a failing sync")));
    assert_eq!(count(&kv, 5, VALUE), 3, "reads go on, and do not show what was not acknowledged");
    drop(kv);
    let kv = common::open(dir.path()).unwrap();
    let there = count(&kv, 5, VALUE);
    assert!((3..=4).contains(&there), "the outcome of the commit that failed was unknown");
    fill(&kv, there..there + 1, VALUE);
}

#[test]
fn p9_a_write_error_stops_commits() {
    let dir = common::temp_dir();
    let (kv, faulty) = open_faulty(dir.path());
    fill(&kv, 0..3, VALUE);
    faulty.0.write_fails.store(true, SeqCst);
    assert!(matches!(kv.commit(&[row(3, VALUE)]), Err(CommitError::Stopped(_))));
    faulty.0.write_fails.store(false, SeqCst);
    assert!(matches!(kv.commit(&[row(3, VALUE)]), Err(CommitError::Stopped(_))));
    assert_eq!(count(&kv, 5, VALUE), 3);
    drop(kv);
    let there = count(&common::open(dir.path()).unwrap(), 5, VALUE);
    assert!((3..=4).contains(&there), "the outcome of the commit that failed was unknown");
}

#[test]
fn p9_a_write_without_room_is_refused_and_leaves_nothing() {
    let dir = common::temp_dir();
    let (kv, faulty) = open_faulty(dir.path());
    fill(&kv, 0..3, VALUE);
    faulty.0.write_finds_no_room.store(true, SeqCst);
    for _ in 0..3 {
        assert!(matches!(kv.commit(&[row(9, VALUE * 20)]), Err(CommitError::Refused(_))));
    }
    faulty.0.write_finds_no_room.store(false, SeqCst);
    wait_for("the store takes commits again", || kv.status() == Status::Ready);
    fill(&kv, 3..6, VALUE);
    drop(kv);
    let kv = common::open(dir.path()).unwrap();
    assert_eq!(count(&kv, 9, VALUE), 6);
    assert_eq!(kv.get(&[row(9, 0).key]).unwrap(), [None]);
}

#[test]
fn p9_below_the_low_water_only_reserved_commits_are_taken() {
    let dir = common::temp_dir();
    let (kv, faulty) = open_faulty(dir.path());
    fill(&kv, 0..3, VALUE);
    faulty.0.little_room.store(true, SeqCst);
    let refused = kv.commit(&[row(3, VALUE)]).unwrap_err();
    assert!(matches!(&refused, CommitError::Refused(why) if why.contains("1000 bytes of room")), "{refused}");
    assert!(matches!(kv.status(), Status::Full(_)));
    kv.commit_reserved(&[Row { value: None, ..row(2, 0) }]).unwrap();
    assert_eq!(count(&kv, 5, VALUE), 2);
    faulty.0.little_room.store(false, SeqCst);
    wait_for("the store finds that there is room", || kv.status() == Status::Ready);
    fill(&kv, 2..4, VALUE);
}

#[test]
fn p9_no_room_for_a_segment_refuses_until_there_is() {
    let dir = common::temp_dir();
    let (kv, faulty) = open_faulty(dir.path());
    faulty.0.allocate_finds_no_room.store(true, SeqCst);
    let mut written = 0;
    let refused = loop {
        match kv.commit(&[row(written, VALUE)]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "segments are found without being allocated");
    };
    assert!(matches!(&refused, CommitError::Refused(why) if why.contains("no room")), "{refused}");
    assert_eq!(count(&kv, written + 2, VALUE), written);
    faulty.0.allocate_finds_no_room.store(false, SeqCst);
    wait_for("the store takes commits again", || kv.commit(&[row(written, VALUE)]).is_ok());
    drop(kv);
    assert_eq!(count(&common::open(dir.path()).unwrap(), written + 2, VALUE), written + 1);
}

/// A file system of its own in memory, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this may not be mounted.
    fn mount(dir: &Path, bytes: u64) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(dir).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

/// Takes all the room that is left.
fn take_all_room(path: &Path) {
    let mut bytes = vec![0; 1 << 20];
    let mut file = std::fs::File::create(path).unwrap();
    while !bytes.is_empty() {
        if io::Write::write_all(&mut file, &bytes).is_err() {
            bytes.truncate(bytes.len() / 2);
        }
    }
}

#[test]
fn p9_a_full_disk_takes_deletions_and_recovers_by_itself() {
    let mount = common::temp_dir();
    let Some(disk) = SmallDisk::mount(mount.path(), 24 << 20) else {
        println!("skipped: a small file system cannot be mounted here");
        return;
    };
    let dir = disk.0.join("store");
    let kv = EmbeddedKv::open(&dir, EmbeddedOptions::small()).unwrap();
    let mut written = 0;
    let refused = loop {
        match kv.commit(&[row(written, 10 * VALUE)]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "the disk is never full");
    };
    assert!(matches!(refused, CommitError::Refused(_)), "{refused}");
    assert!(matches!(kv.status(), Status::Full(_)));
    assert_eq!(count(&kv, written + 1, 10 * VALUE), written, "reads go on");

    // Somebody else takes what is left, so that the reserve is all there is.
    wait_for("the reserve is there", || dir.join("RESERVE").exists());
    take_all_room(&disk.0.join("filler"));
    let kept = written / 4;
    for number in (kept..written).rev() {
        kv.commit_reserved(&[Row { value: None, ..row(number, 0) }]).unwrap_or_else(|error| panic!("deletion {number}: {error}"));
    }
    assert_eq!(count(&kv, written + 1, 10 * VALUE), kept);
    assert!(matches!(kv.commit(&[row(kept, 10 * VALUE)]), Err(CommitError::Refused(_))));
    drop(kv);
    let kv = EmbeddedKv::open(&dir, EmbeddedOptions::small()).expect("a full disk is no obstacle for a start");
    assert_eq!(count(&kv, written + 1, 10 * VALUE), kept);
    assert!(matches!(kv.commit(&[row(kept, 10 * VALUE)]), Err(CommitError::Refused(_))));

    std::fs::remove_file(disk.0.join("filler")).unwrap();
    wait_for("the store takes commits again", || kv.commit(&[row(kept, 10 * VALUE)]).is_ok());
    assert_eq!(kv.status(), Status::Ready);
    drop(kv);
    let kv = EmbeddedKv::open(&dir, EmbeddedOptions::small()).unwrap();
    assert_eq!(count(&kv, written + 1, 10 * VALUE), kept + 1);
    kv.verify().unwrap();
}

#[test]
fn a_spare_segment_is_made_ready_piece_by_piece_and_is_the_next() {
    let dir = common::temp_dir();
    let segment_bytes = 1 << 20;
    let kv = EmbeddedKv::open(dir.path(), EmbeddedOptions { segment_bytes, ..options() }).unwrap();
    let spare = dir.path().join("log/spare-1");
    wait_for("a spare segment of more than one piece", || spare.exists());
    // The first segment has an eighth of that length.
    fill(&kv, 0..40, VALUE);
    let last = common::segments(dir.path()).pop().unwrap();
    assert_eq!(std::fs::metadata(last).unwrap().len(), segment_bytes);
}
