//! Measures a server: load over its public protocol, from a process of its own, and beside each
//! figure the floor that this machine gave in the same run.
//!
//! Must not know: anything of the server's code. It speaks raw JSON, so that nothing repairs what
//! the server does.

#![expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures are positive and told with three digits")]

mod clock;
mod figure;
mod floor;
mod load;
mod server;
mod wire;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;

use figure::{Figure, Goal, Summary};
use load::sends::Span;
use server::Server;
use world::World;

/// Runs: the median counts.
const RUNS: usize = 3;

/// Measures a server on this machine.
#[derive(Parser)]
struct Options {
    /// A tenth of everything, once: to try, not to quote.
    #[arg(long)]
    quick: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Only these parts.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// How many runs.
    #[arg(long)]
    runs: Option<usize>,
    /// The server's program; the one beside this if left out.
    #[arg(long)]
    server: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Acked durable sends.
    Sends,
    /// Sends into groups, all connected.
    Groups,
    /// Send to delivery.
    Delivery,
    /// Pages and starts with a million events.
    Pages,
    /// Memory of idle connections.
    Idle,
}

/// How much of everything.
struct Scale {
    sends: Span,
    groups: Span,
    delivery_seconds: u32,
    events: u64,
    pages: u64,
    pages_seconds: u64,
    idle: usize,
    floor_seconds: u64,
}

