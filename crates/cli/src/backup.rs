//! `chirrup backup` and `chirrup restore`: of the server's data on this machine.
//!
//! A running server is asked to make the backup itself; the data of one that does not run is
//! copied here. Must not know: what is in a backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chirrup_server::backup::{self, BackupStatus, ClosedError, Taken};
use chirrup_server::config::Config;
use chirrup_store::embedded::{OpenError, Progress};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::context::Context;
use crate::data::{self, Bar, DataArgs};
use crate::interrupt::stoppable;

/// How often a running server is asked how far it is.
const ASK: Duration = Duration::from_millis(200);

/// Copy the server's data, while it runs or not.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// New or empty directory on the server's machine, best on another disk.
    dir: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

/// Make a server's data of a backup.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// What `chirrup backup` made.
    backup: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Serialize)]
struct Restored {
    #[serde(flatten)]
    taken: Taken,
    data_dir: PathBuf,
}

/// `chirrup backup`
pub(crate) async fn backup(context: &Context, args: &BackupArgs) -> Result<()> {
    let config = args.data.load()?;
    let dir = std::path::absolute(&args.dir).with_context(|| format!("failed to find {}", args.dir.display()))?;
    let taken = match closed(&config, &dir).await? {
        Some(taken) => taken,
        None => stoppable(|stop| running(&config.server.data_dir, &dir, stop)).await?,
    };
    context.show(&taken, || {
        let Taken { dir, files, bytes, .. } = &taken;
        format!(
            "{} holds a backup: {bytes} bytes in {files} files.\nchirrup restore {} makes a store of it again.",
            dir.display(),
            dir.display()
        )
    })
}

/// Copies the data, unless a server has it open.
async fn closed(config: &Config, dir: &Path) -> Result<Option<Taken>> {
    let (data_dir, options, dir) = (config.server.data_dir.clone(), config.store_options(), dir.to_owned());
    data::work("copying", move |bar| match backup::back_up_closed(&data_dir, options, &dir, &mut |progress| bar.show(progress)) {
        Err(ClosedError::Open(OpenError::Locked { .. })) => Ok(None),
        other => Ok(Some(other.context("failed to make a backup")?)),
    })
    .await
}

/// Has the running server copy its data. If this process ends before, the server goes on.
async fn running(data: &Path, dir: &Path, stop: CancellationToken) -> Result<Taken> {
    let order = serde_json::json!({ "dir": dir });
    let mut status: BackupStatus = admin::operate(data, "POST", "/backup", &order.to_string())?;
    let bar = Bar::new("copying", stop.clone());
    let mut ticks = tokio::time::interval(ASK);
    loop {
        match status {
            BackupStatus::Done(taken) => return Ok(taken),
            BackupStatus::Failed { why, .. } => bail!("failed to make a backup: {why}"),
            BackupStatus::None => bail!("the server was started anew before the backup was whole: {} is none", dir.display()),
            BackupStatus::Running { done_bytes, total_bytes, .. } => {
                if bar.show(Progress { done_bytes, total_bytes }).is_break() {
                    bail!("not waited for: the server goes on, and the same command waits for it again");
                }
            }
        }
        ticks.tick().await;
        status = admin::operate(data, "GET", "/backup", "")
            .with_context(|| format!("the server does not answer any more; without a file BACKUP in it, {} is no backup", dir.display()))?;
    }
}

/// `chirrup restore`
pub(crate) async fn restore(context: &Context, args: &RestoreArgs) -> Result<()> {
    let config = args.data.load()?;
    let (backup, data_dir, options) = (args.backup.clone(), config.server.data_dir.clone(), config.store_options());
    let restored = data::work("restoring", move |bar| {
        let taken = backup::restore(&backup, &data_dir, options, &mut |progress| bar.show(progress));
        Ok(Restored { taken: taken.context("failed to restore")?, data_dir })
    });
    let restored = restored.await?;
    context.show(&restored, || {
        let data = restored.data_dir.display();
        format!("{data} holds what the backup held, every file as it was written.\nchirrup serve --data {data} serves it.")
    })
}
