//! Send to delivery at 1,000 messages a second into 100 groups of 10, in an open loop: times run
//! from the moment when a send was due, so that a server that stalls cannot slow the load down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;

use super::TEXT_BYTES;
use crate::clock;
use crate::server::Server;
use crate::wire::{Incoming, Wire};
use crate::world::{GROUP_MEMBERS, World, client_ids};

/// Sends a second.
const RATE: u32 = 1_000;
/// Seconds at the beginning that do not count.
const WARM_UP_SECONDS: u32 = 2;
/// Sends that may wait for one connection's task.
const ORDERS_MAX: usize = 1_024;
/// How long deliveries may take after the last send.
const PATIENCE: Duration = Duration::from_secs(30);
/// Digits of the number that each text begins with.
const DIGITS: usize = 8;

/// When each send is due.
#[derive(Clone, Copy)]
struct Schedule {
    began: Instant,
    count: u32,
}

impl Schedule {
    fn due(&self, number: u32) -> Instant {
        self.began + Duration::from_secs(1) * number / RATE
    }

    fn end(&self) -> Instant {
        self.due(self.count)
    }
}

/// A send to be made: its number, and where to.
struct Order {
    number: u32,
    conversation: Arc<str>,
}

/// Runs it for so many seconds: times in microseconds of all deliveries.
pub(crate) async fn run(world: &World, server: &Server, seconds: u32) -> Result<Histogram<u64>> {
    let wires = world.connect_all(server.address).await?;
    let schedule = Schedule { began: clock::now() + Duration::from_millis(100), count: RATE * (seconds + WARM_UP_SECONDS) };
    let mut orders = Vec::new();
    let mut tasks = JoinSet::new();
    for (place, wire) in wires.into_iter().enumerate() {
        let (to, from) = mpsc::channel(ORDERS_MAX);
        orders.push(to);
        let member = Member { place, user: world.talkers[place].user.clone(), schedule, times: times()? };
        tasks.spawn(member.run(wire, from));
    }
    let groups: Vec<(Arc<str>, Vec<usize>)> =
        world.calm_groups.iter().map(|group| (group.conversation.as_str().into(), group.members.clone())).collect();
    // A thread of its own, which ends: no other task is to inherit its priority.
    let pacer = std::thread::spawn(move || pace(schedule, &groups, &orders));
    tokio::task::spawn_blocking(move || pacer.join()).await?.map_err(|_| anyhow::anyhow!("the pacer panicked"))??;
    let mut all = times()?;
    for times in super::join(tasks).await? {
        all.add(times)?;
    }
    let expected = u64::from(RATE * seconds) * (GROUP_MEMBERS as u64 - 1);
    ensure!(all.len() == expected, "{} deliveries of {expected}", all.len());
    Ok(all)
}

fn times() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Gives each send to its connection when it is due. Goes before all other threads where it may: load
/// that comes late would be taken for a server that is late.
fn pace(schedule: Schedule, groups: &[(Arc<str>, Vec<usize>)], orders: &[Sender<Order>]) -> Result<()> {
    rustix::process::nice(-20).ok();
    for number in 0..schedule.count {
        clock::sleep_until(schedule.due(number));
        let (conversation, members) = &groups[number as usize % groups.len()];
        let sender = members[number as usize / groups.len() % members.len()];
        orders[sender].try_send(Order { number, conversation: Arc::clone(conversation) }).context("a connection does not keep up")?;
    }
    Ok(())
}

struct Member {
    place: usize,
    user: String,
    schedule: Schedule,
    times: Histogram<u64>,
}

impl Member {
    async fn run(mut self, mut wire: Wire, mut orders: Receiver<Order>) -> Result<Histogram<u64>> {
        let mut ids = client_ids(self.place);
        let filler = "x".repeat(TEXT_BYTES - DIGITS);
        let end = self.schedule.end() + Duration::from_secs(2);
        let last = end + PATIENCE;
        loop {
            tokio::select! {
                order = orders.recv(), if !orders.is_closed() || !orders.is_empty() => {
                    let Some(order) = order else { continue };
                    let text = format!("{:0DIGITS$}{filler}", order.number);
                    wire.feed("send", &super::send_params(&ids.make(), &order.conversation, &text)).await?;
                    wire.flush().await?;
                }
                frame = wire.next() => self.note(&frame?)?,
                () = tokio::time::sleep_until(end.into()) => break,
            }
        }
        // What is late still counts, as long as anything comes.
        while let Ok(frame) = tokio::time::timeout(Duration::from_secs(1), wire.next()).await {
            self.note(&frame?)?;
            ensure!(clock::now() < last, "deliveries do not end");
        }
        Ok(self.times)
    }

    fn note(&mut self, text: &str) -> Result<()> {
        let frame = Incoming::parse(text)?;
        ensure!(frame.error.is_none(), "a send was refused: {}", frame.error.map_or("", RawValue::get));
        let Some(data) = frame.data.filter(|_| frame.push == Some("event")) else { return Ok(()) };
        let Some((before, body)) = data.get().split_once("\"text\":\"") else { return Ok(()) };
        let number: u32 = body.get(..DIGITS).and_then(|digits| digits.parse().ok()).context("a text begins with its number")?;
        // A sender's own message may be told to its connection too; that is no delivery.
        if number >= RATE * WARM_UP_SECONDS && !before.contains(&self.user) {
            let late = clock::since(self.schedule.due(number));
            self.times.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
