//! Holds what every reader got against what they should have got.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use anyhow::{Context, Result};
use chirrup_core::ids::{ConversationId, Seq};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::time::timeout;

use super::cast::Actor;
use super::readers::{self, People};
use super::script::{Reader, Script, Sheet};

/// Readers that read at once.
const READERS_AT_ONCE: usize = 8;
/// What was sent must have reached everybody in this time after the last step.
const REACHED: Duration = Duration::from_mins(1);
/// Differences that are told.
const SHOWN_MAX: usize = 50;

/// What came of the comparison.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// Everybody got by every way what the log says.
    pub(crate) equal: bool,
    /// Readers compared, the group's owner among them.
    pub(crate) readers: usize,
    /// Events and messages that they got, by way.
    pub(crate) live: usize,
    pub(crate) events: usize,
    pub(crate) forward: usize,
    pub(crate) backward: usize,
    /// BLAKE3 over the digests of what every reader got by `events`.
    pub(crate) digest: String,
    /// Who got something else, by which way, and where it differs.
    pub(crate) differences: Vec<String>,
}

/// What one reader got when asking for it.
struct Asked {
    log: Sheet,
    chain: Option<String>,
    forward: Sheet,
    backward: Sheet,
}

/// Has everybody read, and compares.
pub(crate) async fn of(
    conversation: ConversationId,
    script: &Script,
    operator: Actor,
    cast: Vec<Actor>,
    bar: &ProgressBar,
) -> Result<Verdict> {
    let people: People = cast.iter().enumerate().map(|(id, actor)| (actor.user, id)).collect();
    let mut all = vec![(Reader::Operator, operator)];
    all.extend(cast.into_iter().enumerate().map(|(id, actor)| (Reader::Person(id), actor)));
    all.retain(|(reader, _)| script.first(*reader).is_some());

    let reached = stream::iter(&all).for_each(|(reader, actor)| actor.reached(script.last(*reader)));
    // Who was not reached in time is told by what they heard.
    let _ = timeout(REACHED, reached).await;
    let mut asked: HashMap<usize, Asked> = HashMap::new();
    let mut asking = stream::iter(all.iter().enumerate())
        .map(|(n, (_, actor))| {
            let people = &people;
            async move { (n, ask(actor, conversation, people).await) }
        })
        .buffer_unordered(READERS_AT_ONCE);
    while let Some((n, got)) = asking.next().await {
        asked.insert(n, got.with_context(|| format!("failed to read as {:?}", all[n].0))?);
        bar.inc(1);
    }
    drop(asking);
    let chains = chains(&all, conversation, script).await?;
    compare(all, conversation, script, &people, asked, chains).await
}

async fn ask(actor: &Actor, conversation: ConversationId, people: &People) -> Result<Asked> {
    let (log, chain) = readers::log(&actor.client, conversation, people).await?;
    let forward = readers::forward(&actor.client, conversation, people).await?;
    let backward = readers::backward(&actor.client, conversation, people).await?;
    Ok(Asked { log, chain, forward, backward })
}

/// The digests of the group's chain at the last event of every reader.
async fn chains(all: &[(Reader, Actor)], conversation: ConversationId, script: &Script) -> Result<HashMap<Seq, Option<String>>> {
    let mut chains = HashMap::new();
    let Some((_, operator)) = all.first() else { return Ok(chains) };
    for (reader, _) in all {
        let last = script.last(*reader);
        if let Entry::Vacant(place) = chains.entry(last) {
            place.insert(readers::chain_at(&operator.client, conversation, last).await?);
        }
    }
    Ok(chains)
}

async fn compare(
    all: Vec<(Reader, Actor)>,
    conversation: ConversationId,
    script: &Script,
    people: &People,
    mut asked: HashMap<usize, Asked>,
    chains: HashMap<Seq, Option<String>>,
) -> Result<Verdict> {
    let mut verdict = Verdict { readers: all.len(), ..Verdict::default() };
    let mut digest = blake3::Hasher::new();
    for (n, (reader, actor)) in all.into_iter().enumerate() {
        // The connection ends only now: an event that was not for them would have come by now.
        let (heard, elsewhere) = actor.leave(conversation).await;
        let mut live = Sheet::default();
        for event in &heard {
            readers::put(&mut live, event, people);
        }
        let got = asked.remove(&n).context("a reader was not asked")?;
        let log = script.log(reader);
        let (said, since) = (log.messages(), log.since(script.first(reader).unwrap_or(0)));
        let ways = [
            ("live", &live, &since),
            ("events", &got.log, &log),
            ("history forward", &got.forward, &said),
            ("history backward", &got.backward, &said),
        ];
        for (way, got, expected) in ways {
            verdict.differences.extend(got.difference(expected).map(|what| format!("{reader:?}, {way}: {what}")));
        }
        if elsewhere > 0 {
            verdict.differences.push(format!("{reader:?}: {elsewhere} events of other conversations came"));
        }
        if chains.get(&script.last(reader)) != Some(&got.chain) {
            verdict.differences.push(format!("{reader:?}: the digest of the chain is {:?}, for the owner it is another", got.chain));
        }
        verdict.live += live.len();
        verdict.events += got.log.len();
        verdict.forward += got.forward.len();
        verdict.backward += got.backward.len();
        digest.update(got.log.digest().as_bytes());
    }
    verdict.equal = verdict.differences.is_empty();
    verdict.differences.truncate(SHOWN_MAX);
    verdict.digest = digest.finalize().to_string();
    Ok(verdict)
}
