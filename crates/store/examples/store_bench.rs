//! Measures the embedded store, beside fjall as it comes, with the rows of a chat server.
//!
//! ```text
//! store_bench ENGINE DIR SECONDS [BATCH] [RATE]     ENGINE: log, fjall, fjall-unsynced
//! ```
//!
//! Writes for SECONDS in a child process, kills it with -9, opens what it left, and prints one
//! line a figure. A message is one event row of 300 bytes and one dedupe row; a batch adds 64
//! feed rows of 200 bytes and 64 marks. Values are random bytes. RATE, in messages a second,
//! paces the batches; without it they follow each other.

#![allow(clippy::disallowed_methods, reason = "measures time")]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::{Key, Kv, Range, Row, Table};

const CONVERSATIONS: u64 = 10_000;
const SHARDS: u64 = 64;
const EVENT_BYTES: usize = 300;
const DEDUPE_BYTES: usize = 60;
const FEED_BYTES: usize = 200;
/// Throughput is told from this second on.
const WARM_UP_SECONDS: usize = 30;

/// A store under measurement.
trait Engine {
    fn commit(&mut self, rows: Vec<Row>);
    fn get(&self, key: &Key) -> Option<Vec<u8>>;
    fn page(&self, range: &Range) -> usize;
}

impl Engine for EmbeddedKv {
    fn commit(&mut self, rows: Vec<Row>) {
        Kv::commit(self, &rows).expect("the disk has room");
    }

    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        Kv::get(self, std::slice::from_ref(key)).expect("the store reads").pop().flatten()
    }

    fn page(&self, range: &Range) -> usize {
        Kv::range(self, range).expect("the store reads").len()
    }
}

/// fjall with one keyspace a table.
struct Fjall {
    db: fjall::Database,
    keyspaces: Vec<fjall::Keyspace>,
    sync: Option<fjall::PersistMode>,
}

impl Fjall {
    fn open(dir: &Path, sync: Option<fjall::PersistMode>) -> Self {
        let db = fjall::Database::builder(dir).cache_size(64 << 20).open().expect("fjall opens");
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(32 << 20);
        let keyspace = |table: Table| db.keyspace(&format!("{table:?}"), options).expect("a keyspace opens");
        Self { keyspaces: Table::ALL.into_iter().map(keyspace).collect(), db, sync }
    }

    fn key(key: &Key) -> Vec<u8> {
        [&[u8::try_from(key.partition.len()).expect("short")], key.partition.as_slice(), &key.sort].concat()
    }
}

impl Engine for Fjall {
    fn commit(&mut self, rows: Vec<Row>) {
        let mut batch = self.db.batch().durability(self.sync);
        for row in rows {
            let keyspace = &self.keyspaces[row.key.table as usize - 1];
            match row.value {
                Some(value) => batch.insert(keyspace, Self::key(&row.key), value),
                None => batch.remove(keyspace, Self::key(&row.key)),
            }
        }
        batch.commit().expect("fjall commits");
    }

    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let keyspace = &self.keyspaces[key.table as usize - 1];
        keyspace.get(Self::key(key)).expect("fjall reads").map(|value| value.to_vec())
    }

    fn page(&self, range: &Range) -> usize {
        let keyspace = &self.keyspaces[range.table as usize - 1];
        let from = Self::key(&Key::new(range.table, range.partition.clone(), range.from.clone()));
        let until = Self::key(&Key::new(range.table, range.partition.clone(), vec![0xff; 16]));
        keyspace.range(from..until).take(range.limit).filter_map(|row| row.into_inner().ok()).count()
    }
}

fn open(engine: &str, dir: &Path) -> Box<dyn Engine> {
    match engine {
        "log" => Box::new(EmbeddedKv::open(dir, EmbeddedOptions::default()).expect("the store opens")),
        "fjall" => Box::new(Fjall::open(dir, Some(fjall::PersistMode::SyncData))),
        "fjall-unsynced" => Box::new(Fjall::open(dir, None)),
        other => panic!("no engine {other}"),
    }
}

/// The rows of a server, deterministic.
struct Load {
    random: u64,
    /// Events so far, by conversation.
    heads: Vec<u64>,
    messages: u64,
    batches: u64,
    bytes: u64,
    rows: u64,
}

