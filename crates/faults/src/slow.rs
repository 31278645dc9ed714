//! A slow reader falls behind before the first fault: later no connection lasts long enough, and a
//! run that has not met it shows less.
//!
//! Must not know: the server's limits; what it keeps for a reader is found out.

use std::ops::Range;
use std::time::Duration;

use chirrup_checker::adapter::{Account, Adapter, Failure, Push, Session};
use chirrup_checker::history::{Act, Name, Path, Recorder, Seq};
use chirrup_checker::probe::{Begun, Probe, Pushes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::timeout;

/// How long the reader reads nothing.
const STALL_MS: u64 = 3000;
/// Messages that are sent to it meanwhile, and how long each is: more than any server keeps for one
/// connection, together.
const MESSAGES: u64 = 1000;
const MESSAGE_BYTES: usize = 8000;
/// Messages under way at once.
const IN_FLIGHT: usize = 32;
/// How often it is tried.
const TRIES_MAX: u64 = 5;
/// A push that is late by so much does not come.
const PUSH_WITHIN: Duration = Duration::from_secs(5);

/// Sends to somebody who does not read, until they are told that they are behind; then they read
/// what they missed. After some tries it is let be: the run does not count then.
pub(crate) async fn fall_behind<A: Adapter>(adapter: &A, recorder: &Recorder, seed: u64) -> Result<(), Failure> {
    let (writer, reader) = (account(adapter, seed, 1).await?, account(adapter, seed, 2).await?);
    // Who lets go of the pushes lets go of the connection.
    let Begun { probe: writer, pushes: _pushes, .. } = Probe::connect(adapter, recorder, &writer, None).await?;
    let mut reader_side = Probe::connect(adapter, recorder, &reader, None).await?;
    let made = writer.act(&Act::CreateDirect { key: key(seed, 3).into(), with: reader.user.clone() }).await?;
    let Some(conversation) = made.conversation else { return Ok(()) };
    for n in 0..TRIES_MAX {
        let numbers = n * MESSAGES..(n + 1) * MESSAGES;
        let sends = send_all(&writer, &conversation, seed, numbers);
        let (head, ()) = tokio::join!(sends, reader_side.probe.stall(STALL_MS));
        if is_behind(&mut reader_side.pushes, head?).await {
            break;
        }
    }
    both_read(&writer, &reader_side.probe, &conversation).await
}

/// Sends so many at once as are let under way; the highest seq.
async fn send_all<S: Session>(writer: &Probe<S>, conversation: &Name, seed: u64, numbers: Range<u64>) -> Result<Seq, Failure> {
    let sends = stream::iter(numbers).map(|n| {
        let (conversation, key) = (conversation.clone(), key(seed, 4 + n).into());
        let body = format!("{seed:x}/slow/{n} {}", "x".repeat(MESSAGE_BYTES)).into();
        let act = Act::Send { conversation, key, body, reply_to: None, thread: None, also_in_conversation: false };
        async move { writer.act(&act).await }
    });
    sends.buffer_unordered(IN_FLIGHT).try_fold(0, async |head, done| Ok(done.seq.max(head))).await
}

async fn both_read<S: Session>(writer: &Probe<S>, reader: &Probe<S>, conversation: &Name) -> Result<(), Failure> {
    writer.walk(conversation, Path::Events).await?;
    reader.walk(conversation, Path::Events).await
}

/// Takes what was pushed up to this event, or until it is told that not all was.
async fn is_behind(pushes: &mut Pushes, head: Seq) -> bool {
    while let Ok(Some(push)) = timeout(PUSH_WITHIN, pushes.next()).await {
        match push {
            Push::Behind(_) => return true,
            Push::Event { event, .. } if event.seq >= head => return false,
            _ => {}
        }
    }
    false
}

async fn account<A: Adapter>(adapter: &A, seed: u64, n: u64) -> Result<Account, Failure> {
    adapter.sign_up(&key(seed, n), &format!("slow{n}x{seed:x}")).await
}

/// Ids in the form of UUIDs, unlike those of the workload: no device there has this number.
fn key(seed: u64, n: u64) -> String {
    format!("{:08x}-ffff-7{:03x}-b{:03x}-{n:012x}", seed & 0xffff_ffff, (seed >> 32) & 0xfff, (seed >> 44) & 0xfff)
}
