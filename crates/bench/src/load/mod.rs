//! Loads: what is asked of the server, and what comes of it. Each is one function that takes a
//! running server and gives figures without floors.

pub(crate) mod delivery;
pub(crate) mod groups;
pub(crate) mod idle;
pub(crate) mod pages;
pub(crate) mod sends;
pub(crate) mod start;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::clock;
use crate::wire::{Incoming, Wire};

/// Bytes of a message's text.
pub(crate) const TEXT_BYTES: usize = 100;
/// Requests of one connection that wait for their answers, where a load says nothing else.
pub(crate) const IN_FLIGHT: usize = 16;

/// The parameters of a `send`.
pub(crate) fn send_params(client_id: &str, conversation: &str, text: &str) -> String {
    format!(r#"{{"client_id":"{client_id}","conversation":"{conversation}","text":"{text}"}}"#)
}

/// Waits for at least one frame, takes all that are here, and gives the number of replies. A
/// refusal ends the load: a figure with refusals in it says nothing.
pub(crate) async fn acks(wire: &mut Wire, mut other: impl FnMut(&Incoming<'_>) -> Result<()>) -> Result<usize> {
    let mut count = 0;
    let mut text = wire.next().await?;
    loop {
        let frame = Incoming::parse(&text)?;
        match (frame.id, frame.error) {
            (Some(id), Some(error)) => bail!("request {id} was refused: {}", error.get()),
            (Some(_), None) => {
                count += 1;
                other(&frame)?;
            }
            (None, _) if frame.push == Some("closing") => bail!("the server closes: {}", frame.data.map_or("", RawValue::get)),
            (None, _) => other(&frame)?,
        }
        match wire.ready() {
            Some(next) => text = next?,
            None => return Ok(count),
        }
    }
}

/// Waits for all tasks; the first error ends the others.
pub(crate) async fn join<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        results.push(result??);
    }
    Ok(results)
}

/// Counts by second since the load began.
pub(crate) struct Seconds {
    began: Instant,
    counts: Vec<AtomicU64>,
}

impl Seconds {
    /// For a load of so many seconds that begins now.
    pub(crate) fn new(seconds: usize) -> Self {
        Self { began: clock::now(), counts: (0..seconds).map(|_| AtomicU64::new(0)).collect() }
    }

    /// When the load is over.
    pub(crate) fn end(&self) -> Instant {
        self.began + Duration::from_secs(self.counts.len() as u64)
    }

    /// So many more, now; what comes after the end is not counted.
    pub(crate) fn add(&self, count: usize) {
        let second = clock::since(self.began).as_secs() as usize;
        if let Some(counter) = self.counts.get(second) {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Per second, from second `from` to the end.
    pub(crate) fn rate(&self, from: usize) -> f64 {
        let counts = self.window(from);
        counts.iter().sum::<f64>() / counts.len() as f64
    }

    /// Per second, in the worst `width` seconds that follow each other.
    pub(crate) fn worst(&self, from: usize, width: usize) -> f64 {
        let counts = self.window(from);
        let sums = counts.windows(width.min(counts.len())).map(|w| w.iter().sum::<f64>() / w.len() as f64);
        sums.fold(f64::INFINITY, f64::min)
    }

    fn window(&self, from: usize) -> Vec<f64> {
        self.counts[from..].iter().map(|count| count.load(Ordering::Relaxed) as f64).collect()
    }
}
