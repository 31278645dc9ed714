//! Long work that a person can stop.

use anyhow::{Context as _, Result, bail};
use tokio::signal::ctrl_c;
use tokio_util::sync::CancellationToken;

/// Does work that ends early, and in order, when its token is cancelled: the first Ctrl-C cancels
/// it, a second one ends the program at once.
pub(crate) async fn stoppable<T, W: Future<Output = Result<T>>>(work: impl FnOnce(CancellationToken) -> W) -> Result<T> {
    let stop = CancellationToken::new();
    let work = work(stop.clone());
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            heard = ctrl_c() => {
                heard.context("failed to hear Ctrl-C")?;
                if stop.is_cancelled() {
                    bail!("ended at once by a second Ctrl-C");
                }
                stop.cancel();
            }
        }
    }
}
