//! Commits the same rows in the same batches through the driver and by the bare library, as one
//! would write it by hand: a transaction with one insert from arrays for each table, awaited one
//! after the other. Prints both, and the ratio of what they reach.
//!
//! `beside_bare [CONNECTION]`: into two new schemas there, else on a server started for it.

#![allow(clippy::unwrap_used, reason = "a program to measure with")]

use std::time::{Duration, Instant};

use chirrup_core::aggregate::AggregateId;
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_engines::postgres::Postgres;
use chirrup_postgres::{Options, PostgresKv};
use chirrup_store::kv::{Key, Kv, Row, Table};
use chirrup_store::offset::Offset;
use chirrup_store::{keys, record};
use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, Statement};

const BATCHES: u64 = 150;
/// Messages of a batch, each in a conversation of its own but for every fourth.
const MESSAGES: u64 = 256;
const EVENT_BYTES: usize = 300;
const VERDICT_BYTES: usize = 60;
const SHARD: u8 = 1;
/// Tables that a batch writes, and their names in the schema.
const TABLES: [(Table, &str); 4] = [(Table::Feed, "feed"), (Table::Event, "events"), (Table::Dedupe, "dedupe"), (Table::Meta, "meta")];

fn main() {
    let given = std::env::args().nth(1);
    let server = if given.is_none() { Postgres::alone("nothing: this measures") } else { None };
    let address = given.or_else(|| Some(server.as_ref()?.address("postgres"))).expect("a connection, or a server");
    let driver = Options::new(&address, Postgres::new_schema()).unwrap();
    let bare = Options::new(&address, Postgres::new_schema()).unwrap();
    let kv = PostgresKv::open(&driver, "a measurement").unwrap();
    drop(PostgresKv::open(&bare, "a measurement").unwrap());
    let mut hand = Hand::connect(&address, bare.schema());
    // The first round warms the engine; rounds take turns, for the machine wanders.
    for round in 0..3 {
        let by_driver = measure(round, |rows| kv.commit(rows).unwrap());
        let by_hand = measure(round, |rows| hand.commit(rows));
        let rate = |took: Duration| f64::from(u32::try_from(BATCHES * MESSAGES).unwrap()) / took.as_secs_f64();
        println!(
            "{}: driver {:.0} messages/s, bare {:.0} messages/s, ratio {:.2}",
            if round == 0 { "warming" } else { "measured" },
            rate(by_driver),
            rate(by_hand),
            rate(by_driver) / rate(by_hand),
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a program that measures")]
fn measure(round: u64, mut commit: impl FnMut(&[Row])) -> Duration {
    let batches: Vec<Vec<Row>> = (round * BATCHES..(round + 1) * BATCHES).map(batch).collect();
    let begun = Instant::now();
    for rows in &batches {
        commit(rows);
    }
    begun.elapsed()
}

/// What the server commits for so many messages: their intent, events, verdicts, the mark.
fn batch(number: u64) -> Vec<Row> {
    let first = number * MESSAGES + 1;
    let version = Offset { epoch: 1, ..Offset::default() }.version(first + MESSAGES);
    let put = |key: Key, value: Vec<u8>| Row { key, value: Some(value), version };
    let conversation = |n: u64| AggregateId::Conversation(ConversationId(u128::from(n / 4 * 3 + n % 4 % 3).to_be_bytes()));
    let offset = Offset { epoch: 1, n: first, k: 0 };
    let mut rows = vec![put(keys::feed(SHARD, offset), vec![7; 40 * MESSAGES as usize])];
    rows.extend((0..MESSAGES).map(|n| put(keys::event(&conversation(n), first + n, true), vec![7; EVENT_BYTES])));
    let verdict = |n: u64| keys::dedupe(&conversation(n), UserId([1; 16]), ClientId(u128::from(first + n).to_be_bytes()));
    rows.extend((0..MESSAGES).map(|n| put(verdict(n), vec![7; VERDICT_BYTES])));
    rows.push(put(keys::meta("mark", &[SHARD]), record::encode_offset(offset)));
    rows
}

/// The library as anybody would use it.
struct Hand {
    runtime: Runtime,
    client: Client,
    inserts: Vec<(Table, Statement)>,
}

impl Hand {
    fn connect(address: &str, schema: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, connection) = runtime.block_on(tokio_postgres::connect(address, NoTls)).unwrap();
        runtime.spawn(async move { drop(connection.await) });
        let columns = [Type::BYTEA_ARRAY, Type::BYTEA_ARRAY, Type::BYTEA_ARRAY];
        let insert = |(table, name)| {
            let sql = format!(
                "INSERT INTO {schema}.{name} (partition, sort, value, version) SELECT *, 1 FROM unnest($1, $2, $3) \
                 ON CONFLICT (partition, sort) DO UPDATE SET value = excluded.value"
            );
            (table, runtime.block_on(client.prepare_typed(&sql, &columns)).unwrap())
        };
        let inserts = TABLES.map(insert).into();
        Self { runtime, client, inserts }
    }

    fn commit(&mut self, rows: &[Row]) {
        let Self { runtime, client, inserts } = self;
        runtime.block_on(async {
            let transaction = client.transaction().await.unwrap();
            for (table, insert) in inserts {
                let rows = || rows.iter().filter(|row| row.key.table == *table);
                let partitions: Vec<&[u8]> = rows().map(|row| row.key.partition.as_slice()).collect();
                let sorts: Vec<&[u8]> = rows().map(|row| row.key.sort.as_slice()).collect();
                let values: Vec<Option<&[u8]>> = rows().map(|row| row.value.as_deref()).collect();
                transaction.execute(&*insert, &[&partitions, &sorts, &values]).await.unwrap();
            }
            transaction.commit().await.unwrap();
        });
    }
}
