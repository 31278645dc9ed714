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

/// Messages that were sent just before the server is killed: a part of them is in the log only.
const MESSAGES_BEFORE_KILL: u64 = 100_000;

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
    /// Leave the users and the full stores for the next run with this, which then begins at once:
    /// to try, not to quote, for the stores grow with each run.
    #[arg(long)]
    keep: bool,
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
    /// Pages, starts, memory and disk with a million events and with ten.
    Pages,
    /// Memory of idle connections.
    Idle,
}

/// How much of everything.
struct Scale {
    sends: Span,
    groups: Span,
    delivery_seconds: u32,
    /// Of the two stores that are read.
    events: [u64; 2],
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
        events: [1_000_000, 10_000_000],
        pages: 10_000,
        pages_seconds: 10,
        idle: 10_000,
        floor_seconds: 5,
    };
    const QUICK: Self = Self {
        sends: Span { seconds: 10, warm_up: 3 },
        groups: Span { seconds: 10, warm_up: 3 },
        delivery_seconds: 5,
        events: [600_000, 2_000_000],
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

    let kept = if options.keep { World::kept(&program, &dir)? } else { None };
    let world = if let Some(kept) = kept {
        kept
    } else {
        eprintln!("making {} users and their conversations", world::TALKERS * 2);
        World::make(&program, &dir).await?
    };
    let full = if wanted(Part::Pages) { Some(Full::make(&world, &scale).await?) } else { None };
    if options.keep {
        world.keep()?;
    }
    let mut results = Vec::new();
    for run in 1..=options.runs.unwrap_or(runs) {
        let mut figures = Vec::new();
        for part in Part::value_variants().iter().filter(|part| wanted(**part)) {
            let measured = match part {
                Part::Sends => sends(&world, &scale).await?,
                Part::Groups => groups(&world, &scale).await?,
                Part::Delivery => delivery(&world, &scale).await?,
                Part::Pages => pages(&world, full.as_ref().context("made above")?, &scale).await?,
                Part::Idle => idle(&world, &scale).await?,
            };
            for figure in &measured {
                eprintln!("run {run}: {}", figure.line());
            }
            figures.extend(measured);
        }
        results.push(figures);
    }
    if !options.keep {
        std::fs::remove_dir_all(&dir)?;
    }
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
        Figure::new("delivery_p50", ms(&times, 0.5), "ms").floor(ms(&floor, 0.5)).goal(Goal::AtMost(0.8)),
        Figure::new("delivery_p99", ms(&times, 0.99), "ms").floor(ms(&floor, 0.99)).goal(Goal::AtMost(3.0)),
        Figure::new("delivery_longest", ms(&times, 1.0), "ms"),
        Figure::new("delivery_longest_commit", longest_commit, "ms"),
    ])
}

/// Stores with many events, and bare ones with as many rows of that size.
struct Full {
    stores: [(PathBuf, floor::store::Filled); 2],
    /// Bytes of disk that the first took when it was made.
    disk: u64,
}

impl Full {
    async fn make(world: &World, scale: &Scale) -> Result<Self> {
        let [few, many] = scale.events;
        let first = Self::one(world, "few", few).await?;
        let disk = world::disk_bytes(&first.0)?;
        Ok(Self { stores: [first, Self::one(world, "many", many).await?], disk })
    }

    async fn one(world: &World, name: &str, events: u64) -> Result<(PathBuf, floor::store::Filled)> {
        eprintln!("making {events} messages");
        let (data, bare) = (world.place(name), world.place(&format!("bare-{name}")));
        let done = world.place(&format!("{name}-{events}.done"));
        if let Ok(value_bytes) = std::fs::read_to_string(&done) {
            let value_bytes = value_bytes.parse()?;
            return Ok((data, floor::store::Filled { dir: bare, rows: events, value_bytes }));
        }
        let data = world.filled(name, events).await?;
        let value_bytes = event_bytes(&data)?;
        let filled = tokio::task::spawn_blocking(move || floor::store::fill(bare, events, value_bytes)).await??;
        std::fs::write(done, value_bytes.to_string())?;
        Ok((data, filled))
    }
}

/// What a store with many events gives.
struct Read {
    pages: load::pages::Pages,
    resident_bytes: f64,
    first_page: f64,
    first_ack: f64,
    floor: floor::store::Reads,
}

/// Reads pages, sends some more, kills the server in the middle of it all and starts it again.
async fn read(world: &World, (data, bare): &(PathBuf, floor::store::Filled), scale: &Scale) -> Result<Read> {
    let server = Server::start(&world.program, data)?;
    let pages = load::pages::run(world, &server, scale.pages, scale.pages_seconds).await?;
    world.fill(server.address, MESSAGES_BEFORE_KILL).await?;
    let resident_bytes = server.resident_bytes()?;
    server.kill()?;
    let (server, first_page, first_ack) = load::start::run(world, data).await?;
    server.stop()?;
    let floor = tokio::task::block_in_place(|| floor::store::reads(bare, scale.pages))?;
    Ok(Read { pages, resident_bytes, first_page, first_ack, floor })
}

async fn pages(world: &World, full: &Full, scale: &Scale) -> Result<Vec<Figure>> {
    let few = read(world, &full.stores[0], scale).await?;
    let many = read(world, &full.stores[1], scale).await?;
    let at_once = few.pages.at_once.len() as f64 / scale.pages_seconds as f64;
    let p99 = |read: &Read| ms(&read.pages.alone, 0.99);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let raw = scale.events[0] * load::TEXT_BYTES as u64;
    Ok(vec![
        Figure::new("page_p50", ms(&few.pages.alone, 0.5), "ms").floor(ms(&few.floor.range, 0.5)),
        Figure::new("page_p99", p99(&few), "ms").floor(ms(&few.floor.range, 0.99)).goal(Goal::AtMost(1.0)),
        Figure::new("page_64_at_once_p50", ms(&few.pages.at_once, 0.5), "ms"),
        Figure::new("page_64_at_once_p99", ms(&few.pages.at_once, 0.99), "ms"),
        Figure::new("page_64_at_once", at_once, "1/s"),
        Figure::new("page_server_memory", mib(few.resident_bytes), "MiB"),
        Figure::new("start_to_page", few.first_page, "s").floor(few.floor.open_seconds),
        Figure::new("start_to_ack", few.first_ack, "s").floor(few.floor.open_seconds).goal(Goal::AtMost(1.0)),
        Figure::new("disk", mib(full.disk as f64), "MiB").floor(mib(raw as f64)),
        Figure::new("page_of_10m_p50", ms(&many.pages.alone, 0.5), "ms").floor(ms(&many.floor.range, 0.5)),
        Figure::new("page_of_10m_p99", p99(&many), "ms").floor(ms(&many.floor.range, 0.99)).goal(Goal::AtMost(1.0)),
        Figure::new("page_of_10m_to_1m", p99(&many) / p99(&few), "times").goal(Goal::AtMost(1.3)),
        Figure::new("memory_of_10m", mib(many.resident_bytes), "MiB").goal(Goal::AtMost(mib(400e6))),
        Figure::new("start_of_10m_to_page", many.first_page, "s").floor(many.floor.open_seconds),
        Figure::new("start_of_10m_to_ack", many.first_ack, "s").floor(many.floor.open_seconds).goal(Goal::AtMost(2.0)),
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
