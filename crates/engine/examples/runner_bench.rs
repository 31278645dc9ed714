//! How long the runner takes to decide a send, without commit: `cargo run --release --example runner_bench`.

#![expect(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "it measures")]

use std::sync::Arc;
use std::time::Instant;

use chirrup_core::aggregate::{Action, AggregateId, Command, Digest, Origin, Stamp};
use chirrup_core::conversation;
use chirrup_core::event::{Form, History, Leaver, Text};
use chirrup_core::hash::Salt;
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_engine::batch::Submission;
use chirrup_engine::runner::Runner;
use chirrup_store::kv::Kv;
use chirrup_store::memory::MemoryKv;

fn command(conversation: u8, n: u64, action: conversation::Action) -> Submission {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let origin = Origin::Client { user: UserId([1; 16]), client_id: ClientId(id), digest: Digest::of(&id) };
    let command = Command {
        aggregate: AggregateId::Conversation(ConversationId([conversation; 16])),
        origin,
        stamp: Stamp { time: 1_700_000_000_000 + n, salt: Salt([3; 16]) },
        action: Action::Conversation(action),
    };
    Submission { command, answer: Box::new(|_| {}) }
}

fn main() {
    let kv: Arc<dyn Kv> = Arc::new(MemoryKv::new());
    let mut runner = Runner::new(Arc::clone(&kv), 1);
    let create = |c| {
        let action =
            conversation::Action::CreateGroup { title: "t".into(), history: History::Full, leaver: Leaver::Keeps, members: vec![] };
        command(c, u64::from(c), action)
    };
    let (number, batch) = runner.prepare(&mut (0..200).map(create).collect());
    kv.commit(&batch.rows).expect("memory takes it");
    runner.settle(number);
    let (mut rows, mut bytes, mut count) = (0, 0, 0);
    let mut spent = std::time::Duration::ZERO;
    for round in 0..200_u64 {
        let mut sends = (0..1_000)
            .map(|i| {
                let text = Text { text: "x".repeat(100), mentions: vec![], mention_all: false };
                let action = conversation::Action::Send {
                    form: Form::Text,
                    text,
                    reply_to: None,
                    thread_root: None,
                    also_in_conversation: false,
                    original_time: None,
                };
                command((i % 200) as u8, 1_000 + round * 1_000 + i, action)
            })
            .collect();
        let begun = Instant::now();
        let (number, batch) = runner.prepare(&mut sends);
        spent += begun.elapsed();
        count += 1_000;
        rows += batch.rows.len();
        bytes += batch.rows.iter().map(|r| r.value.as_ref().map_or(0, Vec::len) + r.key.partition.len() + r.key.sort.len()).sum::<usize>();
        kv.commit(&batch.rows).expect("memory takes it");
        runner.settle(number);
    }
    println!(
        "{:.2} µs a send, {:.2} rows, {:.0} bytes",
        spent.as_secs_f64() * 1e6 / f64::from(count),
        rows as f64 / f64::from(count),
        bytes as f64 / f64::from(count)
    );
}
