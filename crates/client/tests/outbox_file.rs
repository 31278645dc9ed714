//! The outbox on disk: whatever of its writes a crash lets through, what was durable is there, once,
//! in order, and nothing else is.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use chirrup_client::Error;
use chirrup_client::limits::OUTBOX_SETTLED_MAX;
use chirrup_client::machine::{Body, Entry, Record};
use chirrup_client::outbox_file::OutboxFile;
use chirrup_core::ids::{ClientId, ConversationId};
use serde_json::value::RawValue;

fn entry(n: u64) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let params = RawValue::from_string(format!(r#"{{"text":"line\n{n} \u0000 ü"}}"#)).unwrap();
    Entry { client_id: ClientId(id), conversation: ConversationId([n as u8 % 3; 16]), body: Body::raw("send", &params) }
}

fn added(n: u64) -> Record {
    Record::Added(entry(n))
}

fn settled(n: u64) -> Record {
    Record::Settled(entry(n).client_id)
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_said_is_there_after_a_crash_and_what_was_settled_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = OutboxFile::open(directory.path(), "1").unwrap();
    file.append(&[added(1), added(2), added(3)]).unwrap();
    file.append(&[settled(2), added(4)]).unwrap();
    drop(file);
    let file = OutboxFile::open(directory.path(), "2").unwrap();
    assert_eq!(file.entries(), [entry(1), entry(3), entry(4)]);
    assert_eq!(files(directory.path()).len(), 1, "the old file has gone");
}

#[test]
fn a_tail_that_was_torn_at_any_byte_leaves_what_came_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = OutboxFile::open(directory.path(), "1").unwrap();
    let steps = [vec![added(1)], vec![added(2), added(3)], vec![settled(1)], vec![settled(3), added(4)]];
    let path = files(directory.path()).remove(0);
    let mut ends = vec![std::fs::metadata(&path).unwrap().len()];
    for step in &steps {
        file.append(step).unwrap();
        ends.push(std::fs::metadata(&path).unwrap().len());
    }
    drop(file);
    let bytes = std::fs::read(&path).unwrap();
    let live = [vec![], vec![entry(1)], vec![entry(1), entry(2), entry(3)], vec![entry(2), entry(3)], vec![entry(2), entry(4)]];
    for cut in 0..=bytes.len() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("1.outbox"), &bytes[..cut]).unwrap();
        let file = OutboxFile::open(directory.path(), "2").unwrap();
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        let entries = file.entries().to_vec();
        // A write that was not told to be durable may be there in part, but only in order.
        let before = if whole == 0 { &live[0] } else { &live[whole - 1] };
        let after = live.get(whole).unwrap_or(before);
        let kept = before.iter().filter(|entry| after.contains(entry));
        assert!(kept.clone().all(|entry| entries.contains(entry)), "cut at {cut}: {entries:?}");
        let known = |entry: &Entry| before.contains(entry) || after.contains(entry);
        assert!(entries.iter().all(known) && entries.is_sorted_by_key(|entry| entry.client_id), "cut at {cut}: {entries:?}");
    }
}

#[test]
fn damage_that_is_not_at_the_end_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = OutboxFile::open(directory.path(), "1").unwrap();
    file.append(&[added(1), added(2)]).unwrap();
    drop(file);
    let path = files(directory.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 20;
    bytes[second] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let Err(Error::File { path: named, reason }) = OutboxFile::open(directory.path(), "2") else { panic!("it was taken") };
    assert_eq!(named, path);
    assert!(reason.contains("line 2"), "{reason}");
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let json = r#"{"version":2}"#;
    let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    let path = directory.path().join("1.outbox");
    std::fs::write(&path, format!("{line}{line}")).unwrap();
    assert!(OutboxFile::open(directory.path(), "2").is_err());
    assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{line}{line}"));
}

#[test]
fn the_file_of_a_living_process_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = OutboxFile::open(directory.path(), "1").unwrap();
    first.append(&[added(1)]).unwrap();
    let second = OutboxFile::open(directory.path(), "2").unwrap();
    assert!(second.entries().is_empty());
    first.append(&[added(2)]).unwrap();
    drop((first, second));
    let third = OutboxFile::open(directory.path(), "3").unwrap();
    assert_eq!(third.entries(), [entry(1), entry(2)]);
}

#[test]
fn a_file_of_settled_entries_is_written_anew_and_goes_when_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = OutboxFile::open(directory.path(), "1").unwrap();
    let path = files(directory.path()).remove(0);
    file.append(&[added(0)]).unwrap();
    for n in 1..=OUTBOX_SETTLED_MAX as u64 + 10 {
        file.append(&[added(n), settled(n)]).unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000);
    // The new file is as locked as the old one was.
    assert!(OutboxFile::open(directory.path(), "2").unwrap().entries().is_empty());
    assert_eq!(file.entries(), [entry(0)]);
    file.append(&[settled(0)]).unwrap();
    drop(file);
    assert!(!path.exists());
}
