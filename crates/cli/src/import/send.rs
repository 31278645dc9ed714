//! The second reading: the messages of one channel go into its group, in the order of the logs,
//! many in flight at once. The outbox of the SDK keeps the order across refusals and reconnects.
//!
//! Must not know: how files are found, how accounts are made.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use chirrup_client::{Client, Error, Saying};
use chirrup_core::ids::{ConversationId, Seq, Time, UserId};
use chirrup_protocol::choice::Form;
use chirrup_protocol::error::{Code, Error as Refusal};
use chirrup_protocol::reply::Done;
use chirrup_protocol::request::ImportMessage;
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::ids;
use super::journal::{Journal, Refused, Settled};
use super::replies::Answers;
use super::source::Source;
use super::survey::{Part, Spoken, spoken};
use crate::irc::{Said, Speech, Stamp, fold};

/// Messages of one channel that are on their way at once.
const WINDOW: usize = 64;
/// Lines that are settled before the journal is written.
const KEEP_EVERY: usize = 2_000;

/// What became of the messages of one log in one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The server has them by this run.
    pub(crate) imported: usize,
    /// The server had them.
    pub(crate) already: usize,
    /// The server does not take them.
    pub(crate) refused: Vec<Refused>,
}

/// What is to be done with what one log adds to one channel.
#[derive(Debug)]
pub(crate) struct Todo<'a> {
    /// Its messages.
    pub(crate) part: &'a Part,
    /// Where it is.
    pub(crate) source: &'a Source,
    /// All lines up to here are settled.
    pub(crate) begin: u32,
    /// Those among them that the server did not take.
    pub(crate) refused: Vec<Refused>,
    /// Who answers whom.
    pub(crate) answers: Answers,
}

impl Todo<'_> {
    /// Who speaks in what is to be sent, by number in the roll.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = usize> {
        self.part.speakers.iter().filter(|(_, last)| **last > self.begin).map(|(id, _)| *id)
    }
}

impl Outcome {
    /// Adds what became of the same log in another channel.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.imported += other.imported;
        self.already += other.already;
        self.refused.append(&mut other.refused);
    }
}

/// What all channels work with.
#[derive(Clone)]
pub(crate) struct Desk {
    /// An administrator's.
    pub(crate) client: Client,
    /// Accounts, by folded nick.
    pub(crate) accounts: Arc<HashMap<String, UserId>>,
    /// What is done.
    pub(crate) journal: Arc<Mutex<Journal>>,
    /// Cancelled when no more is to be sent.
    pub(crate) stop: CancellationToken,
    /// Counts messages.
    pub(crate) bar: ProgressBar,
}

/// One channel and its group.
pub(crate) struct Channel {
    desk: Desk,
    name: String,
    conversation: ConversationId,
    /// Highest event that was answered with.
    seq: Seq,
    /// Settled, but not yet in the journal.
    unkept: Vec<Settled>,
    unkept_lines: usize,
}

/// A message whose lot is not settled, or not told yet.
struct Flight {
    line: u32,
    lot: Lot,
}

enum Lot {
    OnItsWay(Saying),
    /// It did not go out.
    Refused(Refused),
}

/// One log on its way into the group.
struct Reading<'a> {
    source: &'a Source,
    in_flight: VecDeque<Flight>,
    /// All lines up to here are settled.
    line: u32,
    outcome: Outcome,
    /// Refused since the last record.
    refused: Vec<Refused>,
    /// Events by line, where replies need them.
    seqs: Option<HashMap<u32, Seq>>,
}

impl Channel {
    pub(crate) fn new(desk: Desk, name: String, conversation: ConversationId) -> Self {
        Self { desk, name, conversation, seq: 0, unkept: Vec::new(), unkept_lines: 0 }
    }

    /// Sends the messages of a log that belong into this channel; ends early, all in flight
    /// settled, when no more is to be sent.
    pub(crate) async fn log(&mut self, todo: &Todo<'_>) -> Result<Outcome> {
        let Todo { part, source, begin, .. } = *todo;
        let done = part.lines.len() - part.beyond(begin);
        self.desk.bar.inc(done as u64);
        let refused = todo.refused.clone();
        let outcome = Outcome { imported: 0, already: done.saturating_sub(refused.len()), refused };
        if part.beyond(begin) == 0 || self.desk.stop.is_cancelled() {
            return Ok(outcome);
        }
        let seqs = (!todo.answers.is_empty()).then(HashMap::new);
        let in_flight = VecDeque::with_capacity(WINDOW);
        let mut reading = Reading { source, in_flight, line: begin, outcome, refused: Vec::new(), seqs };
        let log = source.read()?.with_context(|| format!("{} changed while it was imported", source.path.display()))?;
        let name = self.name.clone();
        let here = |spoken: &Spoken<'_>| spoken.channel == name && spoken.line > begin;
        for Spoken { line, said, at, .. } in spoken(&log, source).filter(here) {
            if self.desk.stop.is_cancelled() {
                break;
            }
            while reading.in_flight.len() >= WINDOW {
                self.settle(&mut reading).await?;
            }
            let reply_to = self.reply_to(&mut reading, todo.answers.get(&line)).await?;
            let lot = match self.message(source, line, said, at) {
                Ok(message) => self.send(line, ImportMessage { reply_to, ..message })?,
                Err((code, why)) => Lot::Refused(Refused { line, code: code.to_owned(), why: why.to_owned() }),
            };
            reading.in_flight.push_back(Flight { line, lot });
        }
        while !reading.in_flight.is_empty() {
            self.settle(&mut reading).await?;
        }
        self.note(&mut reading);
        Ok(reading.outcome)
    }

