//! The embedded driver keeps the contract of `Kv`.

mod common;

use chirrup_store::contract::{self, Subject};
use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::Kv;
use tempfile::TempDir;

struct Embedded {
    kv: Option<EmbeddedKv>,
    options: EmbeddedOptions,
    dir: TempDir,
}

impl Embedded {
    fn new(options: EmbeddedOptions) -> Self {
        let mut embedded = Self { kv: None, options, dir: common::temp_dir() };
        embedded.open();
        embedded
    }

    fn open(&mut self) {
        self.kv = Some(EmbeddedKv::open(self.dir.path(), self.options.clone()).expect("the store opens"));
    }
}

impl Subject for Embedded {
    fn kv(&self) -> &dyn Kv {
        self.kv.as_ref().expect("open")
    }

    fn reopen(&mut self) -> bool {
        self.kv = None;
        self.open();
        true
    }

    fn compares_versions(&self) -> bool {
        false
    }
}

#[test]
fn embedded_keeps_the_contract() {
    contract::run(|| Box::new(Embedded::new(EmbeddedOptions::small())));
}

#[test]
fn embedded_keeps_the_contract_with_next_to_no_memory() {
    // Every few commits a memtable is written and a segment is full, so that rows are in memory,
    // in files and in the log at once, in all mixtures.
    let tiny = EmbeddedOptions { memtable_bytes: 4 << 10, segment_bytes: 32 << 10, log_bytes: 64 << 10, ..EmbeddedOptions::small() };
    contract::run(|| Box::new(Embedded::new(tiny.clone())));
}
