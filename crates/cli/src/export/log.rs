//! Reads every log of a store in full, and checks that its events are all there and chained.

use std::collections::HashSet;
use std::io::Write;

use anyhow::{Context as _, Result, ensure};
use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::event::{Envelope, Event, Fact};
use chirrup_core::hash::Hash;
use chirrup_core::ids::Seq;
use chirrup_store::embedded::Loss;
use chirrup_store::keys::{self, Class};
use chirrup_store::kv::limits::READ_ROWS;
use chirrup_store::kv::{Kv, Table};
use chirrup_store::log;
use chirrup_store::record::{self, EventRow};
use serde::Serialize;

use super::line::{Chain, EventLine, First, Last, Log, Missing, Place, Run, told};
use crate::data::Bar;

/// Partitions that are asked for at once.
const PARTITIONS: usize = 1_000;

/// How many there were.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Logs with at least one event that was read, or known to be missing.
    pub(super) logs: u64,
    /// Events that were read.
    pub(super) events: u64,
    /// Events that are known to be missing.
    pub(super) missing: u64,
    /// Events that do not fit to those before.
    pub(super) broken: u64,
}

/// Writes the logs of a store.
pub(super) struct Exporter<'a, W> {
    kv: &'a dyn Kv,
    /// Where something may be missing; none if nothing may.
    losses: Option<&'a [Loss]>,
    out: W,
    counts: Counts,
    bytes: u64,
}

impl<'a, W: Write> Exporter<'a, W> {
    /// Of a store that is sound in itself.
    pub(super) fn new(kv: &'a dyn Kv, losses: Option<&'a [Loss]>, out: W) -> Self {
        Self { kv, losses, out, counts: Counts::default(), bytes: 0 }
    }

    /// Writes all lines.
    pub(super) fn run(mut self, bar: &Bar) -> Result<Counts> {
        self.line(&First::new(self.losses.is_some()))?;
        let mut open: Option<Reading> = None;
        let kv = self.kv;
        for_each_partition(kv, Table::Event, |partition| {
            let Some((aggregate, first)) = keys::log_of(partition) else { return self.strange("a partition of no log") };
            if let Some(reading) = open.take_if(|reading| reading.aggregate != aggregate) {
                self.end(reading)?;
                bar.wrote(self.bytes)?;
            }
            let reading = match &mut open {
                Some(reading) => reading,
                None => open.insert(self.begin(aggregate)?),
            };
            self.bucket(reading, first)
        })?;
        if let Some(reading) = open {
            self.end(reading)?;
        }
        if self.losses.is_some() {
            self.headless()?;
        }
        self.line(&Last { end: self.counts })?;
        Ok(self.counts)
    }

    fn begin(&mut self, aggregate: AggregateId) -> Result<Reading> {
        let mut reading = Reading::new(aggregate);
        if self.losses.is_some() {
            // An older row of a message may have been saved where the one without its text is lost.
            reading.deleted = self.deleted(&reading.aggregate)?;
        }
        self.counts.logs += 1;
        Ok(reading)
    }

    /// The events of one partition, in order.
    fn events(&mut self, aggregate: &AggregateId, first: Seq) -> Result<Vec<EventRow>> {
        let mut rows = Vec::new();
        for class in [Class::Timeline, Class::Other] {
            let range = keys::events(aggregate, class, first, Seq::MAX, false, READ_ROWS);
            for entry in self.kv.range(&range)? {
                match log::decode(&range, &entry) {
                    Ok(row) => rows.push(row),
                    Err(error) => self.strange(&error.to_string())?,
                }
            }
        }
        rows.sort_unstable_by_key(|row| row.record.event.seq());
        Ok(rows)
    }

    fn bucket(&mut self, reading: &mut Reading, first: Seq) -> Result<()> {
        for row in self.events(&reading.aggregate, first)? {
            let mut event = row.record.event;
            let seq = event.seq();
            if seq > reading.next {
                self.missing(reading, seq - 1)?;
            }
            let (hash, chain) = reading.take(&event);
            if chain == Some(Chain::Broken) {
                ensure!(self.losses.is_some(), "event {seq} of {:?} does not fit to the one before", reading.aggregate);
                self.counts.broken += 1;
            }
            if reading.deleted.contains(&seq) {
                event.sealed = None;
            }
            self.counts.events += 1;
            self.line(&EventLine { log: &reading.log, event: told(&event), hash: hash.to_string(), chain })?;
        }
        Ok(())
    }

