//! Sends into 20 groups of 10 with everybody connected: 200 connections, 16 sends in flight on
//! each, and every delivery counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::sends::Span;
use super::{IN_FLIGHT, Seconds, TEXT_BYTES};
use crate::clock;
use crate::figure::{Figure, Goal};
use crate::server::Server;
use crate::wire::{self, Incoming, Wire};
use crate::world::{World, client_ids};

/// How long deliveries may take after the last send.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs it: the figures, and deliveries a second.
pub(crate) async fn run(world: &World, server: &Server, span: Span) -> Result<(Vec<Figure>, f64)> {
    let mut wires = world.connect_all(server.address).await?;
    // All before the first send: what is pushed while an answer is waited for would not be counted.
    let mut heads = Vec::new();
    for group in &world.busy_groups {
        heads.push(head_of(&mut wires[group.members[0]], &group.conversation).await?);
    }
    let mut wires: Vec<Option<Wire>> = wires.into_iter().map(Some).collect();
    let sends = Arc::new(Seconds::new(span.seconds));
    let pushes = Arc::new(Seconds::new(span.seconds));
    let mut tasks = JoinSet::new();
    for (group, head) in world.busy_groups.iter().zip(heads) {
        for member in &group.members {
            let wire = wires[*member].take().context("each talker is in one busy group")?;
            let member = Member {
                conversation: group.conversation.clone(),
                place: *member,
                seen: Seen { head, ..Seen::default() },
                sends: Arc::clone(&sends),
                pushes: Arc::clone(&pushes),
            };
            tasks.spawn(member.run(wire));
        }
    }
    let cpu_before = server.cpu_seconds()?;
    tokio::time::sleep_until(sends.end().into()).await;
    let cpu = server.cpu_seconds()? - cpu_before;
    let seen = super::join(tasks).await?;

    let pulled: u64 = seen.iter().map(|seen| seen.pulled).sum();
    let events: u64 = seen.iter().map(|seen| seen.counted).sum();
    let deliveries = pushes.rate(span.warm_up);
    let all_sends = sends.rate(0) * span.seconds as f64;
    let figures = vec![
        Figure::new("group_sends", sends.rate(span.warm_up), "1/s").goal(Goal::AtLeast(15_000.0, 0.0)),
        Figure::new("group_sends_per_cpu_second", all_sends / cpu, "1/cpu_s"),
        Figure::new("group_events_seen", events as f64, "events"),
        Figure::new("group_events_pulled", pulled as f64, "events"),
    ];
    Ok((figures, deliveries))
}

async fn head_of(wire: &mut Wire, conversation: &str) -> Result<u64> {
    let got = wire.ask("conversation", &format!(r#"{{"conversation":"{conversation}"}}"#)).await?;
    got["head"].as_u64().context("a conversation has a head")
}

struct Member {
    conversation: String,
    place: usize,
    seen: Seen,
    sends: Arc<Seconds>,
    pushes: Arc<Seconds>,
}

/// Which seqs of its group a member has been told of, by a push, an ack or a pull.
#[derive(Default)]
struct Seen {
    /// All up to here.
    head: u64,
    /// Beyond it.
    apart: BTreeSet<u64>,
    /// How many were told.
    counted: u64,
    /// Of them: how many had to be asked for.
    pulled: u64,
}

impl Seen {
    fn tell(&mut self, seq: u64) {
        if seq > self.head && self.apart.insert(seq) {
            self.counted += 1;
            while self.apart.first() == Some(&(self.head + 1)) {
                self.apart.pop_first();
                self.head += 1;
            }
        }
    }
}

impl Member {
    async fn run(mut self, mut wire: Wire) -> Result<Seen> {
        self.talk(&mut wire).await?;
        // All have had their last ack when the load is over for all: from here on the log is still.
        let still = self.sends.end() + Duration::from_secs(2);
        let end = self.sends.end() + PATIENCE;
        tokio::time::timeout_at(end.into(), self.listen(&mut wire, still)).await.context("deliveries are missing")??;
        ensure!(self.seen.apart.is_empty(), "deliveries are missing between {} and {:?}", self.seen.head, self.seen.apart.first());
        Ok(self.seen)
    }

    async fn talk(&mut self, wire: &mut Wire) -> Result<()> {
        let mut ids = client_ids(self.place);
        let body = "x".repeat(TEXT_BYTES);
        let end: Instant = self.sends.end();
        let mut waiting = 0;
        loop {
            while waiting < IN_FLIGHT && clock::now() < end {
                waiting += 1;
                wire.feed("send", &super::send_params(&ids.make(), &self.conversation, &body)).await?;
            }
            if waiting == 0 {
                return Ok(());
            }
            wire.flush().await?;
            let mut pushed = 0;
            let acked = super::acks(wire, |frame| note(&mut self.seen, frame, &mut pushed)).await?;
            self.sends.add(acked);
            self.pushes.add(pushed);
            waiting -= acked;
        }
    }

    /// Takes what is still to come; at `still` asks for the head, and pulls what was not pushed.
    async fn listen(&mut self, wire: &mut Wire, still: Instant) -> Result<()> {
        while let Ok(text) = tokio::time::timeout_at(still.into(), wire.next()).await {
            note(&mut self.seen, &Incoming::parse(&text?)?, &mut 0)?;
        }
        let head = head_of(wire, &self.conversation).await?;
        while self.seen.head < head {
            let params = format!(r#"{{"conversation":"{}","after":{},"limit":500}}"#, self.conversation, self.seen.head);
            let page = wire.ask("events", &params).await?;
            let before = self.seen.counted;
            for event in page["events"].as_array().context("events are a list")? {
                self.seen.tell(event["seq"].as_u64().context("an event has a seq")?);
            }
            self.seen.pulled += self.seen.counted - before;
        }
        Ok(())
    }
}

fn note(seen: &mut Seen, frame: &Incoming<'_>, pushed: &mut usize) -> Result<()> {
    let seq_in = |raw: Option<&RawValue>| raw.and_then(|raw| wire::number_of(raw.get(), "seq"));
    match frame.push {
        None => seen.tell(seq_in(frame.ok).context("an ack has a seq")?),
        Some("event") => {
            *pushed += 1;
            seen.tell(seq_in(frame.data).context("an event has a seq")?);
        }
        Some(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seq_counts_once_in_any_order() {
        let mut seen = Seen { head: 4, ..Seen::default() };
        for seq in [4, 6, 5, 6, 9] {
            seen.tell(seq);
        }
        assert_eq!((seen.head, seen.counted), (6, 3));
        assert_eq!(seen.apart.into_iter().collect::<Vec<_>>(), [9]);
    }
}
