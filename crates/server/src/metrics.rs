//! The server's figures, in the text format of Prometheus. Counters are plain atomics: counting
//! must cost the way of a message nothing. No ids of users or conversations are labels.
//!
//! Must not know: where a figure comes from.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chirrup_protocol::error::Code;
use chirrup_protocol::request::Request;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Now so much.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// How much.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often values fell below each bound.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above them all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// One value.
    pub fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }
}

/// Bounds of times, in microseconds.
const MICROSECONDS: &[u64] =
    &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];
/// Bounds of sizes of batches, in events.
const EVENTS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/// Every figure of the server.
#[derive(Debug)]
pub struct Metrics {
    /// WebSocket connections that live.
    pub connections: Gauge,
    /// Of them, those with a session.
    pub sessions: Gauge,
    /// Sockets ever accepted.
    pub accepted: Counter,
    /// Sockets refused for a limit.
    pub accept_refused: Counter,
    /// Frames read from clients.
    pub frames_in: Counter,
    /// Frames written to clients.
    pub frames_out: Counter,
    /// Bytes of frames written to clients.
    pub bytes_out: Counter,
    /// Times that a slow reader was told what to pull.
    pub behind: Counter,
    /// Passwords that were wrong.
    pub passwords_wrong: Counter,
    /// Requests that ended in a panic.
    pub panics: Counter,
    /// Requests by method, in the order of `Request::METHODS`.
    requests: Box<[Counter]>,
    /// Errors told to clients by code, in the order of `Code::ALL`.
    errors: Box<[Counter]>,
    /// Commands that wait for a runner.
    pub queue: Gauge,
    commits: Counter,
    commits_failed: Counter,
    rows: Counter,
    row_bytes: Counter,
    commands: Counter,
    batch_events: Histogram,
    commit_us: Histogram,
    commit_longest_us: AtomicU64,
    /// Whether the store refuses what takes room.
    pub store_full: Gauge,
    /// Whether the store has failed, and takes nothing.
    pub store_stopped: Gauge,
    /// Bytes that the store keeps in memory for itself.
    pub store_cache_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let counters = |n: usize| (0..n).map(|_| Counter::default()).collect();
        Self {
            connections: Gauge::default(),
            sessions: Gauge::default(),
            accepted: Counter::default(),
            accept_refused: Counter::default(),
            frames_in: Counter::default(),
            frames_out: Counter::default(),
            bytes_out: Counter::default(),
            behind: Counter::default(),
            passwords_wrong: Counter::default(),
            panics: Counter::default(),
            requests: counters(Request::METHODS.len()),
            errors: counters(Code::ALL.len()),
            queue: Gauge::default(),
            commits: Counter::default(),
            commits_failed: Counter::default(),
            rows: Counter::default(),
            row_bytes: Counter::default(),
            commands: Counter::default(),
            batch_events: Histogram::new(EVENTS),
            commit_us: Histogram::new(MICROSECONDS),
            commit_longest_us: AtomicU64::new(0),
            store_full: Gauge::default(),
            store_stopped: Gauge::default(),
            store_cache_bytes: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Counts a request.
    pub fn request(&self, method: &str) {
        if let Some(i) = Request::METHODS.iter().position(|m| *m == method) {
            self.requests[i].one();
        }
    }

    /// Counts an error told to a client.
    pub fn error(&self, code: Code) {
        if let Some(i) = Code::ALL.iter().position(|c| *c == code) {
            self.errors[i].one();
        }
    }

    /// Counts a commit of so many rows and bytes, made durable or not.
    pub fn committed(&self, rows: u64, bytes: u64, took: Duration, durable: bool) {
        if !durable {
            self.commits_failed.one();
            return;
        }
        self.commits.one();
        self.rows.add(rows);
        self.row_bytes.add(bytes);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us.record(us);
        self.commit_longest_us.fetch_max(us, Ordering::Relaxed);
    }

    /// Counts the commands and events of a batch that is durable.
    pub fn decided(&self, commands: u64, events: u64) {
        self.commands.add(commands);
        self.batch_events.record(events);
    }

    /// All figures as text. `heap_bytes` is the live heap; what the store keeps for itself is
    /// told apart from it.
    pub fn render(&self, heap_bytes: u64) -> String {
        let mut text = Text(String::with_capacity(16 << 10));
        text.gauge("chirrup_connections", "WebSocket connections that live", self.connections.get());
        text.gauge("chirrup_sessions", "Connections with a session", self.sessions.get());
        text.counter("chirrup_accepted_total", "Sockets accepted", self.accepted.get());
        text.counter("chirrup_accept_refused_total", "Sockets refused for a limit", self.accept_refused.get());
        text.counter("chirrup_frames_in_total", "Frames read from clients", self.frames_in.get());
        text.counter("chirrup_frames_out_total", "Frames written to clients", self.frames_out.get());
        text.counter("chirrup_out_bytes_total", "Bytes of frames written to clients", self.bytes_out.get());
        text.counter("chirrup_behind_total", "Times that a slow reader was told what to pull", self.behind.get());
        text.counter("chirrup_passwords_wrong_total", "Passwords that were wrong", self.passwords_wrong.get());
        text.counter("chirrup_panics_total", "Requests that ended in a panic", self.panics.get());
        let methods = Request::METHODS.iter().copied().zip(self.requests.iter().map(Counter::get));
        text.labelled("chirrup_requests_total", "Requests", "method", methods);
        let codes = Code::ALL.iter().map(|c| c.name()).zip(self.errors.iter().map(Counter::get));
        text.labelled("chirrup_errors_total", "Errors told to clients", "code", codes);
        text.gauge("chirrup_queue_commands", "Commands that wait for a runner", self.queue.get());
        text.counter("chirrup_commands_total", "Commands decided and durable", self.commands.get());
        text.counter("chirrup_commits_total", "Commits made durable", self.commits.get());
        text.counter("chirrup_commits_failed_total", "Commits that could not be made durable", self.commits_failed.get());
        text.counter("chirrup_rows_total", "Rows written", self.rows.get());
        text.counter("chirrup_row_bytes_total", "Bytes of rows written", self.row_bytes.get());
        text.histogram("chirrup_batch_events", "Events of a batch", &self.batch_events);
        text.histogram("chirrup_commit_microseconds", "Time of a commit", &self.commit_us);
        let longest = self.commit_longest_us.load(Ordering::Relaxed);
        text.gauge("chirrup_commit_longest_microseconds", "Longest commit since the start", longest);
        text.gauge("chirrup_store_full", "1 while the store refuses what takes room", self.store_full.get());
        text.gauge("chirrup_store_stopped", "1 when the store has failed, and takes nothing", self.store_stopped.get());
        text.gauge("chirrup_store_cache_bytes", "Bytes that the store keeps in memory", self.store_cache_bytes.get());
        let outside = heap_bytes.saturating_sub(self.store_cache_bytes.get());
        text.gauge("chirrup_heap_live_bytes", "Live heap outside the store's cache", outside);
        text.gauge("chirrup_heap_live_all_bytes", "Live heap", heap_bytes);
        text.0
    }
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        self.line(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(name, value);
    }

    fn labelled<'a>(&mut self, name: &str, help: &str, label: &str, values: impl Iterator<Item = (&'a str, u64)>) {
        self.head(name, help, "counter");
        for (value, count) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {count}");
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let mut total = 0;
        for (i, bucket) in histogram.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            let bound = histogram.bounds.get(i).map_or_else(|| "+Inf".to_owned(), u64::to_string);
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(self.0, "{name}_sum {}\n{name}_count {total}", histogram.sum.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let metrics = Metrics::default();
        for us in [100, 101, 20_000_000] {
            metrics.committed(1, 1, Duration::from_micros(us), true);
        }
        metrics.committed(1, 1, Duration::from_micros(1), false);
        let text = metrics.render(0);
        assert!(text.contains("chirrup_commit_microseconds_bucket{le=\"100\"} 1\n"), "{text}");
        assert!(text.contains("chirrup_commit_microseconds_bucket{le=\"250\"} 2\n"), "{text}");
        assert!(text.contains("chirrup_commit_microseconds_bucket{le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("chirrup_commit_microseconds_sum 20000201\n"), "{text}");
        assert!(text.contains("chirrup_commit_longest_microseconds 20000000\n"), "{text}");
    }

    #[test]
    fn the_stores_cache_is_not_in_the_heap() {
        let metrics = Metrics::default();
        metrics.store_cache_bytes.set(40);
        metrics.request("send");
        metrics.error(Code::NotFound);
        let text = metrics.render(100);
        assert!(text.contains("chirrup_heap_live_bytes 60\n"), "{text}");
        assert!(text.contains("chirrup_requests_total{method=\"send\"} 1\n"), "{text}");
        assert!(text.contains("chirrup_errors_total{code=\"not_found\"} 1\n"), "{text}");
    }
}
