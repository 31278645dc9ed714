//! What the tests of the embedded store share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions, OpenError};
use chirrup_store::kv::{Key, Kv, Row, Table};

/// A directory that is gone with the test: in memory where the system has such a place, for these
/// tests sync a lot and nothing here depends on a disk.
pub fn temp_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// Length of a segment in these tests.
pub const SEGMENT_BYTES: u64 = 64 << 10;

/// A store with segments of 64 KiB and no reserve.
pub fn options() -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes: SEGMENT_BYTES, reserve_bytes: 0, ..EmbeddedOptions::small() }
}

/// Opens such a store.
pub fn open(dir: &Path) -> Result<EmbeddedKv, OpenError> {
    EmbeddedKv::open(dir, options())
}

/// A row whose value tells where it belongs: `bytes` long, different for each number.
pub fn row(number: u64, bytes: usize) -> Row {
    let mut value = number.to_be_bytes().repeat(bytes / 8 + 1);
    value.truncate(bytes);
    Row { key: Key::new(Table::Event, *b"p", number.to_be_bytes()), value: Some(value), version: number }
}

/// Commits rows `numbers`, one a commit.
pub fn fill(kv: &EmbeddedKv, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        kv.commit(&[row(number, bytes)]).expect("a commit of a sound store works");
    }
}

/// How many of the rows 0, 1, 2 … are there, each checked; panics if one is missing before the
/// last.
pub fn count(kv: &EmbeddedKv, up_to: u64, bytes: usize) -> u64 {
    let keys: Vec<Key> = (0..up_to).map(|number| row(number, 0).key).collect();
    let found = kv.get(&keys).expect("the rows are read");
    let there = found.iter().take_while(|value| value.is_some()).count();
    assert!(found[there..].iter().all(Option::is_none), "a row is missing before the last");
    for (number, value) in (0..).zip(&found[..there]) {
        assert_eq!(value, &row(number, bytes).value, "row {number}");
    }
    there as u64
}

/// Files of the log that hold frames, oldest first.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir.join("log")).expect("there is a log");
    let mut paths: Vec<PathBuf> = names.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

/// Copies a directory with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// Changes a file's bytes.
pub fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("the file is read");
    how(&mut bytes);
    fs::write(path, bytes).expect("the file is written");
}

/// Where a refusal says the damage is.
pub fn damage(result: Result<EmbeddedKv, OpenError>) -> (PathBuf, u64, String) {
    match result {
        Err(OpenError::Damaged { path, offset, what }) => (path, offset, what),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("opened in spite of the damage"),
    }
}
