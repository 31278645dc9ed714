//! `chirrup replay`: plays a log of an IRC channel through the public protocol as its real users,
//! each with an account and a connection of their own, and then holds what every one of them got,
//! by every way there is, against what the log says they should see.
//!
//! The owner of the group adds who comes; who leaves, leaves by themselves. Each step waits for
//! the answer to the one before, so the log's order is the group's.

mod cast;
mod play;
mod readers;
mod script;
mod verdict;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use chirrup_client::Options;
use chirrup_protocol::choice::History;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::interrupt::stoppable;
use crate::irc::{Log, Roll};
use crate::screen::harmless;
use cast::Actor;
use play::{Play, cues};
use verdict::Verdict;

/// The largest log that is played.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The most people that are played: each is a connection.
const PEOPLE_MAX: usize = 5_000;

/// What to play, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The log.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How many times faster than it was.
    #[arg(long, value_name = "N", default_value_t = 60.0, conflicts_with = "fast")]
    pub(crate) speed: f64,
    /// Without any pause.
    #[arg(long)]
    pub(crate) fast: bool,
    /// What those who come see of the time before.
    #[arg(long, value_enum, default_value_t = Past::FromJoin)]
    pub(crate) history: Past,
    /// Which channel, if the log holds several.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<String>,
}

/// What members see of the time before they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Past {
    /// Everything.
    Full,
    /// Nothing before they came.
    #[value(alias = "from_join")]
    FromJoin,
}

impl From<Past> for History {
    fn from(past: Past) -> Self {
        match past {
            Past::Full => Self::Full,
            Past::FromJoin => Self::FromJoin,
        }
    }
}

/// What a replay came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The group.
    pub(crate) conversation: String,
    /// Who came in.
    pub(crate) people: usize,
    /// Times that somebody came in, spoke, and left.
    pub(crate) entered: usize,
    pub(crate) said: usize,
    pub(crate) left: usize,
    /// Messages that the server did not take, by line.
    pub(crate) refused: Vec<String>,
    /// Whether everything of the log was played.
    pub(crate) complete: bool,
    /// What the readers got, held against what they should.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conversation, people, entered, said, left, verdict, .. } = self;
        writeln!(f, "group {conversation}: {people} people came in {entered} times, spoke {said} times, left {left} times")?;
        self.refused.iter().try_for_each(|refused| writeln!(f, "refused: {refused}"))?;
        let Verdict { readers, live, events, forward, backward, digest, .. } = verdict;
        writeln!(f, "{readers} readers got {live} events live, {events} by sync, {forward} messages forward, {backward} backward")?;
        verdict.differences.iter().try_for_each(|difference| writeln!(f, "DIFFERENT {difference}"))?;
        let word = if verdict.equal { "equal by every way, as the log has it" } else { "NOT equal" };
        writeln!(f, "{word}: {digest}")
    }
}

/// `chirrup replay`
pub(crate) async fn command(context: &Context, args: &Args) -> Result<()> {
    let options = context.unknown()?;
    let report = stoppable(|stop| async move { run(args, &options, &stop).await }).await?;
    context.show(&report, || harmless(report.to_string().trim_end()))?;
    ensure!(report.verdict.equal, "not everybody got what they should");
    ensure!(report.complete, "stopped before the end of the log");
    Ok(())
}

/// Plays a log and checks what came of it. `stop` ends the play early; what was played is checked.
async fn run(args: &Args, options: &Options, stop: &CancellationToken) -> Result<Report> {
    ensure!(args.speed > 0.0, "--speed must be above 0");
    let mut roll = Roll::default();
    let cues = cues(&read(args)?, &mut roll);
    ensure!(!cues.is_empty(), "nothing happens in {}", args.file.display());
    ensure!(roll.people().len() <= PEOPLE_MAX, "more than {PEOPLE_MAX} people are in {}", args.file.display());

    let bar = ProgressBar::new(roll.people().len() as u64).with_style(style()).with_prefix("accounts");
    let operator = Actor::sign_up(options, operator_name()).await.context("failed to open an account for the group's owner")?;
    let cast = cast::assemble(options, &mut roll, &bar).await?;
    let title = args.file.file_name().map_or_else(|| "replay".into(), |name| name.to_string_lossy());
    let mut play = Play::begin(operator, cast, &title, args.history.into()).await?;

    show(&bar, "steps", cues.len());
    let pace = (!args.fast).then_some(args.speed);
    let complete = play.act(cues, pace, stop, &bar).await?;
    let Play { conversation, operator, cast, script, refused } = play;
    let people = cast.len();
    show(&bar, "readers", people + 1);
    let verdict = verdict::of(conversation, &script, operator, cast, &bar).await?;
    bar.finish_and_clear();
    let [entered, said, left] = script.counts();
    Ok(Report { conversation: conversation.to_string(), people, entered, said, left, refused, complete, verdict })
}

fn read(args: &Args) -> Result<Log> {
    let failed = || format!("failed to read {}", args.file.display());
    let size = std::fs::metadata(&args.file).with_context(failed)?.len();
    ensure!(size <= FILE_BYTES_MAX, "{} is too large: {size} bytes, where {FILE_BYTES_MAX} are the limit", args.file.display());
    let mut log = Log::parse(&args.file.to_string_lossy(), &std::fs::read(&args.file).with_context(failed)?);
    ensure!(log.is_log(), "{} is no log of IRC", args.file.display());
    if let Some(channel) = &args.channel {
        log.lines.retain(|line| line.channel.as_ref() == Some(channel));
        return Ok(log);
    }
    let named: BTreeSet<&str> = log.lines.iter().filter_map(|line| line.channel.as_deref()).collect();
    let listed = named.iter().copied().collect::<Vec<_>>().join(", ");
    ensure!(named.len() < 2, "{} holds several channels: choose one with --channel: {listed}", args.file.display());
    Ok(log)
}

/// Names for the group's owner: no nick has a full stop in front.
fn operator_name() -> impl FnMut(bool) -> String {
    let mut tries = 0;
    move |_| {
        tries += 1;
        format!(".replay{tries}")
    }
}

fn show(bar: &ProgressBar, what: &'static str, length: usize) {
    bar.reset();
    bar.set_length(length as u64);
    bar.set_prefix(what);
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {bar:30} {human_pos}/{human_len} {per_sec} {eta} {msg}").expect("the template is valid")
}
