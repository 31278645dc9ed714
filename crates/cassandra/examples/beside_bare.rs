//! Commits the same rows in the same batches through the driver and by the bare library, as one
//! would write it by hand: a prepared insert for each row, all of a batch at once, in no order.
//! Prints both, and what the order, the versions and the claim cost, as a ratio.
//!
//! `beside_bare [HOST:PORT]`: on that node, else on the one that the tests share.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a program to measure with")]

use std::time::{Duration, Instant};

use chirrup_cassandra::{CassandraKv, Options};
use chirrup_core::aggregate::AggregateId;
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_engines::cassandra::Cassandra;
use chirrup_store::kv::{Key, Kv, Row, Table};
use chirrup_store::offset::Offset;
use chirrup_store::{keys, record};
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

const BATCHES: u64 = 150;
/// Messages of a batch, each in a conversation of its own but for every fourth.
const MESSAGES: u64 = 256;
const EVENT_BYTES: usize = 300;
const VERDICT_BYTES: usize = 60;
/// As many as the driver has under way.
const IN_FLIGHT: usize = chirrup_cassandra::limits::WRITES_IN_FLIGHT;
const SHARD: u8 = 1;
/// Tables that a batch writes, as the keyspace names them.
const TABLES: [&str; 4] = ["feed", "events", "dedupe", "meta"];

fn main() {
    let node = Cassandra::shared("nothing: this measures");
    let address = std::env::args().nth(1).or_else(|| Some(node.as_ref()?.address().to_owned())).expect("an address, or a node");
    let driver = Options::new([&address], Cassandra::new_keyspace());
    let bare = Options::new([&address], Cassandra::new_keyspace());
    let kv = CassandraKv::open(&driver, "a measurement").unwrap();
    drop(CassandraKv::open(&bare, "a measurement").unwrap());
    let hand = Hand::connect(&bare);
    // The first round warms the engine's compiler; rounds take turns, for the machine wanders.
    for round in 0..3 {
        let by_driver = measure(round, |rows| kv.commit(rows).unwrap());
        let by_hand = measure(round, |rows| hand.commit(rows));
        let rate = |took: Duration| (BATCHES * MESSAGES) as f64 / took.as_secs_f64();
        println!(
            "{}: driver {:.0} messages/s, {:.1} ms a batch of {MESSAGES}; bare {:.0} messages/s, {:.1} ms; ratio {:.2}",
            if round == 0 { "warming" } else { "measured" },
            rate(by_driver),
            by_driver.as_secs_f64() * 1e3 / BATCHES as f64,
            rate(by_hand),
            by_hand.as_secs_f64() * 1e3 / BATCHES as f64,
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
    runtime: tokio::runtime::Runtime,
    session: Session,
    inserts: Vec<PreparedStatement>,
}

impl Hand {
    fn connect(options: &Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let profile = ExecutionProfile::builder().consistency(Consistency::LocalQuorum).build();
        let builder = SessionBuilder::new().known_nodes(&options.nodes).default_execution_profile_handle(profile.into_handle());
        let session = runtime.block_on(builder.build()).unwrap();
        let insert = |table| format!("INSERT INTO {}.{table} (partition, sort, value) VALUES (?, ?, ?)", options.keyspace);
        let inserts = TABLES.map(|table| runtime.block_on(session.prepare(insert(table))).unwrap()).into();
        Self { runtime, session, inserts }
    }

    fn commit(&self, rows: &[Row]) {
        let writes = rows.iter().map(|Row { key, value, .. }| {
            let table = [Table::Feed, Table::Event, Table::Dedupe, Table::Meta].iter().position(|table| *table == key.table).unwrap();
            self.session.execute_unpaged(&self.inserts[table], (&key.partition, &key.sort, value.as_ref()))
        });
        let done = stream::iter(writes).buffer_unordered(IN_FLIGHT).map_ok(drop).try_collect::<()>();
        self.runtime.block_on(done).unwrap();
    }
}
