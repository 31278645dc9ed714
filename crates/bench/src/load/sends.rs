//! Acked durable sends into conversations of two whose other member is offline: 200 connections,
//! 16 sends in flight on each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{IN_FLIGHT, Seconds, TEXT_BYTES};
use crate::clock;
use crate::figure::{Figure, Goal};
use crate::server::Server;
use crate::wire::Wire;
use crate::world::{BUSY_PAIRS_EACH, World, client_ids};

/// Seconds of a run, and those at its beginning that do not count.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// All.
    pub(crate) seconds: usize,
    /// Left out.
    pub(crate) warm_up: usize,
}

impl Span {
    /// Seconds that count.
    pub(crate) fn counted(self) -> f64 {
        (self.seconds - self.warm_up) as f64
    }
}

/// What was sent, for floors that repeat it.
pub(crate) struct Sent {
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// Durable sends a second.
    pub(crate) rate: f64,
    /// Messages in one commit of the server, on average.
    pub(crate) messages_per_commit: f64,
    /// Rows that the server wrote for a message, on average.
    pub(crate) rows_per_message: f64,
}

/// Runs it.
pub(crate) async fn run(world: &World, server: &Server, span: Span) -> Result<Sent> {
    let wires = world.connect_all(server.address).await?;
    let seconds = Arc::new(Seconds::new(span.seconds));
    let mut tasks = JoinSet::new();
    for (place, wire) in wires.into_iter().enumerate() {
        tasks.spawn(talk(wire, place, world.pairs[place][..BUSY_PAIRS_EACH].to_vec(), Arc::clone(&seconds)));
    }
    tokio::time::sleep(Duration::from_secs(span.warm_up as u64)).await;
    let (before, cpu_before) = (server.metrics()?, server.cpu_seconds()?);
    tokio::time::sleep_until(seconds.end().into()).await;
    let (after, cpu_after) = (server.metrics()?, server.cpu_seconds()?);
    super::join(tasks).await?;

    let rate = seconds.rate(span.warm_up);
    let commands = after.grew(&before, "chirrup_commands_total");
    let commits = after.grew(&before, "chirrup_commits_total");
    let per_message = |name| after.grew(&before, name) / commands;
    let messages_per_commit = commands / commits;
    let rows_per_message = per_message("chirrup_rows_total");
    let cpu = cpu_after - cpu_before;
    let figures = vec![
        Figure::new("sends_worst_10s", seconds.worst(span.warm_up, 10), "1/s"),
        Figure::new("sends_longest_commit", after.get("chirrup_commit_longest_microseconds") / 1e3, "ms"),
        Figure::new("sends_rows_each", rows_per_message, "rows"),
        Figure::new("sends_row_bytes_each", per_message("chirrup_row_bytes_total"), "bytes"),
        Figure::new("sends_in_a_commit", messages_per_commit, "messages"),
        Figure::new("sends_per_cpu_second", rate * span.counted() / cpu, "1/cpu_s"),
        Figure::new("sends_server_memory", server.resident_bytes()? / f64::from(1 << 20), "MiB"),
    ];
    Ok(Sent { figures, rate, messages_per_commit, rows_per_message })
}

impl Sent {
    /// The rate beside the store alone and beside a plain file, with their floors.
    pub(crate) fn rates(&self, store: f64, file: f64) -> [Figure; 2] {
        [
            Figure::new("sends", self.rate, "1/s").floor(store).goal(Goal::AtLeast(30_000.0, 0.5)),
            Figure::new("sends_beside_plain_file", self.rate, "1/s").floor(file),
        ]
    }
}

async fn talk(mut wire: Wire, place: usize, conversations: Vec<String>, seconds: Arc<Seconds>) -> Result<()> {
    let mut ids = client_ids(place);
    let body = "x".repeat(TEXT_BYTES);
    let end: Instant = seconds.end();
    let (mut sent, mut waiting) = (0, 0);
    loop {
        while waiting < IN_FLIGHT && clock::now() < end {
            sent += 1;
            waiting += 1;
            wire.feed("send", &super::send_params(&ids.make(), &conversations[sent % conversations.len()], &body)).await?;
        }
        if waiting == 0 {
            return Ok(());
        }
        wire.flush().await?;
        let acked = super::acks(&mut wire, |_| Ok(())).await?;
        seconds.add(acked);
        waiting -= acked;
    }
}
