//! The contract of the trait.

use chirrup_engines::postgres::Postgres;
use chirrup_postgres::{Options, PostgresKv};
use chirrup_store::contract::{self, Subject};
use chirrup_store::kv::Kv;

use crate::support::{open, options};

struct Opened {
    options: Options,
    /// None only while it is opened again.
    kv: Option<PostgresKv>,
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
}

#[test]
fn the_driver_keeps_the_contract() {
    let Some(server) = Postgres::shared("the contract") else { return };
    contract::run(|| {
        let options = options(&server);
        Box::new(Opened { kv: Some(open(&options).unwrap()), options })
    });
}
