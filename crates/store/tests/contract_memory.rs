//! The memory driver keeps the contract of `Kv`.

use chirrup_store::contract::{self, Subject};
use chirrup_store::kv::Kv;
use chirrup_store::memory::MemoryKv;

struct Memory(MemoryKv);

impl Subject for Memory {
    fn kv(&self) -> &dyn Kv {
        &self.0
    }

    fn stop_after(&self, partitions: usize) -> bool {
        self.0.fail_after_partitions(partitions);
        true
    }
}

#[test]
fn memory_keeps_the_contract() {
    contract::run(|| Box::new(Memory(MemoryKv::new())));
}
