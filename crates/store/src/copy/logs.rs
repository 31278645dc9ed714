//! Every log of a store, read from its first event to its last: dense, chained by the hashes of
//! its envelopes, and nothing beyond.

use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::event::Envelope;
use chirrup_core::hash::Hash;
use chirrup_core::ids::Seq;

use super::check::Told;
use super::patience::Patience;
use super::tally::Tally;
use super::walk::{Pages, Partitions};
use super::{CopyError, Side};
use crate::keys;
use crate::kv::{Entry, Key, Kv, ReadError, Table};
use crate::record;

/// The logs of a store as they are read.
pub(super) struct Logs<'a> {
    kv: &'a dyn Kv,
    side: Side,
    patience: &'a Patience,
    /// Of all rows of events.
    pub(super) rows: Tally,
    /// Of all logs.
    pub(super) logs: Tally,
}

/// How far a log was read.
struct Reading {
    log: AggregateId,
    next: Seq,
    /// Of the envelope before.
    hash: Hash,
}

impl<'a> Logs<'a> {
    pub(super) fn new(kv: &'a dyn Kv, side: Side, patience: &'a Patience) -> Self {
        Self { kv, side, patience, rows: Tally::default(), logs: Tally::default() }
    }

    /// Reads them all.
    pub(super) fn read(&mut self, told: &mut Told<'_>) -> Result<(), CopyError> {
        let (mut listed, mut reached) = (0, 0);
        let mut partitions = self.partitions();
        while let Some(pages) = partitions.next().map_err(|error| self.failed(error))? {
            listed += 1;
            let (log, first) = self.log_of(pages.partition())?;
            // A log is read from where it begins; its other partitions may stand anywhere.
            if first == 0 {
                reached += self.log(log, pages, told)?;
            }
        }
        if listed == reached { Ok(()) } else { self.beyond() }
    }

    fn partitions(&self) -> Partitions<'a> {
        Partitions::new(self.kv, Table::Event, None, self.patience)
    }

    fn failed(&self, error: ReadError) -> CopyError {
        CopyError::Read(self.side, error)
    }

    fn log_of(&self, partition: &[u8]) -> Result<(AggregateId, Seq), CopyError> {
        let damaged = || {
            let place = format!("{:?}", Key::new(Table::Event, partition, []));
            self.failed(ReadError::Damaged { place, what: "a partition of no log".to_owned() })
        };
        keys::log_of(partition).ok_or_else(damaged)
    }

    /// Reads a log, from its first partition on; gives the number of its partitions.
    fn log(&mut self, log: AggregateId, mut pages: Pages<'a>, told: &mut Told<'_>) -> Result<u64, CopyError> {
        let mut reading = Reading { next: 1, hash: Envelope::genesis(&log), log };
        let mut partitions = 0;
        loop {
            let rows = self.rows_of(&mut pages)?;
            if rows.is_empty() {
                break;
            }
            partitions += 1;
            self.take(&mut reading, pages.partition(), rows)?;
            if told(self.rows.rows, self.rows.rows).is_break() {
                return Err(CopyError::Stopped);
            }
            if !reading.next.is_multiple_of(BUCKET) {
                break;
            }
            let next = keys::event(&reading.log, reading.next, false).partition;
            pages = Pages::new(self.kv, Table::Event, next, None, self.patience);
        }
        let mut bytes = reading.log.bytes();
        bytes.extend_from_slice(&reading.next.to_be_bytes());
        bytes.extend_from_slice(&reading.hash.0);
        self.logs.add_hash(Hash::of(&bytes), bytes.len() as u64);
        Ok(partitions)
    }

    /// The rows of a partition of events, of which there are few.
    fn rows_of(&self, pages: &mut Pages<'_>) -> Result<Vec<Entry>, CopyError> {
        let mut rows = Vec::new();
        loop {
            let more = pages.next().map_err(|error| self.failed(error))?;
            if more.is_empty() {
                return Ok(rows);
            }
            rows.extend(more);
        }
    }

    /// Takes a log further by the rows of its next partition.
    fn take(&mut self, reading: &mut Reading, partition: &[u8], rows: Vec<Entry>) -> Result<(), CopyError> {
        let mut events = Vec::with_capacity(rows.len());
        for (sort, value) in rows {
            let key = Key::new(Table::Event, partition, sort);
            self.rows.add(&key, &value);
            let event = record::decode_event(&key, &value).map_err(|error| self.failed(error))?.record.event;
            if keys::event_seq(&key.sort) != Some(event.seq()) {
                return Err(self.broken(reading, "another event is in its place"));
            }
            events.push(event);
        }
        events.sort_unstable_by_key(chirrup_core::event::Event::seq);
        for event in events {
            if event.seq() != reading.next {
                return Err(self.broken(reading, "it is not there once"));
            }
            if event.envelope.prev != reading.hash {
                return Err(self.broken(reading, "it was not made after the one before"));
            }
            if event.sealed.as_ref().is_some_and(|sealed| Some(sealed.hash()) != event.envelope.content_hash) {
                return Err(self.broken(reading, "its content is not what it was made with"));
            }
            (reading.next, reading.hash) = (reading.next + 1, event.envelope.hash());
        }
        Ok(())
    }

    fn broken(&self, reading: &Reading, what: &'static str) -> CopyError {
        CopyError::Broken { side: self.side, log: reading.log.clone(), seq: reading.next, what }
    }

    /// Names a log of which a partition was not reached.
    fn beyond(&self) -> Result<(), CopyError> {
        let mut partitions = self.partitions();
        while let Some(pages) = partitions.next().map_err(|error| self.failed(error))? {
            let (log, first) = self.log_of(pages.partition())?;
            if first == 0 {
                continue;
            }
            let before = [true, false].map(|timeline| keys::event(&log, first - 1, timeline));
            let there = self.patience.read(|| self.kv.get(&before)).map_err(|error| self.failed(error))?;
            if there.iter().all(Option::is_none) {
                return Err(CopyError::Broken { side: self.side, log, seq: first - 1, what: "it is not there, and later ones are" });
            }
        }
        Err(CopyError::ReadTwice(Table::Event))
    }
}
