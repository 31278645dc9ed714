//! `chirrup copy`: everything that is in one store into another, or a comparison of the two.
//!
//! Must not know: what stores are made of, what is in them.

mod report;
mod show;

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use chirrup_server::config::Config;
use chirrup_server::copy::{self, CopyStoreError};
use chirrup_store::copy::CopyError;
use chirrup_stores::{Options, StoreName};

use crate::context::Context;
use crate::failure::Usage;
use crate::interrupt::stoppable;
use report::Report;
use show::Show;

/// Copy a whole server's data into another store.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// What is copied: `embedded:DIR`, DIR being a server's data directory,
    /// `postgres:CONNECTION#SCHEMA` or `cassandra:HOST:PORT,…/KEYSPACE`.
    #[arg(long, value_name = "STORE")]
    from: StoreName,
    /// Where to: an empty store, which is made if it is not there, or what an earlier try has left.
    #[arg(long, value_name = "STORE")]
    to: StoreName,
    /// Copy nothing, compare the two.
    #[arg(long)]
    check: bool,
    /// Configuration file of the server, for how its stores are opened.
    #[arg(long, value_name = "FILE", env = "CHIRRUP_CONFIG")]
    config: Option<PathBuf>,
}

const HELP: &str = "\
No server may run on either store. Until the copy is whole and was compared, no server starts on
the new one. Whatever ends it before, Ctrl-C, kill or a crash: the same command goes on.
To clients the copy is a server that they begin anew with; all that they sent is known to it, and
they stay logged in. Do not serve both: two servers with one name tell two stories.";

/// `chirrup copy`
pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    if args.from == args.to {
        return Err(Usage("a store is not copied into itself".to_owned()).into());
    }
    let config = Config::load(args.config.as_deref(), std::env::vars(), &[])?;
    let holder = format!("chirrup copy, process {}", std::process::id());
    let options = Options { embedded: config.store_options(), ..Options::new(holder) };
    let task = args.clone();
    let report = stoppable(|stop| async move {
        let work = move || {
            let mut show = Show::new();
            let mut watch = |progress| {
                show.show(progress);
                if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let Args { from, to, check, .. } = &task;
            let done = if *check { copy::check(from, to, &options, &mut watch) } else { copy::copy(from, to, &options, &mut watch) };
            let survey = done.map_err(|error| explained(error, *check))?;
            Ok(Report::new(from, to, *check, &survey, show.spent()))
        };
        tokio::task::spawn_blocking(work).await.context("the copy ended in a panic")?
    });
    let report = report.await?;
    context.show(&report, || report.words())
}

/// What to do about it.
fn explained(error: CopyStoreError, check: bool) -> anyhow::Error {
    let hint = match &error {
        CopyStoreError::Rows(CopyError::Stopped | CopyError::Read(..) | CopyError::Commit(_)) if !check => {
            "not copied to the end; what was copied is kept, and the same command goes on"
        }
        CopyStoreError::Rows(CopyError::Differ { .. } | CopyError::Broken { .. }) if !check => {
            "the copy is refused, and no server starts on it"
        }
        _ if check => "failed to compare",
        _ => "failed to copy",
    };
    anyhow::Error::new(error).context(hint)
}
