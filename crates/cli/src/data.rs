//! The server's data on this machine: which directory a command means, and how far work on it is.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use chirrup_server::config::Config;
use chirrup_store::embedded::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::interrupt::stoppable;
use crate::serve;

/// Whose data.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DataArgs {
    /// Configuration file of the server.
    #[arg(long, value_name = "FILE", env = "CHIRRUP_CONFIG")]
    config: Option<PathBuf>,
    /// The server's data directory.
    #[arg(long, visible_alias = "data-dir", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    /// The configuration of the server whose data it is.
    pub(crate) fn load(&self) -> Result<Config> {
        serve::Args { config: self.config.clone(), data: self.data.clone(), ..serve::Args::default() }.load()
    }
}

/// Does work that blocks, with a bar that shows how far it is, until it ends or Ctrl-C ends it.
pub(crate) async fn work<T, F>(what: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(Bar) -> Result<T> + Send + 'static,
{
    stoppable(|stop| async move {
        let bar = Bar::new(what, stop);
        tokio::task::spawn_blocking(move || work(bar)).await.context("the work ended in a panic")?
    })
    .await
}

/// Shows how far work is.
pub(crate) struct Bar {
    bar: ProgressBar,
    stop: CancellationToken,
}

impl Bar {
    /// Of work that ends when `stop` says so.
    pub(crate) fn new(what: &'static str, stop: CancellationToken) -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        Self { bar: ProgressBar::new(0).with_style(style.expect("the template is valid")).with_prefix(what), stop }
    }

    /// Shows how much was written, when nobody knows how much that will be.
    pub(crate) fn wrote(&self, bytes: u64) -> Result<()> {
        self.bar.set_length(bytes);
        self.bar.set_position(bytes);
        anyhow::ensure!(!self.stop.is_cancelled(), "it was stopped before its end");
        Ok(())
    }

    /// Shows it, and says whether to go on.
    pub(crate) fn show(&self, Progress { done_bytes, total_bytes }: Progress) -> ControlFlow<()> {
        self.bar.set_length(total_bytes);
        self.bar.set_position(done_bytes);
        if self.stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
