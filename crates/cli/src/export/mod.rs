//! `chirrup export`: every event of a store whose server does not run, log by log, as lines of
//! JSON; with `--salvage`, whatever can be read of one that is damaged.
//!
//! The first line tells the form, the last one that nothing is cut off. Between them stand events,
//! in each log by their seqs, and in a salvage, where some could not be read, a line that tells
//! which, and the damaged places that they may have been at. Must not know: how a store keeps rows.

mod line;
mod log;

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use chirrup_server::app::STORE_DIR;
use chirrup_server::config::Config;
use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions, Loss, salvage};
use chirrup_store::kv::{Kv, Table};
use serde::Serialize;

use crate::context::Context;
use crate::data::{self, Bar, DataArgs};
use line::Place;
use log::{Counts, Exporter};

/// Write every event as lines of JSON.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// New file.
    out: PathBuf,
    /// Go past damage, and tell what it cost.
    #[arg(long)]
    salvage: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// What an export came to.
#[derive(Debug, Serialize)]
struct Report {
    out: PathBuf,
    #[serde(flatten)]
    counts: Counts,
    /// Places that could not be read.
    damaged: Vec<Place>,
}

/// `chirrup export`
pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let config = args.data.load()?;
    let (out, salvaging) = (args.out.clone(), args.salvage);
    let report = data::work("reading", move |bar| export(&config, &out, salvaging, &bar)).await?;
    context.show(&report, || words(&report))
}

fn words(report: &Report) -> String {
    let Counts { logs, events, missing, broken } = report.counts;
    let mut lines = vec![format!("{events} events of {logs} logs are in {}.", report.out.display())];
    lines.extend(report.damaged.iter().map(|Place { file, at_byte, what }| format!("DAMAGED {file} at byte {at_byte}: {what}")));
    if missing > 0 {
        lines.push(format!("{missing} events that were there could not be read; the lines with \"missing\" tell which."));
    }
    if broken > 0 {
        lines.push(format!("{broken} events do not fit to those before them; they are marked."));
    }
    lines.join("\n")
}

fn export(config: &Config, out: &Path, salvaging: bool, bar: &Bar) -> Result<Report> {
    let store = config.server.data_dir.join(STORE_DIR);
    ensure!(store.is_dir(), "there is no store in {}", config.server.data_dir.display());
    ensure!(!out.exists(), "{} is there already", out.display());
    let unfinished = beside(out, "unfinished");
    if !salvaging {
        let hint = "failed to open the store; chirrup doctor tells what is wrong, chirrup export --salvage goes past damage";
        let kv = EmbeddedKv::open(&store, config.store_options()).context(hint)?;
        let counts = write(&kv, None, &unfinished, bar)?;
        return finish(out, &unfinished, counts, &[]);
    }
    let work = beside(out, "scratch");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("failed to create {}", work.display()))?;
    let saved = salvage_to(&store, &work, &unfinished, bar);
    fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))?;
    let (counts, losses) = saved?;
    finish(out, &unfinished, counts, &losses)
}

/// Saves what can be read into a store of its own, and exports that.
fn salvage_to(store: &Path, work: &Path, unfinished: &Path, bar: &Bar) -> Result<(Counts, Vec<Loss>)> {
    let options = EmbeddedOptions { reserve_bytes: 0, ..EmbeddedOptions::default() };
    let kv = EmbeddedKv::open(&work.join(STORE_DIR), options)?;
    let losses = salvage(store, &[Table::Event, Table::State], &kv, work, &mut |progress| bar.show(progress))?;
    Ok((write(&kv, Some(&losses), unfinished, bar)?, losses))
}

/// Writes the lines. `losses`: where something may be missing; none if nothing may.
fn write(kv: &dyn Kv, losses: Option<&[Loss]>, path: &Path, bar: &Bar) -> Result<Counts> {
    let failed = || format!("failed to write {}", path.display());
    // Everything that everybody said: for the operator alone.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).with_context(failed)?;
    let mut out = BufWriter::new(file);
    let counts = Exporter::new(kv, losses, &mut out).run(bar)?;
    out.flush().and_then(|()| out.get_ref().sync_all()).with_context(failed)?;
    Ok(counts)
}

/// Gives the file its name, now that it is whole.
fn finish(out: &Path, unfinished: &Path, counts: Counts, losses: &[Loss]) -> Result<Report> {
    let out = std::path::absolute(out)?;
    let failed = || format!("failed to write {}", out.display());
    fs::rename(unfinished, &out).with_context(failed)?;
    let parent = out.parent().expect("a file that has an absolute path is in a directory");
    File::open(parent).and_then(|dir| dir.sync_all()).with_context(failed)?;
    Ok(Report { counts, damaged: losses.iter().map(Place::of).collect(), out })
}

/// A path beside another.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
