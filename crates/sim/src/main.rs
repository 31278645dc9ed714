//! `chirrup-sim`: lives through many schedules on all cores, and ends with one line that says how
//! it went.

use std::process::ExitCode;
use std::time::Instant;

use chirrup_sim::control::Control;
use chirrup_sim::met::Rare;
use chirrup_sim::run::{CONTROL_WITHIN, first_caught, run_on_threads, told};
use clap::Parser;

/// Failing schedules that are told with their histories.
const TOLD_MAX: usize = 3;

/// Lives through schedules, each drawn from its seed, and judges them.
///
/// Ends with 0 if no rule was broken and, of 10,000 schedules or more, every rare situation was
/// met; with 1 otherwise.
#[derive(Parser)]
struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Schedules, each of the next seed.
    #[arg(long, default_value_t = 10_000)]
    runs: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// A rule to be broken on purpose.
    #[arg(long)]
    control: Option<Control>,
    /// Break every rule, one after the other, and tell which of them is found.
    #[arg(long)]
    controls: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.controls { controls(&options) } else { schedules(&options) }
}

fn schedules(options: &Options) -> ExitCode {
    let begun = now();
    let end = options.seed.saturating_add(options.runs);
    let report = run_on_threads(options.seed..end, options.control, options.threads);
    let milliseconds = since_ms(begun);
    for (seed, violation) in report.failed.iter().take(TOLD_MAX) {
        eprintln!("{}", told(*seed, violation, options.control));
    }
    for (seed, violation) in report.failed.iter().skip(TOLD_MAX) {
        eprintln!("seed {seed}: {violation}");
    }
    for rare in Rare::ALL {
        println!("{:>9} {}", report.met[*rare as usize], rare.about());
    }
    let (met, all) = (Rare::ALL.len() - report.never_met().len(), Rare::ALL.len());
    let pace = report.schedules * 1_000 / milliseconds.max(1);
    println!("sim: {} schedules, {} violations, rare situations met {met} of {all}, {pace}/s", report.schedules, report.failed.len());
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn controls(options: &Options) -> ExitCode {
    let mut all = true;
    for control in Control::ALL {
        let name = control.name();
        if let Some((seed, violation)) = first_caught(options.seed..options.seed.saturating_add(CONTROL_WITHIN), *control) {
            println!("{name}: caught by seed {seed}, schedule {}: {violation}", seed - options.seed + 1);
        } else {
            all = false;
            println!("{name}: missed in {CONTROL_WITHIN} schedules");
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "the edge: how fast it went is told to whoever looks on")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the edge: how fast it went is told to whoever looks on")]
fn since_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
