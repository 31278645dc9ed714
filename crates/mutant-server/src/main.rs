//! `chirrup-mutant serve`: the server of `chirrup serve`, with a rule broken or a place to die, as
//! the environment says. For tests alone: `crates/mutants` tells what there is to choose, and why no
//! release can have it.
//!
//! It takes the flags `--data`, `--listen` and `--admin-listen`, and prints the line that
//! `chirrup serve --json` prints, so that it can stand in for it.

use std::env::{self, VarError};
use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use chirrup_server::app::{self, ServerInfo};
use chirrup_server::config::Config;

/// Names the rule that is broken.
const MUTANT: &str = "CHIRRUP_MUTANT";
/// `POINT:n`: where the process dies, and at the how-manieth pass.
const KILL_AT: &str = "CHIRRUP_KILL_AT";

/// As in `chirrup`, whose figures it tells.
#[global_allocator]
static HEAP: chirrup_server::heap::Allocator = chirrup_server::heap::Allocator;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chirrup-mutant: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    chirrup_mutants::choose(chosen(MUTANT)?, chosen(KILL_AT)?);
    let config = Config::load(None, env::vars(), &flags(env::args().skip(1))?)?;
    chirrup_server::telemetry::begin(&config.log).context("failed to start logging")?;
    app::serve(config, |info| announce(&info)).await?;
    Ok(())
}

/// What a variable names; an error if there is no such thing.
fn chosen<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(variable: &str) -> Result<Option<T>> {
    match env::var(variable) {
        Ok(name) => Ok(Some(name.parse().with_context(|| format!("{variable} cannot be taken"))?)),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{variable} cannot be read")),
    }
}

/// The settings that flags are for.
fn flags(mut arguments: impl Iterator<Item = String>) -> Result<Vec<(String, String)>> {
    if arguments.next().as_deref() != Some("serve") {
        bail!("usage: chirrup-mutant serve --json --data DIR --listen ADDRESS --admin-listen ADDRESS");
    }
    let mut flags = Vec::new();
    while let Some(flag) = arguments.next() {
        let key = match flag.as_str() {
            "--json" => continue,
            "--data" => "server.data_dir",
            "--listen" => "listen.address",
            "--admin-listen" => "listen.admin_address",
            other => bail!("there is no flag {other:?}"),
        };
        flags.push((key.to_owned(), arguments.next().with_context(|| format!("{flag} needs a value"))?));
    }
    Ok(flags)
}

fn announce(info: &ServerInfo) {
    let said = serde_json::json!({
        "address": info.address.to_string(),
        "admin_address": info.admin_address.to_string(),
        "first_code": info.first_code,
    });
    // A closed standard output is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{said}");
}
