//! `chirrup import irc`: takes the history of IRC channels over, as an administrator, over the
//! protocol. One group a channel; one account, without a password, a nick; the time of the log
//! beside the server's. Who joined and left is counted only: whoever speaks is a member.
//!
//! What is done twice is done once: groups, accounts and messages have client ids that are made of
//! what they are. Two readings of the logs: the first finds who speaks, the second sends.

mod ids;
mod journal;
mod people;
mod replies;
mod report;
mod send;
mod source;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use chirrup_client::view::View;
use chirrup_client::{Client, Options, Status};
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_protocol::choice::{History, Leaver};
use chirrup_protocol::request::{Conversation, CreateGroup};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::interrupt::stoppable;
use crate::irc::{Roll, fold};
use crate::screen::harmless;
use journal::Journal;
use replies::Answers;
use report::Group;
pub(crate) use report::Report;
use send::{Channel, Desk, Outcome, Todo};
use survey::{Part, Survey};

/// What can be imported.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum ImportCommand {
    /// Logs of IRC channels, as an administrator; run twice is run once.
    Irc(Args),
}

/// Channels that are sent at once; each has a log in memory.
const CHANNELS_AT_ONCE: usize = 4;
/// How often the bar tells whether there is a connection.
const LOOK: Duration = Duration::from_secs(1);

/// What to import.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Log files, or folders of them. A folder that holds files is one channel with all below it; in
    /// one that holds only folders, each is a channel. Lines that name their channel go there.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Put everything into the group of this title.
    #[arg(long, value_name = "TITLE")]
    pub(crate) into: Option<String>,
    /// Take over who answers whom, from NAME.annotation.txt beside NAME.raw.txt or NAME.ascii.txt.
    #[arg(long)]
    pub(crate) replies: bool,
}

/// A channel's group, and what is to go there.
struct Work<'a> {
    title: &'a str,
    conversation: ConversationId,
    todos: Vec<Todo<'a>>,
}

/// What has been done.
#[derive(Default)]
struct Done {
    /// By the number of the log.
    outcomes: BTreeMap<usize, Outcome>,
    notes: Vec<String>,
}

/// `chirrup import`
pub(crate) async fn command(context: &Context, command: &ImportCommand) -> Result<()> {
    let ImportCommand::Irc(args) = command;
    let mut options = context.options()?;
    options.background = true;
    let journal = context.place.journal();
    let report = stoppable(|stop| async move { run(args, options, &journal, &stop).await }).await?;
    context.show(&report, || harmless(report.to_string().trim_end()))?;
    ensure!(report.left == 0, "stopped with {} messages left: the same command goes on from there", report.left);
    Ok(())
}

/// Imports. `journal` is where it is kept how far the import is. `stop` ends it early and in order;
/// the same call goes on then.
async fn run(args: &Args, options: Options, journal: &Path, stop: &CancellationToken) -> Result<Report> {
    let mut survey = Survey::of(source::find(&args.paths, args.into.as_deref())?)?;
    if survey.logs.is_empty() {
        bail!("none of the {} files there is a log", survey.not_logs.len());
    }
    let (client, _events) = Client::connect(options.clone())?;
    client.ready().await.context("failed to connect")?;
    if !client.view(View::administrator) {
        bail!("only an administrator of the server can import");
    }
    let mut roll = std::mem::take(&mut survey.roll);
    let mut journal = Journal::open(journal)?;
    let mut works = Vec::new();
    for (title, parts) in &survey.channels {
        let conversation = group(&client, &mut journal, title).await.with_context(|| format!("failed to begin the group {title:?}"))?;
        works.push(Work { title, conversation, todos: todos(&survey, &journal, conversation, parts, args.replies)? });
    }
    let groups = works.iter().map(Group::of).collect();
    let bar = ProgressBar::new(0).with_style(style());
    let desk = Desk { client: client.clone(), accounts: Arc::default(), journal: Arc::new(Mutex::new(journal)), stop: stop.clone(), bar };
    let done = with_signs(&desk, import(&desk, &options, &mut roll, works)).await;
    desk.bar.finish_and_clear();
    client.close().await;
    let done = done?;
    survey.roll = roll;
    let mut report = Report::new(&survey, &done.outcomes, groups);
    report.notes = done.notes;
    Ok(report)
}

