//! `chirrup-faults`: breaks a server again and again, and ends with one line that says how it did.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chirrup_faults::plan::Plan;
use chirrup_faults::points::Points;
use chirrup_faults::report::Report;
use chirrup_faults::run::{Means, RunError, run};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Breaks a server again and again while the checker chats with it, and judges.
///
/// Ends with 0 if no rule was broken in a run that counts, because it met every rare situation;
/// with 1 otherwise, and with 2 if it could not go on or was interrupted.
#[derive(Parser)]
struct Options {
    /// Everything that is random comes from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Power cuts.
    #[arg(long, default_value_t = 20)]
    cuts: usize,
    /// Kills with -9.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// Standstills.
    #[arg(long, default_value_t = 2)]
    stops: usize,
    /// Ends in mid-load.
    #[arg(long, default_value_t = 2)]
    terms: usize,
    /// How long a standstill lasts.
    #[arg(long, default_value_t = 30)]
    stop_seconds: u64,
    /// The server's program; the one beside this if left out.
    #[arg(long)]
    server: Option<PathBuf>,
    /// A variable of its environment, as NAME=VALUE.
    #[arg(long, value_parser = variable)]
    set: Vec<(String, String)>,
    /// A program that dies at named points, `chirrup-mutant`: then a death at each follows.
    #[arg(long)]
    points: Option<PathBuf>,
    /// Where to keep the history, one JSON record a line.
    #[arg(long)]
    history: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let interrupt = CancellationToken::new();
    let done = async {
        let done = broken_and_judged(&options, &interrupt).await;
        // Told only now, so that the interrupt is not waited for any more.
        interrupt.cancel();
        done
    };
    let interrupted = async {
        tokio::select! {
            // Where no signal can be waited for, there is none to stop by.
            Ok(()) = tokio::signal::ctrl_c() => interrupt.cancel(),
            Some(()) = terminated() => interrupt.cancel(),
            () = interrupt.cancelled() => {}
        }
    };
    match tokio::join!(done, interrupted).0 {
        Ok(report) => told(&report),
        Err(error) => {
            eprintln!("faults: seed {}: {error}", options.seed);
            ExitCode::from(2)
        }
    }
}

async fn terminated() -> Option<()> {
    signal(SignalKind::terminate()).ok()?.recv().await
}

async fn broken_and_judged(options: &Options, interrupt: &CancellationToken) -> Result<Report, RunError> {
    let Options { seed, cuts, kills, stops, terms, .. } = *options;
    let plan = Plan { seed, slow: true, cuts, kills, stops, terms, stop_for: Duration::from_secs(options.stop_seconds) };
    let beside = || std::env::current_exe().map(|this| this.with_file_name("chirrup"));
    let program = options.server.clone().map_or_else(beside, Ok)?;
    let points = options.points.as_ref().map(|program| Points::every(program, seed));
    let history = options.history.as_deref();
    let means = Means { program: &program, environment: &options.set, history, tell: |how_far| eprintln!("{how_far}") };
    run(&plan, points.as_ref(), means, interrupt).await
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn told(report: &Report) -> ExitCode {
    eprint!("{}", report.verdict);
    let done = &report.done;
    eprintln!(
        "{} standstills, {} ends in mid-load, {} deaths at named points; the slowest start took {} ms",
        done.stops,
        done.terms,
        done.points,
        done.slowest_start.as_millis()
    );
    if let Some(why) = &report.no_cuts {
        eprintln!("SKIPPED: power cuts were but kills, since no disk can be mounted here: {why}");
    }
    let missing = report.missing();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|rare| rare.name()).collect();
        eprintln!("the run does not count: it did not meet {}", names.join(", "));
    }
    println!("{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