    /// The message of a line, or why there can be none: a code and a sentence.
    fn message(
        &self,
        source: &Source,
        line: u32,
        said: Said<'_>,
        at: Option<Stamp>,
    ) -> Result<ImportMessage, (&'static str, &'static str)> {
        let no_date = ("no_date", "nothing tells the date: put one like 2011-11-13 into the file's name");
        let original_time = at.and_then(time).ok_or(no_date)?;
        let author = self.desk.accounts.get(&fold(said.nick)).copied();
        let author = author.ok_or(("no_account", "the server took no name for the nick"))?;
        let form = match said.speech {
            Speech::Message => Form::Text,
            Speech::Action => Form::Action,
        };
        let (client_id, conversation) = (ids::of_line(&self.name, &source.name, line), self.conversation);
        Ok(ImportMessage { client_id, conversation, author, text: said.text.to_owned(), form, original_time, reply_to: None })
    }

    fn send(&self, line: u32, message: ImportMessage) -> Result<Lot> {
        match self.desk.client.say(message) {
            Ok(saying) => Ok(Lot::OnItsWay(saying)),
            Err(Error::Refused(refusal)) => Ok(Lot::Refused(refused(line, refusal))),
            Err(error) => Err(error).context("failed to send a message"),
        }
    }

    /// Waits for the oldest message in flight.
    async fn settle(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        let Some(Flight { line, lot }) = reading.in_flight.pop_front() else { return Ok(()) };
        let outcome = match lot {
            Lot::OnItsWay(saying) => saying.await,
            Lot::Refused(refused) => {
                reading.settled(line, Err(refused));
                self.desk.bar.inc(1);
                return Ok(());
            }
        };
        match outcome {
            Ok(done) => {
                self.seq = self.seq.max(done.seq);
                reading.settled(line, Ok(done));
            }
            Err(Error::Refused(refusal)) if refusal.code == Code::Forbidden => bail!("the server refuses: {refusal}"),
            Err(Error::Refused(refusal)) => reading.settled(line, Err(refused(line, refusal))),
            Err(error) => return Err(error).with_context(|| format!("failed at {}:{line}", reading.source.path.display())),
        }
        self.desk.bar.inc(1);
        self.unkept_lines += 1;
        if self.unkept_lines >= KEEP_EVERY {
            self.note(reading);
            self.keep()?;
        }
        Ok(())
    }

    /// The event of the line that is answered, once it is known.
    async fn reply_to(&mut self, reading: &mut Reading<'_>, answered: Option<&u32>) -> Result<Option<Seq>> {
        let Some(answered) = answered else { return Ok(None) };
        while reading.in_flight.iter().any(|flight| flight.line == *answered) {
            self.settle(reading).await?;
        }
        Ok(reading.seqs.as_ref().and_then(|seqs| seqs.get(answered)).copied())
    }

    /// How far a log is, for the journal. Without any event there is nothing to hold it against.
    fn note(&mut self, reading: &mut Reading<'_>) {
        if self.seq > 0 {
            let (conversation, file, line, seq) = (self.conversation, reading.source.name.clone(), reading.line, self.seq);
            self.unkept.push(Settled { conversation, file, line, seq, refused: std::mem::take(&mut reading.refused) });
        }
    }

    /// Writes into the journal what it does not have.
    pub(crate) fn keep(&mut self) -> Result<()> {
        self.unkept_lines = 0;
        let records = std::mem::take(&mut self.unkept);
        self.desk.journal.lock().unwrap_or_else(PoisonError::into_inner).keep(records)
    }
}

impl Reading<'_> {
    fn settled(&mut self, line: u32, lot: Result<Done, Refused>) {
        self.line = self.line.max(line);
        match lot {
            Ok(done) => {
                *if done.duplicate { &mut self.outcome.already } else { &mut self.outcome.imported } += 1;
                if let Some(seqs) = &mut self.seqs {
                    seqs.insert(line, done.seq);
                }
            }
            Err(refused) => {
                self.refused.push(refused.clone());
                self.outcome.refused.push(refused);
            }
        }
    }
}

fn refused(line: u32, refusal: Refusal) -> Refused {
    Refused { line, code: refusal.code.name().to_owned(), why: refusal.message }
}

/// In milliseconds; none before 1970.
fn time(stamp: Stamp) -> Option<Time> {
    u64::try_from(stamp.unix_seconds()).ok().map(|seconds| seconds * 1_000)
}
