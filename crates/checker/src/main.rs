//! Judges kept histories, and makes new ones of a server that runs.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chirrup_checker::chirrup::Chirrup;
use chirrup_checker::history::{Extent, History, Recorder};
use chirrup_checker::judge::{Rare, Rule, Verdict, judge};
use chirrup_checker::workload::{Size, Workload};
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

/// Shows whether a chat server keeps its promises.
#[derive(Parser)]
struct Options {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a kept history; ends with 1 if it breaks a rule.
    Judge {
        /// It, one JSON record a line.
        history: PathBuf,
    },
    /// Chat with a Chirrup server for a while, read everything back, keep the history and judge it.
    Run {
        /// Where the server listens, without TLS.
        address: SocketAddr,
        /// Users, names and ids come from it: each can be used once on a server.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How long to chat.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Where to keep the history.
        #[arg(long)]
        history: Option<PathBuf>,
    },
    /// List the rules, and the rare situations that are counted.
    Rules,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let verdict = match options.command {
        Command::Judge { history } => kept(&history),
        Command::Run { address, seed, seconds, history } => made(address, seed, seconds, history),
        Command::Rules => {
            rules();
            return ExitCode::SUCCESS;
        }
    };
    match verdict {
        Ok(verdict) => {
            if options.json {
                println!("{}", serde_json::to_string(&verdict).expect("a verdict is plain data"));
            } else {
                print!("{verdict}");
            }
            if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("chirrup-checker: {e}");
            ExitCode::from(2)
        }
    }
}

fn kept(path: &PathBuf) -> Result<Verdict, String> {
    let read = File::open(path).and_then(|file| History::read(BufReader::new(file)));
    read.map(|history| judge(&history)).map_err(|e| format!("failed to read {}: {e}", path.display()))
}

fn made(address: SocketAddr, seed: u64, seconds: u64, to: Option<PathBuf>) -> Result<Verdict, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("failed to start: {e}"))?;
    runtime.block_on(async {
        let recorder = to.map_or_else(|| Ok(Recorder::new()), |path| Recorder::to_file(&path));
        let recorder = recorder.map_err(|e| format!("failed to write the history: {e}"))?;
        let prepared = Workload::prepare(Chirrup::at(address), recorder.clone(), seed, Size::SMALL).await;
        let mut workload = prepared.map_err(|e| format!("failed to make users and conversations: {e}"))?;
        let stop = CancellationToken::new();
        tokio::join!(workload.run(stop.clone()), async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            stop.cancel();
        });
        workload.read_back(Extent::Full).await.map_err(|e| format!("failed to read back: {e}"))?;
        let history = recorder.history().map_err(|e| format!("failed to write the history: {e}"))?;
        Ok(judge(&history))
    })
}

fn rules() {
    for rule in Rule::ALL {
        println!("{rule}: {}", rule.about());
    }
    for rare in Rare::ALL {
        println!("{rare}: {}", rare.about());
    }
}
