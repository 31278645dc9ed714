//! Pages of 50 out of a full store: one at a time, and 64 at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::clock;
use crate::server::Server;
use crate::wire::{self, Wire};
use crate::world::World;

/// Messages of a page.
pub(crate) const PAGE: u64 = 50;
/// Connections that ask at once.
const AT_ONCE: usize = 64;

/// Times in microseconds.
pub(crate) struct Pages {
    /// One page at a time.
    pub(crate) alone: Histogram<u64>,
    /// 64 at once.
    pub(crate) at_once: Histogram<u64>,
}

/// Asks for so many pages one at a time, after half as many to warm up; then 64 connections ask
/// for `seconds`.
pub(crate) async fn run(world: &World, server: &Server, count: u64, seconds: u64) -> Result<Pages> {
    let mut readers = Vec::new();
    for (place, mut wire) in world.connect_all(server.address).await?.into_iter().take(AT_ONCE).enumerate() {
        let mut conversations = Vec::new();
        for conversation in &world.pairs[place] {
            let page = page(&mut wire, conversation, None).await?;
            conversations.push((conversation.clone(), wire::number_of(&page, "head").unwrap_or(0)));
        }
        readers.push(Reader { wire, conversations, random: Random(place as u64 + 1), times: times()? });
    }
    for turn in 0..count / 2 {
        readers[turn as usize % AT_ONCE].read().await?;
    }
    for reader in &mut readers {
        reader.times.reset();
    }
    for turn in 0..count {
        readers[turn as usize % AT_ONCE].read().await?;
    }
    let mut alone = times()?;
    for reader in &mut readers {
        alone.add(&reader.times)?;
        reader.times.reset();
    }
    let end = clock::now() + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for mut reader in readers {
        tasks.spawn(async move {
            while clock::now() < end {
                reader.read().await?;
            }
            Ok(reader.times)
        });
    }
    let mut at_once = times()?;
    for times in super::join(tasks).await? {
        at_once.add(times)?;
    }
    Ok(Pages { alone, at_once })
}

/// The page before a seq, or the newest, as the frame's text.
pub(crate) async fn page(wire: &mut Wire, conversation: &str, before: Option<u64>) -> Result<String> {
    let before = before.map_or_else(String::new, |seq| format!(r#","before":{seq}"#));
    let params = format!(r#"{{"conversation":"{conversation}","limit":{PAGE}{before}}}"#);
    let text = wire.ask_raw("history", &params).await?;
    ensure!(text.contains("\"messages\":["), "no page: {text}");
    Ok(text.to_string())
}

fn times() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

struct Reader {
    wire: Wire,
    /// And their heads.
    conversations: Vec<(String, u64)>,
    random: Random,
    times: Histogram<u64>,
}

impl Reader {
    async fn read(&mut self) -> Result<()> {
        let random = self.random.next();
        let (conversation, head) = &self.conversations[random as usize % self.conversations.len()];
        // The first event is no message.
        let first = PAGE + 2;
        ensure!(*head > first, "{conversation} has too few messages");
        let before = first + (random >> 16) % (head - first);
        let began = clock::now();
        let text = page(&mut self.wire, conversation, Some(before)).await?;
        self.times.saturating_record(u64::try_from(clock::since(began).as_micros()).unwrap_or(u64::MAX));
        let messages = text.matches("\"seq\":").count() as u64;
        ensure!(messages == PAGE, "a page of {messages} messages before {before}");
        Ok(())
    }
}

/// A small generator (xorshift64*): places in a store, the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
