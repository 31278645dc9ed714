//! The contract of the trait.

use chirrup_cassandra::{CassandraKv, Options};
use chirrup_engines::cassandra::Cassandra;
use chirrup_store::contract::{self, Subject};
use chirrup_store::kv::Kv;

use crate::support::{Bare, TABLES, keyspace, open};

struct Opened {
    options: Options,
    /// None only while it is opened again.
    kv: Option<CassandraKv>,
}

impl Subject for Opened {
    fn kv(&self) -> &dyn Kv {
        self.kv.as_ref().unwrap()
    }

    fn reopen(&mut self) -> bool {
        drop(self.kv.take());
        self.kv = Some(open(&self.options).unwrap());
        true
    }

    fn stop_after(&self, partitions: usize) -> bool {
        self.kv.as_ref().unwrap().stop_after(partitions);
        true
    }
}

#[test]
fn the_driver_keeps_the_contract() {
    let Some(node) = Cassandra::shared("the contract") else { return };
    let options = keyspace(&node);
    drop(open(&options).unwrap());
    let bare = Bare::connect(&options);
    // Tables are emptied, not made anew, between two checks: making them takes far longer.
    contract::run(|| {
        for table in TABLES.map(|table| format!("{}.{table}", options.keyspace)) {
            bare.run(&format!("TRUNCATE {table}"));
        }
        Box::new(Opened { options: options.clone(), kv: Some(open(&options).unwrap()) })
    });
}
