//! The embedded driver keeps the contract of `Kv`.

use chirrup_store::contract::{self, Subject};
use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::Kv;
use tempfile::TempDir;

struct Embedded {
    kv: Option<EmbeddedKv>,
    dir: TempDir,
}

impl Embedded {
    fn new() -> Self {
        let mut embedded = Self { kv: None, dir: tempfile::tempdir().expect("a directory") };
        embedded.open();
        embedded
    }

    fn open(&mut self) {
        self.kv = Some(EmbeddedKv::open(self.dir.path(), EmbeddedOptions::small()).expect("the store opens"));
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
    contract::run(|| Box::new(Embedded::new()));
}