impl Scale {
    const FULL: Self = Self {
        sends: Span { seconds: 90, warm_up: 30 },
        groups: Span { seconds: 30, warm_up: 10 },
        delivery_seconds: 30,
        events: 1_000_000,
        pages: 10_000,
        pages_seconds: 10,
        idle: 10_000,
        floor_seconds: 5,
    };
    const QUICK: Self = Self {
        sends: Span { seconds: 10, warm_up: 3 },
        groups: Span { seconds: 10, warm_up: 3 },
        delivery_seconds: 5,
        events: 200_000,
        pages: 2_000,
        pages_seconds: 3,
        idle: 1_000,
        floor_seconds: 1,
    };
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let summary = runtime.context("failed to start the runtime").and_then(|runtime| runtime.block_on(measure(&options)));
    match summary {
        Ok(summary) if options.json => println!("{:#}", summary.json()),
        Ok(summary) => {
            print!("{}", summary.lines());
            println!("short: {}", summary.short());
        }
        Err(error) => {
            eprintln!("chirrup-bench: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn measure(options: &Options) -> Result<Summary> {
    let own = std::env::current_exe()?;
    let beside = own.parent().context("a program lies in a folder")?;
    let program = options.server.clone().unwrap_or_else(|| beside.join("chirrup"));
    let dir = beside.parent().unwrap_or(Path::new("target")).join("bench");
    let (scale, runs) = if options.quick { (Scale::QUICK, 1) } else { (Scale::FULL, RUNS) };
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);

    eprintln!("making {} users and their conversations", world::TALKERS * 2);
    let world = World::make(&program, &dir).await?;
    let full = if wanted(Part::Pages) {
        eprintln!("making {} messages", scale.events);
        Some(world.filled(scale.events).await?)
    } else {
        None
    };
    let mut results = Vec::new();
    for run in 1..=options.runs.unwrap_or(runs) {
        let mut figures = Vec::new();
        for part in Part::value_variants().iter().filter(|part| wanted(**part)) {
            let measured = match part {
                Part::Sends => sends(&world, &scale).await?,
                Part::Groups => groups(&world, &scale).await?,
                Part::Delivery => delivery(&world, &scale).await?,
                Part::Pages => pages(&world, full.as_deref().context("made above")?, &scale).await?,
                Part::Idle => idle(&world, &scale).await?,
            };
            for figure in &measured {
                eprintln!("run {run}: {}", figure.line());
            }
            figures.extend(measured);
        }
        results.push(figures);
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(Summary::of(&results))
}

async fn sends(world: &World, scale: &Scale) -> Result<Vec<Figure>> {
    let data = world.fresh("sends")?;
    let before = floor::shapes::last_number(&data)?;
    let server = Server::start(&world.program, &data)?;
    let sent = load::sends::run(world, &server, scale.sends).await?;
    server.stop()?;
    let batches = floor::shapes::recorded(&data, before)?;
    std::fs::remove_dir_all(&data)?;
    let (replayed, plain) = (world.scratch("replayed")?, world.scratch("plain")?);
    let (span, seconds, batch) = (scale.sends, scale.floor_seconds, sent.messages_per_commit);
    let (rows, records) = tokio::task::spawn_blocking(move || -> Result<(f64, f64)> {
        let rows = floor::store::replay(&replayed, &batches, span)?;
        std::fs::remove_dir_all(&replayed)?;
        let records = floor::store::plain_file(&plain, batch.round().max(1.0) as usize, seconds)?;
        std::fs::remove_dir_all(&plain)?;
        Ok((rows, records))
    })
    .await??;
    let mut figures = sent.rates(rows / sent.rows_per_message, records).to_vec();
    figures.extend(sent.figures);
    Ok(figures)
}

async fn groups(world: &World, scale: &Scale) -> Result<Vec<Figure>> {
    let data = world.fresh("groups")?;
    let server = Server::start(&world.program, &data)?;
    let (mut figures, deliveries) = load::groups::run(world, &server, scale.groups).await?;
    let metrics = server.metrics()?;
    server.stop()?;
    std::fs::remove_dir_all(&data)?;
    let frame_bytes = metrics.get("chirrup_out_bytes_total") / metrics.get("chirrup_frames_out_total");
    let seconds = scale.floor_seconds;
    let floor = tokio::task::spawn_blocking(move || floor::network::send_loop(frame_bytes as usize, seconds)).await??;
    figures.insert(1, Figure::new("group_deliveries", deliveries, "1/s").floor(floor));
    Ok(figures)
}

async fn delivery(world: &World, scale: &Scale) -> Result<Vec<Figure>> {
    let data = world.fresh("delivery")?;
    let server = Server::start(&world.program, &data)?;
    let times = load::delivery::run(world, &server, scale.delivery_seconds).await?;
    let longest_commit = server.metrics()?.get("chirrup_commit_longest_microseconds") / 1e3;
    server.stop()?;
    std::fs::remove_dir_all(&data)?;
    let dir = world.scratch("echo")?;
    let count = 1_000 * u32::try_from(scale.floor_seconds)?;
    let floor = tokio::task::spawn_blocking(move || floor::network::echo(&dir, count)).await??;
    Ok(vec![
        Figure::new("delivery_p50", ms(&times, 0.5), "ms").floor(ms(&floor, 0.5)).goal(Goal::AtMost(1.2)),
        Figure::new("delivery_p99", ms(&times, 0.99), "ms").floor(ms(&floor, 0.99)).goal(Goal::AtMost(5.0)),
        Figure::new("delivery_longest", ms(&times, 1.0), "ms"),
        Figure::new("delivery_longest_commit", longest_commit, "ms"),
    ])
}

async fn pages(world: &World, full: &Path, scale: &Scale) -> Result<Vec<Figure>> {
    let server = Server::start(&world.program, full)?;
    let pages = load::pages::run(world, &server, scale.pages, scale.pages_seconds).await?;
    let memory = server.resident_bytes()?;
    server.kill()?;
    let (server, first_page, first_ack) = load::start::run(world, full).await?;
    server.stop()?;
    let value_bytes = event_bytes(full)?;
    let (dir, events, count) = (world.scratch("reads")?, scale.events, scale.pages);
    let floor = tokio::task::spawn_blocking(move || floor::store::reads(&dir, events, value_bytes, count)).await??;
    let at_once = pages.at_once.len() as f64 / scale.pages_seconds as f64;
    Ok(vec![
        Figure::new("page_p50", ms(&pages.alone, 0.5), "ms").floor(ms(&floor.range, 0.5)),
        Figure::new("page_p99", ms(&pages.alone, 0.99), "ms").floor(ms(&floor.range, 0.99)).goal(Goal::AtMost(1.0)),
        Figure::new("page_64_at_once_p50", ms(&pages.at_once, 0.5), "ms"),
        Figure::new("page_64_at_once_p99", ms(&pages.at_once, 0.99), "ms"),
        Figure::new("page_64_at_once", at_once, "1/s"),
        Figure::new("page_server_memory", memory / f64::from(1 << 20), "MiB"),
        Figure::new("start_to_page", first_page, "s").floor(floor.open_seconds),
        Figure::new("start_to_ack", first_ack, "s").floor(floor.open_seconds).goal(Goal::AtMost(1.0)),
    ])
}

async fn idle(world: &World, scale: &Scale) -> Result<Vec<Figure>> {
    let data = world.fresh("idle")?;
    let server = Server::start(&world.program, &data)?;
    let bytes = load::idle::run(world, &server, scale.idle).await?;
    server.stop()?;
    std::fs::remove_dir_all(&data)?;
    Ok(vec![Figure::new("idle_connection", bytes / 1024.0, "KiB")])
}

/// The commonest length of a value among the recorded rows of the longest values: an event's.
fn event_bytes(data: &Path) -> Result<usize> {
    let batches = floor::shapes::recorded(data, 0)?;
    let mut lengths: Vec<usize> =
        batches.iter().flatten().filter_map(|row| row.value_bytes).filter(|bytes| *bytes > load::TEXT_BYTES).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().context("there are events in the log")
}

fn ms(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1e3
}
