//! The play itself: the steps of a log, one after another, each done by whose step it is.
//!
//! Must not know: what anybody should see.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chirrup_client::{Error, new_client_id};
use chirrup_core::ids::{ConversationId, Seq};
use chirrup_core::limits::TITLE_CHARS_MAX;
use chirrup_protocol::choice::{Form, History, Leaver};
use chirrup_protocol::request::{AddMembers, CreateGroup, Leave, Send};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::cast::Actor;
use super::script::{Entry, PersonId, Script};
use crate::irc::{Log, Roll, Speech, Stage, Stamp, Step};

/// A step is tried for so long.
const STEP_MS: u64 = 60_000;

/// Something that is to happen.
pub(crate) struct Cue {
    line: u32,
    at: Option<Stamp>,
    entry: Entry,
}

/// All that happens in a log. Who never comes in is not met.
pub(crate) fn cues(log: &Log, roll: &mut Roll) -> Vec<Cue> {
    let mut stage = Stage::default();
    let mut cues = Vec::new();
    for line in &log.lines {
        for step in stage.play(line) {
            let entry = match step {
                Step::Enter { nick } => Entry::Enter(roll.meet(nick)),
                Step::Leave { nick } => Entry::Leave(roll.meet(nick)),
                Step::Say(said) => {
                    let form = match said.speech {
                        Speech::Message => Form::Text,
                        Speech::Action => Form::Action,
                    };
                    Entry::Say(roll.meet(said.nick), form, said.text.to_owned())
                }
            };
            cues.push(Cue { line: line.number, at: line.at, entry });
        }
    }
    cues
}

/// The play: who is in it and what has happened.
pub(crate) struct Play {
    pub(crate) conversation: ConversationId,
    pub(crate) operator: Actor,
    /// By number in the roll.
    pub(crate) cast: Vec<Actor>,
    pub(crate) script: Script,
    /// Messages that the server did not take.
    pub(crate) refused: Vec<String>,
}

impl Play {
    /// Begins the group.
    pub(crate) async fn begin(operator: Actor, cast: Vec<Actor>, title: &str, history: History) -> Result<Self> {
        let create = CreateGroup {
            client_id: new_client_id(),
            title: title.chars().take(TITLE_CHARS_MAX).collect(),
            history,
            leaver: Leaver::Keeps,
            members: Vec::new(),
        };
        let created = operator.client.request(create).await.context("failed to begin the group")?;
        let script = Script::new(history);
        ensure!(created.seq == script.head(), "the group begins with event {}", created.seq);
        Ok(Self { conversation: created.conversation, operator, cast, script, refused: Vec::new() })
    }

    /// Plays; answers whether it came to the end.
    pub(crate) async fn act(&mut self, cues: Vec<Cue>, pace: Option<f64>, stop: &CancellationToken, bar: &ProgressBar) -> Result<bool> {
        let mut before = None;
        for cue in cues {
            let passed = pause(before, cue.at, pace);
            before = cue.at.or(before);
            let stopped = stop.run_until_cancelled(tokio::time::sleep(passed)).await.is_none();
            if stopped || stop.is_cancelled() {
                return Ok(false);
            }
            let line = cue.line;
            self.step(cue).await.with_context(|| format!("failed at line {line}"))?;
            bar.inc(1);
        }
        Ok(true)
    }

    async fn step(&mut self, cue: Cue) -> Result<()> {
        let done = match &cue.entry {
            Entry::Begin => return Ok(()),
            Entry::Enter(person) => self.enter(*person).await,
            Entry::Leave(person) => self.leave(*person).await,
            Entry::Say(person, form, text) => self.say(*person, *form, text.clone()).await,
        };
        match done {
            Ok(seq) => {
                self.script.push(cue.entry);
                ensure!(seq == self.script.head(), "it became event {seq}, and should be event {}", self.script.head());
                Ok(())
            }
            Err(Error::Refused(refusal)) if matches!(cue.entry, Entry::Say(..)) => {
                self.refused.push(format!("line {}: {refusal}", cue.line));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn enter(&self, person: PersonId) -> Result<Seq, Error> {
        let users = vec![self.cast[person].user];
        let add = AddMembers { client_id: new_client_id(), conversation: self.conversation, users };
        Ok(self.operator.client.request_within(add, STEP_MS).await?.seq)
    }

    async fn leave(&self, person: PersonId) -> Result<Seq, Error> {
        let leave = Leave { client_id: new_client_id(), conversation: self.conversation };
        Ok(self.cast[person].client.request_within(leave, STEP_MS).await?.seq)
    }

    async fn say(&self, person: PersonId, form: Form, text: String) -> Result<Seq, Error> {
        let send = Send {
            client_id: new_client_id(),
            conversation: self.conversation,
            text,
            form,
            mentions: Vec::new(),
            mention_all: false,
            reply_to: None,
            thread_root: None,
            also_in_conversation: false,
        };
        Ok(self.cast[person].client.say(send)?.await?.seq)
    }
}

/// How long to wait between two lines.
fn pause(before: Option<Stamp>, at: Option<Stamp>, speed: Option<f64>) -> Duration {
    let (Some(before), Some(at), Some(speed)) = (before, at, speed) else { return Duration::ZERO };
    let seconds = at.unix_seconds().saturating_sub(before.unix_seconds()).max(0);
    let seconds = f64::from(u32::try_from(seconds).unwrap_or(u32::MAX));
    Duration::try_from_secs_f64(seconds / speed).unwrap_or(Duration::MAX)
}