impl Load {
    fn new() -> Self {
        let heads = vec![0; usize::try_from(CONVERSATIONS).expect("few")];
        Self { random: 1, heads, messages: 0, batches: 0, bytes: 0, rows: 0 }
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn value(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(length).collect()
    }

    fn batch(&mut self, messages: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        self.batches += 1;
        for _ in 0..messages {
            let conversation = self.next() % CONVERSATIONS;
            let head = &mut self.heads[usize::try_from(conversation).expect("few")];
            *head += 1;
            let seq = *head;
            let key = event_key(conversation, seq);
            rows.push((key, self.value(EVENT_BYTES)));
            let sender = [id(conversation), id(conversation ^ (self.next() % 2))].concat();
            let client = [(self.messages << 16).to_be_bytes(), self.next().to_be_bytes()].concat();
            rows.push((Key::new(Table::Dedupe, sender, client), self.value(DEDUPE_BYTES)));
            self.messages += 1;
        }
        for shard in 0..SHARDS {
            let offset = self.messages.to_be_bytes();
            rows.push((Key::new(Table::Feed, shard.to_be_bytes(), offset), self.value(FEED_BYTES)));
            rows.push((Key::new(Table::Meta, [b"mark/", &shard.to_be_bytes()[..]].concat(), []), offset.to_vec()));
        }
        let version = self.batches;
        let rows: Vec<Row> = rows.into_iter().map(|(key, value)| Row { key, value: Some(value), version }).collect();
        self.rows += rows.len() as u64;
        let bytes = |row: &Row| row.key.partition.len() + row.key.sort.len() + row.value.as_ref().map_or(0, Vec::len);
        self.bytes += rows.iter().map(|row| bytes(row) as u64).sum::<u64>();
        rows
    }
}

/// 16 bytes that look random and are the same for the same number.
fn id(number: u64) -> Vec<u8> {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [mixed.to_be_bytes(), mixed.swap_bytes().wrapping_mul(31).to_be_bytes()].concat()
}

fn event_key(conversation: u64, seq: u64) -> Key {
    let partition = [id(conversation), (seq >> 16).to_be_bytes()[4..].to_vec()].concat();
    Key::new(Table::Event, partition, [&[1], &seq.to_be_bytes()[..]].concat())
}

fn write(engine: &str, dir: &Path, seconds: u64, batch: u64, rate: Option<u64>) {
    let mut store = open(engine, dir);
    let mut load = Load::new();
    let mut by_second = vec![0u64; usize::try_from(seconds).expect("few")];
    let mut commits_us: Vec<u64> = Vec::new();
    let begin = Instant::now();
    loop {
        if let Some(rate) = rate {
            let due = begin + Duration::from_secs_f64(load.messages as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let rows = load.batch(batch);
        let start = Instant::now();
        store.commit(rows);
        commits_us.push(u64::try_from(start.elapsed().as_micros()).expect("short"));
        let Some(second) = by_second.get_mut(usize::try_from(begin.elapsed().as_secs()).expect("few")) else { break };
        *second += batch;
    }
    let from = WARM_UP_SECONDS.min(by_second.len() / 3);
    let counted = &by_second[from..];
    let mean = counted.iter().sum::<u64>() / counted.len() as u64;
    let worst = counted.windows(10.min(counted.len())).map(|w| w.iter().sum::<u64>() / w.len() as u64).min();
    commits_us.sort_unstable();
    let at = |part: f64| commits_us[(commits_us.len() as f64 * part) as usize] as f64 / 1_000.0;
    println!("{engine}.messages {mean} /s from second {from}");
    println!("{engine}.worst_10s {} /s", worst.unwrap_or(0));
    println!("{engine}.commit {:.2} ms p50, {:.2} p99, {:.2} p99.9", at(0.5), at(0.99), at(0.999));
    println!("{engine}.longest {:.1} ms", *commits_us.last().expect("some") as f64 / 1_000.0);
    println!("{engine}.rows {:.2} a message", load.rows as f64 / load.messages as f64);
    println!("{engine}.bytes {} a message", load.bytes / load.messages);
    println!("{engine}.total {} messages", load.messages);
    println!("{engine}.cpu {:.2} us a row", cpu_us() / load.rows as f64);
    println!("{engine}.memory {} MiB at most", peak_memory_kib() / 1024);
    read(engine, store.as_ref(), &load);
    println!("written {}", load.messages);
    std::thread::sleep(Duration::from_mins(1));
}

/// Reads while the merging may still go on: a page of 50 and one key.
fn read(engine: &str, store: &dyn Engine, load: &Load) {
    let mut random = Load::new();
    let (mut pages_us, mut gets_us) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let conversation = random.next() % CONVERSATIONS;
        let head = load.heads[usize::try_from(conversation).expect("few")].max(1);
        let Key { table, partition, sort } = event_key(conversation, head.saturating_sub(50).max(1));
        let start = Instant::now();
        store.page(&Range { table, partition, from: sort, until: None, descending: false, limit: 50 });
        pages_us.push(start.elapsed().as_micros());
        let key = event_key(conversation, 1 + random.next() % head);
        let start = Instant::now();
        store.get(&key);
        gets_us.push(start.elapsed().as_micros());
    }
    for (what, mut times) in [("page", pages_us), ("get", gets_us)] {
        times.sort_unstable();
        println!("{engine}.{what} {} us p50, {} p99", times[times.len() / 2], times[times.len() * 99 / 100]);
    }
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn peak_memory_kib() -> u64 {
    status_kib("VmHWM:")
}

/// Processor time of this process, all threads.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: f64 = stat.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    ticks * 10_000.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<u64>().expect("a number"));
    let [engine, dir, ..] = arguments.as_slice() else { panic!("store_bench ENGINE DIR SECONDS [BATCH] [RATE]") };
    let dir = Path::new(dir);
    if std::env::var_os("STORE_BENCH_CHILD").is_some() {
        return write(engine, dir, number(2).unwrap_or(90), number(3).unwrap_or(1_000), number(4));
    }
    let program = std::env::current_exe().expect("this program has a path");
    let mut child =
        Command::new(program).args(&arguments).env("STORE_BENCH_CHILD", "1").stdout(Stdio::piped()).spawn().expect("this program starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    for line in output.lines() {
        let line = line.expect("the child writes text");
        println!("{line}");
        if line.starts_with("written") {
            child.kill().expect("the child is ours");
        }
    }
    child.wait().expect("the child ends");
    let start = Instant::now();
    let store = open(engine, dir);
    println!("{engine}.recovery {} ms after kill -9", start.elapsed().as_millis());
    println!("{engine}.disk {} MiB", disk_bytes(dir) >> 20);
    drop(store);
}

fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
