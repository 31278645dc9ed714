//! The store of the simulation keeps the contract of `Kv`, in any weather in which two of its three
//! replicas are reached.

use std::sync::Arc;

use chirrup_sim::kv::{Fate, ReplicatedKv, Weather};
use chirrup_store::contract::{self, Subject};
use chirrup_store::kv::Kv;

struct Replicated(Arc<ReplicatedKv>);

impl Subject for Replicated {
    fn kv(&self) -> &dyn Kv {
        &*self.0
    }

    fn stop_after(&self, partitions: usize) -> bool {
        self.0.unplan();
        self.0.plan(partitions, Fate::Unsent);
        true
    }
}

#[test]
fn the_replicated_store_keeps_the_contract() {
    for seed in 0..4 {
        contract::run(|| {
            let kv = ReplicatedKv::default();
            kv.reseed(seed);
            kv.set_weather(Weather { late_one_in: [0, 1, 2, 3][seed as usize], arrive_one_in: 5 });
            Box::new(Replicated(Arc::new(kv)))
        });
    }
}
