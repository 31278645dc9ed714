//! P1: the power is cut while commits are under way, again and again: whatever was acknowledged is
//! there afterwards. Where no disk can be mounted, nothing is shown, and that is said.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use chirrup_faults::disk::Disk;
use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::{Key, Kv, Row, Table};

/// In one cut of ten the file system once lost a commit that it had said was synced.
const CUTS: u64 = 60;
/// Commits before the cut, at most.
const COMMITS_MAX: u64 = 48;

fn key(number: u64) -> Key {
    Key::new(Table::Meta, *b"acked", number.to_be_bytes())
}

fn row(number: u64) -> Row {
    Row { key: key(number), value: Some(vec![7; 3_000]), version: number }
}

fn open(dir: &Path) -> EmbeddedKv {
    EmbeddedKv::open(dir, EmbeddedOptions::small()).expect("a store opens after a cut")
}

/// Each time in a new store, whose first segment nobody made ready before.
#[test]
fn p1_what_was_acked_while_the_power_was_cut_is_there_afterwards() {
    let mut disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(why) => return println!("SKIPPED: no disk can be mounted here: {why}"),
    };
    for cut in 1..=CUTS {
        let data = disk.path().join(format!("data-{cut}"));
        let kv = open(&data);
        let acked = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1.. {
                    if kv.commit(&[row(number)]).is_err() {
                        break;
                    }
                    acked.store(number, SeqCst);
                }
            });
            // At another moment of the store's life each time.
            while acked.load(SeqCst) < 1 + cut * 7 % COMMITS_MAX {
                thread::yield_now();
            }
            disk.cut_power().unwrap();
        });
        drop(kv);
        disk.power_on().unwrap();
        let (kv, acked) = (open(&data), acked.into_inner());
        let there = (1..=acked).take_while(|number| kv.get(&[key(*number)]).unwrap()[0].is_some()).count() as u64;
        assert_eq!(there, acked, "so many of those that were acked are there after cut {cut}");
    }
}