/// The group of a channel, begun now or by an earlier import of the same administrator.
async fn group(client: &Client, journal: &mut Journal, title: &str) -> Result<ConversationId> {
    let client_id = ids::of_group(title);
    let (history, leaver) = (History::Full, Leaver::Keeps);
    let create = CreateGroup { client_id, title: title.to_owned(), history, leaver, members: Vec::new() };
    let conversation = client.request(create).await?.conversation;
    let about = client.request(Conversation { conversation }).await?;
    journal.check(conversation, about.head)?;
    Ok(conversation)
}

/// What is to be done with each log of a channel.
fn todos<'a>(
    survey: &'a Survey,
    journal: &Journal,
    conversation: ConversationId,
    parts: &'a [Part],
    replies: bool,
) -> Result<Vec<Todo<'a>>> {
    let todo = |part: &'a Part| {
        let source = &survey.logs[part.log].source;
        let answers = if replies { replies::of(&source.path)? } else { Answers::new() };
        let settled = journal.settled(conversation, &source.name).filter(|settled| {
            // The events of the lines before are known only if they are sent again.
            answers.is_empty() || part.beyond(settled.line) == 0
        });
        let (begin, refused) = settled.map_or((0, Vec::new()), |settled| (settled.line, settled.refused.clone()));
        Ok(Todo { part, source, begin, refused, answers })
    };
    parts.iter().map(todo).collect()
}

/// Everything that is seen to move.
async fn import(desk: &Desk, options: &Options, roll: &mut Roll, works: Vec<Work<'_>>) -> Result<Done> {
    let speakers = |work: &Work<'_>| -> BTreeSet<usize> { work.todos.iter().flat_map(Todo::speakers).collect() };
    let all: Vec<usize> = works.iter().flat_map(speakers).collect::<BTreeSet<_>>().into_iter().collect();
    let accounts = people::accounts(options, roll, &all, &desk.stop, &desk.bar).await?;
    let mut done = Done::default();
    for work in works.iter().filter(|_| !desk.stop.is_cancelled()) {
        let users: Vec<UserId> = speakers(work).into_iter().filter_map(|id| accounts.get(&id).copied()).collect();
        let note = people::members(&desk.client, work.conversation, &users).await?;
        done.notes.extend(note.map(|why| format!("not everybody could become a member of {:?}: {why}", work.title)));
    }
    let messages: usize = works.iter().flat_map(|work| &work.todos).map(|todo| todo.part.lines.len()).sum();
    show(&desk.bar, "messages", messages);
    let accounts = accounts.iter().map(|(id, user)| (fold(&roll.people()[*id].nick), *user)).collect();
    let desk = Desk { accounts: Arc::new(accounts), ..desk.clone() };
    let outcomes = stream::iter(works).map(|work| send(&desk, work)).buffer_unordered(CHANNELS_AT_ONCE);
    let outcomes: Vec<_> = outcomes.try_collect().await?;
    for (log, outcome) in outcomes.into_iter().flatten() {
        done.outcomes.entry(log).or_default().merge(outcome);
    }
    Ok(done)
}

/// Sends what belongs into one group; answers with what became of it, by the number of the log.
async fn send(desk: &Desk, work: Work<'_>) -> Result<Vec<(usize, Outcome)>> {
    let mut channel = Channel::new(desk.clone(), work.title.to_owned(), work.conversation);
    let mut outcomes = Vec::new();
    for todo in &work.todos {
        let sent = channel.log(todo).await;
        if sent.is_err() {
            // What the others do now is done again, but not in vain: the server knows it.
            desk.stop.cancel();
            channel.keep()?;
        }
        outcomes.push((todo.part.log, sent?));
    }
    channel.keep()?;
    Ok(outcomes)
}

/// Tells beside the bar when there is no connection, for as long as the work goes on.
async fn with_signs<T>(desk: &Desk, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = look.tick() => desk.bar.set_message(match desk.client.status() {
                _ if desk.stop.is_cancelled() => "stopping".to_owned(),
                Status::Waiting { failure, .. } => failure.to_string(),
                _ => String::new(),
            }),
        }
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