    /// Ends a log: its state may know of more events.
    fn end(&mut self, mut reading: Reading) -> Result<()> {
        let key = keys::state(&reading.aggregate);
        if let Some(bytes) = self.kv.get(std::slice::from_ref(&key))?.pop().flatten() {
            match record::decode_state(&key, &bytes) {
                Ok(row) if row.state.head >= reading.next => self.missing(&mut reading, row.state.head)?,
                Ok(_) => {}
                Err(error) => self.strange(&error.to_string())?,
            }
        }
        Ok(())
    }

    /// Logs of which no event was read.
    fn headless(&mut self) -> Result<()> {
        let kv = self.kv;
        for_each_partition(kv, Table::State, |partition| {
            let Some(aggregate) = AggregateId::from_bytes(partition) else { return Ok(()) };
            let key = keys::state(&aggregate);
            let head = kv.get(std::slice::from_ref(&key))?.pop().flatten().and_then(|bytes| record::decode_state(&key, &bytes).ok());
            let head = head.map_or(0, |row| row.state.head);
            for bucket in 0..=head / BUCKET {
                if !self.events(&aggregate, bucket * BUCKET)?.is_empty() {
                    return Ok(());
                }
            }
            self.counts.logs += 1;
            self.end(Reading::new(aggregate))
        })
    }

    /// The events whose contents were removed, as the log's later events tell.
    fn deleted(&mut self, aggregate: &AggregateId) -> Result<HashSet<Seq>> {
        let mut deleted = HashSet::new();
        let AggregateId::Conversation(_) = aggregate else { return Ok(deleted) };
        let mut next = Some(keys::event(aggregate, 0, false).partition);
        // The partitions of a log stand behind each other, in their order.
        while let Some(partition) = next {
            let Some((_, first)) = keys::log_of(&partition).filter(|(other, _)| other == aggregate) else { break };
            for row in self.events(aggregate, first)? {
                if row.record.deleted() {
                    deleted.insert(row.record.event.seq());
                }
                if let Fact::MessageDeleted { target, edits, .. } = &row.record.event.envelope.fact {
                    deleted.insert(*target);
                    deleted.extend(edits);
                }
            }
            next = self.kv.partitions(Table::Event, Some(&partition), 1)?.pop();
        }
        Ok(deleted)
    }

    /// Tells that the events up to `to` are not there.
    fn missing(&mut self, reading: &mut Reading, to: Seq) -> Result<()> {
        let run = Run { from: reading.next, to };
        let losses = self.losses.with_context(|| {
            let of = &reading.aggregate;
            format!("the events {} to {to} of {of:?} are not there; chirrup export --salvage goes on without them", run.from)
        })?;
        let may_hold = |loss: &&Loss| {
            let mut places = (run.from..=to).flat_map(|seq| [true, false].map(|timeline| keys::event(&reading.aggregate, seq, timeline)));
            places.any(|key| loss.may_hold(&key))
        };
        let why = losses.iter().filter(may_hold).map(Place::of).collect();
        self.counts.missing += to - run.from + 1;
        self.line(&Missing { log: &reading.log, missing: run, why })?;
        (reading.next, reading.hash) = (to + 1, None);
        Ok(())
    }

    /// Something that this version did not write: an error, unless damage is gone past.
    fn strange(&self, what: &str) -> Result<()> {
        ensure!(self.losses.is_some(), "{what}; chirrup export --salvage goes on without it");
        Ok(())
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.bytes += text.len() as u64;
        self.out.write_all(&text).context("failed to write the export")
    }
}

/// A log that is being read.
struct Reading {
    aggregate: AggregateId,
    log: Log,
    /// The seq that should come next.
    next: Seq,
    /// Of the envelope before; none if it could not be read.
    hash: Option<Hash>,
    /// Events whose contents were removed.
    deleted: HashSet<Seq>,
}

impl Reading {
    fn new(aggregate: AggregateId) -> Self {
        Self { log: Log::of(&aggregate), next: 1, hash: Some(Envelope::genesis(&aggregate)), deleted: HashSet::new(), aggregate }
    }

    /// Takes the next event that was read: its hash, and how it stands to the one before.
    fn take(&mut self, event: &Event) -> (Hash, Option<Chain>) {
        let content_fits = event.sealed.as_ref().is_none_or(|sealed| Some(sealed.hash()) == event.envelope.content_hash);
        let chain = match self.hash {
            _ if !content_fits => Some(Chain::Broken),
            Some(before) if before != event.envelope.prev => Some(Chain::Broken),
            Some(_) => None,
            None => Some(Chain::AfterGap),
        };
        let hash = event.envelope.hash();
        (self.next, self.hash) = (event.seq() + 1, Some(hash));
        (hash, chain)
    }
}

fn for_each_partition(kv: &dyn Kv, table: Table, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = kv.partitions(table, after.as_deref(), PARTITIONS)?;
        for partition in &page {
            visit(partition)?;
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chirrup_core::event::{Calls, Content, Form, Sealed, Text};
    use chirrup_core::hash::Salt;
    use chirrup_core::ids::ConversationId;
    use chirrup_core::rows::Record;
    use chirrup_store::kv::Row;
    use chirrup_store::memory::MemoryKv;
    use chirrup_store::offset::Offset;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const LOG: AggregateId = AggregateId::Conversation(ConversationId([7; 16]));

    /// The next event of a log.
    fn next(log: &[Event], fact: Fact, text: Option<&str>) -> Event {
        let content = text.map(|text| Content::Message(Text { text: text.to_owned(), mentions: Vec::new(), mention_all: false }));
        let sealed = content.map(|content| Sealed { salt: Salt([3; 16]), content });
        let prev = log.last().map_or_else(|| Envelope::genesis(&LOG), |event| event.envelope.hash());
        let content_hash = sealed.as_ref().map(Sealed::hash);
        let seq = log.len() as Seq + 1;
        Event { envelope: Envelope { seq, time: 1, author: None, client_id: None, fact, content_hash, prev }, sealed }
    }

    fn message() -> Fact {
        Fact::MessageCreated { form: Form::Text, ordinal: Some(1), thread: None, reply_to: None, original_time: None }
    }

    /// Two messages, and the deletion of the first, whose row still has its text: as where an older
    /// row was saved and the newer one was not.
    fn log() -> Vec<Event> {
        let mut log = Vec::new();
        log.push(next(&log, message(), Some("said in anger")));
        log.push(next(&log, message(), Some("said with care")));
        let deletion =
            Fact::MessageDeleted { target: 1, edits: Vec::new(), ordinal: Some(1), thread_root: None, uncalled: Calls::default() };
        log.push(next(&log, deletion, None));
        log
    }

    fn exported(log: &[Event], losses: Option<&[Loss]>) -> Result<(Counts, String)> {
        let row = |event: &Event| {
            let record = Record { event: event.clone(), fold: None };
            let timeline = matches!(event.envelope.fact, Fact::MessageCreated { .. });
            let value = Some(record::encode_event(Offset::default(), &record));
            Row { key: keys::event(&LOG, event.seq(), timeline), value, version: 1 }
        };
        let kv = MemoryKv::new();
        kv.commit(&log.iter().map(row).collect::<Vec<_>>())?;
        let mut out = Vec::new();
        let counts = Exporter::new(&kv, losses, &mut out).run(&Bar::new("", CancellationToken::new()))?;
        Ok((counts, String::from_utf8(out)?))
    }

    #[test]
    fn a_text_that_was_deleted_does_not_come_back_with_an_older_row() {
        let (counts, text) = exported(&log(), Some(&[])).unwrap();
        assert_eq!((counts.logs, counts.events, counts.missing, counts.broken), (1, 3, 0, 0));
        assert!(text.contains("said with care") && !text.contains("said in anger"), "{text}");
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_told_in_a_salvage_and_ends_an_export() {
        let mut gap = log();
        gap.remove(1);
        let (counts, text) = exported(&gap, Some(&[])).unwrap();
        assert_eq!((counts.events, counts.missing, counts.broken), (2, 1, 0));
        assert!(text.contains(r#""missing":{"from":2,"to":2},"why":[]"#) && text.contains(r#""chain":"after_gap""#), "{text}");
        assert!(exported(&gap, None).unwrap_err().to_string().contains("the events 2 to 2"));

        let mut forged = log();
        forged[1] = next(&forged[..1], message(), Some("never said"));
        forged[1].envelope.time = 2;
        let (counts, text) = exported(&forged, Some(&[])).unwrap();
        assert_eq!((counts.events, counts.broken), (3, 1));
        assert!(text.contains(r#""chain":"broken""#), "{text}");
        assert!(exported(&forged, None).unwrap_err().to_string().contains("does not fit"));

        let mut altered = log();
        altered[1].sealed = next(&altered[..1], message(), Some("said otherwise")).sealed;
        assert_eq!(exported(&altered, Some(&[])).unwrap().0.broken, 1);
    }
}
